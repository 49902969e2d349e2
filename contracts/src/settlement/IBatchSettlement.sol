// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The interface of x402's `batch-settlement` scheme on the EVM
/// @notice One-way payment channels. A payer locks tokens once and signs cumulative vouchers off chain; the
///         receiver's side claims the latest voucher of many channels in one transaction.
/// @dev Names, types, events and errors are those of the scheme, so that its stock clients work unchanged.
interface IBatchSettlement {
    /// @notice What a channel is, for ever. Its EIP-712 digest is the channel's id.
    struct ChannelConfig {
        /// Owns the tokens; gets back what was not claimed.
        address payer;
        /// Signs vouchers and may withdraw. Zero: the payer signs, by ECDSA or ERC-1271.
        address payerAuthorizer;
        /// Is paid.
        address receiver;
        /// May claim and refund for the receiver, by call or by signature.
        address receiverAuthorizer;
        /// The ERC-20. Tokens that take a fee on transfer are refused at deposit.
        address token;
        /// Seconds between asking for a withdrawal and getting it.
        uint40 withdrawDelay;
        /// Tells apart channels between the same parties.
        bytes32 salt;
    }

    /// @notice `balance` counts every deposit less refunds and withdrawals; claims do not lower it. What is
    ///         free is `balance - totalClaimed`.
    struct ChannelState {
        uint128 balance;
        uint128 totalClaimed;
    }

    /// @notice `initiatedAt` in seconds; zero means none is pending.
    struct WithdrawalState {
        uint128 amount;
        uint40 initiatedAt;
    }

    /// @notice What a receiver has claimed of a token over all channels, and what was sent to it.
    struct ReceiverState {
        uint128 totalClaimed;
        uint128 totalSettled;
    }

    /// @notice The payer lets the receiver's side claim up to `maxClaimableAmount`, in total, ever.
    struct Voucher {
        ChannelConfig channel;
        uint128 maxClaimableAmount;
    }

    /// @notice A voucher, its signature, and the new cumulative total to claim under it.
    struct VoucherClaim {
        Voucher voucher;
        bytes signature;
        uint128 totalClaimed;
    }

    event ChannelCreated(bytes32 indexed channelId, ChannelConfig config);
    event ChannelClosed(bytes32 indexed channelId, ChannelConfig config);
    event Deposited(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance);
    event Claimed(
        bytes32 indexed channelId, address indexed sender, uint128 claimAmount, uint128 newTotalClaimed
    );
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

    /// @notice Adds `amount` of the channel's token, pulled from the payer by `collector`. Anyone may send it.
    function deposit(
        ChannelConfig calldata config,
        uint128 amount,
        address collector,
        bytes calldata collectorData
    ) external;

    /// @notice Records new cumulative totals. The sender is each channel's receiver or receiverAuthorizer.
    ///         A row that is not above what is recorded is passed over, so a repeat is harmless.
    function claim(VoucherClaim[] calldata voucherClaims) external;

    /// @notice As `claim`, sent by anyone with the common receiverAuthorizer's signature over the batch.
    function claimWithSignature(VoucherClaim[] calldata voucherClaims, bytes calldata authorizerSignature)
        external;

    /// @notice Sends to `receiver` what was claimed and not yet sent. Anyone may call.
    function settle(address receiver, address token) external;

    /// @notice Starts the payer's withdrawal. Vouchers not yet claimed reserve nothing against it: the receiver
    ///         must claim within the delay.
    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external;

    /// @notice Pays out a withdrawal after the delay, at most what is then free.
    function finalizeWithdraw(ChannelConfig calldata config) external;

    /// @notice Gives back to the payer at once, at most what is free. By the receiver's side.
    function refund(ChannelConfig calldata config, uint128 amount) external;

    /// @notice As `refund`, sent by anyone with the receiverAuthorizer's signature at the current nonce.
    function refundWithSignature(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 nonce,
        bytes calldata receiverAuthorizerSignature
    ) external;

    function channels(bytes32 channelId) external view returns (uint128 balance, uint128 totalClaimed);
    function pendingWithdrawals(bytes32 channelId) external view returns (uint128 amount, uint40 initiatedAt);
    function receivers(address receiver, address token)
        external
        view
        returns (uint128 totalClaimed, uint128 totalSettled);
    function refundNonce(bytes32 channelId) external view returns (uint256);

    function getChannelId(ChannelConfig calldata config) external view returns (bytes32);
    function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount) external view returns (bytes32);
    function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount) external view returns (bytes32);
    function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims) external view returns (bytes32);
}
