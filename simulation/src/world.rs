//! The world: who acts next, what is lost on the way, what breaks.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use alloy_primitives::B256;
use vouch_core::promise::SignedPromise;
use vouch_evidence::fault::{self, Promised};
use vouch_journal::testing::{Fault, MemoryDisk};
use vouch_store::{Acknowledged, Store};

use crate::{
    chain::{Call, Chain, Transaction},
    gateway::{Clock, Effect, Process},
    message::{Message, Said},
    oracle::{Invariant, Judged, Oracle, Violation, ensure},
    parties::{FINALITY, FIRST_CHEAT, GATEWAYS, PAYERS, parties},
    payer::{Acts, Payer},
    random::Random,
    tiles::MemoryTiles,
    witness::Witness,
};

/// When it begins, in Unix milliseconds.
const BEGIN_MS: u64 = 1_790_000_000_000;
/// Messages under way beyond this number are delivered first.
const CROWDED: usize = 60;

/// What happened in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Answers that were judged, repeats too.
    pub receipts: u64,
    /// Checkpoints that were judged.
    pub checkpoints: u64,
    /// Claims that were mined.
    pub claims: u64,
    /// Processes that were killed, or whose disk or power failed.
    pub crashes: u64,
    /// Reorganisations.
    pub reorganisations: u64,
    /// Older copies of a disk that were tried, and refused.
    pub older_copies: u64,
}

impl Report {
    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.receipts += other.receipts;
        self.checkpoints += other.checkpoints;
        self.claims += other.claims;
        self.crashes += other.crashes;
        self.reorganisations += other.reorganisations;
        self.older_copies += other.older_copies;
    }
}

/// How a run failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed that repeats it.
    pub seed: u64,
    /// The step at which it failed.
    pub step: u64,
    /// What was broken.
    pub violation: Violation,
}

/// A copy of a gateway's files.
#[derive(Debug)]
struct Copy {
    disk: MemoryDisk,
    tiles: MemoryTiles,
    size: u64,
}

/// Where a gateway runs.
#[derive(Debug)]
struct Site {
    disk: MemoryDisk,
    tiles: Arc<MemoryTiles>,
    clock: Arc<Clock>,
    process: Option<Process>,
    /// The step at which it starts again.
    starts_at: u64,
    /// The settler is away until this step.
    away_until: u64,
    copy: Option<Copy>,
    /// An operation of the disk is to fail.
    broken: bool,
    /// The power, not only the process, is to fail with it.
    power_fails: bool,
    /// The last answer, to be held against the next.
    last: Option<Acknowledged>,
}

#[derive(Debug)]
struct World {
    random: Random,
    step: u64,
    now_ms: Arc<AtomicU64>,
    chain: Chain,
    sites: Vec<Site>,
    payers: Vec<Payer>,
    witness: Witness,
    network: Vec<Message>,
    oracle: Oracle,
    transactions: u64,
    report: Report,
    /// Nothing is lost any more.
    healed: bool,
}

/// Runs a world of this seed for so many steps.
///
/// # Errors
/// [`Failure`] at the first invariant that is broken.
pub fn run(seed: u64, steps: u64) -> Result<Report, Failure> {
    let mut world = World::new(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run(steps)));
    let judged = outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        let what = text.unwrap_or_else(|| "a panic".into());
        Err(Violation { invariant: Invariant::OwnAssertion, what })
    });
    let Oracle { receipts, checkpoints, claims, .. } = world.oracle;
    judged
        .map(|()| Report { receipts, checkpoints, claims, ..world.report })
        .map_err(|violation| Failure { seed, step: world.step, violation })
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let now_ms = Arc::new(AtomicU64::new(BEGIN_MS));
        let site = |skew_ms: i64| Site {
            disk: MemoryDisk::default(),
            tiles: Arc::default(),
            clock: Arc::new(Clock { now_ms: now_ms.clone(), skew_ms: AtomicI64::new(skew_ms) }),
            process: None,
            starts_at: 0,
            away_until: 0,
            copy: None,
            broken: false,
            power_fails: false,
            last: None,
        };
        let sites = (0..GATEWAYS).map(|_| site(skew(&mut random))).collect();
        Self {
            random,
            step: 0,
            chain: Chain::new(BEGIN_MS / 1000),
            sites,
            payers: (0..PAYERS).map(|number| Payer::new(number, number >= FIRST_CHEAT)).collect(),
            witness: Witness::default(),
            network: Vec::new(),
            oracle: Oracle::default(),
            transactions: 0,
            report: Report::default(),
            healed: false,
            now_ms,
        }
    }

    fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
    }

    fn run(&mut self, steps: u64) -> Judged {
        for gateway in 0..GATEWAYS {
            self.start(gateway)?;
        }
        for step in 0..steps {
            self.step = step;
            self.one()?;
        }
        self.end()
    }

    /// One step: one of all that may happen next.
    fn one(&mut self) -> Judged {
        let passed = self.random.below(2400);
        self.pass(passed);
        let gateway = self.random.index(GATEWAYS);
        if self.sites[gateway].process.is_none() && self.step >= self.sites[gateway].starts_at {
            return self.start(gateway);
        }
        if self.network.len() > CROWDED {
            return self.deliver();
        }
        match self.random.below(1000) {
            0..=349 => self.deliver(),
            350..=549 => self.pay(),
            550..=699 => self.with(gateway, |world, process| {
                let (place, more) = (world.random.index(64), world.random.between(1, 9));
                process.generate(place, more);
            }),
            700..=789 => self.with(gateway, |_, process| process.commit()),
            790..=819 => self.publish(gateway),
            820..=834 => self.witness(gateway),
            835..=917 => self.look(gateway),
            918..=925 => self.with(gateway, |_, process| {
                process.claim(|_| true);
            }),
            926..=931 => self.with(gateway, |world, process| {
                process.anchor(gateway, &world.chain);
            }),
            932..=984 => self.mine(),
            985..=988 => self.reorganise(),
            989..=992 => self.break_disk(gateway),
            993..=994 => self.kill(gateway),
            995..=996 => self.copy(gateway),
            _ => {
                self.sites[gateway].away_until = self.step + self.random.between(10, 250);
                Ok(())
            }
        }
    }

    /// Does something with a gateway that runs; then what it did is taken in.
    fn with(&mut self, gateway: usize, act: impl FnOnce(&mut Self, &mut Process)) -> Judged {
        let Some(mut process) = self.sites[gateway].process.take() else { return Ok(()) };
        act(self, &mut process);
        let (effects, stopped) = (std::mem::take(&mut process.effects), process.stopped);
        self.sites[gateway].process = Some(process);
        for effect in effects {
            self.effect(gateway, effect)?;
        }
        if stopped {
            self.crash(gateway);
        }
        Ok(())
    }

    fn effect(&mut self, gateway: usize, effect: Effect) -> Judged {
        match effect {
            Effect::Said(payer, call, said) => {
                self.oracle.said(gateway, call, &said)?;
                if let Said::Answer(acknowledged) = &said {
                    self.sites[gateway].last = Some(Acknowledged::clone(acknowledged));
                }
                if !matches!(said, Said::Started { .. } | Said::Served { .. } | Said::Left) {
                    self.send(Message::Said(payer, call, said));
                }
            }
            Effect::Send(call) => self.transact(call),
            Effect::Looked(channel) => {
                let process = self.sites[gateway].process.as_ref();
                let store = process.map(Process::store).filter(|_| channel.is_none());
                self.oracle.looked(gateway, channel, store, &self.chain)?;
            }
        }
        Ok(())
    }

    /// Puts a message on its way: it may be lost, or come twice.
    fn send(&mut self, message: Message) {
        if !self.healed && self.random.chance(60) {
            return;
        }
        if !self.healed && self.random.chance(60) {
            self.network.push(message.clone());
        }
        self.network.push(message);
    }

    fn transact(&mut self, call: Call) {
        self.transactions += 1;
        self.send(Message::Transaction(Transaction { number: self.transactions, call }));
    }

    /// A message arrives: any that is under way.
    fn deliver(&mut self) -> Judged {
        if self.network.is_empty() {
            return Ok(());
        }
        let place = self.random.index(self.network.len());
        match self.network.swap_remove(place) {
            Message::Pay(gateway, payment) => self.with(gateway, |world, process| {
                process.pay(&payment, &world.chain);
            }),
            Message::Voucher(gateway, channel, voucher) => {
                self.with(gateway, |_, process| process.voucher(&channel, voucher))
            }
            Message::Close(gateway, channel, voucher) => self.with(gateway, |world, process| {
                process.close(&channel, &voucher, &world.chain);
            }),
            Message::Leave(gateway, call) => self.with(gateway, |_, process| process.leave(&call)),
            Message::Said(payer, call, said) => {
                self.payers[payer].hear(&call, &said, &mut self.random);
                self.take_acts(payer);
                Ok(())
            }
            Message::Transaction(transaction) => {
                self.chain.submit(transaction);
                Ok(())
            }
        }
    }

    fn pay(&mut self) -> Judged {
        let payer = self.random.index(PAYERS);
        let now_ms = self.now_ms();
        self.payers[payer].act(now_ms, &self.chain, &mut self.random);
        self.take_acts(payer);
        Ok(())
    }

    fn take_acts(&mut self, payer: usize) {
        let Acts { messages, calls, payments, signed } = self.payers[payer].acts();
        signed.iter().for_each(|(channel, amount)| self.oracle.signed(*channel, *amount));
        payments.iter().for_each(|(gateway, payment)| self.oracle.paying(*gateway, payment));
        for message in messages {
            if let Message::Close(_, channel, _) = &message {
                self.oracle.closing(channel.id);
            }
            self.send(message);
        }
        calls.into_iter().for_each(|call| self.transact(call));
    }

    fn publish(&mut self, gateway: usize) -> Judged {
        let mut fresh = false;
        self.with(gateway, |world, process| {
            let whole = world.healed || world.random.chance(850);
            fresh = process.publish(whole);
        })?;
        self.judge_log(gateway, fresh)
    }

    /// `fresh` if its checkpoint was begun just now: only then must it hold what is due.
    fn judge_log(&mut self, gateway: usize, fresh: bool) -> Judged {
        let now_s = if fresh { self.now_ms() / 1000 } else { 0 };
        match &self.sites[gateway].process {
            Some(process) => self.oracle.log(gateway, process.store(), now_s),
            None => Ok(()),
        }
    }

    fn witness(&mut self, gateway: usize) -> Judged {
        let now_s = self.now_ms() / 1000;
        match &mut self.sites[gateway].process {
            Some(process) => self.witness.look(gateway, process, now_s),
            None => Ok(()),
        }
    }

    fn look(&mut self, gateway: usize) -> Judged {
        if self.step < self.sites[gateway].away_until && !self.healed {
            return Ok(());
        }
        self.with(gateway, |world, process| process.look(&world.chain))
    }

    fn mine(&mut self) -> Judged {
        let before = self.chain.blocks().len();
        self.chain.mine(self.now_ms.load(Ordering::Relaxed) / 1000, &mut self.random);
        self.judge_blocks(before)
    }

    fn reorganise(&mut self) -> Judged {
        self.report.reorganisations += 1;
        // Most are shallower than what counts as final; some are not.
        let deepest = if self.random.chance(400) { FINALITY * 6 } else { FINALITY };
        let depth = self.random.between(1, deepest);
        let before = self.chain.blocks().len().saturating_sub(depth as usize).max(1);
        let time_s = self.now_ms() / 1000;
        self.oracle.reorganised();
        self.chain.reorganise(depth, time_s, &mut self.random);
        self.judge_blocks(before)
    }

    fn judge_blocks(&mut self, from: usize) -> Judged {
        let blocks = self.chain.blocks();
        let pairs = blocks[from - 1..].iter().zip(&blocks[from..]);
        for (parent, block) in pairs {
            self.oracle.block(block, parent)?;
        }
        Ok(())
    }

    /// Lets an operation of the disk fail soon.
    fn break_disk(&mut self, gateway: usize) -> Judged {
        let site = &mut self.sites[gateway];
        let at = site.disk.operations() + self.random.below(10);
        (site.broken, site.power_fails) = (true, self.random.chance(800));
        site.disk.fail_at(at, if site.power_fails { Fault::PowerOff } else { Fault::Full });
        Ok(())
    }

    /// Ends a process at once, or takes its power.
    fn kill(&mut self, gateway: usize) -> Judged {
        self.sites[gateway].power_fails = self.random.chance(500);
        self.crash(gateway);
        Ok(())
    }

    fn crash(&mut self, gateway: usize) {
        self.report.crashes += 1;
        self.oracle.crashed(gateway);
        let site = &mut self.sites[gateway];
        site.process = None;
        site.starts_at = self.step + self.random.between(1, 40);
        if site.power_fails {
            // Each sector that was not synced is there, or not, or in part.
            let (keep, random) = (self.random.below(4), &mut self.random);
            site.disk = site.disk.power_loss(|length| match (keep, random.below(3)) {
                (0, _) => 0,
                (1, _) => length,
                (_, 0) => 0,
                (_, 1) => length,
                _ => random.index(length + 1),
            });
            site.tiles.power_loss(&mut self.random);
        }
        site.disk.fail_at(u64::MAX, Fault::PowerOff);
        (site.broken, site.power_fails) = (false, false);
        if self.random.chance(300) {
            site.clock.skew_ms.store(skew(&mut self.random), Ordering::Relaxed);
        }
    }

    /// Copies a gateway's files while it runs.
    fn copy(&mut self, gateway: usize) -> Judged {
        let site = &mut self.sites[gateway];
        if let Some(process) = &site.process {
            let (disk, tiles) = (site.disk.power_loss(|length| length), site.tiles.copy());
            site.copy = Some(Copy { disk, tiles, size: process.store().size() });
        }
        Ok(())
    }

    fn start(&mut self, gateway: usize) -> Judged {
        let anchor = self.chain.state(0).anchors.get(&gateway).copied();
        let known: Vec<_> = anchor.into_iter().chain(self.witness.knows(gateway)).collect();
        self.try_older(gateway, &known)?;
        let site = &mut self.sites[gateway];
        match Process::start(gateway, &site.disk, &site.tiles, &site.clock, &known) {
            Ok(process) => site.process = Some(process),
            Err(vouch_store::Error::Journal(_)) if site.broken => {
                self.crash(gateway);
                return Ok(());
            }
            Err(error) => {
                // Nothing was broken since the crash: what the disk kept must do.
                let what = format!("gateway {gateway} does not start: {error}");
                return Err(Violation { invariant: Invariant::AcknowledgedIsKept, what });
            }
        }
        self.with(gateway, |world, process| process.look(&world.chain))?;
        self.judge_log(gateway, false)
    }

    /// Somebody puts an older copy back: it must not go on.
    fn try_older(&mut self, gateway: usize, known: &[(u64, B256)]) -> Judged {
        let site = &self.sites[gateway];
        let newest = known.iter().map(|(size, _)| *size).max().unwrap_or(0);
        let Some(copy) = site.copy.as_ref().filter(|copy| copy.size < newest) else {
            return Ok(());
        };
        self.report.older_copies += 1;
        let tiles = if self.random.chance(500) { &copy.tiles } else { &*site.tiles };
        let (disk, tiles) = (copy.disk.power_loss(|length| length), Arc::new(tiles.copy()));
        let started = Process::start(gateway, &disk, &tiles, &site.clock, known);
        let refused = matches!(
            started,
            Err(vouch_store::Error::Behind { .. } | vouch_store::Error::Forked { .. })
        );
        let size = copy.size;
        self.sites[gateway].copy = None;
        ensure(refused, Invariant::OlderCopyRefused, || {
            format!("a copy of {size} entries goes on where {newest} are known: {started:?}")
        })
    }

    /// Everything heals, and what is under way ends; then all must add up.
    fn end(&mut self) -> Judged {
        self.healed = true;
        for gateway in 0..GATEWAYS {
            // Once more without power: what was acknowledged is on the disk.
            self.sites[gateway].power_fails = true;
            self.crash(gateway);
            self.start(gateway)?;
        }
        for payer in 0..PAYERS {
            self.payers[payer].repeat_all();
            self.take_acts(payer);
        }
        for _ in 0..6 {
            self.calm()?;
        }
        for gateway in 0..GATEWAYS {
            self.publish(gateway)?;
            self.witness(gateway)?;
        }
        self.honest()?;
        let stores = self.sites.iter().enumerate();
        let stores: Vec<(usize, &dyn Store)> = stores
            .filter_map(|(gateway, site)| Some((gateway, site.process.as_ref()?.store())))
            .collect();
        self.oracle.end(&stores, &self.chain)
    }

    fn calm(&mut self) -> Judged {
        self.pass(2000);
        while !self.network.is_empty() {
            self.deliver()?;
        }
        for gateway in 0..GATEWAYS {
            while self.sites[gateway].process.as_ref().is_some_and(Process::is_busy) {
                self.with(gateway, |_, process| process.generate(0, 9))?;
            }
            self.with(gateway, |_, process| process.commit())?;
            self.look(gateway)?;
            self.with(gateway, |_, process| {
                process.claim(|_| true);
            })?;
        }
        self.mine()
    }

    /// The verifier accuses no honest provider.
    fn honest(&self) -> Judged {
        let answers: Vec<_> = self
            .sites
            .iter()
            .enumerate()
            .filter_map(|(gateway, site)| Some(promised(gateway, site.last.as_ref()?)))
            .collect();
        for (first, second) in answers.iter().zip(answers.iter().skip(1)) {
            let accused =
                fault::double_receipt(first, second).is_ok() || fault::wrong_charge(first).is_ok();
            ensure(!accused, Invariant::ProofsHold, || "an honest provider is accused".into())?;
        }
        Ok(())
    }
}

fn promised(gateway: usize, acknowledged: &Acknowledged) -> Promised {
    let promise: &SignedPromise = &acknowledged.promise;
    Promised {
        receipt: acknowledged.receipt.clone(),
        promise: promise.clone(),
        terms: parties().providers[gateway].terms.clone(),
    }
}

/// How far a clock is off: up to 20 s either way.
fn skew(random: &mut Random) -> i64 {
    random.below(40_001) as i64 - 20_000
}
