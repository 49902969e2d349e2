//! A true bundle, made of real keys, a real log and a real chain state; and what changes it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "shared by several test binaries; a fixture that cannot be made fails the test"
)]

pub mod alter;

use std::collections::BTreeMap;

use alloy::consensus::Header;
use alloy_primitives::{U256, keccak256};
use alloy_trie::{HashBuilder, Nibbles, TrieAccount, proof::ProofRetainer};
use ed25519_dalek::SigningKey;
use secp256k1::SecretKey;
use serde_json::{Value, json};
use vouch_core::{
    Address, B256, Bytes,
    bundle::{AnchorProof, Authorization, Bundle, LogProof, VERSION},
    channel::{ChannelConfig, SignedVoucher, Voucher},
    commitment,
    domain::Domain,
    log::{
        Checkpoint, merkle,
        note::{self, Note, Verifier},
    },
    money::{Prices, Usage},
    promise::{Promise, SignedPromise},
    receipt::{self, Kind, Receipt, Status, Tier, flags},
    request::Request,
    signature::{Signature, address_of},
    terms::{self, LogTerms, Terms},
};
use vouch_evidence::{KnownBlock, LinkName, Options, WitnessPolicy, fault::Promised, storage_slot};

pub const ORIGIN: &str = "provider.example/log";
pub const CHAIN: u64 = 31337;
pub const TIME_S: u64 = 1_800_000_000;
const RESOURCE: &str = "POST /v1/chat/completions";
pub const EMBEDDINGS: &str = "POST /v1/embeddings";
const FIRST: u64 = 4;
/// Entries of the log under the checkpoint, and under the anchor.
const LOGGED: usize = 9;
const ANCHORED: usize = 13;

pub fn key(byte: u8) -> SecretKey {
    SecretKey::from_byte_array([byte; 32]).unwrap()
}

pub fn provider_key() -> SecretKey {
    key(1)
}

pub fn provider() -> Address {
    address_of(&provider_key())
}

pub fn payer_key() -> SecretKey {
    key(2)
}

pub fn log_key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn witness_key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[10 + n; 32])
}

fn witness_name(n: u8) -> String {
    format!("witness.example/w{n}")
}

pub fn domain() -> Domain {
    Domain { chain: CHAIN, settlement: Address::repeat_byte(0x40) }
}

fn anchor_code() -> B256 {
    keccak256("the runtime code of CheckpointAnchor")
}

/// Everything that a verifier could be told, and everything required.
pub fn strict(bundle: &Bundle) -> Options<'static> {
    let names: [LinkName; 6] = [
        LinkName::Tokens,
        LinkName::Authorization,
        LinkName::Inclusion,
        LinkName::Checkpoint,
        LinkName::Witnesses,
        LinkName::Anchor,
    ];
    let keys = (0..2).map(|n| Verifier::witness(&witness_name(n), &witness_key(n))).collect();
    Options {
        provider: Some(provider()),
        payer: Some(address_of(&payer_key())),
        require: names.into(),
        witnesses: WitnessPolicy::of(keys, 2),
        block: bundle
            .anchor
            .as_ref()
            .map(|anchor| KnownBlock { chain: CHAIN, hash: keccak256(&anchor.header) }),
        anchor_code: Some(anchor_code()),
        detokenizer: None,
    }
}

fn identity() -> Value {
    json!({
        "architecture": "llama",
        "arithmetic": 1,
        "files": [{"bytes": 98_362_432, "name": "model.gguf", "sha256": B256::repeat_byte(0x77)}],
        "quantisation": "Q4_1",
    })
}

pub fn terms() -> Terms {
    Terms {
        version: terms::VERSION,
        domain: domain(),
        provider: provider(),
        receiver: None,
        asset: Address::repeat_byte(0x41),
        model: "smollm2-135m".into(),
        identity: commitment::canonical_hash(&identity()).unwrap(),
        prices: Prices { input: 300_000, cached: 30_000, output: 1_200_000, request: 5 },
        quantum_tokens: 64,
        log: LogTerms {
            origin: ORIGIN.into(),
            key: Verifier::log(ORIGIN, &log_key()).to_string(),
            merge_delay_s: 60,
        },
        sources: None,
    }
}

fn channel() -> ChannelConfig {
    ChannelConfig {
        payer: address_of(&payer_key()),
        payer_authorizer: Address::ZERO,
        receiver: provider(),
        receiver_authorizer: provider(),
        token: terms().asset,
        withdraw_delay: 900,
        salt: B256::repeat_byte(0x51),
    }
}

fn request_body() -> String {
    json!({"model": "smollm2-135m", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8, "seed": 7})
        .to_string()
}

fn response() -> Value {
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": TIME_S - 1,
        "model": "smollm2-135m",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": "Hello!"},
            "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 3,
            "total_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 2},
        },
        "vouch": {"inputIds": [1, 2, 3, 4, 5], "outputIds": [6, 7, 8]},
    })
}

/// What an answer consists of before anybody has signed for it: tests change it and sign anew.
#[derive(Debug, Clone)]
pub struct Draft {
    pub terms: Terms,
    pub channel: ChannelConfig,
    pub resource: &'static str,
    pub kind: Kind,
    pub request: String,
    pub response: Value,
    pub usage: Usage,
    pub status: Status,
    pub tier: Tier,
    pub flags: u16,
    pub sequence: u64,
    /// The channel's total before the charge.
    pub before: u128,
    /// How the answer was drawn: settings and the engine's commitments.
    pub drawn: B256,
    /// Added to the charge that follows from the terms.
    pub overcharge: u128,
    pub input_ids: Vec<u32>,
    pub output_ids: Vec<u32>,
    pub max_charge: u128,
    pub expiry: u64,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            terms: terms(),
            channel: channel(),
            resource: RESOURCE,
            kind: Kind::Inference,
            request: request_body(),
            response: response(),
            usage: Usage { input: 3, cached: 2, output: 3 },
            status: Status::Complete,
            tier: Tier::Replayed,
            flags: flags::CALLERS_SEED,
            sequence: 3,
            before: 50,
            drawn: B256::repeat_byte(0x61),
            overcharge: 0,
            input_ids: vec![1, 2, 3, 4, 5],
            output_ids: vec![6, 7, 8],
            max_charge: 100,
            expiry: TIME_S,
        }
    }
}

/// The bundle that every test starts from.
pub fn bundle() -> Bundle {
    Draft::default().sign()
}

impl Draft {
    /// Vectors of two texts.
    pub fn of_embeddings() -> Self {
        let response = json!({
            "object": "list",
            "created": TIME_S - 1,
            "model": "smollm2-135m",
            "data": [{"index": 0, "embedding": [0.5, -1]}, {"index": 1, "embedding": [2, 0.25]}],
            "usage": {"prompt_tokens": 5, "total_tokens": 5},
            "vouch": {"inputIds": [[1, 2], [3, 4, 5]]},
        });
        Self {
            resource: EMBEDDINGS,
            kind: Kind::Embedding,
            request: json!({"model": "smollm2-135m", "input": ["one", "two"]}).to_string(),
            response,
            usage: Usage { input: 5, cached: 0, output: 0 },
            flags: 0,
            drawn: B256::ZERO,
            output_ids: vec![],
            ..Self::default()
        }
    }

    fn receipt(&self, nonce: &B256) -> Receipt {
        let request = commitment::request(nonce, self.resource, self.request.as_bytes());
        let canonical = commitment::canonical_json(&self.response).unwrap();
        let seed = if self.flags & flags::CALLERS_SEED != 0 {
            commitment::callers_seed(7)
        } else {
            commitment::derived_seed(nonce, &request)
        };
        let seed = match self.kind {
            Kind::Embedding => B256::ZERO,
            _ => commitment::seed(nonce, &seed),
        };
        let charge = self.terms.prices.charge(&self.usage).unwrap() + self.overcharge;
        Receipt {
            version: receipt::VERSION,
            domain: domain(),
            kind: self.kind,
            status: self.status,
            tier: self.tier,
            flags: self.flags,
            provider: provider(),
            agent: U256::from(9),
            payer: self.channel.payer,
            channel: self.channel.id(&domain()),
            sequence: self.sequence,
            request,
            response: commitment::response(nonce, &canonical),
            tokens: commitment::tokens(nonce, &self.input_ids, &self.output_ids),
            usage: self.usage,
            model: self.terms.identity,
            sampling: self.drawn,
            seed,
            commitment: self.drawn,
            terms: self.terms.hash().unwrap(),
            charge,
            cumulative: charge + self.before,
            asset: self.terms.asset,
            parent: B256::ZERO,
            time: TIME_S * 1000 + 500,
        }
    }

    /// Signs for all of it, logs it and anchors the log.
    pub fn sign(&self) -> Bundle {
        let nonce = B256::repeat_byte(0x99);
        let receipt = self.receipt(&nonce);
        let voucher = Voucher { channel_id: receipt.channel, max_claimable_amount: 500 };
        let stock = self.flags & flags::PROVIDERS_NONCE != 0;
        let (promise, log, leaves) = logged(&receipt);
        Bundle {
            version: VERSION,
            nonce,
            resource: self.resource.into(),
            request: self.request.clone(),
            response: self.response.clone(),
            terms: self.terms.clone(),
            channel: self.channel,
            voucher: SignedVoucher {
                voucher,
                signature: Signature::sign(voucher.digest(&domain()), &payer_key()),
            },
            authorization: (!stock).then(|| self.authorization(&receipt)),
            promise,
            log: Some(log),
            anchor: Some(anchored(&leaves, &consistency(&leaves))),
            model: identity(),
            receipt,
        }
    }

    fn authorization(&self, receipt: &Receipt) -> Authorization {
        let request = Request {
            channel: receipt.channel,
            request: receipt.request,
            terms: receipt.terms,
            max_charge: self.max_charge,
            expiry: self.expiry,
        };
        Authorization {
            request,
            signature: Signature::sign(request.digest(&domain()), &payer_key()),
        }
    }
}

fn consistency(leaves: &[B256]) -> Vec<B256> {
    merkle::consistency_path(leaves, LOGGED)
}

/// A receipt promised in a batch of three at index `first + 1`.
pub fn promised(receipt: &Receipt, first: u64) -> SignedPromise {
    let batch = [leaf(100), receipt.leaf_hash(), leaf(101)];
    let promise = Promise {
        root: merkle::root(&batch),
        first,
        count: 3,
        not_before: B256::repeat_byte(0x71),
        merge_by: TIME_S + 100,
    };
    SignedPromise {
        promise,
        signature: Signature::sign(promise.digest(&domain()), &provider_key()),
        index: first + 1,
        path: merkle::inclusion_path(&batch, 1),
    }
}

/// A receipt with what binds its provider to it.
pub fn statement(draft: &Draft, first: u64) -> Promised {
    let receipt = draft.receipt(&B256::repeat_byte(0x99));
    let promise = promised(&receipt, first);
    Promised { receipt, promise, terms: draft.terms.clone() }
}

fn logged(receipt: &Receipt) -> (SignedPromise, LogProof, Vec<B256>) {
    let promise = promised(receipt, FIRST);
    let mut leaves: Vec<_> = (0..ANCHORED).map(leaf).collect();
    let at = usize::try_from(promise.index).unwrap();
    leaves[at] = receipt.leaf_hash();
    let path = merkle::inclusion_path(&leaves[..LOGGED], at);
    let checkpoint = checkpoint(LOGGED as u64, merkle::root(&leaves[..LOGGED])).to_string();
    let log = LogProof { index: promise.index, path, checkpoint };
    (promise, log, leaves)
}

/// The anchor of the log as it was or will be at another size.
pub fn anchored_at(receipt: &Receipt, size: usize) -> AnchorProof {
    let (_, _, leaves) = logged(receipt);
    let (old, new) = (size.min(LOGGED), size.max(LOGGED));
    anchored(&leaves[..size], &merkle::consistency_path(&leaves[..new], old))
}

fn leaf(n: usize) -> B256 {
    merkle::leaf_hash(&n.to_be_bytes())
}

/// A note signed by the log, the provider and two witnesses.
pub fn checkpoint(size: u64, root: B256) -> Note {
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size, root };
    let text = checkpoint.text();
    let signature = Signature::sign(checkpoint.digest(), &provider_key());
    let mut signatures = vec![
        note::sign_ed25519(ORIGIN, &log_key(), &text),
        note::sign_eip712(ORIGIN, provider(), &signature),
    ];
    signatures.extend(
        (0..2).map(|n| note::cosign(&witness_name(n), &witness_key(n), &text, TIME_S + 30)),
    );
    Note { text, signatures }
}

/// The log's root in the storage of a contract, among other contracts, in a block.
fn anchored(leaves: &[B256], consistency: &[B256]) -> AnchorProof {
    let contract = Address::repeat_byte(0xc1);
    let size = leaves.len() as u64;
    let slot = storage_slot(ORIGIN, provider(), size);
    let word = |value: B256| alloy_rlp::encode(U256::from_be_bytes(value.0));
    let mut storage: BTreeMap<_, _> =
        (0..40).map(|n| (keccak256(leaf(n)), word(leaf(n)))).collect();
    storage.insert(keccak256(slot), word(merkle::root(leaves)));
    let (storage_root, storage_proof) = trie(&storage, keccak256(slot));

    let account = |nonce, storage_root| {
        alloy_rlp::encode(TrieAccount::new(nonce, U256::ZERO, storage_root, anchor_code()))
    };
    let mut accounts: BTreeMap<_, _> = (0..60u8)
        .map(|n| (keccak256(Address::repeat_byte(n)), account(n.into(), B256::ZERO)))
        .collect();
    accounts.insert(keccak256(contract), account(1, storage_root));
    let (state_root, account_proof) = trie(&accounts, keccak256(contract));

    let header = Header {
        state_root,
        number: 1_234,
        timestamp: TIME_S + 90,
        base_fee_per_gas: Some(7),
        extra_data: Bytes::from_static(b"extra"),
        ..Header::default()
    };
    AnchorProof {
        chain: CHAIN,
        contract,
        size,
        header: alloy_rlp::encode(header).into(),
        account_proof,
        storage_proof,
        consistency: consistency.to_vec(),
    }
}

/// A trie's root, and the proof of one key.
fn trie(leaves: &BTreeMap<B256, Vec<u8>>, target: B256) -> (B256, Vec<Bytes>) {
    let target = Nibbles::unpack(target);
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![target]));
    leaves.iter().for_each(|(key, value)| builder.add_leaf(Nibbles::unpack(key), value));
    let root = builder.root();
    let nodes = builder.take_proof_nodes().into_nodes_sorted();
    (root, nodes.into_iter().map(|(_, node)| node).collect())
}
