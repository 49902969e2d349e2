// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TestDollar} from "../../src/TestDollar.sol";
import {ProtocolParameters} from "../../src/governance/ProtocolParameters.sol";
import {LineageRegistry} from "../../src/lineage/LineageRegistry.sol";
import {RoyaltyVault} from "../../src/lineage/RoyaltyVault.sol";
import {vm} from "./Vm.sol";

/// @title A lineage registry, a vault over it, and a dollar
abstract contract LineageFixture {
    address internal constant GOVERNANCE = address(0x60);

    LineageRegistry internal registry;
    ProtocolParameters internal parameters;
    RoyaltyVault internal vault;
    TestDollar internal dollar;

    function setUp() public virtual {
        registry = new LineageRegistry();
        parameters = new ProtocolParameters(GOVERNANCE);
        vault = new RoyaltyVault(registry, parameters);
        dollar = new TestDollar(address(this));
    }

    function setFee(uint16 bps) internal {
        vm.prank(GOVERNANCE);
        parameters.setFeeShareBps(bps);
    }

    function ownerOf(uint256 node) internal pure returns (address) {
        return address(uint160(0x1000_0000 + node));
    }

    /// @dev A node whose content is its number; parents in ascending order, each with its share.
    function register(uint256 number, bytes32[] memory parents, uint16[] memory shares)
        internal
        returns (bytes32)
    {
        sort(parents, shares);
        vm.prank(ownerOf(number));
        return registry.register(2, bytes32(number), parents, shares);
    }

    function root(uint256 number) internal returns (bytes32) {
        return register(number, new bytes32[](0), new uint16[](0));
    }

    function child(uint256 number, bytes32 parent, uint16 share) internal returns (bytes32) {
        bytes32[] memory parents = new bytes32[](1);
        uint16[] memory shares = new uint16[](1);
        (parents[0], shares[0]) = (parent, share);
        return register(number, parents, shares);
    }

    function child(uint256 number, bytes32 left, uint16 leftShare, bytes32 right, uint16 rightShare)
        internal
        returns (bytes32)
    {
        bytes32[] memory parents = new bytes32[](2);
        uint16[] memory shares = new uint16[](2);
        (parents[0], shares[0], parents[1], shares[1]) = (left, leftShare, right, rightShare);
        return register(number, parents, shares);
    }

    function earn(bytes32 node, uint256 amount) internal {
        dollar.mint(vault.receiverOf(node), amount);
    }

    function sort(bytes32[] memory parents, uint16[] memory shares) private pure {
        for (uint256 i = 1; i < parents.length; ++i) {
            for (uint256 j = i; j > 0 && parents[j] < parents[j - 1]; --j) {
                (parents[j], parents[j - 1]) = (parents[j - 1], parents[j]);
                (shares[j], shares[j - 1]) = (shares[j - 1], shares[j]);
            }
        }
    }
}
