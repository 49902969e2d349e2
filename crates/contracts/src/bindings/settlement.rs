//! Payment channels, their dollar, anchors, and what ERC-20 tokens have in common.

#![allow(
    missing_docs,
    clippy::too_many_arguments,
    reason = "the Solidity interfaces are documented at their source"
)]

use alloy::sol;

sol! {
    /// x402's `batch-settlement` contract: channels, vouchers, claims.
    #[sol(rpc, abi, all_derives, extra_derives(serde::Serialize, serde::Deserialize))]
    interface BatchSettlement {
        struct ChannelConfig {
            address payer;
            address payerAuthorizer;
            address receiver;
            address receiverAuthorizer;
            address token;
            uint40 withdrawDelay;
            bytes32 salt;
        }

        struct Voucher {
            ChannelConfig channel;
            uint128 maxClaimableAmount;
        }

        struct VoucherClaim {
            Voucher voucher;
            bytes signature;
            uint128 totalClaimed;
        }

        event ChannelCreated(bytes32 indexed channelId, ChannelConfig config);
        event ChannelClosed(bytes32 indexed channelId, ChannelConfig config);
        event Deposited(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance);
        event Claimed(bytes32 indexed channelId, address indexed sender, uint128 claimAmount, uint128 newTotalClaimed);
        event Settled(address indexed receiver, address indexed token, address indexed sender, uint128 amount);
        event Refunded(bytes32 indexed channelId, address indexed sender, uint128 amount);
        event WithdrawInitiated(bytes32 indexed channelId, uint128 amount, uint40 finalizeAfter);
        event WithdrawFinalized(bytes32 indexed channelId, address indexed sender, uint128 amount);

        error InvalidChannel();
        error ZeroDeposit();
        error DepositOverflow();
        error InvalidSignature();
        error NotReceiverAuthorizer();
        error NotAuthorizedToClaim();
        error NotAuthorizedToRefund();
        error ClaimExceedsCeiling();
        error ClaimExceedsBalance();
        error WithdrawalAlreadyPending();
        error WithdrawalNotPending();
        error NotAuthorizedToFinalizeWithdraw();
        error WithdrawDelayNotElapsed();
        error NothingToWithdraw();
        error WithdrawAmountExceedsAvailable();
        error WithdrawDelayOutOfRange();
        error EmptyBatch();
        error DepositCollectionFailed();
        error InvalidCollector();
        error InvalidRefundNonce();
        error ZeroRefund();

        function multicall(bytes[] calldata data) external returns (bytes[] memory results);
        function deposit(ChannelConfig calldata config, uint128 amount, address collector, bytes calldata collectorData) external;
        function claim(VoucherClaim[] calldata voucherClaims) external;
        function claimWithSignature(VoucherClaim[] calldata voucherClaims, bytes calldata authorizerSignature) external;
        function settle(address receiver, address token) external;
        function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external;
        function finalizeWithdraw(ChannelConfig calldata config) external;
        function refund(ChannelConfig calldata config, uint128 amount) external;
        function refundWithSignature(ChannelConfig calldata config, uint128 amount, uint256 nonce, bytes calldata receiverAuthorizerSignature) external;

        function getChannelId(ChannelConfig calldata config) external view returns (bytes32);
        function CHANNEL_CONFIG_TYPEHASH() external view returns (bytes32);
        function channels(bytes32 channelId) external view returns (uint128 balance, uint128 totalClaimed);
        function pendingWithdrawals(bytes32 channelId) external view returns (uint128 amount, uint40 initiatedAt);
        function receivers(address receiver, address token) external view returns (uint128 totalClaimed, uint128 totalSettled);
        function refundNonce(bytes32 channelId) external view returns (uint256);
        function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount) external view returns (bytes32);
        function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount) external view returns (bytes32);
        function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims) external view returns (bytes32);
    }

    /// Pulls a deposit by the payer's ERC-3009 signature.
    #[sol(rpc, abi, all_derives)]
    interface ERC3009DepositCollector {
        error OnlyX402BatchSettlement();
        error InvalidX402BatchSettlementAddress();

        function x402BatchSettlement() external view returns (address);
    }

    /// The test dollar: ERC-20, EIP-2612, ERC-3009, and a minter.
    #[sol(rpc, abi, all_derives)]
    interface TestDollar {
        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
        event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

        error OnlyMinter();
        error PermitExpired(uint256 deadline);
        error PermitSigner(address signer, address owner);
        error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
        error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
        error ERC20InvalidReceiver(address receiver);
        error ERC3009InvalidSignature();
        error ERC3009InvalidAuthorizationTime(uint256 validAfter, uint256 validBefore);
        error ERC3009UsedAuthorization(address authorizer, bytes32 nonce);

        function name() external pure returns (string memory);
        function symbol() external pure returns (string memory);
        function version() external pure returns (string memory);
        function decimals() external pure returns (uint8);
        function totalSupply() external view returns (uint256);
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function transfer(address to, uint256 value) external returns (bool);
        function approve(address spender, uint256 value) external returns (bool);
        function transferFrom(address from, address to, uint256 value) external returns (bool);
        function minter() external view returns (address);
        function mint(address to, uint256 amount) external;
        function nonces(address owner) external view returns (uint256);
        function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes calldata signature) external;
        function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes calldata signature) external;
        function DOMAIN_SEPARATOR() external view returns (bytes32);
    }

    /// Any ERC-20 token. A stranger's may lie about each of these.
    #[sol(rpc, abi, all_derives)]
    interface Erc20 {
        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);

        function name() external view returns (string memory);
        function symbol() external view returns (string memory);
        function decimals() external view returns (uint8);
        function totalSupply() external view returns (uint256);
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function transfer(address to, uint256 value) external returns (bool);
        function approve(address spender, uint256 value) external returns (bool);
        function transferFrom(address from, address to, uint256 value) external returns (bool);
    }

    /// Anchors of transparency logs.
    #[sol(rpc, abi, all_derives)]
    interface CheckpointAnchor {
        event Anchored(bytes32 indexed key, string origin, address indexed signer, uint64 size, bytes32 root);

        error EmptyCheckpoint();
        error SizeBehind(uint64 anchored, uint64 offered);
        error RootConflict(uint64 size, bytes32 anchored, bytes32 offered);

        function logKey(string calldata origin, address signer) external pure returns (bytes32);
        function anchor(string calldata origin, uint64 size, bytes32 root, bytes calldata signature) external;
        function anchors(bytes32 key) external view returns (bytes32 root, uint64 size, uint64 blockNumber, uint64 time);
        function roots(bytes32 key, uint64 size) external view returns (bytes32 root);
        function included(bytes32 key, uint64 size, bytes32 leafHash, uint64 index, bytes32[] calldata path) external view returns (bool);
    }

    /// What the payer signs for a deposit (ERC-3009), in the token's domain.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// What a receiver's authorizer signs for a refund, in the settlement contract's domain.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Refund {
        bytes32 channelId;
        uint256 nonce;
        uint128 amount;
    }

    /// One row of a signed batch of claims.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct ClaimEntry {
        bytes32 channelId;
        uint128 maxClaimableAmount;
        uint128 totalClaimed;
    }

    /// What a receiver's authorizer signs for a relayed batch of claims.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct ClaimBatch {
        ClaimEntry[] claims;
    }
}
