// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {Promised} from "../Promised.sol";
import {Receipts} from "../Receipts.sol";
import {IBatchSettlement} from "../settlement/IBatchSettlement.sol";
import {Accountable, FaultKind} from "./Accountable.sol";
import {Quote} from "./Quote.sol";

/// @title Claims that receipts must cover
/// @notice Whoever doubts what a channel's provider has claimed demands the receipt that covers it, with a bond.
///         The provider, or anyone for it, shows one within ANSWER_WINDOW and has the bond; or is at fault.
/// @dev A provider here is a channel's `receiverAuthorizer`. It answers for a claim only if nobody else can have
///      made it: it is the channel's receiver too, or it has promised a receipt of the channel, and so has
///      accepted the receiver. Otherwise anyone could open a channel to himself in another's name.
///      What an answer says is the provider's signed word, whatever its age; from then on it can be held against
///      the provider as if it were said now. One made up for the purpose and in another's place contradicts the
///      provider's log or the payer's own receipts, which the other faults prove.
abstract contract ClaimDemands is Accountable {
    using SafeERC20 for IERC20;

    /// @notice `claimed` is what the channel's receipts must add up to.
    struct Demand {
        address provider;
        uint64 deadline;
        address demander;
        uint128 claimed;
    }

    /// @dev A promised receipt, who signed it, and the times that it binds itself to, in Unix seconds.
    struct Statement {
        Receipts.Receipt receipt;
        address signer;
        uint256 earliest;
        uint256 latest;
    }

    uint8 private constant RECEIPT_VERSION = 1;
    uint64 public constant ANSWER_WINDOW = 3 days;
    /// @notice How long a stake stays in after a demand's end, so that it can be enforced, and after the time in
    ///         which an answer can be held against its provider, so that a report of it can be revealed.
    uint64 public constant ENFORCE_WINDOW = 1 days;
    /// @notice Atomic units of the dollar: five, of six decimals.
    uint128 public constant DEMAND_BOND = 5e6;

    IBatchSettlement public immutable settlement;
    IERC20 private immutable _token;

    mapping(bytes32 channel => Demand) public demands;
    /// @notice How much of a channel's claims was asked for already.
    mapping(bytes32 channel => uint128) public settled;
    /// @notice When a receipt, by its digest, was last an answer: it is not older than that.
    mapping(bytes32 receipt => uint64 time) public shownAt;
    /// @notice Bonds that wait to be withdrawn.
    mapping(address account => uint256) public credits;

    event Demanded(
        bytes32 indexed channel,
        address indexed provider,
        address indexed demander,
        uint128 claimed,
        uint64 deadline
    );
    event Answered(bytes32 indexed channel, address indexed provider, uint128 claimed, bytes32 receipt);
    event CreditWithdrawn(address indexed account, uint256 amount);

    error AlreadyDemanded();
    error NotDemanded();
    error NothingClaimed();
    error DeadlineOpen(uint64 deadline);
    error DeadlinePassed(uint64 deadline);
    /// @notice The key was not the provider's then, or the statement is too old.
    error NotAccountable(address provider, address key);
    error UnknownVersion(uint8 version);
    /// @notice The receipt is not of this channel, or not this provider's, or of a kind that no channel pays.
    error NotOfChannel();
    error NotCovering(uint128 cumulative, uint128 claimed);
    error BondShort(uint256 arrived, uint256 expected);

    constructor(IERC20 token, IBatchSettlement settlement_) {
        (_token, settlement) = (token, settlement_);
    }

    /// @notice Demands the receipt that covers what was claimed from a channel.
    /// @param evidence A promised receipt of the channel, if its receiver is not the provider itself; else ignored.
    function demand(IBatchSettlement.ChannelConfig calldata config, Promised.Evidence calldata evidence)
        external
        nonReentrant
        returns (bytes32 channel)
    {
        channel = settlement.getChannelId(config);
        address provider = config.receiverAuthorizer;
        if (config.receiver != provider) _requireAccepted(channel, provider, evidence);
        if (demands[channel].deadline != 0) revert AlreadyDemanded();
        (, uint128 claimed) = settlement.channels(channel);
        if (claimed <= settled[channel]) revert NothingClaimed();

        uint64 deadline = uint64(block.timestamp) + ANSWER_WINDOW;
        demands[channel] =
            Demand({provider: provider, deadline: deadline, demander: msg.sender, claimed: claimed});
        vault.hold(provider, deadline + ENFORCE_WINDOW);
        emit Demanded(channel, provider, msg.sender, claimed, deadline);

        uint256 held = _token.balanceOf(address(this));
        _token.safeTransferFrom(msg.sender, address(this), DEMAND_BOND);
        uint256 arrived = _token.balanceOf(address(this)) - held;
        if (arrived != DEMAND_BOND) revert BondShort(arrived, DEMAND_BOND);
    }

    /// @notice Answers a demand with a promised receipt whose `cumulative` is at least what was claimed. Anyone
    ///         may send it; the bond is the provider's.
    function answer(Promised.Evidence calldata evidence) external nonReentrant {
        Statement memory made = _read(evidence);
        Receipts.Receipt memory receipt = made.receipt;
        bytes32 channel = receipt.channel;
        Demand memory open = demands[channel];
        if (open.deadline == 0) revert NotDemanded();
        if (block.timestamp > open.deadline) revert DeadlinePassed(open.deadline);
        bool ofChannel = _isHere(receipt) && receipt.provider == open.provider && Quote.isNamedBy(receipt)
            && keys.wasKey(open.provider, made.signer, receipt.time / 1000);
        if (!ofChannel) revert NotOfChannel();
        if (receipt.cumulative < open.claimed) revert NotCovering(receipt.cumulative, open.claimed);

        _close(channel, open);
        credits[open.provider] += DEMAND_BOND;
        bytes32 digest = keccak256(evidence.receipt);
        shownAt[digest] = uint64(block.timestamp);
        // Else the stake could be gone while the answer can still be contradicted.
        vault.hold(open.provider, uint64(block.timestamp + keys.EVIDENCE_WINDOW()) + ENFORCE_WINDOW);
        emit Answered(channel, open.provider, open.claimed, digest);
    }

    /// @notice Ends a demand that had no answer: the provider is at fault. The demander has its bond back.
    function enforce(bytes32 channel) external nonReentrant returns (bytes32 fault) {
        Demand memory open = demands[channel];
        if (open.deadline == 0) revert NotDemanded();
        if (block.timestamp <= open.deadline) revert DeadlineOpen(open.deadline);
        _close(channel, open);
        credits[open.demander] += DEMAND_BOND;
        bytes32 place = keccak256(abi.encode(block.chainid, settlement, channel, open.claimed));
        fault = _punish(open.provider, FaultKind.ClaimAboveReceipts, place, open.demander);
    }

    /// @notice Pays the sender's bonds.
    function withdrawCredit() external nonReentrant returns (uint256 amount) {
        amount = credits[msg.sender];
        credits[msg.sender] = 0;
        emit CreditWithdrawn(msg.sender, amount);
        _token.safeTransfer(msg.sender, amount);
    }

    /// @dev Remembers the amount that was asked for, not what the answer covers: a later claim can be doubted anew.
    function _close(bytes32 channel, Demand memory open) private {
        settled[channel] = open.claimed;
        delete demands[channel];
    }

    function _requireAccepted(bytes32 channel, address provider, Promised.Evidence calldata evidence)
        private
        view
    {
        Statement memory made = _read(evidence);
        _requireAccountable(made, _ageless(made, block.timestamp), block.timestamp);
        Receipts.Receipt memory receipt = made.receipt;
        bool ofChannel = _isHere(receipt) && receipt.channel == channel && receipt.provider == provider;
        if (!ofChannel) revert NotOfChannel();
    }

    function _isHere(Receipts.Receipt memory receipt) private view returns (bool) {
        return receipt.chain == block.chainid && receipt.settlement == address(settlement);
    }

    function _read(Promised.Evidence calldata evidence) internal view returns (Statement memory made) {
        (made.receipt, made.signer) = Promised.signed(evidence);
        if (made.receipt.version != RECEIPT_VERSION) revert UnknownVersion(made.receipt.version);
        (uint256 said, uint256 mergeBy) = (made.receipt.time / 1000, evidence.promised.mergeBy);
        made.earliest = Math.min(said, mergeBy);
        made.latest = Math.max(Math.max(said, mergeBy), shownAt[keccak256(evidence.receipt)]);
    }

    /// @dev Its latest time, or `since` if that is later and the provider's own address signed: what that has
    ///      said once does not grow old where something newer rests on it. Of other keys it does, since they can
    ///      be stolen, and who has one can date back.
    function _ageless(Statement memory made, uint256 since) internal pure returns (uint256) {
        return made.signer == made.receipt.provider ? Math.max(made.latest, since) : made.latest;
    }

    /// @dev Refuses what cannot be held against its provider at `shown`.
    function _requireAccountable(Statement memory made, uint256 latest, uint256 shown) internal view {
        address provider = made.receipt.provider;
        if (!keys.answersForReceipt(provider, made.signer, made.earliest, latest, shown)) {
            revert NotAccountable(provider, made.signer);
        }
    }
}
