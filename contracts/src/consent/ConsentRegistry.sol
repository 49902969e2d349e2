// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {Eip712Domain} from "../lib/Eip712Domain.sol";

/// @title Who may use which data for what
/// @notice Owners publish roots of datasets and grant their use. Nothing is allowed but what a grant that
///         runs now allows. What is revoked stays revoked. Content and personal data are never kept here.
/// @dev No constructor and no immutables.
contract ConsentRegistry is IERC5267 {
    /// @notice What an owner signs.
    /// @param dataset `datasetId(owner, root)`.
    /// @param purpose keccak256 of a word: "search", "train".
    /// @param service Identity of the model or service that may use it; 0 for any of the grantee's.
    /// @param price Atomic units of the dollar for each use.
    /// @param shareBps Part of a call's charge, in hundredths of a percent.
    /// @param start Unix seconds, the first at which the grant runs.
    /// @param end Unix seconds, the first at which it no longer does.
    /// @param nonce Tells apart grants that are otherwise the same.
    struct Grant {
        address owner;
        bytes32 dataset;
        address grantee;
        bytes32 purpose;
        bytes32 service;
        uint128 price;
        uint16 shareBps;
        uint64 start;
        uint64 end;
        uint256 nonce;
    }

    /// @notice A grant as it is kept. `epoch` is its dataset's when it was recorded.
    struct Record {
        address owner;
        uint64 start;
        uint16 shareBps;
        address grantee;
        uint64 end;
        uint32 epoch;
        bytes32 dataset;
        bytes32 purpose;
        bytes32 service;
        uint128 price;
    }

    /// @notice A published dataset. `epoch` counts its `revokeAll`s, `revokedAt` is the last one's time.
    struct Dataset {
        address owner;
        uint64 revokedAt;
        uint32 epoch;
    }

    bytes32 public constant GRANT_TYPEHASH = keccak256(
        "Grant(address owner,bytes32 dataset,address grantee,bytes32 purpose,bytes32 service,uint128 price,"
        "uint16 shareBps,uint64 start,uint64 end,uint256 nonce)"
    );
    uint16 private constant BPS = 10_000;
    string private constant NAME = "Vouch Consent";
    string private constant VERSION = "1";

    /// @notice By `datasetId`; `owner` is zero if it was never published.
    mapping(bytes32 dataset => Dataset) public datasets;

    /// @notice By `grantId`; `owner` is zero if it was never recorded.
    mapping(bytes32 id => Record) public grants;

    /// @notice Whether an owner revoked a grant. It holds for one that was signed and not yet recorded, too.
    mapping(address owner => mapping(bytes32 id => bool)) public revoked;

    /// @param card Hash of the dataset's description.
    event Published(address indexed owner, bytes32 indexed dataset, bytes32 root, bytes32 card);
    event Granted(
        bytes32 indexed id,
        address indexed owner,
        bytes32 indexed dataset,
        address grantee,
        bytes32 purpose,
        bytes32 service,
        uint128 price,
        uint16 shareBps,
        uint64 start,
        uint64 end,
        uint256 nonce
    );
    event Revoked(bytes32 indexed id, address indexed owner);
    event RevokedAll(bytes32 indexed dataset, address indexed owner);

    error EmptyRoot();
    /// @notice No such dataset of that owner was published.
    error UnknownDataset(bytes32 dataset, address owner);
    /// @notice The end is not after the start, the share is above all, or nobody is the grantee.
    error InvalidGrant();
    error InvalidSignature();
    /// @notice The owner revoked it, or every grant of the dataset that was signed by then.
    error GrantRevoked(bytes32 id);

    /// @notice The dataset's name. The owner is part of it, so that nobody can take another's root.
    function datasetId(address owner, bytes32 root) public pure returns (bytes32) {
        return keccak256(abi.encode(owner, root));
    }

    /// @notice The grant's name: its EIP-712 struct hash.
    function grantId(Grant calldata terms) public pure returns (bytes32) {
        return keccak256(abi.encode(GRANT_TYPEHASH, terms));
    }

    /// @notice Publishes a dataset of the sender. Again with another card: a new description.
    function publish(bytes32 root, bytes32 card) external returns (bytes32 dataset) {
        if (root == bytes32(0)) revert EmptyRoot();
        dataset = datasetId(msg.sender, root);
        datasets[dataset].owner = msg.sender;
        emit Published(msg.sender, dataset, root, card);
    }

    /// @notice Records a grant. Anyone may send what the owner signed; the owner needs no signature. A repeat
    ///         does nothing.
    function grant(Grant calldata terms, bytes calldata signature) external returns (bytes32 id) {
        id = grantId(terms);
        Dataset memory dataset = datasets[terms.dataset];
        if (terms.owner == address(0) || dataset.owner != terms.owner) {
            revert UnknownDataset(terms.dataset, terms.owner);
        }
        if (terms.end <= terms.start || terms.shareBps > BPS || terms.grantee == address(0)) {
            revert InvalidGrant();
        }
        Record storage kept = grants[id];
        if (revoked[terms.owner][id]) revert GrantRevoked(id);
        if (kept.owner != address(0)) {
            if (kept.epoch != dataset.epoch) revert GrantRevoked(id);
            return id;
        }
        if (msg.sender != terms.owner) {
            // A signature that may be older than the last `revokeAll` is taken to be.
            if (terms.start <= dataset.revokedAt) revert GrantRevoked(id);
            bytes32 digest = MessageHashUtils.toTypedDataHash(_domainSeparator(), id);
            if (!SignatureChecker.isValidSignatureNowCalldata(terms.owner, digest, signature)) {
                revert InvalidSignature();
            }
        }
        _record(kept, terms, dataset.epoch);
        emit Granted(
            id,
            terms.owner,
            terms.dataset,
            terms.grantee,
            terms.purpose,
            terms.service,
            terms.price,
            terms.shareBps,
            terms.start,
            terms.end,
            terms.nonce
        );
    }

    /// @notice Ends a grant of the sender for ever, also one that was signed and not recorded yet. A stranger's
    ///         call says nothing about another's grant.
    function revoke(bytes32 id) external {
        revoked[msg.sender][id] = true;
        emit Revoked(id, msg.sender);
    }

    /// @notice Ends every grant of the sender's dataset that is recorded, and every signed one that starts by
    ///         now. One signed with a later start and not recorded has to be revoked by its id.
    function revokeAll(bytes32 root) external {
        bytes32 id = datasetId(msg.sender, root);
        Dataset storage dataset = datasets[id];
        if (dataset.owner != msg.sender) revert UnknownDataset(id, msg.sender);
        dataset.epoch += 1;
        dataset.revokedAt = uint64(block.timestamp);
        emit RevokedAll(id, msg.sender);
    }

    /// @notice Whether a grant allows a use now. Who uses it is the caller's to compare with `grants(id)`.
    function allows(bytes32 id, bytes32 purpose, bytes32 service) external view returns (bool) {
        Record storage kept = grants[id];
        address owner = kept.owner;
        if (owner == address(0) || revoked[owner][id]) return false;
        if (block.timestamp < kept.start || block.timestamp >= kept.end) return false;
        if (kept.purpose != purpose) return false;
        if (kept.service != bytes32(0) && kept.service != service) return false;
        return kept.epoch == datasets[kept.dataset].epoch;
    }

    function eip712Domain()
        external
        view
        returns (bytes1, string memory, string memory, uint256, address, bytes32, uint256[] memory)
    {
        return Eip712Domain.describe(NAME, VERSION);
    }

    function _record(Record storage kept, Grant calldata terms, uint32 epoch) private {
        kept.owner = terms.owner;
        kept.start = terms.start;
        kept.shareBps = terms.shareBps;
        kept.grantee = terms.grantee;
        kept.end = terms.end;
        kept.epoch = epoch;
        kept.dataset = terms.dataset;
        kept.purpose = terms.purpose;
        kept.service = terms.service;
        kept.price = terms.price;
    }

    function _domainSeparator() private view returns (bytes32) {
        return Eip712Domain.separator(keccak256(bytes(NAME)), keccak256(bytes(VERSION)));
    }
}
