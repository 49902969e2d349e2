//! Consent, lineage, royalties and contributions.

#![allow(
    missing_docs,
    clippy::too_many_arguments,
    reason = "the Solidity interfaces are documented at their source"
)]

use alloy::sol;

sol! {
    /// Who may use which data for what; default deny.
    #[sol(rpc, abi, all_derives, extra_derives(serde::Serialize, serde::Deserialize))]
    interface ConsentRegistry {
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

        event EIP712DomainChanged();
        event Granted(bytes32 indexed id, address indexed owner, bytes32 indexed dataset, address grantee, bytes32 purpose, bytes32 service, uint128 price, uint16 shareBps, uint64 start, uint64 end, uint256 nonce);
        event Published(address indexed owner, bytes32 indexed dataset, bytes32 root, bytes32 card);
        event Revoked(bytes32 indexed id, address indexed owner);
        event RevokedAll(bytes32 indexed dataset, address indexed owner);

        error EmptyRoot();
        error GrantRevoked(bytes32 id);
        error InvalidGrant();
        error InvalidSignature();
        error UnknownDataset(bytes32 dataset, address owner);

        function GRANT_TYPEHASH() external view returns (bytes32);
        function allows(bytes32 id, bytes32 purpose, bytes32 service) external view returns (bool);
        function datasetId(address owner, bytes32 root) external pure returns (bytes32);
        function datasets(bytes32 dataset) external view returns (address owner, uint64 revokedAt, uint32 epoch);
        function eip712Domain() external view returns (bytes1, string memory, string memory, uint256, address, bytes32, uint256[] memory);
        function grant(Grant calldata terms, bytes calldata signature) external returns (bytes32 id);
        function grantId(Grant calldata terms) external pure returns (bytes32);
        function grants(bytes32 id) external view returns (address owner, uint64 start, uint16 shareBps, address grantee, uint64 end, uint32 epoch, bytes32 dataset, bytes32 purpose, bytes32 service, uint128 price);
        function publish(bytes32 root, bytes32 card) external returns (bytes32 dataset);
        function revoke(bytes32 id) external;
        function revokeAll(bytes32 root) external;
        function revoked(address owner, bytes32 id) external view returns (bool);
    }

    /// What was made from what, and which part of its income goes back.
    #[sol(rpc, abi, all_derives)]
    interface LineageRegistry {
        event Registered(bytes32 indexed node, address indexed owner, uint8 kind, bytes32 indexed content, bytes32[] parents, uint16[] sharesBps);

        error InvalidParent(uint256 index);
        error ParentCount(uint256 parents, uint256 shares);
        error SharesAboveAll(uint256 sumBps);
        error TooManyAncestors(uint256 count);
        error UnknownKind(uint8 kind);
        error UnknownNode(bytes32 node);

        function BPS() external view returns (uint256);
        function DATASET() external view returns (uint8);
        function FINE_TUNE() external view returns (uint8);
        function MAX_ANCESTORS() external view returns (uint256);
        function MAX_PARENTS() external view returns (uint256);
        function MODEL() external view returns (uint8);
        function SERVICE() external view returns (uint8);
        function exists(bytes32 node) external view returns (bool);
        function nodeId(address owner, uint8 kind, bytes32 content, bytes32[] calldata parents, uint16[] calldata sharesBps) external pure returns (bytes32);
        function nodes(bytes32 node) external view returns (address owner, uint8 kind, uint8 parents, uint16 passedBps, uint16 ancestors);
        function parentAt(bytes32 node, uint256 index) external view returns (bytes32 parent, uint16 shareBps);
        function parentsOf(bytes32 node) external view returns (bytes32[] memory parents, uint16[] memory sharesBps);
        function register(uint8 kind, bytes32 content, bytes32[] calldata parents, uint16[] calldata sharesBps) external returns (bytes32 node);
    }

    /// Splits what a node earns up the graph it descends from.
    #[sol(rpc, abi, all_derives)]
    interface RoyaltyVault {
        event FeesWithdrawn(address indexed token, address indexed treasury, uint256 amount);
        event Pulled(bytes32 indexed child, bytes32 indexed parent, address indexed token, uint256 parentIndex, uint256 amount);
        event Swept(bytes32 indexed node, address indexed token, uint256 amount, uint256 fee);
        event Withdrawn(bytes32 indexed node, address indexed token, address indexed owner, uint256 amount);

        error AddressEmptyCode(address target);
        error AmountOverflow(uint256 amount);
        error FailedCall();
        error FailedDeployment();
        error InsufficientBalance(uint256 balance, uint256 needed);
        error ReentrancyGuardReentrantCall();
        error SafeERC20FailedOperation(address token);
        error UnknownNode(bytes32 node);

        function accounts(bytes32 node, address token) external view returns (uint128 received, uint128 withdrawn);
        function fees(address token) external view returns (uint256);
        function moved(bytes32 child, uint256 parentIndex, address token) external view returns (uint256);
        function multicall(bytes[] calldata data) external returns (bytes[] memory results);
        function owed(bytes32 child, uint256 parentIndex, address token) external view returns (uint256);
        function parameters() external view returns (address);
        function pull(bytes32 child, uint256 parentIndex, address token) external returns (uint256 amount);
        function receiverImplementation() external view returns (address);
        function receiverOf(bytes32 node) external view returns (address);
        function registry() external view returns (address);
        function sweep(bytes32 node, address token) external returns (uint256 amount);
        function withdraw(bytes32 node, address token) external returns (uint256 amount);
        function withdrawFees(address token) external returns (uint256 amount);
        function withdrawable(bytes32 node, address token) external view returns (uint256);
    }

    /// Pay for what varies by call, under a Merkle root for each period.
    #[sol(rpc, abi, all_derives)]
    interface ContributionRoot {
        enum Challenge {
            None,
            Cover,
            Arbiter
        }

        struct Evidence {
            bytes receipt;
            Promise promised;
            bytes signature;
            uint64 index;
            bytes32[] path;
        }

        struct Promise {
            bytes32 root;
            uint64 first;
            uint32 count;
            bytes32 notBefore;
            uint64 mergeBy;
        }

        event Challenged(uint256 indexed series, bytes32 indexed root, address indexed challenger, Challenge challenge);
        event Claimed(uint256 indexed series, address indexed account, uint256 amount, uint256 cumulative);
        event CoverDemanded(uint256 indexed series, address indexed account, uint128 cumulative, uint64 sequence, uint64 deadline);
        event Finalised(uint256 indexed series, bytes32 indexed root, uint128 total);
        event Opened(uint256 indexed series, address indexed publisher, address indexed token, address settlement, address arbiter, uint64 window, uint128 bond);
        event Proposed(uint256 indexed series, bytes32 indexed root, uint128 total, uint64 until, uint64 finalAt, bytes evidence);
        event Upheld(uint256 indexed series, bytes32 indexed root, uint64 finalAt);
        event Voided(uint256 indexed series, bytes32 indexed root, bool proven);
        event Withdrawn(address indexed token, address indexed account, uint256 amount);

        error AlreadyChallenged();
        error DeadlineOpen(uint64 deadline);
        error DeadlinePassed(uint64 deadline);
        error ECDSAInvalidSignature();
        error ECDSAInvalidSignatureLength(uint256 length);
        error ECDSAInvalidSignatureS(bytes32 s);
        error InvalidProof();
        error InvalidProposal();
        error InvalidSeries();
        error NoProposal();
        error NotChallenged();
        error NotCovering();
        error NotDataUse();
        error NotPromised();
        error OnlyArbiter();
        error OnlyPublisher();
        error ProposalPending();
        error ReceiptLength(uint256 length);
        error ReceiptNotDue();
        error ReentrancyGuardReentrantCall();
        error SafeERC20FailedOperation(address token);
        error TotalExceeded(uint256 amount, uint256 left);
        error TransferShort(uint256 arrived, uint256 expected);
        error WindowClosed();

        function ARBITER_WINDOWS() external view returns (uint64);
        function MAX_WINDOW() external view returns (uint64);
        function MIN_WINDOW() external view returns (uint64);
        function answer(uint256 series, uint128 cumulative, uint64 sequence, bytes32[] calldata proof) external;
        function challenge(uint256 series) external;
        function challengeWithLeaf(uint256 series, address account, uint128 cumulative, uint64 sequence, bytes32[] calldata proof) external;
        function challengeWithReceipt(uint256 series, Evidence calldata evidence) external;
        function claim(uint256 series, address account, uint128 cumulative, uint64 sequence, bytes32[] calldata proof) external returns (uint256 amount);
        function claimed(uint256 series, address account) external view returns (uint256);
        function credits(address token, address account) external view returns (uint256);
        function enforce(uint256 series) external;
        function finalise(uint256 series) external;
        function leafOf(address account, uint128 cumulative, uint64 sequence) external pure returns (bytes32);
        function open(address settlement, address token, address arbiter, uint64 window, uint128 bond) external returns (uint256 series);
        function proposals(uint256 series) external view returns (bytes32 root, uint128 total, uint64 until, uint64 finalAt, Challenge challenge, address challenger, uint64 deadline, address account, uint64 sequence, uint128 cumulative);
        function propose(uint256 series, bytes32 root, uint128 total, uint64 until, bytes calldata evidence) external;
        function resolve(uint256 series, bool valid) external;
        function seriesCount() external view returns (uint256);
        function seriesOf(uint256 series) external view returns (address publisher, uint64 window, address settlement, address arbiter, address token, uint128 bond, bytes32 root, uint128 total, uint128 paid, uint64 until);
        function withdraw(address token) external returns (uint256 amount);
    }
}
