// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Keccak trees with sorted pairs, as `MerkleProof` checks them
/// @dev An odd node at the end of a level goes up unchanged.
library SortedTree {
    function root(bytes32[] memory level) internal pure returns (bytes32) {
        while (level.length > 1) level = above(level);
        return level[0];
    }

    function proof(bytes32[] memory level, uint256 index) internal pure returns (bytes32[] memory path) {
        path = new bytes32[](64);
        uint256 length = 0;
        for (; level.length > 1; (level, index) = (above(level), index / 2)) {
            if (index ^ 1 < level.length) path[length++] = level[index ^ 1];
        }
        assembly ("memory-safe") {
            mstore(path, length)
        }
    }

    function above(bytes32[] memory level) private pure returns (bytes32[] memory next) {
        next = new bytes32[]((level.length + 1) / 2);
        for (uint256 i = 0; i < next.length; ++i) {
            (bytes32 a, bytes32 b) =
                (level[2 * i], 2 * i + 1 < level.length ? level[2 * i + 1] : bytes32(0));
            next[i] = b == 0 ? a : keccak256(a < b ? abi.encodePacked(a, b) : abi.encodePacked(b, a));
        }
    }
}
