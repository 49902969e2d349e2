//! The error codes that stock clients know, spelled as `@x402/evm` spells them.

/// The voucher is not the charged total plus the offer's amount; the offer's `extra` says which
/// total holds, and stock clients resynchronise from it.
pub const CUMULATIVE_AMOUNT_MISMATCH: &str =
    "invalid_batch_settlement_evm_cumulative_amount_mismatch";
/// Another request is in flight on the channel.
pub const CHANNEL_BUSY: &str = "invalid_batch_settlement_evm_channel_busy";
/// The chain knows no such channel.
pub const CHANNEL_NOT_FOUND: &str = "invalid_batch_settlement_evm_channel_not_found";
/// The voucher's channel id is not that of the channel configuration.
pub const CHANNEL_ID_MISMATCH: &str = "invalid_batch_settlement_evm_channel_id_mismatch";
/// The voucher's signature is malformed or another's.
pub const VOUCHER_SIGNATURE: &str = "invalid_batch_settlement_evm_voucher_signature";
/// The voucher exceeds what the deposit covers.
pub const CUMULATIVE_EXCEEDS_BALANCE: &str =
    "invalid_batch_settlement_evm_cumulative_exceeds_balance";
/// The channel pays somebody else.
pub const RECEIVER_MISMATCH: &str = "invalid_batch_settlement_evm_receiver_mismatch";
/// The channel's receiver authorizer is another.
pub const RECEIVER_AUTHORIZER_MISMATCH: &str =
    "invalid_batch_settlement_evm_receiver_authorizer_mismatch";
/// The channel pays in another token.
pub const TOKEN_MISMATCH: &str = "invalid_batch_settlement_evm_token_mismatch";
/// The channel's withdrawal delay is another.
pub const WITHDRAW_DELAY_MISMATCH: &str = "invalid_batch_settlement_evm_withdraw_delay_mismatch";
/// The payment is for another chain.
pub const NETWORK_MISMATCH: &str = "invalid_batch_settlement_evm_network_mismatch";
/// The payment uses another scheme.
pub const SCHEME: &str = "invalid_batch_settlement_evm_scheme";
/// The payload is neither deposit, voucher nor refund, or lacks what its type needs.
pub const PAYLOAD_TYPE: &str = "invalid_batch_settlement_evm_payload_type";
/// The deposit carries no EIP-3009 authorization.
pub const ERC3009_AUTHORIZATION_REQUIRED: &str =
    "invalid_batch_settlement_evm_erc3009_authorization_required";
/// The deposit's transaction failed.
pub const DEPOSIT_TRANSACTION_FAILED: &str =
    "invalid_batch_settlement_evm_deposit_transaction_failed";
/// Nobody knows yet whether the deposit settled.
pub const VERIFICATION_STATE_UNAVAILABLE: &str =
    "invalid_batch_settlement_evm_verification_state_unavailable";
/// The refund's transaction failed.
pub const REFUND_TRANSACTION_FAILED: &str =
    "invalid_batch_settlement_evm_refund_transaction_failed";
/// The refund asks for a part; only the whole rest is refunded.
pub const REFUND_AMOUNT_INVALID: &str = "invalid_batch_settlement_evm_refund_amount_invalid";
/// Nothing is left to refund.
pub const REFUND_NO_BALANCE: &str = "invalid_batch_settlement_evm_refund_no_balance";
/// The provider has no record of the channel.
pub const MISSING_CHANNEL: &str = "invalid_batch_settlement_evm_missing_channel";
