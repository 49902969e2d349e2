//! The `vouch` extension of x402 and the documents around it: see `docs/PROTOCOL.md`.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vouch_core::{
    bundle::Authorization,
    channel::{Freeze, Mode, OnChain},
    commitment,
    data_use::DataUse,
    inquiry::Inquiry,
    promise::SignedPromise,
    receipt::Receipt,
    signature::Signature,
    sourced::Source,
    terms::Terms,
};

use crate::x402::WireVoucher;

/// The version of the extension and of the provider document.
pub const VERSION: u32 = 1;
/// Name of the event that asks for a higher voucher: [`VoucherRequired`].
pub const VOUCHER_EVENT: &str = "vouch.voucher";
/// Name of the event that ends a paid stream: [`Acknowledgement`].
pub const RECEIPT_EVENT: &str = "vouch.receipt";

/// What a 402 adds: the terms that a session request accepts by their hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfferInfo {
    /// [`VERSION`].
    pub version: u32,
    /// The quote.
    pub terms: Terms,
    /// Its hash.
    pub terms_hash: B256,
}

/// What a paid request may add. A stock client echoes [`OfferInfo`] here, of which nothing is
/// read; a session client sends both fields.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SessionInfo {
    /// 32 random bytes that hide what the receipt commits to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<B256>,
    /// The request, signed by the channel's payer authorizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
}

/// What a provider gives once voucher, charge and receipt are durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The receipt.
    pub receipt: Receipt,
    /// The promise to log it.
    pub promise: SignedPromise,
    /// What opens the receipt's commitments.
    pub nonce: B256,
    /// Receipts of the uses of data in the answer, one for each of its sources, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<ChildReceipt>,
}

/// A receipt that was committed with its parent: under the same promise, at its own place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// Its log index.
    pub index: u64,
    /// Its path in the batch of the parent's promise.
    pub path: Vec<B256>,
}

impl Acknowledgement {
    /// The uses of data with what opens them: the children and the answer's sources, in order.
    /// Whether they belong together is for the verifier to say.
    #[must_use]
    pub fn uses(&self, sources: &[Source]) -> Vec<DataUse> {
        let used = |(child, source): (&ChildReceipt, &Source)| DataUse {
            receipt: child.receipt.clone(),
            promise: SignedPromise {
                index: child.index,
                path: child.path.clone(),
                ..self.promise.clone()
            },
            log: None,
            nonce: commitment::source_nonce(&self.nonce, source.index),
            dataset: source.dataset,
            document: source.document,
            grant: source.terms,
        };
        self.children.iter().zip(sources).map(used).collect()
    }
}

/// Body of `POST /vouch/uses`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsesBody {
    /// What is asked.
    pub inquiry: Inquiry,
    /// By the owner's key, or the provider's; nothing is answered without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// Answer to [`UsesBody`]: an owner's receipts, in the order of their sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsesPage {
    /// The owner's account stream.
    pub stream: B256,
    /// Receipts with what opens them, and their place in the log where a checkpoint covers them.
    pub uses: Vec<DataUse>,
}

/// A stream stands still until a voucher covers `required`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoucherRequired {
    /// The channel.
    pub channel_id: B256,
    /// The total that must be signed for, in atomic units.
    #[serde(with = "crate::decimal")]
    pub required: u128,
    /// The best voucher so far.
    #[serde(with = "crate::decimal")]
    pub accepted: u128,
}

/// Body of `POST /vouch/vouchers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoucherBody {
    /// A higher voucher.
    pub voucher: WireVoucher,
}

/// Answer to [`VoucherBody`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoucherAccepted {
    /// The best voucher's amount now.
    #[serde(with = "crate::decimal")]
    pub accepted: u128,
}

/// A channel as its provider sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelView {
    /// Its mode.
    pub mode: Mode,
    /// The best voucher's amount.
    #[serde(with = "crate::decimal")]
    pub accepted: u128,
    /// What was charged.
    #[serde(with = "crate::decimal")]
    pub charged: u128,
    /// What is set aside for calls in flight.
    #[serde(with = "crate::decimal")]
    pub reserved: u128,
    /// The last receipt's sequence.
    pub sequence: u64,
    /// Why it takes no more work, if so.
    pub frozen: Option<Freeze>,
    /// What the chain says.
    pub on_chain: OnChain,
}

/// Who sells, where it settles, and which log it writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderDocument {
    /// [`VERSION`].
    pub version: u32,
    /// The address that signs promises and checkpoints.
    pub provider: Address,
    /// Who is paid, where that is not the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<Address>,
    /// CAIP-2 name of the settlement chain.
    pub network: String,
    /// The settlement contract.
    pub settlement: Address,
    /// The contract that collects deposits.
    pub collector: Address,
    /// The token that pays.
    pub asset: Asset,
    /// The contract that checkpoints are anchored in, where there is one.
    pub anchor: Option<Address>,
    /// The economy's contracts by name, where the provider works with them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contracts: BTreeMap<String, Address>,
    /// JSON-RPC address of the settlement chain where the provider runs it itself.
    pub rpc: Option<String>,
    /// Whether `POST /vouch/faucet` gives test money.
    pub faucet: bool,
    /// The log.
    pub log: LogKey,
    /// Names of the models.
    pub models: Vec<String>,
}

impl ProviderDocument {
    /// The receiver of channels with this provider.
    #[must_use]
    pub fn pay_to(&self) -> Address {
        self.receiver.unwrap_or(self.provider)
    }
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Its contract.
    pub address: Address,
    /// EIP-712 domain name.
    pub name: String,
    /// EIP-712 domain version.
    pub version: String,
    /// Decimals of the unit that people speak of.
    pub decimals: u8,
    /// What people call it.
    pub symbol: String,
}

/// A log and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogKey {
    /// C2SP checkpoint origin.
    pub origin: String,
    /// Ed25519 verifier key, `name+hash+key`.
    pub key: String,
}

/// What `/v1/models` adds to a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// The model's identity.
    pub identity: B256,
    /// The quote.
    pub terms: Terms,
    /// Its hash.
    pub terms_hash: B256,
    /// Whether the model gives vectors, at `/v1/embeddings`, and no text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub embeddings: bool,
}

/// Body of `POST /vouch/faucet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaucetBody {
    /// Who gets test money.
    pub address: Address,
}

/// The document of a model's identity is free-form JSON.
pub type IdentityDocument = Value;
