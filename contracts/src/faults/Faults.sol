// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {Promised} from "../Promised.sol";
import {Receipts} from "../Receipts.sol";
import {Types} from "../Types.sol";
import {ProtocolParameters} from "../governance/ProtocolParameters.sol";
import {InclusionProof} from "../lib/InclusionProof.sol";
import {IBatchSettlement} from "../settlement/IBatchSettlement.sol";
import {Accountable, FaultKind} from "./Accountable.sol";
import {ClaimDemands} from "./ClaimDemands.sol";
import {KeyRegistry} from "./KeyRegistry.sol";
import {Quote} from "./Quote.sol";

/// @title Faults that signatures alone prove
/// @notice Two statements of one provider that cannot both be true, or one that contradicts its own terms. Nobody
///         is asked and nothing is believed: each report carries its proof, and costs the provider part of its
///         stake once. Whoever reports commits to the report in an earlier block, so that nobody who sees it
///         pending can take the reward, least of all the provider.
/// @dev The twin of `vouch-evidence`'s `fault`; `vectors/faults.json` holds both to the same verdicts. A receipt
///      names its log and its prices by the hash of a quote, so what needs either is provable of answers and
///      embeddings alone (kinds 1 and 2).
contract Faults is ClaimDemands {
    /// @notice What a log's key signed for a size.
    struct SignedRoot {
        bytes32 root;
        bytes signature;
    }

    /// @notice What a log holds at an index: a checkpoint, a leaf, and the way from one to the other.
    /// @param leaf SHA-256(0x00 || entry). An inner node cannot pose as one: `size` is signed, and fixes how long
    ///        the path is.
    struct Logged {
        uint64 size;
        SignedRoot checkpoint;
        bytes32 leaf;
        bytes32[] path;
    }

    struct Moment {
        uint64 time;
        uint64 blockNumber;
    }

    /// @notice When a report was committed to.
    mapping(bytes32 commitment => Moment) public commitments;

    event Committed(bytes32 indexed commitment);

    /// @notice This report of this sender was not committed to in an earlier block.
    error NotCommitted(bytes32 commitment);
    /// @notice It is the same statement twice.
    error SameStatement();
    /// @notice The statements are about different things, or of different providers.
    error DifferentPlaces();
    /// @notice The log holds what was promised.
    error PromiseKept();
    /// @notice The leaf is not at that index of the log.
    error NotLogged();
    /// @notice The charge follows from the terms.
    error ChargeFollows();

    /// @param token The dollar that stakes and bonds are in.
    /// @param settlement_ Whose claims must be covered.
    constructor(IERC20 token, ProtocolParameters parameters, KeyRegistry keys_, IBatchSettlement settlement_)
        Accountable(token, parameters, keys_)
        ClaimDemands(token, settlement_)
    {}

    /// @notice Commits to a report: keccak256(abi.encode(sender, calldata of the report)). The report's salt hides
    ///         what it is about.
    function commit(bytes32 commitment) external {
        if (commitments[commitment].time != 0) return;
        commitments[commitment] = Moment({time: uint64(block.timestamp), blockNumber: uint64(block.number)});
        emit Committed(commitment);
    }

    /// @notice One log, one size, two roots.
    function reportSplitLog(
        address provider,
        string calldata origin,
        uint64 size,
        SignedRoot calldata first,
        SignedRoot calldata second,
        bytes32 /* salt */
    ) external nonReentrant returns (bytes32 fault) {
        uint256 shown = _shown();
        if (first.root == second.root) revert SameStatement();
        bytes32 log = keccak256(bytes(origin));
        _requireCheckpoint(provider, origin, size, first, shown);
        _requireCheckpoint(provider, origin, size, second, shown);
        fault = _punish(provider, FaultKind.SplitLog, keccak256(abi.encode(log, size)), msg.sender);
    }

    /// @notice One channel, one sequence, two receipts: the payer was charged for both, or shown another.
    function reportDoubleSequence(
        Promised.Evidence calldata first,
        Promised.Evidence calldata second,
        bytes32 /* salt */
    ) external nonReentrant returns (bytes32 fault) {
        (Receipts.Receipt memory one, Receipts.Receipt memory other) = _distinct(first, second, _shown());
        bytes32 place = _inChannel(one);
        if (one.channel == bytes32(0) || place != _inChannel(other)) revert DifferentPlaces();
        fault = _punish(one.provider, FaultKind.DoubleSequence, place, msg.sender);
    }

    /// @notice One log, one index, two receipts promised there.
    /// @param firstTerms RFC 8785 form of the terms that the receipt names; they name the log.
    function reportDoubleIndex(
        Promised.Evidence calldata first,
        bytes calldata firstTerms,
        Promised.Evidence calldata second,
        bytes calldata secondTerms,
        bytes32 /* salt */
    ) external nonReentrant returns (bytes32 fault) {
        (Receipts.Receipt memory one, Receipts.Receipt memory other) = _distinct(first, second, _shown());
        bytes32 log = keccak256(Quote.origin(firstTerms, one));
        bool same = log == keccak256(Quote.origin(secondTerms, other)) && first.index == second.index;
        if (!same) revert DifferentPlaces();
        bytes32 place = keccak256(abi.encode(log, first.index));
        fault = _punish(one.provider, FaultKind.DoubleIndex, place, msg.sender);
    }

    /// @notice A receipt was promised at an index that holds something else. The log never changes, so there is no
    ///         need to wait for the time by which the promise was to be kept.
    function reportBrokenPromise(
        Promised.Evidence calldata evidence,
        bytes calldata terms,
        Logged calldata logged,
        bytes32 /* salt */
    ) external nonReentrant returns (bytes32 fault) {
        uint256 shown = _shown();
        Receipts.Receipt memory receipt = _promised(evidence, shown);
        bytes calldata origin = Quote.origin(terms, receipt);
        if (logged.leaf == Receipts.leafHash(evidence.receipt)) revert PromiseKept();
        _requireCheckpoint(receipt.provider, string(origin), logged.size, logged.checkpoint, shown);
        bool holds = InclusionProof.verify(
            logged.checkpoint.root, logged.size, logged.leaf, evidence.index, logged.path
        );
        if (!holds) revert NotLogged();
        bytes32 place = keccak256(abi.encode(keccak256(origin), evidence.index));
        fault = _punish(receipt.provider, FaultKind.BrokenPromise, place, msg.sender);
    }

    /// @notice A charge that does not follow from the prices in the receipt's own terms.
    function reportWrongCharge(
        Promised.Evidence calldata evidence,
        bytes calldata terms,
        bytes32 /* salt */
    )
        external
        nonReentrant
        returns (bytes32 fault)
    {
        Receipts.Receipt memory receipt = _promised(evidence, _shown());
        (bool fits, uint256 owed) = Quote.charge(terms, receipt);
        if (fits && owed == receipt.charge) revert ChargeFollows();
        bytes32 digest = keccak256(evidence.receipt);
        fault = _punish(receipt.provider, FaultKind.WrongCharge, digest, msg.sender);
    }

    /// @dev When this very call was committed to by its sender.
    function _shown() private view returns (uint256) {
        bytes32 commitment = keccak256(abi.encode(msg.sender, msg.data));
        Moment memory made = commitments[commitment];
        if (made.time == 0 || made.blockNumber >= block.number) revert NotCommitted(commitment);
        return made.time;
    }

    /// @dev The receipt, if it can be held against its provider at `shown`.
    function _promised(Promised.Evidence calldata evidence, uint256 shown)
        private
        view
        returns (Receipts.Receipt memory)
    {
        Statement memory made = _read(evidence);
        _requireAccountable(made, made.latest, shown);
        return made.receipt;
    }

    /// @dev Two different receipts of one provider. It contradicts itself when it makes the later one.
    function _distinct(Promised.Evidence calldata first, Promised.Evidence calldata second, uint256 shown)
        private
        view
        returns (Receipts.Receipt memory, Receipts.Receipt memory)
    {
        (Statement memory one, Statement memory other) = (_read(first), _read(second));
        _requireAccountable(one, _ageless(one, other.latest), shown);
        _requireAccountable(other, _ageless(other, one.latest), shown);
        if (one.receipt.provider != other.receipt.provider) revert DifferentPlaces();
        if (keccak256(first.receipt) == keccak256(second.receipt)) revert SameStatement();
        return (one.receipt, other.receipt);
    }

    function _inChannel(Receipts.Receipt memory receipt) private pure returns (bytes32) {
        return keccak256(abi.encode(receipt.chain, receipt.settlement, receipt.channel, receipt.sequence));
    }

    function _requireCheckpoint(
        address provider,
        string calldata origin,
        uint64 size,
        SignedRoot calldata signed,
        uint256 shown
    ) private view {
        bytes32 digest = Types.digest(Types.Checkpoint({origin: origin, size: size, root: signed.root}));
        address signer = ECDSA.recoverCalldata(digest, signed.signature);
        if (!keys.answersForCheckpoint(provider, signer, shown)) revert NotAccountable(provider, signer);
    }
}
