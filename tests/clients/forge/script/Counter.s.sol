// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
}

contract Counter {
    event Counted(uint256 indexed count);

    uint256 public count;

    function add(uint256 more) external {
        count += more;
        emit Counted(count);
    }
}

/// Deploys a contract and calls it twice, in three transactions.
contract Count {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bool public constant IS_SCRIPT = true;

    function run() external returns (Counter counter) {
        VM.startBroadcast();
        counter = new Counter();
        counter.add(3);
        counter.add(4);
        VM.stopBroadcast();
    }
}
