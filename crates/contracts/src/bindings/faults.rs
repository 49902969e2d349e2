//! Keys, bonds, and the faults that they answer for.

#![allow(
    missing_docs,
    clippy::too_many_arguments,
    reason = "the Solidity interfaces are documented at their source"
)]

use alloy::sol;

sol! {
    /// Which key speaks for which provider, in which role, since when.
    #[sol(rpc, abi, all_derives)]
    interface KeyRegistry {
        enum Role {
            Receipts,
            Checkpoints
        }

        event Compromised(address indexed provider, Role indexed role, address indexed key);
        event Rotated(address indexed provider, Role indexed role, address indexed key, address former);

        error AlreadyCompromised(address key);
        error KeyUnusable(address key);
        error UnknownKey(address key);

        function EVIDENCE_WINDOW() external view returns (uint256);
        function OVERLAP() external view returns (uint256);
        function answersForCheckpoint(address provider, address key, uint256 shown) external view returns (bool);
        function answersForReceipt(address provider, address key, uint256 earliest, uint256 latest, uint256 shown) external view returns (bool);
        function declareCompromised(Role role, address key) external;
        function keyOf(address provider, Role role) external view returns (address key);
        function rotate(Role role, address key) external;
        function terms(address provider, Role role, address key) external view returns (uint64 since, uint64 until, uint64 compromised);
        function wasKey(address provider, address key, uint256 time) external view returns (bool);
    }

    /// What a provider stands to lose.
    #[sol(rpc, abi, all_derives)]
    interface BondVault {
        event Burnt(uint256 amount);
        event Deposited(address indexed provider, address indexed sender, uint128 amount);
        event Rewarded(address indexed account, uint256 amount);
        event Slashed(bytes32 indexed fault, address indexed provider, address indexed reporter, uint256 reward, uint256 burnt);
        event WithdrawalCancelled(address indexed provider, uint128 amount);
        event WithdrawalStarted(address indexed provider, uint128 amount, uint64 leavesAt);
        event Withdrawn(address indexed provider, uint128 amount);

        error AlreadySlashed(bytes32 fault);
        error NotYet(uint256 time);
        error NothingLeaves();
        error OnlyFaults();
        error ReentrancyGuardReentrantCall();
        error SafeERC20FailedOperation(address token);
        error StakeShort(uint256 asked, uint256 free);
        error TransferShort(uint256 arrived, uint256 expected);

        function DEFAULT_SHARE_BPS() external view returns (uint16);
        function WITHDRAWAL_DELAY() external view returns (uint64);
        function bonds(address provider) external view returns (uint128 stake, uint128 leaving, uint64 leavesAt, uint64 heldUntil);
        function burn() external returns (uint256 amount);
        function cancelWithdrawal() external;
        function costs(bytes32 fault) external view returns (uint128 taken, uint16 shareBps);
        function deposit(address provider, uint128 amount) external;
        function faults() external view returns (address);
        function isBonded(address provider) external view returns (bool);
        function parameters() external view returns (address);
        function rewards(address account) external view returns (uint256);
        function shareBps() external view returns (uint256 share);
        function slashed(bytes32 fault) external view returns (bool);
        function startWithdrawal(uint128 amount) external;
        function token() external view returns (address);
        function unburnt() external view returns (uint256);
        function withdraw() external returns (uint128 amount);
        function withdrawReward() external returns (uint256 amount);
    }

    /// Faults that signatures alone prove. The last argument of each report is its salt.
    #[sol(rpc, abi, all_derives)]
    interface Faults {
        enum FaultKind {
            SplitLog,
            DoubleSequence,
            DoubleIndex,
            BrokenPromise,
            WrongCharge,
            ClaimAboveReceipts
        }

        struct ChannelConfig {
            address payer;
            address payerAuthorizer;
            address receiver;
            address receiverAuthorizer;
            address token;
            uint40 withdrawDelay;
            bytes32 salt;
        }

        struct Evidence {
            bytes receipt;
            Promise promised;
            bytes signature;
            uint64 index;
            bytes32[] path;
        }

        struct Logged {
            uint64 size;
            SignedRoot checkpoint;
            bytes32 leaf;
            bytes32[] path;
        }

        struct Promise {
            bytes32 root;
            uint64 first;
            uint32 count;
            bytes32 notBefore;
            uint64 mergeBy;
        }

        struct SignedRoot {
            bytes32 root;
            bytes signature;
        }

        event Answered(bytes32 indexed channel, address indexed provider, uint128 claimed, bytes32 receipt);
        event Committed(bytes32 indexed commitment);
        event CreditWithdrawn(address indexed account, uint256 amount);
        event Demanded(bytes32 indexed channel, address indexed provider, address indexed demander, uint128 claimed, uint64 deadline);
        event Proven(bytes32 indexed fault, address indexed provider, FaultKind indexed kind, bytes32 place, address reporter);

        error AlreadyDemanded();
        error BondShort(uint256 arrived, uint256 expected);
        error ChargeFollows();
        error DeadlineOpen(uint64 deadline);
        error DeadlinePassed(uint64 deadline);
        error DifferentPlaces();
        error ECDSAInvalidSignature();
        error ECDSAInvalidSignatureLength(uint256 length);
        error ECDSAInvalidSignatureS(bytes32 s);
        error NoMember(string name);
        error NotAccountable(address provider, address key);
        error NotAnInteger();
        error NotCanonical();
        error NotCommitted(bytes32 commitment);
        error NotCovering(uint128 cumulative, uint128 claimed);
        error NotDemanded();
        error NotLogged();
        error NotOfChannel();
        error NotPromised();
        error NothingClaimed();
        error OtherTerms();
        error PromiseKept();
        error ReceiptLength(uint256 length);
        error ReentrancyGuardReentrantCall();
        error SafeERC20FailedOperation(address token);
        error SameStatement();
        error UnknownVersion(uint8 version);

        function ANSWER_WINDOW() external view returns (uint64);
        function DEMAND_BOND() external view returns (uint128);
        function ENFORCE_WINDOW() external view returns (uint64);
        function answer(Evidence calldata evidence) external;
        function commit(bytes32 commitment) external;
        function commitments(bytes32 commitment) external view returns (uint64 time, uint64 blockNumber);
        function credits(address account) external view returns (uint256);
        function demand(ChannelConfig calldata config, Evidence calldata evidence) external returns (bytes32 channel);
        function demands(bytes32 channel) external view returns (address provider, uint64 deadline, address demander, uint128 claimed);
        function enforce(bytes32 channel) external returns (bytes32 fault);
        function faultId(address provider, FaultKind kind, bytes32 place) external pure returns (bytes32);
        function keys() external view returns (address);
        function reportBrokenPromise(Evidence calldata evidence, bytes calldata terms, Logged calldata logged, bytes32) external returns (bytes32 fault);
        function reportDoubleIndex(Evidence calldata first, bytes calldata firstTerms, Evidence calldata second, bytes calldata secondTerms, bytes32) external returns (bytes32 fault);
        function reportDoubleSequence(Evidence calldata first, Evidence calldata second, bytes32) external returns (bytes32 fault);
        function reportSplitLog(address provider, string calldata origin, uint64 size, SignedRoot calldata first, SignedRoot calldata second, bytes32) external returns (bytes32 fault);
        function reportWrongCharge(Evidence calldata evidence, bytes calldata terms, bytes32) external returns (bytes32 fault);
        function settled(bytes32 channel) external view returns (uint128);
        function settlement() external view returns (address);
        function shownAt(bytes32 receipt) external view returns (uint64 time);
        function vault() external view returns (address);
        function withdrawCredit() external returns (uint256 amount);
    }
}
