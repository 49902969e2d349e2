// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

contract Counter {
    event Counted(address indexed by, uint256 count);

    error TooMuch(uint256 more, uint256 most);

    uint256 public count;

    constructor(uint256 first) {
        count = first;
    }

    function add(uint256 more) external {
        require(more <= 10, TooMuch(more, 10));
        count += more;
        emit Counted(msg.sender, count);
    }
}
