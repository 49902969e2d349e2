//! A stub of a provider that speaks `docs/PROTOCOL.md` with the formats of `core` and `wire`, and
//! can break its word. It keeps the money as a gateway must, in memory, and panics nowhere: what a
//! test cares about it reads from [`Stub::books`].
#![allow(dead_code, reason = "each test file uses a part of it")]

mod answer;
mod chain;
mod documents;
mod log;
mod money;
mod receipt;
pub(crate) mod sourced;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use alloy_primitives::B256;
use axum::extract::State;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use vouch_buyer::{Buyer, Clock, Policy, system_clock};
use vouch_core::{
    channel::{Channel, Reservation},
    data_use::Grant,
    money::Prices,
};
use vouch_model::tokenizer::Tokenizer;
use vouch_wallet::{LogKey, Wallet};
use vouch_wire::vouch::{Acknowledgement, ProviderDocument};

pub(crate) const MODEL: &str = "stub-model";
pub(crate) const CHAIN: u64 = 777_001;
pub(crate) const QUANTUM: u32 = 4;
/// Tokens of an answer where the request does not say.
pub(crate) const ANSWER_TOKENS: u32 = 24;
/// Tokens of any prompt.
pub(crate) const INPUT_TOKENS: u64 = 12;
pub(crate) const PRICES: Prices =
    Prices { input: 1_000_000, cached: 500_000, output: 10_000_000, request: 1 };

/// How the stub breaks its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misbehave {
    /// It charges one more than the terms say.
    Overcharge,
    /// It counts one more token than it gave.
    OverchargeTokens,
    /// It counts more tokens than it gave, and gives no ids by which to tell.
    NoIds,
    /// Its ids decode to another text.
    WrongIds,
    /// It does not show the tokenizer by which to tell.
    NoTokenizer,
    /// Its receipt commits to another response.
    WrongResponse,
    /// Its receipt is for another request.
    WrongRequest,
    /// It gives the receipt of an earlier call.
    OldReceipt,
    /// It never gives a receipt, and forgets the call.
    NoReceipt,
    /// The connection dies in mid-stream; the receipt is there.
    Dies,
    /// The connection dies in mid-stream, and the answer with the receipt is another.
    ChangesAnswer,
    /// It fails at the first sending of each call, and does not know it afterwards.
    Stumbles,
    /// It fails at every sending, and does nothing.
    Fails,
    /// It takes a payment and says nothing.
    Hangs,
    /// It goes on in mid-stream without saying anything, for ever.
    Drips,
    /// The total grows by a charge that was never receipted.
    PhantomCharge,
    /// It leaves a place free for a receipt that it may show later.
    SkipsSequence,
    /// It dates its receipt and promise an hour back.
    DatesBack,
    /// It dates its receipt an hour ahead.
    DatesAhead,
    /// It gives each receipt the first one's sequence.
    SameSequence,
    /// It promises each receipt the same place in the log.
    SameIndex,
    /// Somebody else signs the promise.
    ForeignPromise,
    /// It acknowledges with another call's nonce.
    OtherNonce,
    /// It asks for a thousand times what the calls can cost, before it begins.
    Overreach,
    /// It does so in mid-stream.
    OverreachLater,
    /// It claims the whole voucher when a channel is closed.
    ClaimsAll,
    /// It says that it closed a channel, and did not.
    SaysClosed,
    /// It shows another log at the same size.
    Equivocates,
    /// It rewrites the log before it grows.
    Rewrites,
    /// It rewrites the log and has no path to the new one.
    RewritesInSilence,
    /// It shows each who looks another log from here on.
    Forks,
    /// It signs checkpoints with the Ed25519 key alone.
    HalfSigned,
    /// It never logs what it promised.
    NeverLogs,
    /// It gives no receipt for the last of an answer's sources.
    KeepsUse,
    /// It credits the owner of a source one less than the answer says.
    CreditsLess,
}

/// All that it can do while it sells.
pub(crate) const WHILE_SELLING: [Misbehave; 25] = {
    use Misbehave::*;
    [
        Overcharge,
        OverchargeTokens,
        NoIds,
        WrongIds,
        NoTokenizer,
        WrongResponse,
        WrongRequest,
        OldReceipt,
        NoReceipt,
        Dies,
        ChangesAnswer,
        Stumbles,
        Fails,
        Hangs,
        Drips,
        PhantomCharge,
        SkipsSequence,
        DatesBack,
        DatesAhead,
        SameSequence,
        SameIndex,
        ForeignPromise,
        OtherNonce,
        Overreach,
        OverreachLater,
    ]
};

/// What a test looks at.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) misbehave: Option<Misbehave>,
    /// What the chain knows: balances by channel, what was claimed of them, the buyer's purse.
    pub(crate) balances: BTreeMap<B256, u128>,
    pub(crate) claims: BTreeMap<B256, u128>,
    pub(crate) purse: u128,
    pub(crate) salts: BTreeSet<B256>,
    pub(crate) faucet_gives: u128,
    /// By channel, the highest voucher that was seen.
    pub(crate) highest: BTreeMap<B256, u128>,
    /// Charges by the call's commitment: a second entry is a double charge.
    pub(crate) charges: Vec<(B256, u128)>,
    /// How often each call's commitment was sent.
    pub(crate) sent: BTreeMap<B256, u32>,
    /// Each voucher that came, in order.
    pub(crate) vouchers: Vec<u128>,
    /// Most that was ever signed beyond what was charged or had been generated by then; and that
    /// in mid-stream.
    pub(crate) most_ahead: u128,
    pub(crate) most_ahead_later: u128,
    /// What was generated so far costs, by the running call's commitment.
    earned: BTreeMap<B256, u128>,
    pub(crate) generated: u64,
    pub(crate) closed: Vec<B256>,
    channels: BTreeMap<B256, Channel>,
    holds: BTreeMap<B256, Reservation>,
    answers: BTreeMap<B256, (Acknowledgement, Value)>,
    first: Option<Acknowledgement>,
    looks: u8,
    log: log::Log,
}

/// A running stub.
pub(crate) struct Stub {
    pub(crate) url: String,
    pub(crate) inner: Arc<Inner>,
    server: JoinHandle<()>,
}

pub(crate) struct Inner {
    books: Mutex<Books>,
    pub(crate) model: String,
    pub(crate) prices: Mutex<Prices>,
    wallet: Wallet,
    log_key: LogKey,
    tokenizer: Tokenizer,
    identity: Value,
    pub(crate) document: ProviderDocument,
    /// Pause between tokens.
    pub(crate) pace: Mutex<Duration>,
    /// Where set, answers are made from these, credited by rule.
    pub(crate) grants: Mutex<Vec<Grant>>,
}

type Shared = State<Arc<Inner>>;

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stub {
    pub(crate) async fn start() -> Self {
        Self::selling(MODEL).await
    }

    pub(crate) async fn selling(model: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = tempfile::tempdir().unwrap();
        let wallet = Wallet::random().unwrap();
        let log_key = LogKey::open_or_create(keys.path(), "").unwrap();
        let tokenizer = documents::byte_tokenizer();
        let inner = Arc::new(Inner {
            books: Mutex::new(Books { faucet_gives: 10_000_000, ..Books::default() }),
            model: model.to_owned(),
            prices: Mutex::new(PRICES),
            identity: json!({"architecture": "stub", "tokenizer": tokenizer.hash()}),
            document: documents::provider(&url, &wallet, &log_key, model),
            wallet,
            log_key,
            tokenizer,
            pace: Mutex::default(),
            grants: Mutex::default(),
        });
        let router = documents::router(Arc::clone(&inner));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inner, server }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.inner.books.lock()
    }

    pub(crate) fn misbehave(&self, how: Misbehave) {
        self.books().misbehave = Some(how);
    }

    /// Answers nobody any more.
    pub(crate) fn stop(&self) {
        self.server.abort();
    }
}

impl Inner {
    fn is(&self, how: Misbehave) -> bool {
        self.books.lock().misbehave == Some(how)
    }
}

/// A buyer of this stub whose journal is in `dir`.
pub(crate) fn buyer(dir: &Path, stub: &Stub, policy: Policy) -> Buyer {
    buyer_at(dir, &[stub], policy, system_clock())
}

/// As [`buyer`]; `None` while another has the directory.
pub(crate) fn try_buyer(dir: &Path, stub: &Stub, policy: Policy) -> Option<Buyer> {
    let wallet = Wallet::open_or_create(dir, "").unwrap();
    Buyer::open(dir, wallet, policy, system_clock(), std::slice::from_ref(&stub.url)).ok()
}

/// A buyer of some stubs.
pub(crate) fn buyer_at(dir: &Path, stubs: &[&Stub], policy: Policy, clock: Clock) -> Buyer {
    let urls: Vec<_> = stubs.iter().map(|stub| stub.url.clone()).collect();
    buyer_of(dir, &urls, policy, clock)
}

/// A buyer of whoever is at these addresses.
pub(crate) fn buyer_of(dir: &Path, urls: &[String], policy: Policy, clock: Clock) -> Buyer {
    install_tls();
    let wallet = Wallet::open_or_create(dir, "").unwrap();
    Buyer::open(dir, wallet, policy, clock, urls).unwrap()
}

pub(crate) fn install_tls() {
    // Another test of this process may have done it.
    drop(rustls::crypto::ring::default_provider().install_default());
}

pub(crate) fn policy(total: u128, per_call: u128) -> Policy {
    let mut policy = Policy::new(total, per_call);
    policy.receipt_timeout = Duration::from_millis(700);
    policy
}

fn now_ms() -> u64 {
    system_clock()()
}
