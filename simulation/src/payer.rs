//! Payers: honest ones, and ones that cheat in every way that costs them nothing.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use vouch_core::{
    channel::{ChannelConfig, SignedVoucher, Voucher},
    commitment,
    domain::Domain,
    request::Request,
    signature::Signature,
};

use crate::{
    chain::{Call, Chain, Channel},
    gateway::price,
    message::{Message, Payment, RESOURCE, Said},
    parties::{DOMAIN, FINALITY, GATEWAYS, Party, QUANTUM, TOKEN, WITHDRAW_DELAY_S, parties},
    random::Random,
};

/// The most tokens that a call asks for.
const MAX_TOKENS: u64 = 30;
/// A call is given up after so long.
const PATIENCE_MS: u64 = 400_000;

/// A call that has no answer yet.
#[derive(Debug, Clone)]
struct Open {
    payment: Payment,
    since_ms: u64,
}

/// A channel as its payer knows it.
#[derive(Debug)]
struct Account {
    gateway: usize,
    channel: Channel,
    stock: bool,
    deposited: u128,
    /// The most that its own node has shown of it.
    covered: u128,
    best: Option<SignedVoucher>,
    charged: u128,
    open: BTreeMap<B256, Open>,
    /// Calls that were answered: to be tried again.
    done: Vec<Payment>,
    /// No call is begun any more.
    gone: bool,
    noticed: bool,
}

/// What a payer did, for the world to carry out.
#[derive(Debug, Default)]
pub struct Acts {
    /// Sent over the network.
    pub messages: Vec<Message>,
    /// Sent to the chain.
    pub calls: Vec<Call>,
    /// Payments as they were first sent: gateway and payment.
    pub payments: Vec<(usize, Payment)>,
    /// Vouchers that hold here: channel and amount.
    pub signed: Vec<(B256, u128)>,
}

/// A payer.
#[derive(Debug)]
pub struct Payer {
    number: usize,
    cheats: bool,
    accounts: Vec<Account>,
    acts: Acts,
}

impl Payer {
    /// A payer with nothing yet.
    #[must_use]
    pub fn new(number: usize, cheats: bool) -> Self {
        Self { number, cheats, accounts: Vec::new(), acts: Acts::default() }
    }

    /// What it did since it was last asked.
    pub fn acts(&mut self) -> Acts {
        std::mem::take(&mut self.acts)
    }

    fn party(&self) -> &'static Party {
        &parties().payers[self.number]
    }

    /// Does one thing.
    pub fn act(&mut self, now_ms: u64, chain: &Chain, random: &mut Random) {
        let gateway = random.index(GATEWAYS);
        let place = self.accounts.iter().rposition(|account| account.gateway == gateway);
        match place {
            Some(place) if !self.accounts[place].gone => self.work(place, now_ms, chain, random),
            Some(place) if random.chance(600) => self.leave_channel(place, random),
            _ => self.open(gateway, random),
        }
    }

    fn open(&mut self, gateway: usize, random: &mut Random) {
        let (party, receiver) = (self.party(), parties().providers[gateway].party.address);
        let config = ChannelConfig {
            payer: party.address,
            payer_authorizer: party.address,
            receiver,
            receiver_authorizer: receiver,
            token: TOKEN,
            withdraw_delay: WITHDRAW_DELAY_S,
            salt: B256::with_last_byte(self.accounts.len() as u8),
        };
        let channel = Channel { id: config.id(&DOMAIN), config };
        let most = if self.cheats { 1_000 } else { 6_000 };
        let deposited = u128::from(random.between(200, most));
        self.acts.calls.push(Call::Deposit { channel, amount: deposited });
        self.accounts.push(Account {
            gateway,
            channel,
            stock: random.chance(250),
            deposited,
            covered: 0,
            best: None,
            charged: 0,
            open: BTreeMap::new(),
            done: Vec::new(),
            gone: false,
            noticed: false,
        });
    }

    fn work(&mut self, place: usize, now_ms: u64, chain: &Chain, random: &mut Random) {
        let account = &mut self.accounts[place];
        account.open.retain(|_, open| now_ms - open.since_ms < PATIENCE_MS);
        let limit = if account.stock { 1 } else { 3 };
        match random.below(100) {
            0..=44 if account.open.len() < limit => self.call(place, now_ms, chain, random),
            0..=69 => self.repeat_open(place, random),
            70..=84 => self.repeat_done(place, random),
            85..=91 => self.raise(place, 0, random),
            92..=95 => self.leave_call(place, random),
            96..=97 => self.top_up(place, random),
            _ => self.leave_channel(place, random),
        }
    }

    fn call(&mut self, place: usize, now_ms: u64, chain: &Chain, random: &mut Random) {
        let account = &mut self.accounts[place];
        let covered = chain.observe(&account.channel.id, FINALITY).balance;
        account.covered = account.covered.max(covered);
        // A cheat goes on as if a deposit that a reorganisation has lost were there.
        let covered = if self.cheats { account.covered } else { covered };
        if covered == 0 {
            // A deposit that the network or a reorganisation has lost.
            if random.chance(100) {
                self.accounts[place].gone = true;
            }
            return;
        }
        let max_tokens = random.between(1, MAX_TOKENS);
        let trick = if self.cheats { random.below(10) } else { 10 };
        let account = &self.accounts[place];
        let least = account.charged
            + account.open.values().fold(0, |sum, open| sum + price(open.payment.max_tokens));
        let stream = !account.stock && random.chance(700);
        // Sometimes only what a stream needs to begin.
        let first = if stream && random.chance(500) { max_tokens.min(QUANTUM) } else { max_tokens };
        let wanted = match account.stock {
            true => account.charged + price(max_tokens),
            false => least + price(first),
        };
        let shameless = trick == 0 || (self.cheats && random.chance(600));
        if wanted > covered && !shameless {
            match random.below(3) {
                0 => self.top_up(place, random),
                1 => self.leave_channel(place, random),
                _ => {}
            }
            return;
        }
        let voucher = self.trick(place, trick, wanted, random);
        let account = &self.accounts[place];
        let expiry = now_ms / 1000 + if trick == 5 { 5_000 } else { 120 };
        let mut payment = Payment {
            payer: self.number,
            channel: account.channel,
            voucher,
            session: None,
            stream,
            max_tokens,
            call: random.hash(),
        };
        if !account.stock {
            let nonce = payment.call;
            let request = Request {
                channel: account.channel.id,
                request: commitment::request(&nonce, RESOURCE, &payment.body()),
                terms: parties().providers[account.gateway].terms_hash,
                max_charge: price(max_tokens),
                expiry,
            };
            let signature = Signature::sign(request.digest(&DOMAIN), &self.party().key);
            payment.session = Some((nonce, request, signature));
        }
        let gateway = account.gateway;
        let open = Open { payment: payment.clone(), since_ms: now_ms };
        self.accounts[place].open.insert(payment.call, open);
        self.acts.payments.push((gateway, payment.clone()));
        self.acts.messages.push(Message::Pay(gateway, Box::new(payment)));
    }

    /// The voucher for a call: an honest one for `wanted`, or what a trick makes of it.
    fn trick(
        &mut self,
        place: usize,
        trick: u64,
        wanted: u128,
        random: &mut Random,
    ) -> SignedVoucher {
        let account = &self.accounts[place];
        match (trick, account.best) {
            // Over the deposit, and without shame.
            (0, _) => {
                let amount = account.deposited + u128::from(random.between(1, 2000));
                self.sign(place, amount.max(wanted))
            }
            // For another chain.
            (1, _) => self.forge(place, wanted, Domain { chain: DOMAIN.chain ^ 1, ..DOMAIN }),
            // For another contract.
            (2, _) => self.forge(
                place,
                wanted,
                Domain { settlement: alloy_primitives::Address::repeat_byte(0x41), ..DOMAIN },
            ),
            // A stale one: lower than the best.
            (3, Some(best)) if !account.stock => {
                let lower = best.voucher.max_claimable_amount / 2 + 1;
                self.sign(place, lower)
            }
            // The same one again.
            (4, Some(best)) => best,
            _ => self.sign(place, wanted),
        }
    }

    /// Signs, or finds that it has signed as much already.
    fn sign(&mut self, place: usize, amount: u128) -> SignedVoucher {
        let (stock, best) = (self.accounts[place].stock, self.accounts[place].best);
        if let Some(best) = best.filter(|best| {
            let signed = best.voucher.max_claimable_amount;
            signed == amount || (signed > amount && !stock && !self.cheats)
        }) {
            return best;
        }
        let signed = self.forge(place, amount, DOMAIN);
        self.acts.signed.push((signed.voucher.channel_id, amount));
        if best.is_none_or(|best| best.voucher.max_claimable_amount < amount) {
            self.accounts[place].best = Some(signed);
        }
        signed
    }

    fn forge(&self, place: usize, amount: u128, domain: Domain) -> SignedVoucher {
        let channel_id = self.accounts[place].channel.id;
        let voucher = Voucher { channel_id, max_claimable_amount: amount };
        SignedVoucher {
            voucher,
            signature: Signature::sign(voucher.digest(&domain), &self.party().key),
        }
    }

    /// Sends a call again that has no answer.
    fn repeat_open(&mut self, place: usize, random: &mut Random) {
        let account = &self.accounts[place];
        let count = account.open.len();
        if count > 0
            && let Some(open) = account.open.values().nth(random.index(count))
        {
            let message = Message::Pay(account.gateway, Box::new(open.payment.clone()));
            self.acts.messages.push(message);
        }
    }

    /// Sends a call again that was answered, perhaps long ago: it must not be charged again.
    fn repeat_done(&mut self, place: usize, random: &mut Random) {
        let account = &self.accounts[place];
        if !account.done.is_empty() {
            let payment = account.done[random.index(account.done.len())].clone();
            self.acts.messages.push(Message::Pay(account.gateway, Box::new(payment)));
        }
    }

    /// Sends a voucher that lets the calls in flight go on.
    fn raise(&mut self, place: usize, required: u128, random: &mut Random) {
        let account = &self.accounts[place];
        let most = account.charged
            + account.open.values().fold(0, |sum, open| sum + price(open.payment.max_tokens));
        let most = if self.cheats && random.chance(200) { required } else { most };
        let target = most.min(account.deposited);
        if account.stock || account.open.is_empty() || target < required {
            return;
        }
        let (gateway, channel) = (account.gateway, account.channel);
        let voucher = self.sign(place, target);
        self.acts.messages.push(Message::Voucher(gateway, channel, voucher));
    }

    fn leave_call(&mut self, place: usize, random: &mut Random) {
        let account = &self.accounts[place];
        let count = account.open.len();
        if count > 0
            && let Some(call) = account.open.keys().nth(random.index(count))
        {
            self.acts.messages.push(Message::Leave(account.gateway, *call));
        }
    }

    fn top_up(&mut self, place: usize, random: &mut Random) {
        let account = &mut self.accounts[place];
        let amount = u128::from(random.between(50, 500));
        account.deposited += amount;
        self.acts.calls.push(Call::Deposit { channel: account.channel, amount });
    }

    /// Takes the deposit out: a notice first, which may come while calls run.
    fn leave_channel(&mut self, place: usize, random: &mut Random) {
        let cheats = self.cheats;
        let account = &mut self.accounts[place];
        let channel = account.channel;
        if let Some(best) = account.best.filter(|_| random.chance(250)) {
            self.acts.messages.push(Message::Close(account.gateway, channel, best));
            account.gone |= !cheats || random.chance(300);
        } else if !account.noticed || random.chance(300) {
            // A cheat asks for all of it whatever it owes, and goes on as if nothing were.
            let owed = if cheats { 0 } else { account.charged };
            let amount = account.deposited.saturating_sub(owed).max(1);
            self.acts.calls.push(Call::Notice { channel, amount });
            account.noticed = true;
            account.gone = !cheats || random.chance(300);
        } else {
            self.acts.calls.push(Call::Withdraw { channel });
        }
    }

    /// Hears what a gateway says of a call.
    pub fn hear(&mut self, call: &B256, said: &Said, random: &mut Random) {
        let Some(place) = self.accounts.iter().position(|account| {
            account.open.contains_key(call) || account.done.iter().any(|done| done.call == *call)
        }) else {
            return;
        };
        let account = &mut self.accounts[place];
        match said {
            Said::Answer(acknowledged) => {
                account.charged = account.charged.max(acknowledged.receipt.cumulative);
                if let Some(open) = account.open.remove(call) {
                    if account.done.len() >= 6 {
                        account.done.remove(0);
                    }
                    account.done.push(open.payment);
                }
            }
            Said::VoucherNeeded { required } if random.chance(800) => {
                self.raise(place, *required, random);
            }
            Said::Refused { expected, required, gone } => {
                let (expected, required, gone) = (*expected, *required, *gone);
                account.gone |= gone && !self.cheats;
                if let (Some(expected), Some(open)) = (expected, account.open.remove(call)) {
                    let amount = price(open.payment.max_tokens);
                    account.charged = account.charged.max(expected.saturating_sub(amount));
                }
                if let Some(required) = required {
                    self.raise(place, required, random);
                }
            }
            _ => {}
        }
    }

    /// Sends all calls again that have no answer: the end of a run.
    pub fn repeat_all(&mut self) {
        for account in &self.accounts {
            for open in account.open.values() {
                let message = Message::Pay(account.gateway, Box::new(open.payment.clone()));
                self.acts.messages.push(message);
            }
        }
    }
}
