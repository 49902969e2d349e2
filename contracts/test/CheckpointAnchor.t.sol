// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {CheckpointAnchor} from "../src/CheckpointAnchor.sol";
import {Types} from "../src/Types.sol";
import {MerkleTree} from "./base/MerkleTree.sol";
import {bound, signHighS, signWith, vm} from "./base/Vm.sol";

contract CheckpointAnchorTest {
    uint256 private constant LOG_KEY = 0x106;
    string private constant ORIGIN = "vouch.example/log";

    CheckpointAnchor private anchor;

    function setUp() public {
        anchor = new CheckpointAnchor();
        vm.warp(1_000_000);
        vm.roll(77);
    }

    function test_keepsTheNewestAtItsDocumentedSlots() public {
        bytes32 key = logKey();
        vm.expectEmit(address(anchor));
        emit CheckpointAnchor.Anchored(key, ORIGIN, vm.addr(LOG_KEY), 5, bytes32(uint256(0xabc)));
        submit(5, bytes32(uint256(0xabc)));

        bytes32 slot = keccak256(abi.encode(key, uint256(0)));
        vm.assertEq(vm.load(address(anchor), slot), bytes32(uint256(0xabc)), "root");
        uint256 packed = uint256(vm.load(address(anchor), bytes32(uint256(slot) + 1)));
        vm.assertEq(packed, 5 | (uint256(77) << 64) | (uint256(1_000_000) << 128), "size, block, time");
        bytes32 bySize = keccak256(abi.encode(uint256(5), keccak256(abi.encode(key, uint256(1)))));
        vm.assertEq(vm.load(address(anchor), bySize), bytes32(uint256(0xabc)), "root by size");
    }

    function testFuzz_sizesOnlyGrow(uint64 first, uint64 second, bytes32 firstRoot, bytes32 secondRoot)
        public
    {
        first = uint64(bound(first, 1, type(uint64).max));
        second = uint64(bound(second, 1, type(uint64).max));
        vm.assume(firstRoot != secondRoot);
        submit(first, firstRoot);
        bytes memory signature = sign(ORIGIN, second, secondRoot);
        if (second < first) {
            vm.expectRevert(abi.encodeWithSelector(CheckpointAnchor.SizeBehind.selector, first, second));
        } else if (second == first) {
            vm.expectRevert(
                abi.encodeWithSelector(CheckpointAnchor.RootConflict.selector, first, firstRoot, secondRoot)
            );
        }
        anchor.anchor(ORIGIN, second, secondRoot, signature);

        (bytes32 root, uint64 size,,) = anchor.anchors(logKey());
        vm.assertEq(size, second > first ? second : first, "size");
        vm.assertEq(root, second > first ? secondRoot : firstRoot, "root");
    }

    function test_oneSizeHasOneRoot() public {
        submit(5, bytes32(uint256(1)));
        bytes memory signature = sign(ORIGIN, 5, bytes32(uint256(2)));
        vm.expectRevert(
            abi.encodeWithSelector(
                CheckpointAnchor.RootConflict.selector, uint64(5), bytes32(uint256(1)), bytes32(uint256(2))
            )
        );
        anchor.anchor(ORIGIN, 5, bytes32(uint256(2)), signature);
    }

    function test_aRepeatKeepsTheFirstTime() public {
        submit(5, bytes32(uint256(1)));
        vm.roll(99);
        submit(5, bytes32(uint256(1)));
        (,, uint64 blockNumber,) = anchor.anchors(logKey());
        vm.assertEq(blockNumber, 77, "block");
    }

    function test_aCheckpointIsTrueOnAnyChain() public {
        bytes memory signature = sign(ORIGIN, 5, bytes32(uint256(1)));
        vm.chainId(999);
        anchor.anchor(ORIGIN, 5, bytes32(uint256(1)), signature);
        (, uint64 size,,) = anchor.anchors(logKey());
        vm.assertEq(size, 5, "size");
    }

    function test_logsAreApart() public {
        submit(5, bytes32(uint256(1)));
        anchor.anchor("other", 3, bytes32(uint256(2)), sign("other", 3, bytes32(uint256(2))));
        bytes memory strangers = signWith(0xBAD, digest(ORIGIN, 2, bytes32(uint256(3))));
        anchor.anchor(ORIGIN, 2, bytes32(uint256(3)), strangers);
        (bytes32 root, uint64 size,,) = anchor.anchors(logKey());
        vm.assertEq(size, 5, "another signer's log is another log");
        vm.assertEq(root, bytes32(uint256(1)), "root");
    }

    function test_emptyAndMalformedAreRefused() public {
        vm.expectRevert(CheckpointAnchor.EmptyCheckpoint.selector);
        anchor.anchor(ORIGIN, 0, bytes32(uint256(1)), "");
        bytes memory highS = signHighS(LOG_KEY, digest(ORIGIN, 5, bytes32(uint256(1))));
        vm.expectRevert();
        anchor.anchor(ORIGIN, 5, bytes32(uint256(1)), highS);
        vm.expectRevert(abi.encodeWithSignature("ECDSAInvalidSignatureLength(uint256)", 64));
        anchor.anchor(ORIGIN, 5, bytes32(uint256(1)), new bytes(64));
    }

    function testFuzz_inclusionHoldsForEachLeafAndNoOther(uint256 seed, uint64 size, uint64 index) public {
        size = uint64(bound(size, 1, 70));
        index = uint64(bound(index, 0, size - 1));
        bytes32[] memory leaves = MerkleTree.leaves(seed, size);
        submit(size, MerkleTree.root(leaves));
        bytes32[] memory path = MerkleTree.path(leaves, index);
        bytes32 key = logKey();

        vm.assertTrue(anchor.included(key, size, leaves[index], index, path), "included");
        vm.assertFalse(anchor.included(key, size, ~leaves[index], index, path), "another leaf");
        vm.assertFalse(anchor.included(key, size, leaves[index], size, path), "index past the end");
        vm.assertFalse(anchor.included(key, size + 1, leaves[index], index, path), "a size not anchored");
        vm.assertFalse(anchor.included(key, size, leaves[index], index, longer(path)), "a longer path");
        if (size > 1) {
            uint64 other = (index + 1) % size;
            vm.assertFalse(anchor.included(key, size, leaves[index], other, path), "another index");
            path[path.length - 1] = ~path[path.length - 1];
            vm.assertFalse(anchor.included(key, size, leaves[index], index, path), "another sibling");
        }
    }

    function test_olderSizesStayProvable() public {
        bytes32[] memory leaves = MerkleTree.leaves(1, 9);
        bytes32[] memory early = MerkleTree.leaves(1, 4);
        submit(4, MerkleTree.root(early));
        submit(9, MerkleTree.root(leaves));
        vm.assertTrue(
            anchor.included(logKey(), 4, early[2], 2, MerkleTree.path(early, 2)), "in the older tree"
        );
        vm.assertTrue(
            anchor.included(logKey(), 9, leaves[2], 2, MerkleTree.path(leaves, 2)), "in the newer tree"
        );
    }

    function submit(uint64 size, bytes32 root) private {
        anchor.anchor(ORIGIN, size, root, sign(ORIGIN, size, root));
    }

    function sign(string memory origin, uint64 size, bytes32 root) private pure returns (bytes memory) {
        return signWith(LOG_KEY, digest(origin, size, root));
    }

    function digest(string memory origin, uint64 size, bytes32 root) private pure returns (bytes32) {
        return Types.digest(Types.Checkpoint({origin: origin, size: size, root: root}));
    }

    function logKey() private pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(bytes(ORIGIN)), vm.addr(LOG_KEY)));
    }

    function longer(bytes32[] memory path) private pure returns (bytes32[] memory more) {
        more = new bytes32[](path.length + 1);
        for (uint256 i = 0; i < path.length; ++i) {
            more[i] = path[i];
        }
    }
}
