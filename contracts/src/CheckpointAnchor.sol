// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {Types} from "./Types.sol";
import {InclusionProof} from "./lib/InclusionProof.sol";

/// @title Anchors of transparency logs
/// @notice Fixes what a log said and when: for each log (origin and signer) sizes only grow, and one size has
///         one root for ever. It proves order and time, not that the log is consistent: whoever follows it
///         checks consistency between the sizes.
/// @dev The storage layout is part of the interface, read by `eth_getProof`; it never changes:
///      slot 0  mapping(key => Anchor): at `h = keccak256(abi.encode(key, 0))` the root, at `h + 1` from the
///              lowest bits size (64), block number (64), time (64);
///      slot 1  mapping(key => mapping(size => root)): `keccak256(abi.encode(size, keccak256(abi.encode(key, 1))))`.
///      No constructor and no immutables: the runtime code works at any address it is placed at.
contract CheckpointAnchor {
    /// @notice The newest anchor of a log. `time` in Unix seconds.
    struct Anchor {
        bytes32 root;
        uint64 size;
        uint64 blockNumber;
        uint64 time;
    }

    /// @notice The newest anchor by `logKey`; zero if there is none.
    mapping(bytes32 key => Anchor) public anchors;

    /// @notice The root anchored at a size; zero if that size was not anchored.
    mapping(bytes32 key => mapping(uint64 size => bytes32 root)) public roots;

    event Anchored(bytes32 indexed key, string origin, address indexed signer, uint64 size, bytes32 root);

    /// @notice A checkpoint of no entries says nothing.
    error EmptyCheckpoint();
    /// @notice The log is anchored at a larger size.
    error SizeBehind(uint64 anchored, uint64 offered);
    /// @notice The log signed two roots for one size. The transaction that shows it proves the fault.
    error RootConflict(uint64 size, bytes32 anchored, bytes32 offered);

    /// @notice The name under which the log of `origin`, signed by `signer`, is kept.
    function logKey(string calldata origin, address signer) public pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(bytes(origin)), signer));
    }

    /// @notice Anchors a checkpoint. Anyone may send it; a repeat of the newest one does nothing.
    /// @param signature By the log's key over EIP-712 `Checkpoint(string origin,uint64 size,bytes32 root)` in
    ///        the domain `{name: "Vouch Log", version: "1"}`: r, s, v, with s in the lower half.
    function anchor(string calldata origin, uint64 size, bytes32 root, bytes calldata signature) external {
        if (size == 0) revert EmptyCheckpoint();
        bytes32 digest = Types.digest(Types.Checkpoint({origin: origin, size: size, root: root}));
        address signer = ECDSA.recoverCalldata(digest, signature);
        bytes32 key = logKey(origin, signer);

        (uint64 newest, bytes32 newestRoot) = (anchors[key].size, anchors[key].root);
        if (size < newest) revert SizeBehind(newest, size);
        if (size == newest) {
            if (root != newestRoot) revert RootConflict(size, newestRoot, root);
            return;
        }
        anchors[key] = Anchor({
            root: root, size: size, blockNumber: uint64(block.number), time: uint64(block.timestamp)
        });
        roots[key][size] = root;
        emit Anchored(key, origin, signer, size, root);
    }

    /// @notice Whether a leaf stands at `index` in the log as it was anchored at `size`.
    /// @param leafHash SHA-256(0x00 || entry), computed by the caller from the entry.
    /// @param path The RFC 6962 audit path, from the leaf up.
    function included(bytes32 key, uint64 size, bytes32 leafHash, uint64 index, bytes32[] calldata path)
        external
        view
        returns (bool)
    {
        bytes32 root = roots[key][size];
        return root != bytes32(0) && InclusionProof.verify(root, size, leafHash, index, path);
    }
}
