// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Inclusion proofs of RFC 6962 / RFC 9162 Merkle trees (SHA-256)
library InclusionProof {
    /// @notice Whether `leafHash` stands at `index` in the tree of `size` leaves with this `root`.
    /// @dev RFC 9162, section 2.1.3.2, with the same variables. `leafHash` is SHA-256(0x00 || entry): hash it
    ///      yourself from the entry; a hash taken from a stranger could be an inner node's.
    /// @param path Sibling hashes from the leaf up.
    function verify(bytes32 root, uint64 size, bytes32 leafHash, uint64 index, bytes32[] calldata path)
        internal
        pure
        returns (bool)
    {
        if (index >= size) return false;
        uint64 fn = index;
        uint64 sn = size - 1;
        bytes32 r = leafHash;
        for (uint256 i = 0; i < path.length; ++i) {
            if (sn == 0) return false;
            if (fn & 1 == 1 || fn == sn) {
                r = _node(path[i], r);
                // A right edge: levels where this subtree has no sibling add nothing to the path.
                while (fn & 1 == 0 && fn != 0) {
                    fn >>= 1;
                    sn >>= 1;
                }
            } else {
                r = _node(r, path[i]);
            }
            fn >>= 1;
            sn >>= 1;
        }
        return sn == 0 && r == root;
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }
}
