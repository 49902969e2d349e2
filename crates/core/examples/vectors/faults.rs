//! Statements of one provider: those that contradict each other, and those that only look so.

use alloy_primitives::{Address, B256, U256, keccak256};
use secp256k1::SecretKey;
use serde_json::{Map, Value, json};
use vouch_core::{
    commitment::canonical_json,
    domain::Domain,
    log::{
        Checkpoint, merkle,
        note::{self, Note},
    },
    money::{Prices, Usage},
    promise::Promise,
    receipt::Receipt,
    signature::{Signature, address_of},
    terms::Terms,
};

use super::{decimal, domains, key, leaves, log, lower, receipt};

/// Numbers of the contract's `FaultKind`.
const KINDS: [&str; 5] =
    ["splitLogs", "doubleSequences", "doubleIndexes", "brokenPromises", "wrongCharges"];
/// Where the batches begin; a statement's receipt is the second of its batch.
const FIRST: u64 = 4;
const INDEX: u64 = FIRST + 1;

pub(crate) fn all() -> Value {
    let groups = [splits(), sequences(), indexes(), broken(), charges()];
    let mut all: Map<_, _> = KINDS.map(str::to_owned).into_iter().zip(groups).collect();
    all.insert("claims".to_owned(), claims());
    all.into()
}

/// What a provider signed about one receipt.
#[derive(Clone)]
struct Statement {
    receipt: Receipt,
    terms: Terms,
    first: u64,
    signer: SecretKey,
}

impl Statement {
    fn new() -> Self {
        let mut receipt = receipt::ordinary();
        let terms = receipt::quote();
        receipt.terms = terms.hash().unwrap();
        receipt.charge = terms.prices.charge(&receipt.usage).unwrap();
        Self { receipt, terms, first: FIRST, signer: key(0x31) }
    }

    fn change(mut self, change: impl FnOnce(&mut Receipt)) -> Self {
        change(&mut self.receipt);
        self
    }

    /// Another answer in the same place.
    fn other(self) -> Self {
        self.change(|receipt| receipt.response = B256::repeat_byte(0x22))
    }

    fn under(mut self, change: impl FnOnce(&mut Terms)) -> Self {
        change(&mut self.terms);
        self.receipt.terms = self.terms.hash().unwrap();
        self
    }

    fn from(mut self, first: u64) -> Self {
        self.first = first;
        self
    }

    fn by(mut self, byte: u8) -> Self {
        self.signer = key(byte);
        self
    }

    /// The fields of a row, each behind `prefix`.
    fn fields(&self, prefix: &str) -> Map<String, Value> {
        let mut batch = leaves(3);
        batch[1] = self.receipt.leaf_hash();
        let promise = Promise {
            root: merkle::root(&batch),
            first: self.first,
            count: 3,
            not_before: B256::repeat_byte(0xb1),
            merge_by: self.receipt.time / 1000 + 60,
        };
        let terms = canonical_json(&self.terms).unwrap();
        let fields = [
            ("Count", decimal(promise.count).into()),
            ("First", decimal(promise.first).into()),
            ("Index", decimal(self.first + 1).into()),
            ("MergeBy", decimal(promise.merge_by).into()),
            ("NotBefore", json!(promise.not_before)),
            ("Path", json!(merkle::inclusion_path(&batch, 1))),
            ("Receipt", alloy_primitives::hex::encode_prefixed(self.receipt.encode()).into()),
            ("Root", json!(promise.root)),
            (
                "Signature",
                json!(Signature::sign(promise.digest(&self.receipt.domain), &self.signer)),
            ),
            ("Terms", String::from_utf8(terms).unwrap().into()),
        ];
        fields.map(|(name, value)| (format!("{prefix}{name}"), value)).into_iter().collect()
    }
}

/// A fault's id, as the contract makes it of 32-byte words.
fn id(group: &str, place: B256) -> B256 {
    let kind = KINDS.iter().position(|kind| *kind == group).unwrap();
    let words = [address_of(&key(0x31)).into_word(), B256::from(U256::from(kind)), place];
    keccak256(words.concat())
}

/// `keccak256(abi.encode(keccak256(origin), number))`: a place in a log.
fn in_log(origin: &str, number: u64) -> B256 {
    keccak256([keccak256(origin), B256::from(U256::from(number))].concat())
}

fn in_channel(receipt: &Receipt) -> B256 {
    let Receipt { domain: Domain { chain, settlement }, channel, sequence, .. } = receipt;
    let [chain, sequence] = [chain, sequence].map(|number| B256::from(U256::from(*number)));
    keccak256([chain, settlement.into_word(), *channel, sequence].concat())
}

/// A row: `fault` is its id, or `None` where there is none.
fn row(
    name: &str,
    fault: Option<B256>,
    fields: impl IntoIterator<Item = (String, Value)>,
) -> Value {
    let mut row: Map<_, _> = fields.into_iter().collect();
    row.insert("case".to_owned(), name.into());
    row.insert("fault".to_owned(), fault.map_or("".into(), |id| json!(id)));
    row.into()
}

fn pair(name: &str, fault: Option<B256>, first: &Statement, second: &Statement) -> Value {
    row(name, fault, first.fields("first").into_iter().chain(second.fields("second")))
}

fn sequences() -> Value {
    let (one, other) = (Statement::new(), Statement::new().other());
    let id = Some(id("doubleSequences", in_channel(&one.receipt)));
    let elsewhere = |domain| other.clone().change(|receipt| receipt.domain = domain);
    let [domain, far] = domains();
    let none = |statement: &Statement| statement.clone().change(|r| r.channel = B256::ZERO);
    json!([
        pair("two answers in one place", id, &one, &other),
        pair("the other way round", id, &other, &one),
        pair("promised at two indexes", id, &one, &other.clone().from(9)),
        pair("the same receipt twice", None, &one, &one.clone().from(9)),
        pair("another chain", None, &one, &elsewhere(Domain { chain: far.chain, ..domain })),
        pair(
            "another settlement",
            None,
            &one,
            &elsewhere(Domain { settlement: far.settlement, ..domain })
        ),
        pair("no channel", None, &none(&one), &none(&other)),
        pair("the next in the channel", None, &one, &other.clone().change(|r| r.sequence += 1)),
        pair(
            "another channel",
            None,
            &one,
            &other.clone().change(|r| r.channel = B256::repeat_byte(1))
        ),
        pair(
            "another provider",
            None,
            &one,
            &other.clone().change(|r| r.provider = address_of(&key(0x32))).by(0x32)
        ),
        pair("signed by somebody else", None, &one, &other.by(0x32)),
    ])
}

fn indexes() -> Value {
    // Not one place in the channel, so that this is their only contradiction.
    let one = Statement::new();
    let other = one.clone().change(|receipt| receipt.sequence += 1);
    let id = Some(id("doubleIndexes", in_log(&one.terms.log.origin, INDEX)));
    // Text of a stranger that looks like the member that names the log.
    let posing =
        r#"","log":{"key":"","merge_delay_s":60,"origin":"vouch.example/log"},"model":"{["#;
    let two_logs = other.clone().under(|terms| terms.log.origin = "vouch.example/other".into());
    let mut other_terms = other.clone();
    other_terms.terms.log.merge_delay_s += 1;
    json!([
        pair("two receipts at one index", id, &one, &other),
        pair("the other way round", id, &other, &one),
        pair("under other prices", id, &one, &other.clone().under(|terms| terms.prices.input += 1)),
        pair(
            "a model's name that poses as a log",
            id,
            &one,
            &other.clone().under(|terms| terms.model = posing.into())
        ),
        pair("the next index", None, &one, &other.clone().from(FIRST + 1)),
        pair("another log", None, &one, &two_logs),
        pair(
            "another log, and a model's name that poses as this one",
            None,
            &one,
            &two_logs.clone().under(|terms| terms.model = posing.into())
        ),
        pair("the same receipt twice", None, &one, &one),
        pair("not the receipt's terms", None, &one, &other_terms),
        pair("signed by somebody else", None, &one, &other.by(0x32)),
    ])
}

/// A note of the log, signed by its Ed25519 key and by `signer`.
fn note(origin: &str, size: u64, root: B256, signer: &SecretKey) -> (Note, Signature) {
    let checkpoint = Checkpoint { origin: origin.into(), size, root };
    let (text, signature) = (checkpoint.text(), Signature::sign(checkpoint.digest(), signer));
    let signatures = vec![
        note::sign_ed25519(origin, &log::log_key(), &text),
        note::sign_eip712(origin, address_of(signer), &signature),
    ];
    (Note { text, signatures }, signature)
}

fn splits() -> Value {
    let origin = receipt::quote().log.origin;
    let provider = address_of(&key(0x31));
    let case = |name: &str, proven: bool, sizes: [u64; 2], roots: [u8; 2], signers: [u8; 2]| {
        let fault = proven.then(|| id("splitLogs", in_log(&origin, sizes[0])));
        let signed = |at: usize| {
            let root = B256::repeat_byte(roots[at]);
            let (note, signature) = note(&origin, sizes[at], root, &key(signers[at]));
            (note.to_string(), root, signature)
        };
        let (first, second) = (signed(0), signed(1));
        let fields = json!({
            "firstNote": first.0, "firstRoot": first.1, "firstSignature": first.2,
            "logKey": receipt::quote().log.key, "origin": origin,
            "provider": lower(provider), "size": decimal(sizes[0]),
            "secondNote": second.0, "secondRoot": second.1, "secondSignature": second.2,
        });
        row(name, fault, fields.as_object().unwrap().clone())
    };
    json!([
        case("two roots of one size", true, [7, 7], [1, 2], [0x31; 2]),
        case("the other way round", true, [7, 7], [2, 1], [0x31; 2]),
        case("the same root twice", false, [7, 7], [1, 1], [0x31; 2]),
        case("the next size", false, [7, 8], [1, 2], [0x31; 2]),
        case("signed by somebody else", false, [7, 7], [1, 2], [0x31, 0x32]),
    ])
}

fn broken() -> Value {
    const KEPT: &str = "the promise is kept";
    let one = Statement::new();
    let origin = one.terms.log.origin.clone();
    let place = Some(id("brokenPromises", in_log(&origin, INDEX)));
    let case = |name: &str, fault, origin: &str, size: u64, at: u64, signer: u8| {
        let mut log = leaves(size);
        if name == KEPT {
            log[at as usize] = one.receipt.leaf_hash();
        }
        let (note, signature) = note(origin, size, merkle::root(&log), &key(signer));
        let fields = json!({
            "leaf": log[at as usize], "logNote": note.to_string(),
            "logPath": merkle::inclusion_path(&log, at as usize),
            "logRoot": merkle::root(&log), "logSignature": signature, "logSize": decimal(size),
        });
        let fields = fields.as_object().unwrap().clone().into_iter();
        row(name, fault, fields.chain(one.fields("first")))
    };
    json!([
        case("another leaf at its index", place, &origin, 9, INDEX, 0x31),
        case("at the log's end", place, &origin, INDEX + 1, INDEX, 0x31),
        case(KEPT, None, &origin, 9, INDEX, 0x31),
        case("a leaf at another index", None, &origin, 9, INDEX - 1, 0x31),
        case("not so far yet", None, &origin, INDEX, INDEX - 1, 0x31),
        case("another log", None, "vouch.example/other", 9, INDEX, 0x31),
        case("signed by somebody else", None, &origin, 9, INDEX, 0x32),
    ])
}

fn charges() -> Value {
    let case = |name: &str, proven: bool, prices, usage, charge| {
        let one = Statement::new().under(|terms| terms.prices = prices).change(|receipt| {
            (receipt.usage, receipt.charge) = (usage, charge);
        });
        let fault = proven.then(|| id("wrongCharges", one.receipt.digest()));
        row(name, fault, one.fields("first"))
    };
    let usage = |input, cached, output| Usage { input, cached, output };
    let one = Prices { input: 1, cached: 1, output: 1, request: 0 };
    let ordinary = receipt::quote().prices;
    let dear = Prices { output: u128::MAX, ..Default::default() };
    let most = Prices { request: u128::MAX, ..one };
    let mut other = Statement::new();
    other.terms.prices.request += 1;
    json!([
        case("one too many", true, ordinary, usage(10, 0, 3), 13),
        case("one too few", true, ordinary, usage(10, 0, 3), 11),
        case("rounded down", true, one, usage(1_000_000, 1, 0), 1),
        case("more than 128 bits", true, dear, usage(0, 0, 2), u128::MAX),
        case("more than 128 bits with the request", true, most, usage(1, 0, 0), u128::MAX),
        case("exact", false, ordinary, usage(10, 0, 3), 12),
        case("nothing", false, one, usage(0, 0, 0), 0),
        case("rounded up", false, one, usage(1, 0, 0), 1),
        case("a whole price", false, one, usage(999_998, 1, 1), 1),
        case("a whole price and one", false, one, usage(1_000_000, 1, 0), 2),
        case("the dearest token", false, dear, usage(0, 0, 1), u128::MAX / 1_000_000 + 1),
        case("the dearest request", false, most, usage(0, 0, 0), u128::MAX),
        row("not the receipt's terms", None, other.fields("first")),
    ])
}

/// Whether a receipt covers what was claimed of its channel: `covers` is "1" or "0".
fn claims() -> Value {
    let case = |name: &str, statement: &Statement, claimed: u128, covers: bool| {
        let mut row = statement.fields("first");
        row.insert("case".to_owned(), name.into());
        row.insert("channel".to_owned(), json!(Statement::new().receipt.channel));
        row.insert("claimed".to_owned(), decimal(claimed).into());
        row.insert("covers".to_owned(), decimal(u8::from(covers)).into());
        Value::from(row)
    };
    let one = Statement::new();
    let settlement = Address::repeat_byte(0xd0);
    json!([
        case("all of it", &one, one.receipt.cumulative, true),
        case("more than it", &one, one.receipt.cumulative - 1, true),
        case("one less", &one, one.receipt.cumulative + 1, false),
        case(
            "another channel",
            &one.clone().change(|r| r.channel = B256::repeat_byte(1)),
            1,
            false
        ),
        case(
            "another settlement",
            &one.clone().change(|r| r.domain.settlement = settlement),
            1,
            false
        ),
        case("signed by somebody else", &one.by(0x32), 1, false),
    ])
}
