// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {vm} from "./Vm.sol";

/// @title The settlement contract that x402 deploys, where somebody has built it
/// @dev Upstream's address follows from its code (EIP-1014), so code that lands there is upstream's to the bit.
library Upstream {
    address internal constant CANONICAL = 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003;
    address private constant FACTORY = 0x4e59b44847b379578588920cA78FbF26c0B4956C;
    bytes32 private constant SALT = 0x000000000000000000000000000000000000000000000000e000000005be885c;

    /// @dev Skips the test where nobody says which artefact of forge to read.
    function creationCode() internal returns (bytes memory) {
        string memory path = vm.envOr("VOUCH_UPSTREAM_SETTLEMENT", string(""));
        if (bytes(path).length == 0) {
            vm.skip(true, "VOUCH_UPSTREAM_SETTLEMENT names no artefact of upstream's x402BatchSettlement");
        }
        return vm.parseJsonBytes(vm.readFile(path), ".bytecode.object");
    }

    function deploy(bytes memory code) internal {
        vm.etch(
            FACTORY,
            hex"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
        );
        (bool success, bytes memory made) = FACTORY.call(bytes.concat(SALT, code));
        vm.assertTrue(success, "upstream's code is deployed");
        vm.assertEq(address(bytes20(made)), CANONICAL, "it is what upstream has deployed");
    }
}
