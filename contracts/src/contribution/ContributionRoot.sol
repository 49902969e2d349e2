// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {Promised} from "../Promised.sol";
import {Receipts} from "../Receipts.sol";

/// @title Pay for what varies by call: cumulative amounts under a Merkle root, period by period
/// @notice A publisher opens a series and proposes roots. A root waits for a window; then its accounts claim by
///         proof. Meanwhile anyone may challenge it, with a bond:
///         by a data-use receipt that the publisher promised, or by a leaf of the root before, which the
///         publisher must answer with a leaf that covers it, or the root is void and its bond the challenger's;
///         or before the series' arbiter.
/// @dev Leaves are OpenZeppelin's standard: keccak256(keccak256(abi.encode(account, cumulative, sequence))), pairs
///      sorted. `cumulative` is all that the account has earned in the series, `sequence` the last receipt of its
///      stream that is counted. For each series: paid out <= total of the final root <= funded.
///      Whoever is owed takes it by `withdraw`: nobody can hinder another's by refusing a transfer.
contract ContributionRoot is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice How a proposed root stands.
    enum Challenge {
        None,
        Cover,
        Arbiter
    }

    /// @notice A publisher's account with those who contribute. `total` is the final root's, `until` its cut-off
    ///         in Unix milliseconds, `paid` what was claimed.
    struct Series {
        address publisher;
        uint64 window;
        address settlement;
        address arbiter;
        IERC20 token;
        uint128 bond;
        bytes32 root;
        uint128 total;
        uint128 paid;
        uint64 until;
    }

    /// @notice A root that is not final. It becomes so at `finalAt` unless it is challenged.
    struct Proposal {
        bytes32 root;
        uint128 total;
        uint64 until;
        uint64 finalAt;
        Challenge challenge;
        address challenger;
        uint64 deadline;
        address account;
        uint64 sequence;
        uint128 cumulative;
    }

    uint64 public constant MIN_WINDOW = 1 minutes;
    uint64 public constant MAX_WINDOW = 30 days;
    /// @notice Windows that an arbiter has to decide.
    uint64 public constant ARBITER_WINDOWS = 4;

    uint256 public seriesCount;
    /// @notice From 1 to `seriesCount`.
    mapping(uint256 series => Series) public seriesOf;
    mapping(uint256 series => Proposal) public proposals;
    mapping(uint256 series => mapping(address account => uint256)) public claimed;
    /// @notice Bonds and refunds that wait to be withdrawn.
    mapping(address token => mapping(address account => uint256)) public credits;

    event Opened(
        uint256 indexed series,
        address indexed publisher,
        address indexed token,
        address settlement,
        address arbiter,
        uint64 window,
        uint128 bond
    );
    /// @param evidence Where the leaves are, or the leaves.
    event Proposed(
        uint256 indexed series,
        bytes32 indexed root,
        uint128 total,
        uint64 until,
        uint64 finalAt,
        bytes evidence
    );
    event Finalised(uint256 indexed series, bytes32 indexed root, uint128 total);
    event Challenged(
        uint256 indexed series, bytes32 indexed root, address indexed challenger, Challenge challenge
    );
    event CoverDemanded(
        uint256 indexed series, address indexed account, uint128 cumulative, uint64 sequence, uint64 deadline
    );
    event Upheld(uint256 indexed series, bytes32 indexed root, uint64 finalAt);
    /// @param proven Whether the publisher was at fault and lost the bond.
    event Voided(uint256 indexed series, bytes32 indexed root, bool proven);
    event Claimed(uint256 indexed series, address indexed account, uint256 amount, uint256 cumulative);
    event Withdrawn(address indexed token, address indexed account, uint256 amount);

    error InvalidSeries();
    error OnlyPublisher();
    error OnlyArbiter();
    error ProposalPending();
    error NoProposal();
    /// @notice The total goes back, the root is empty, or the cut-off does not advance or lies ahead.
    error InvalidProposal();
    error WindowClosed();
    error AlreadyChallenged();
    error NotChallenged();
    error DeadlineOpen(uint64 deadline);
    error DeadlinePassed(uint64 deadline);
    /// @notice The receipt is another publisher's, token's or settlement contract's, or is not due yet.
    error ReceiptNotDue();
    error InvalidProof();
    error NotCovering();
    error TotalExceeded(uint256 amount, uint256 left);
    error TransferShort(uint256 arrived, uint256 expected);

    /// @notice Opens a series of the sender.
    /// @param settlement Of the receipts that it pays for.
    /// @param arbiter Decides what receipts cannot prove; zero if nobody does.
    /// @param window Seconds that a root can be challenged, and that a challenge can be answered.
    /// @param bond What a publisher risks with each root, and a challenger with each challenge.
    function open(address settlement, IERC20 token, address arbiter, uint64 window, uint128 bond)
        external
        returns (uint256 series)
    {
        if (window < MIN_WINDOW || window > MAX_WINDOW || address(token) == address(0)) {
            revert InvalidSeries();
        }
        series = ++seriesCount;
        Series storage opened = seriesOf[series];
        opened.publisher = msg.sender;
        opened.settlement = settlement;
        opened.token = token;
        opened.arbiter = arbiter;
        opened.window = window;
        opened.bond = bond;
        emit Opened(series, msg.sender, address(token), settlement, arbiter, window, bond);
    }

    /// @notice Proposes the next root, paid in advance: what `total` adds, and the bond.
    /// @param total Sum of the leaves.
    /// @param until The cut-off, in Unix milliseconds: receipts of an earlier time are counted.
    function propose(uint256 series, bytes32 root, uint128 total, uint64 until, bytes calldata evidence)
        external
        nonReentrant
    {
        _finalise(series);
        Series storage opened = seriesOf[series];
        if (msg.sender != opened.publisher) revert OnlyPublisher();
        if (proposals[series].root != bytes32(0)) revert ProposalPending();
        bool advances = until > opened.until && until <= block.timestamp * 1000;
        if (root == bytes32(0) || total < opened.total || !advances) revert InvalidProposal();

        uint64 finalAt = uint64(block.timestamp) + opened.window;
        Proposal storage proposal = proposals[series];
        proposal.root = root;
        proposal.total = total;
        proposal.until = until;
        proposal.finalAt = finalAt;
        emit Proposed(series, root, total, until, finalAt, evidence);
        _collect(opened.token, uint256(total - opened.total) + opened.bond);
    }

    /// @notice Makes a root final once its window has passed unchallenged. Others do it on their way.
    function finalise(uint256 series) external nonReentrant {
        _finalise(series);
    }

    /// @notice Pays an account what the final root adds to what it had. Anyone may send it.
    function claim(
        uint256 series,
        address account,
        uint128 cumulative,
        uint64 sequence,
        bytes32[] calldata proof
    ) external nonReentrant returns (uint256 amount) {
        _finalise(series);
        Series storage opened = seriesOf[series];
        _requireLeaf(opened.root, account, cumulative, sequence, proof);
        uint256 before = claimed[series][account];
        if (cumulative <= before) return 0;
        amount = cumulative - before;
        // A root whose leaves add up to more than its total pays its total and no more.
        if (amount > opened.total - opened.paid) revert TotalExceeded(amount, opened.total - opened.paid);
        claimed[series][account] = cumulative;
        opened.paid += uint128(amount);
        emit Claimed(series, account, amount, cumulative);
        opened.token.safeTransfer(account, amount);
    }

    /// @notice Challenges a root with a data-use receipt that its publisher promised and that was due by its
    ///         cut-off: the publisher must show a leaf that covers it.
    function challengeWithReceipt(uint256 series, Promised.Evidence calldata evidence) external nonReentrant {
        Series storage opened = seriesOf[series];
        Receipts.Receipt memory receipt = Promised.dataUse(evidence);
        bool due = receipt.provider == opened.publisher && receipt.settlement == opened.settlement
            && receipt.asset == address(opened.token) && receipt.time < proposals[series].until;
        if (!due) revert ReceiptNotDue();
        _demand(series, receipt.payer, receipt.cumulative, receipt.sequence);
    }

    /// @notice Challenges a root with a leaf of the final one before it: no account's total goes back.
    function challengeWithLeaf(
        uint256 series,
        address account,
        uint128 cumulative,
        uint64 sequence,
        bytes32[] calldata proof
    ) external nonReentrant {
        _requireLeaf(seriesOf[series].root, account, cumulative, sequence, proof);
        _demand(series, account, cumulative, sequence);
    }

    /// @notice Answers a demand with the account's leaf in the proposed root. The challenger's bond is the
    ///         publisher's, and the window starts anew.
    function answer(uint256 series, uint128 cumulative, uint64 sequence, bytes32[] calldata proof)
        external
        nonReentrant
    {
        Proposal storage proposal = proposals[series];
        if (proposal.challenge != Challenge.Cover) revert NotChallenged();
        if (block.timestamp > proposal.deadline) revert DeadlinePassed(proposal.deadline);
        if (cumulative < proposal.cumulative || sequence < proposal.sequence) revert NotCovering();
        _requireLeaf(proposal.root, proposal.account, cumulative, sequence, proof);
        _uphold(series);
    }

    /// @notice Puts a root before the arbiter, for what no receipt shows.
    function challenge(uint256 series) external nonReentrant {
        Series storage opened = seriesOf[series];
        if (opened.arbiter == address(0)) revert OnlyArbiter();
        _challenge(series, Challenge.Arbiter, opened.window * ARBITER_WINDOWS);
    }

    /// @notice The arbiter's decision. The loser's bond is the winner's.
    function resolve(uint256 series, bool valid) external nonReentrant {
        if (msg.sender != seriesOf[series].arbiter) revert OnlyArbiter();
        Proposal storage proposal = proposals[series];
        if (proposal.challenge != Challenge.Arbiter) revert NotChallenged();
        if (block.timestamp > proposal.deadline) revert DeadlinePassed(proposal.deadline);
        if (valid) _uphold(series);
        else _void(series, true);
    }

    /// @notice Ends a challenge that had no answer. An unanswered demand costs the publisher the bond; if the
    ///         arbiter was silent, each has its own back.
    function enforce(uint256 series) external nonReentrant {
        Proposal storage proposal = proposals[series];
        if (proposal.challenge == Challenge.None) revert NotChallenged();
        if (block.timestamp <= proposal.deadline) revert DeadlineOpen(proposal.deadline);
        _void(series, proposal.challenge == Challenge.Cover);
    }

    /// @notice Pays the sender's bonds and refunds.
    function withdraw(IERC20 token) external nonReentrant returns (uint256 amount) {
        amount = credits[address(token)][msg.sender];
        credits[address(token)][msg.sender] = 0;
        emit Withdrawn(address(token), msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    function leafOf(address account, uint128 cumulative, uint64 sequence) public pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(account, cumulative, sequence))));
    }

    function _finalise(uint256 series) private {
        Proposal memory proposal = proposals[series];
        bool open_ = proposal.challenge != Challenge.None || block.timestamp < proposal.finalAt;
        if (proposal.root == bytes32(0) || open_) return;
        Series storage opened = seriesOf[series];
        opened.root = proposal.root;
        opened.total = proposal.total;
        opened.until = proposal.until;
        credits[address(opened.token)][opened.publisher] += opened.bond;
        delete proposals[series];
        emit Finalised(series, proposal.root, proposal.total);
    }

    function _demand(uint256 series, address account, uint128 cumulative, uint64 sequence) private {
        Proposal storage proposal = proposals[series];
        uint64 deadline = _challenge(series, Challenge.Cover, seriesOf[series].window);
        proposal.account = account;
        proposal.cumulative = cumulative;
        proposal.sequence = sequence;
        emit CoverDemanded(series, account, cumulative, sequence, deadline);
    }

    function _challenge(uint256 series, Challenge kind, uint64 seconds_) private returns (uint64 deadline) {
        Series storage opened = seriesOf[series];
        Proposal storage proposal = proposals[series];
        if (proposal.root == bytes32(0)) revert NoProposal();
        if (proposal.challenge != Challenge.None) revert AlreadyChallenged();
        if (block.timestamp >= proposal.finalAt) revert WindowClosed();
        deadline = uint64(block.timestamp) + seconds_;
        proposal.challenge = kind;
        proposal.challenger = msg.sender;
        proposal.deadline = deadline;
        emit Challenged(series, proposal.root, msg.sender, kind);
        _collect(opened.token, opened.bond);
    }

    /// @dev The window starts anew, so that one challenge cannot use up the time of the others.
    function _uphold(uint256 series) private {
        Series storage opened = seriesOf[series];
        Proposal storage proposal = proposals[series];
        credits[address(opened.token)][opened.publisher] += opened.bond;
        proposal.challenge = Challenge.None;
        proposal.finalAt = uint64(block.timestamp) + opened.window;
        emit Upheld(series, proposal.root, proposal.finalAt);
    }

    /// @dev What funded the root goes back to the publisher, who proposes again.
    function _void(uint256 series, bool proven) private {
        Series storage opened = seriesOf[series];
        Proposal memory proposal = proposals[series];
        delete proposals[series];
        uint256 funds = proposal.total - opened.total;
        mapping(address account => uint256) storage credit = credits[address(opened.token)];
        credit[opened.publisher] += proven ? funds : funds + opened.bond;
        credit[proposal.challenger] += proven ? 2 * uint256(opened.bond) : opened.bond;
        emit Voided(series, proposal.root, proven);
    }

    function _collect(IERC20 token, uint256 amount) private {
        if (amount == 0) return;
        uint256 held = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 arrived = token.balanceOf(address(this)) - held;
        if (arrived != amount) revert TransferShort(arrived, amount);
    }

    function _requireLeaf(
        bytes32 root,
        address account,
        uint128 cumulative,
        uint64 sequence,
        bytes32[] calldata proof
    ) private pure {
        bool included = MerkleProof.verifyCalldata(proof, root, leafOf(account, cumulative, sequence));
        if (root == bytes32(0) || !included) revert InvalidProof();
    }
}
