// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title RFC 6962 trees by the recursive definition
/// @dev Written from section 2.1, not from the verifier, so that each checks the other.
library MerkleTree {
    function leaves(uint256 seed, uint256 count) internal pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            hashes[i] = sha256(abi.encodePacked(bytes1(0x00), seed, i));
        }
    }

    function root(bytes32[] memory hashes) internal pure returns (bytes32) {
        return subtree(hashes, 0, hashes.length);
    }

    function path(bytes32[] memory hashes, uint256 index) internal pure returns (bytes32[] memory) {
        return siblings(hashes, index, 0, hashes.length);
    }

    /// @dev MTH of `count` leaves from `start`.
    function subtree(bytes32[] memory hashes, uint256 start, uint256 count) private pure returns (bytes32) {
        if (count == 1) return hashes[start];
        uint256 k = split(count);
        return sha256(
            abi.encodePacked(bytes1(0x01), subtree(hashes, start, k), subtree(hashes, start + k, count - k))
        );
    }

    /// @dev PATH(index, D[start..start + count]), from the leaf up.
    function siblings(bytes32[] memory hashes, uint256 index, uint256 start, uint256 count)
        private
        pure
        returns (bytes32[] memory)
    {
        if (count == 1) return new bytes32[](0);
        uint256 k = split(count);
        return index < k
            ? append(siblings(hashes, index, start, k), subtree(hashes, start + k, count - k))
            : append(siblings(hashes, index - k, start + k, count - k), subtree(hashes, start, k));
    }

    /// @dev The largest power of two below `count`.
    function split(uint256 count) private pure returns (uint256 k) {
        k = 1;
        while (k * 2 < count) k *= 2;
    }

    function append(bytes32[] memory list, bytes32 last) private pure returns (bytes32[] memory longer) {
        longer = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = last;
    }
}
