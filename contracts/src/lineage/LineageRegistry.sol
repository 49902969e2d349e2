// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What was made from what, and which part of its income goes back
/// @notice A graph of datasets, models, fine-tunes and services. A node is frozen when it is registered, and
///         its parents exist before it: so there is no cycle. Its name commits to everything about it.
/// @dev No constructor and no immutables.
contract LineageRegistry {
    uint8 public constant DATASET = 1;
    uint8 public constant MODEL = 2;
    uint8 public constant FINE_TUNE = 3;
    uint8 public constant SERVICE = 4;

    uint256 public constant MAX_PARENTS = 16;
    /// @notice Ancestors are counted once for each path that leads to them, so this is an upper bound.
    uint256 public constant MAX_ANCESTORS = 1024;
    uint256 public constant BPS = 10_000;

    /// @notice `passedBps` is the sum of the parents' shares: the rest is the owner's.
    struct Node {
        address owner;
        uint8 kind;
        uint8 parents;
        uint16 passedBps;
        uint16 ancestors;
    }

    /// @notice By name; `owner` is zero if there is none.
    mapping(bytes32 node => Node) public nodes;

    mapping(bytes32 node => bytes32[]) private _parents;
    mapping(bytes32 node => uint16[]) private _shares;

    event Registered(
        bytes32 indexed node,
        address indexed owner,
        uint8 kind,
        bytes32 indexed content,
        bytes32[] parents,
        uint16[] sharesBps
    );

    error UnknownKind(uint8 kind);
    /// @notice More parents than allowed, or not one share for each.
    error ParentCount(uint256 parents, uint256 shares);
    error UnknownNode(bytes32 node);
    /// @notice A share of nothing, or a parent named twice: parents come in ascending order.
    error InvalidParent(uint256 index);
    error SharesAboveAll(uint256 sumBps);
    error TooManyAncestors(uint256 count);

    /// @notice The name of a node.
    function nodeId(
        address owner,
        uint8 kind,
        bytes32 content,
        bytes32[] calldata parents,
        uint16[] calldata sharesBps
    ) public pure returns (bytes32) {
        return keccak256(abi.encode(owner, kind, content, parents, sharesBps));
    }

    /// @notice Registers a node of the sender. A repeat does nothing.
    /// @param content What the node is: a dataset's id, a model's identity.
    /// @param parents In ascending order.
    /// @param sharesBps The part of this node's income that goes to each parent.
    function register(uint8 kind, bytes32 content, bytes32[] calldata parents, uint16[] calldata sharesBps)
        external
        returns (bytes32 node)
    {
        if (kind < DATASET || kind > SERVICE) revert UnknownKind(kind);
        if (parents.length > MAX_PARENTS || parents.length != sharesBps.length) {
            revert ParentCount(parents.length, sharesBps.length);
        }
        node = nodeId(msg.sender, kind, content, parents, sharesBps);
        if (exists(node)) return node;

        (uint256 passed, uint256 ancestors) = (0, parents.length);
        for (uint256 i = 0; i < parents.length; ++i) {
            if (sharesBps[i] == 0 || (i > 0 && parents[i] <= parents[i - 1])) revert InvalidParent(i);
            Node memory parent = nodes[parents[i]];
            if (parent.owner == address(0)) revert UnknownNode(parents[i]);
            passed += sharesBps[i];
            ancestors += parent.ancestors;
        }
        if (passed > BPS) revert SharesAboveAll(passed);
        if (ancestors > MAX_ANCESTORS) revert TooManyAncestors(ancestors);

        nodes[node] = Node({
            owner: msg.sender,
            kind: kind,
            parents: uint8(parents.length),
            passedBps: uint16(passed),
            ancestors: uint16(ancestors)
        });
        _parents[node] = parents;
        _shares[node] = sharesBps;
        emit Registered(node, msg.sender, kind, content, parents, sharesBps);
    }

    function exists(bytes32 node) public view returns (bool) {
        return nodes[node].owner != address(0);
    }

    function parentsOf(bytes32 node)
        external
        view
        returns (bytes32[] memory parents, uint16[] memory sharesBps)
    {
        return (_parents[node], _shares[node]);
    }

    /// @notice One edge.
    function parentAt(bytes32 node, uint256 index) external view returns (bytes32 parent, uint16 shareBps) {
        return (_parents[node][index], _shares[node][index]);
    }
}
