// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LineageRegistry} from "../src/lineage/LineageRegistry.sol";
import {LineageFixture} from "./base/LineageFixture.sol";
import {bound, vm} from "./base/Vm.sol";

contract LineageRegistryTest is LineageFixture {
    function test_aNodeIsFrozenUnderItsName() public {
        bytes32 data = root(1);
        bytes32 model = child(2, data, 3000);
        (bytes32[] memory parents, uint16[] memory shares) = registry.parentsOf(model);
        vm.assertEq(model, registry.nodeId(ownerOf(2), 2, bytes32(uint256(2)), parents, shares), "name");
        (address owner, uint8 kind, uint8 count, uint16 passed, uint16 ancestors) = registry.nodes(model);
        vm.assertEq(owner, ownerOf(2), "owner");
        vm.assertEq(kind, 2, "kind");
        vm.assertEq(count, 1, "parents");
        vm.assertEq(passed, 3000, "passed on");
        vm.assertEq(ancestors, 1, "ancestors");
        (bytes32 parent, uint16 share) = registry.parentAt(model, 0);
        vm.assertEq(parent, data, "parent");
        vm.assertEq(share, 3000, "share");
        // Registering it again is the same node, and changing a share another.
        vm.assertEq(child(2, data, 3000), model, "again");
        vm.assertTrue(child(2, data, 3001) != model, "another share, another node");
        vm.expectRevert();
        registry.parentAt(model, 1);
    }

    function test_kindsAreKnown() public {
        for (uint8 kind = 0; kind < 6; ++kind) {
            bool known = kind >= 1 && kind <= 4;
            if (!known) {
                vm.expectRevert(abi.encodeWithSelector(LineageRegistry.UnknownKind.selector, kind));
            }
            registry.register(kind, 0, new bytes32[](0), new uint16[](0));
        }
    }

    function test_parentsExistBefore() public {
        bytes32[] memory parents = new bytes32[](1);
        uint16[] memory shares = new uint16[](1);
        (parents[0], shares[0]) = (keccak256("not yet"), 1);
        vm.expectRevert(abi.encodeWithSelector(LineageRegistry.UnknownNode.selector, parents[0]));
        registry.register(2, 0, parents, shares);
        // A name commits to its parents' names: one that contains itself cannot be computed.
        bytes32 self = registry.nodeId(address(this), 2, 0, parents, shares);
        parents[0] = self;
        vm.expectRevert(abi.encodeWithSelector(LineageRegistry.UnknownNode.selector, self));
        registry.register(2, 0, parents, shares);
    }

    function testFuzz_sharesSumToAtMostAll(uint16 left, uint16 right) public {
        bytes32 a = root(1);
        bytes32 b = root(2);
        left = uint16(bound(left, 1, 10_000));
        right = uint16(bound(right, 1, 10_000));
        bytes32[] memory parents = new bytes32[](2);
        uint16[] memory shares = new uint16[](2);
        (parents[0], parents[1]) = a < b ? (a, b) : (b, a);
        (shares[0], shares[1]) = (left, right);
        uint256 sum = uint256(left) + right;
        if (sum > 10_000) {
            vm.expectRevert(abi.encodeWithSelector(LineageRegistry.SharesAboveAll.selector, sum));
        }
        registry.register(3, 0, parents, shares);
    }

    function test_shapesAreRefused() public {
        bytes32 a = root(1);
        vm.expectRevert(abi.encodeWithSelector(LineageRegistry.ParentCount.selector, 17, 17));
        registry.register(2, 0, new bytes32[](17), new uint16[](17));
        vm.expectRevert(abi.encodeWithSelector(LineageRegistry.ParentCount.selector, 2, 1));
        registry.register(2, 0, new bytes32[](2), new uint16[](1));

        bytes32[] memory parents = new bytes32[](2);
        uint16[] memory shares = new uint16[](2);
        (parents[0], parents[1], shares[0], shares[1]) = (a, a, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(LineageRegistry.InvalidParent.selector, 1));
        registry.register(2, 0, parents, shares);
        (shares[0], shares[1]) = (0, 1);
        vm.expectRevert(abi.encodeWithSelector(LineageRegistry.InvalidParent.selector, 0));
        registry.register(2, 0, parents, shares);
    }

    /// @dev Two parents that are each a parent of the next: the count of paths doubles.
    function test_ancestorsAreCapped() public {
        (bytes32 left, bytes32 right) = (root(1), root(2));
        uint256 ancestors = 0;
        for (uint256 i = 1; ancestors * 2 + 2 <= registry.MAX_ANCESTORS(); ++i) {
            (left, right) =
                (child(i * 2 + 1, left, 1, right, 1), child(i * 2 + 2, left, 1, right, 1));
            ancestors = ancestors * 2 + 2;
        }
        (,,,, uint16 kept) = registry.nodes(left);
        vm.assertEq(kept, ancestors, "counted by path");
        bytes32[] memory parents = new bytes32[](2);
        uint16[] memory shares = new uint16[](2);
        (parents[0], parents[1]) = left < right ? (left, right) : (right, left);
        (shares[0], shares[1]) = (1, 1);
        vm.expectRevert(
            abi.encodeWithSelector(LineageRegistry.TooManyAncestors.selector, ancestors * 2 + 2)
        );
        registry.register(2, 0, parents, shares);
    }
}
