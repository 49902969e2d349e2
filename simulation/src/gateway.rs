//! A gateway: thin glue over the real store, signatures and rules, as `vouch_gateway` is over its
//! sockets.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use alloy_primitives::{Address, B256, U256, keccak256};
use vouch_core::{
    channel::{ChannelError, Following, Look, Mode, SignedVoucher},
    commitment,
    log::note,
    money::Usage,
    receipt::{Kind, Receipt, Status, Tier, flags},
    request,
    signature::Signature,
};
use vouch_journal::{Options, testing::MemoryDisk};
use vouch_store::{
    Acknowledged, Begun, Call as StoreCall, ChannelView, Config, Error, Hold, Pending, Store,
    testing::SteppedStore,
};

use crate::{
    chain::{Chain, Channel},
    message::{Payment, RESOURCE, Said},
    parties::{DOMAIN, FINALITY, PRICES, Provider, QUANTUM, TOKEN, WITHDRAW_DELAY_S, parties},
    tiles::MemoryTiles,
};

/// How far ahead a request may expire, in seconds.
pub const MAX_REQUEST_LIFE_S: u64 = 300;
/// How long answers are kept, in milliseconds: longer than requests live by more than clocks jump.
pub const RETENTION_MS: u64 = 600_000;
/// The chain's last view counts for so long, in milliseconds.
const STALE_AFTER_MS: u64 = 240_000;
/// How often a stream asks in vain for a voucher before it ends.
const PATIENCE: u32 = 6;

/// The time of the world, and how far a gateway's clock is off.
#[derive(Debug, Default)]
pub struct Clock {
    /// True Unix milliseconds.
    pub now_ms: Arc<AtomicU64>,
    /// Added to them, in milliseconds.
    pub skew_ms: AtomicI64,
}

impl Clock {
    /// What the gateway believes.
    #[must_use]
    pub fn read_ms(&self) -> u64 {
        let skew_ms = self.skew_ms.load(Ordering::Relaxed);
        self.now_ms.load(Ordering::Relaxed).saturating_add_signed(skew_ms)
    }
}

/// What a gateway does to the world.
#[derive(Debug)]
pub enum Effect {
    /// Says something to a payer about a call.
    Said(usize, B256, Said),
    /// Sends a transaction; its number is the world's to give.
    Send(crate::chain::Call),
    /// Has read the chain: one channel, or what a look reads.
    Looked(Option<B256>),
}

/// A call in flight.
#[derive(Debug)]
struct Running {
    hold: Hold,
    payer: usize,
    call: B256,
    stream: bool,
    max_charge: u128,
    /// Tokens that the engine will give.
    tokens: u64,
    served: u64,
    patience: u32,
}

/// A gateway whose process runs.
#[derive(Debug)]
pub struct Process {
    store: SteppedStore,
    calls: Vec<Running>,
    /// Answers that wait for their sync: payer, call.
    waiting: Vec<(usize, B256, Pending<Acknowledged>)>,
    following: Following,
    /// Channels whose claim cannot wait and has not gone through yet.
    urgent: BTreeSet<B256>,
    clock: Arc<Clock>,
    provider: &'static Provider,
    /// The store has stopped: nothing but a new start helps.
    pub stopped: bool,
    /// What it did and the world has not taken yet.
    pub effects: Vec<Effect>,
}

/// Why a call does not run.
enum Refusal {
    /// What was paid does not hold.
    Bad,
    Store(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

fn ready<T>(pending: &mut Pending<T>) -> Option<vouch_store::Result<T>> {
    match Pin::new(pending).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// The price of so many tokens.
#[must_use]
pub fn price(tokens: u64) -> u128 {
    PRICES.charge(&Usage { output: tokens, ..Usage::default() }).unwrap_or(u128::MAX)
}

fn config(provider: &'static Provider, clock: &Arc<Clock>) -> Config {
    let clock = Arc::clone(clock);
    let mut config = Config::new(
        DOMAIN,
        provider.origin.clone(),
        Arc::new(move || clock.read_ms()),
        Arc::new(|promise| Ok(Signature::sign(promise.digest(&DOMAIN), &provider.party.key))),
        Arc::new(|checkpoint| {
            let signature = Signature::sign(checkpoint.digest(), &provider.party.key);
            Ok(vec![
                note::sign_ed25519(&checkpoint.origin, &provider.log, &checkpoint.text()),
                note::sign_eip712(&checkpoint.origin, provider.party.address, &signature),
            ])
        }),
    );
    config.answer_retention_ms = RETENTION_MS;
    config.chain_stale_after_ms = Some(STALE_AFTER_MS);
    // Small, so that a run goes through many files.
    config.journal = Options { segment_bytes: 32 << 10, preallocate_bytes: 4 << 10 };
    config
}

impl Process {
    /// Starts on what the disk has. `known` is what an anchor and a witness have of the log: one
    /// that is behind them must not go on.
    ///
    /// # Errors
    /// Those of the store.
    pub fn start(
        number: usize,
        disk: &MemoryDisk,
        tiles: &Arc<MemoryTiles>,
        clock: &Arc<Clock>,
        known: &[(u64, B256)],
    ) -> vouch_store::Result<Self> {
        let provider = &parties().providers[number];
        let config = config(provider, clock);
        let tiles = Arc::clone(tiles);
        let (store, _) = SteppedStore::open_on(Box::new(disk.clone()), tiles, config)?;
        for (size, root) in known {
            store.store().check_extends(*size, *root)?;
        }
        Ok(Self {
            store,
            calls: Vec::new(),
            waiting: Vec::new(),
            following: Following::default(),
            urgent: BTreeSet::new(),
            clock: Arc::clone(clock),
            provider,
            stopped: false,
            effects: Vec::new(),
        })
    }

    /// The store behind it: what its public routes answer from.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        self.store.store()
    }

    /// Whether a call runs.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.calls.is_empty()
    }

    fn noting<T>(&mut self, answer: vouch_store::Result<T>) -> vouch_store::Result<T> {
        self.stopped |= answer.as_ref().is_err_and(|error| error.code() == "stopped");
        answer
    }

    /// Commits until an operation is answered.
    fn wait<T>(&mut self, mut pending: Pending<T>) -> vouch_store::Result<T> {
        loop {
            if let Some(answer) = ready(&mut pending) {
                return self.noting(answer);
            }
            self.commit();
        }
    }

    /// One turn of the committer; what is durable then is answered.
    pub fn commit(&mut self) {
        self.store.commit();
        for (payer, call, mut pending) in std::mem::take(&mut self.waiting) {
            match ready(&mut pending) {
                None => self.waiting.push((payer, call, pending)),
                Some(answer) => {
                    if let Ok(acknowledged) = self.noting(answer) {
                        let said = Said::Answer(Box::new(acknowledged));
                        self.effects.push(Effect::Said(payer, call, said));
                    }
                }
            }
        }
    }

    /// Takes a payment in.
    pub fn pay(&mut self, payment: &Payment, chain: &Chain) {
        let begun = match &payment.session {
            Some(_) => self.session(payment, chain),
            None => self.stock(payment, chain),
        };
        let said = match begun {
            Ok(None) => return,
            Ok(Some(said)) => said,
            Err(refusal) => self.refused(&refusal),
        };
        self.effects.push(Effect::Said(payment.payer, payment.call, said));
    }

    fn refused(&mut self, refusal: &Refusal) -> Said {
        let (mut expected, mut required, mut gone) = (None, None, false);
        if let Refusal::Store(error) = refusal {
            self.stopped |= error.code() == "stopped";
            match error {
                Error::Channel(ChannelError::CumulativeMismatch { expected: total, .. }) => {
                    expected = Some(*total);
                }
                Error::Channel(ChannelError::VoucherNeeded { required: total, .. }) => {
                    required = Some(*total);
                }
                Error::Channel(ChannelError::Frozen(_)) => gone = true,
                _ => {}
            }
        }
        Said::Refused { expected, required, gone }
    }

    /// The channel's parties must be those that are offered.
    fn check_channel(&self, payment: &Payment) -> Result<B256, Refusal> {
        let config = &payment.channel.config;
        let offered = config.receiver == self.provider.party.address
            && config.receiver_authorizer == self.provider.party.address
            && config.payer_authorizer != Address::ZERO
            && config.token == TOKEN
            && config.withdraw_delay == WITHDRAW_DELAY_S;
        let id = config.id(&DOMAIN);
        let same = payment.voucher.voucher.channel_id == id;
        if offered && same { Ok(id) } else { Err(Refusal::Bad) }
    }

    fn session(&mut self, payment: &Payment, chain: &Chain) -> Result<Option<Said>, Refusal> {
        let Some((nonce, request, signature)) = &payment.session else { return Err(Refusal::Bad) };
        let signer = payment.channel.config.voucher_signer();
        if request.request != commitment::request(nonce, RESOURCE, &payment.body()) {
            return Err(Refusal::Bad);
        }
        signature.verify(request.digest(&DOMAIN), signer).map_err(|_| Refusal::Bad)?;
        // What was answered before is answered again, whatever has changed since.
        if let Some(stored) = self.store().answer(&request.channel, &request.request)? {
            return Ok(Some(Said::Answer(Box::new(stored.acknowledged))));
        }
        let id = self.check_channel(payment)?;
        if request.channel != id || request.terms != self.provider.terms_hash {
            return Err(Refusal::Bad);
        }
        let now_s = self.clock.read_ms() / 1000;
        request::check_expiry(request.expiry, now_s, MAX_REQUEST_LIFE_S)
            .map_err(|_| Refusal::Bad)?;
        let accepted = self.store().channel(&id).map_or(0, |known| known.accepted);
        let voucher = match payment.voucher.voucher.max_claimable_amount > accepted {
            true => Some(self.check_voucher(payment)?),
            false => None,
        };
        let tokens = match payment.stream {
            true => payment.max_tokens.min(QUANTUM),
            false => payment.max_tokens,
        };
        let amount = price(tokens).min(request.max_charge);
        let call = StoreCall { channel: id, request: request.request, amount, voucher };
        self.begin(payment, chain, Mode::Session, call, request.max_charge)
    }

    fn stock(&mut self, payment: &Payment, chain: &Chain) -> Result<Option<Said>, Refusal> {
        let id = self.check_channel(payment)?;
        let amount = price(payment.max_tokens);
        let voucher = self.check_voucher(payment)?;
        // The provider's nonce: every stock call is another one.
        let size = self.store().size().to_be_bytes();
        let nonce = keccak256([payment.call.as_slice(), &size, &self.now_bytes()].concat());
        let request = commitment::request(&nonce, RESOURCE, &payment.body());
        let call = StoreCall { channel: id, request, amount, voucher: Some(voucher) };
        self.begin(payment, chain, Mode::Stock, call, amount)
    }

    fn now_bytes(&self) -> [u8; 8] {
        self.clock.read_ms().to_be_bytes()
    }

    fn check_voucher(&self, payment: &Payment) -> Result<SignedVoucher, Refusal> {
        let signer = payment.channel.config.voucher_signer();
        payment.voucher.verify(&DOMAIN, signer).map_err(|_| Refusal::Bad)?;
        Ok(payment.voucher)
    }

    fn begin(
        &mut self,
        payment: &Payment,
        chain: &Chain,
        mode: Mode,
        call: StoreCall,
        max_charge: u128,
    ) -> Result<Option<Said>, Refusal> {
        match self.store().channel(&call.channel) {
            Some(known) if known.mode != mode => return Err(Refusal::Bad),
            Some(_) => {}
            None => self.open(payment.channel, mode, chain)?,
        }
        let begun = match self.store().reserve(&call) {
            Err(Error::Channel(ChannelError::OverDeposit { .. })) => {
                // The payer may have deposited without telling.
                let seen = chain.observe(&call.channel, FINALITY);
                let observed = self.store().observe(call.channel, seen);
                self.wait(observed)?;
                self.following.read_apart([call.channel]);
                self.effects.push(Effect::Looked(Some(call.channel)));
                self.store().reserve(&call)?
            }
            begun => begun?,
        };
        let hold = match begun {
            Begun::New(hold) => hold,
            Begun::Repeat(stored) => return Ok(Some(Said::Answer(Box::new(stored.acknowledged)))),
        };
        let held = hold.amount();
        self.calls.push(Running {
            hold,
            payer: payment.payer,
            call: payment.call,
            stream: payment.stream && mode == Mode::Session,
            max_charge,
            tokens: 1 + u64::from(payment.call[0]) % payment.max_tokens,
            served: 0,
            patience: PATIENCE,
        });
        Ok(Some(Said::Started { held }))
    }

    fn open(&mut self, channel: Channel, mode: Mode, chain: &Chain) -> Result<(), Refusal> {
        let seen = chain.observe(&channel.id, FINALITY);
        if seen.balance == 0 {
            return Err(Refusal::Bad);
        }
        let opened = self.store().open_channel(channel.config, mode, seen);
        self.wait(opened)?;
        self.following.read_apart([channel.id]);
        self.effects.push(Effect::Looked(Some(channel.id)));
        Ok(())
    }

    /// Takes a higher voucher in.
    pub fn voucher(&mut self, channel: &Channel, voucher: SignedVoucher) {
        let signer = channel.config.voucher_signer();
        if self.store().channel(&channel.id).is_some() && voucher.verify(&DOMAIN, signer).is_ok() {
            let accepted = self.store().accept(voucher);
            let accepted = self.wait(accepted);
            // A refusal is the payer's to notice.
            drop(accepted);
        }
    }

    /// Closes a channel with its payer's consent, as `Settler::close` does.
    pub fn close(&mut self, channel: &Channel, voucher: &SignedVoucher, chain: &Chain) {
        let signer = channel.config.voucher_signer();
        let Some(known) = self.store().channel(&channel.id) else { return };
        // A voucher below what was charged is an old one, which proves no wish to close now.
        let old = voucher.voucher.max_claimable_amount < known.charged;
        if old || known.reserved > 0 || voucher.verify(&DOMAIN, signer).is_err() {
            return;
        }
        let closed = self.store().close_channel(channel.id);
        let Ok(view) = self.wait(closed) else { return };
        let newest = chain.state(0).channels.get(&channel.id).copied().unwrap_or_default();
        let rest = newest.balance.saturating_sub(view.charged.max(newest.claimed));
        // Where the claim is lost and the refund is not, what is claimable stays.
        self.claim(|view| view.id == channel.id);
        if rest > 0 && !self.stopped {
            let refund = crate::chain::Call::Refund { channel: *channel, amount: rest };
            self.effects.push(Effect::Send(refund));
        }
    }

    /// The payer of a call leaves: what was served is charged.
    pub fn leave(&mut self, call: &B256) {
        if let Some(place) = self.calls.iter().position(|running| running.call == *call) {
            let running = self.calls.swap_remove(place);
            if running.served > 0 {
                self.finish(running, Status::StoppedByPayer);
            } else {
                self.effects.push(Effect::Said(running.payer, running.call, Said::Left));
            }
        }
    }

    /// The engine gives `more` tokens to the call at `place`, modulo their number.
    pub fn generate(&mut self, place: usize, more: u64) {
        let count = self.calls.len();
        if count == 0 {
            return;
        }
        let mut running = self.calls.swap_remove(place % count);
        let next = running.tokens.min(running.served + more);
        let worth = price(next).min(running.max_charge);
        if running.stream && worth > running.hold.amount() && !self.extend(&mut running, next) {
            if running.patience == 0 {
                return self.finish(running, Status::OutOfFunds);
            }
            return self.calls.push(running);
        }
        running.served = next;
        if running.stream {
            let said = Said::Served { worth, held: running.hold.amount() };
            self.effects.push(Effect::Said(running.payer, running.call, said));
        }
        if next == running.tokens {
            self.finish(running, Status::Complete);
        } else {
            self.calls.push(running);
        }
    }

    /// Sets a quantum more aside; asks for a voucher where there is none for it.
    fn extend(&mut self, running: &mut Running, next: u64) -> bool {
        let target = price(next.max(running.served + QUANTUM)).min(running.max_charge);
        let more = target.saturating_sub(running.hold.amount());
        let extended = self.store.store().extend(&mut running.hold, more);
        match extended {
            Ok(()) => {
                running.patience = PATIENCE;
                return true;
            }
            Err(Error::Channel(ChannelError::VoucherNeeded { required, .. })) => {
                running.patience = running.patience.saturating_sub(1);
                let said = Said::VoucherNeeded { required };
                self.effects.push(Effect::Said(running.payer, running.call, said));
            }
            // A notice of withdrawal or a close: what is set aside is still charged.
            Err(_) => running.patience = 0,
        }
        false
    }

    fn finish(&mut self, running: Running, status: Status) {
        let charge = price(running.served).min(running.hold.amount()).min(running.max_charge);
        let draft = self.draft(&running, status, charge);
        let answer = running.call.to_vec();
        let pending = self.store.store().commit(running.hold, draft, answer);
        self.waiting.push((running.payer, running.call, pending));
    }

    fn draft(&self, running: &Running, status: Status, charge: u128) -> Receipt {
        let hash = keccak256(running.call);
        Receipt {
            version: vouch_core::receipt::VERSION,
            domain: DOMAIN,
            kind: Kind::Inference,
            status,
            tier: Tier::Signed,
            flags: if running.stream { 0 } else { flags::CALLERS_SEED },
            provider: self.provider.party.address,
            agent: U256::ZERO,
            payer: parties().payers[running.payer].address,
            channel: running.hold.channel(),
            sequence: 0,
            request: running.hold.request(),
            response: hash,
            tokens: hash,
            usage: Usage { input: 0, cached: 0, output: running.served },
            model: self.provider.terms.identity,
            sampling: hash,
            seed: hash,
            commitment: B256::ZERO,
            terms: self.provider.terms_hash,
            charge,
            cumulative: 0,
            asset: TOKEN,
            parent: B256::ZERO,
            time: self.clock.read_ms(),
        }
    }

    /// Publishes a checkpoint, or its first half only: what then happens is the committer's. True
    /// if the one that is out now was begun here.
    pub fn publish(&mut self, whole: bool) -> bool {
        let begun = self.store.sequence();
        let Ok(begun) = self.noting(begun) else { return false };
        if !whole {
            return false;
        }
        self.commit();
        let released = self.store.release();
        // As its publisher does once there is much; a failure costs memory alone.
        if self.store().size().is_multiple_of(3) {
            self.store.index().ok();
        }
        self.noting(released).is_ok() && begun
    }

    /// Takes a witness's line in.
    pub fn cosign(&mut self, text: &str, line: note::NoteSignature) {
        // It may be for an older checkpoint, which the witness then learns.
        self.store.cosign(text, line).ok();
    }

    /// One look at the chain, as the settler's.
    pub fn look(&mut self, chain: &Chain) {
        let head = chain.newest().head;
        let still_there = self.following.newest().is_none_or(|last| chain.has(last));
        let look = self.following.look(head, still_there);
        let named: BTreeSet<B256> = match look {
            Look::Nothing => BTreeSet::new(),
            Look::Events { from, to } => chain.touched(from, to),
            Look::All => self.store().channels().iter().map(|view| view.id).collect(),
        };
        let named: BTreeSet<B256> =
            named.into_iter().filter(|id| self.store().channel(id).is_some()).collect();
        let newest_final = head.number.saturating_sub(FINALITY);
        let reads = self.following.reads(&named, newest_final);
        let told: Vec<_> =
            reads.iter().map(|id| self.store().observe(*id, chain.observe(id, FINALITY))).collect();
        for pending in told {
            let Ok(observed) = self.wait(pending) else { return };
            let view = &observed.channel;
            // As `settle` has it: at once what froze, and after a reorganisation what is frozen.
            let cannot_wait = observed.froze || (look == Look::All && view.frozen.is_some());
            if cannot_wait && claimable(view).is_some() {
                self.urgent.insert(view.id);
            }
        }
        self.following.looked(look, named, head, newest_final);
        self.store().set_recent_block(head.hash);
        self.effects.push(Effect::Looked(None));
        let urgent = self.urgent.clone();
        if !urgent.is_empty() && !self.claim(|view| urgent.contains(&view.id)) {
            self.urgent.clear();
        }
    }

    /// Sends the claims of channels that `due` picks; false if there is nothing to claim.
    pub fn claim(&mut self, due: impl Fn(&ChannelView) -> bool) -> bool {
        let views = self.store().channels().into_iter().filter(due);
        let rows: Vec<_> =
            views.filter_map(|view| claimable(&view).map(|total| (view, total))).collect();
        if rows.is_empty() {
            return false;
        }
        let durable = self.store().durable();
        if self.wait(durable).is_err() {
            return true;
        }
        for (view, total) in rows {
            let Some(best) = view.best else { continue };
            let ceiling = best.voucher.max_claimable_amount;
            if view.mode == Mode::Stock {
                let noted = self.store().publish(view.id, ceiling);
                if self.wait(noted).is_err() {
                    return true;
                }
            }
            self.effects.push(Effect::Send(crate::chain::Call::Claim {
                channel: Channel { id: view.id, config: view.config },
                ceiling,
                signature: best.signature.0,
                total,
            }));
        }
        true
    }

    /// Anchors the newest checkpoint, if the chain has an older one.
    pub fn anchor(&mut self, log: usize, chain: &Chain) {
        let Some(published) = self.store().checkpoint() else { return };
        let (size, root) = (published.checkpoint.size, published.checkpoint.root);
        let anchored = chain.state(0).anchors.get(&log).map_or(0, |anchor| anchor.0);
        let provider = self.provider;
        let id = note::eip712_key_id(&provider.origin, provider.party.address);
        let Ok(note) = note::Note::parse(&published.note) else { return };
        if let Some(line) = note.by(&provider.origin, id).next()
            && size > anchored
        {
            let signature = line.to_vec();
            let call = crate::chain::Call::Anchor { log, size, root, signature };
            self.effects.push(Effect::Send(call));
        }
    }
}

fn claimable(view: &ChannelView) -> Option<u128> {
    view.on_chain.claimable(view.charged, view.accepted)
}
