//! Governor, timelock, votes, and the parameters that they change.

#![allow(
    missing_docs,
    clippy::too_many_arguments,
    reason = "the Solidity interfaces are documented at their source"
)]

use alloy::sol;

sol! {
    /// What governance may change, within bounds.
    #[sol(rpc, abi, all_derives)]
    interface ProtocolParameters {
        event FeeShareChanged(uint16 before, uint16 now_);
        event MinimumStakeChanged(uint256 before, uint256 now_);
        event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);
        event SlashingShareChanged(uint16 before, uint16 now_);
        event TreasuryChanged(address before, address now_);

        error AboveBound(uint256 offered, uint256 bound);
        error NoTreasury();
        error OwnableInvalidOwner(address owner);
        error OwnableUnauthorizedAccount(address account);

        function MAX_FEE_SHARE_BPS() external view returns (uint16);
        function MAX_SLASHING_SHARE_BPS() external view returns (uint16);
        function feeShareBps() external view returns (uint16);
        function minimumStake() external view returns (uint256);
        function owner() external view returns (address);
        function renounceOwnership() external;
        function setFeeShareBps(uint16 value) external;
        function setMinimumStake(uint256 value) external;
        function setSlashingShareBps(uint16 value) external;
        function setTreasury(address value) external;
        function slashingShareBps() external view returns (uint16);
        function transferOwnership(address newOwner) external;
        function treasury() external view returns (address);
    }

    /// Votes by balance, delegated; timepoints are Unix seconds.
    #[sol(rpc, abi, all_derives)]
    interface VouchVotes {
        event Approval(address indexed owner, address indexed spender, uint256 value);
        event DelegateChanged(address indexed delegator, address indexed fromDelegate, address indexed toDelegate);
        event DelegateVotesChanged(address indexed delegate, uint256 previousVotes, uint256 newVotes);
        event Transfer(address indexed from, address indexed to, uint256 value);

        function name() external view returns (string memory);
        function symbol() external view returns (string memory);
        function decimals() external view returns (uint8);
        function totalSupply() external view returns (uint256);
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function transfer(address to, uint256 value) external returns (bool);
        function approve(address spender, uint256 value) external returns (bool);
        function transferFrom(address from, address to, uint256 value) external returns (bool);
        function delegate(address delegatee) external;
        function delegates(address account) external view returns (address);
        function getVotes(address account) external view returns (uint256);
        function getPastVotes(address account, uint256 timepoint) external view returns (uint256);
        function getPastTotalSupply(uint256 timepoint) external view returns (uint256);
        function getPastDelegate(address account, uint256 timepoint) external view returns (address);
        function getPastBalanceOf(address account, uint256 timepoint) external view returns (uint256);
        function clock() external view returns (uint48);
        function CLOCK_MODE() external pure returns (string memory);
    }

    /// OpenZeppelin's Governor with overridable votes and a timelock.
    #[sol(rpc, abi, all_derives)]
    interface VouchGovernor {
        enum ProposalState {
            Pending,
            Active,
            Canceled,
            Defeated,
            Succeeded,
            Queued,
            Expired,
            Executed
        }

        event OverrideVoteCast(address indexed voter, uint256 proposalId, uint8 support, uint256 weight, string reason);
        event ProposalCanceled(uint256 proposalId);
        event ProposalCreated(uint256 proposalId, address proposer, address[] targets, uint256[] values, string[] signatures, bytes[] calldatas, uint256 voteStart, uint256 voteEnd, string description);
        event ProposalExecuted(uint256 proposalId);
        event ProposalQueued(uint256 proposalId, uint256 etaSeconds);
        event VoteCast(address indexed voter, uint256 proposalId, uint8 support, uint256 weight, string reason);
        event VoteReduced(address indexed delegate, uint256 proposalId, uint8 support, uint256 weight);

        error CheckpointUnorderedInsertion();
        error ERC6372InconsistentClock();
        error FailedCall();
        error GovernorAlreadyCastVote(address voter);
        error GovernorAlreadyOverriddenVote(address account);
        error GovernorAlreadyQueuedProposal(uint256 proposalId);
        error GovernorDisabledDeposit();
        error GovernorInsufficientProposerVotes(address proposer, uint256 votes, uint256 threshold);
        error GovernorInvalidProposalLength(uint256 targets, uint256 calldatas, uint256 values);
        error GovernorInvalidQuorumFraction(uint256 quorumNumerator, uint256 quorumDenominator);
        error GovernorInvalidSignature(address voter);
        error GovernorInvalidVoteParams();
        error GovernorInvalidVoteType();
        error GovernorInvalidVotingPeriod(uint256 votingPeriod);
        error GovernorNonexistentProposal(uint256 proposalId);
        error GovernorOnlyExecutor(address account);
        error GovernorProposalQueueingFailed(uint256 proposalId);
        error GovernorProposalQueueingNotRequired(uint256 proposalId);
        error GovernorRestrictedProposer(address proposer);
        error GovernorUnableToCancel(uint256 proposalId, address account);
        error GovernorUnexpectedProposalState(uint256 proposalId, ProposalState current, bytes32 expectedStates);
        error InvalidAccountNonce(address account, uint256 currentNonce);
        error InvalidShortString();
        error SafeCastOverflowedUintDowncast(uint8 bits, uint256 value);
        error StringTooLong(string str);

        function propose(address[] calldata targets, uint256[] calldata values, bytes[] calldata calldatas, string calldata description) external returns (uint256);
        function castVote(uint256 proposalId, uint8 support) external returns (uint256);
        function castVoteWithReason(uint256 proposalId, uint8 support, string calldata reason) external returns (uint256);
        function castOverrideVote(uint256 proposalId, uint8 support, string calldata reason) external returns (uint256);
        function queue(address[] calldata targets, uint256[] calldata values, bytes[] calldata calldatas, bytes32 descriptionHash) external returns (uint256);
        function execute(address[] calldata targets, uint256[] calldata values, bytes[] calldata calldatas, bytes32 descriptionHash) external payable returns (uint256);
        function cancel(address[] calldata targets, uint256[] calldata values, bytes[] calldata calldatas, bytes32 descriptionHash) external returns (uint256);
        function state(uint256 proposalId) external view returns (ProposalState);
        function proposalVotes(uint256 proposalId) external view returns (uint256 againstVotes, uint256 forVotes, uint256 abstainVotes);
        function hasVoted(uint256 proposalId, address account) external view returns (bool);
        function hasVotedOverride(uint256 proposalId, address account) external view returns (bool);
        function hashProposal(address[] calldata targets, uint256[] calldata values, bytes[] calldata calldatas, bytes32 descriptionHash) external pure returns (uint256);
        function proposalSnapshot(uint256 proposalId) external view returns (uint256);
        function proposalDeadline(uint256 proposalId) external view returns (uint256);
        function proposalEta(uint256 proposalId) external view returns (uint256);
        function proposalProposer(uint256 proposalId) external view returns (address);
        function proposalThreshold() external view returns (uint256);
        function proposalNeedsQueuing(uint256 proposalId) external view returns (bool);
        function quorum(uint256 timepoint) external view returns (uint256);
        function votingDelay() external view returns (uint256);
        function votingPeriod() external view returns (uint256);
        function getVotes(address account, uint256 timepoint) external view returns (uint256);
        function timelock() external view returns (address);
        function token() external view returns (address);
        function clock() external view returns (uint48);
    }

    /// OpenZeppelin's timelock.
    #[sol(rpc, abi, all_derives)]
    interface TimelockController {
        event CallExecuted(bytes32 indexed id, uint256 indexed index, address target, uint256 value, bytes data);
        event CallScheduled(bytes32 indexed id, uint256 indexed index, address target, uint256 value, bytes data, bytes32 predecessor, uint256 delay);
        event Cancelled(bytes32 indexed id);

        function getMinDelay() external view returns (uint256);
        function hasRole(bytes32 role, address account) external view returns (bool);
        function DEFAULT_ADMIN_ROLE() external view returns (bytes32);
        function PROPOSER_ROLE() external view returns (bytes32);
        function CANCELLER_ROLE() external view returns (bytes32);
        function EXECUTOR_ROLE() external view returns (bytes32);
        function isOperationPending(bytes32 id) external view returns (bool);
        function isOperationReady(bytes32 id) external view returns (bool);
        function isOperationDone(bytes32 id) external view returns (bool);
        function getTimestamp(bytes32 id) external view returns (uint256);
    }
}
