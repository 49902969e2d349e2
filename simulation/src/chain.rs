//! A chain with reorganisations that does what `BatchSettlement` and `CheckpointAnchor` do, written
//! from their documentation. It executes nothing of the EVM.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::{Address, B256, keccak256};
use vouch_core::channel::{Block as Head, ChannelConfig, OnChain};

use crate::{
    oracle::primitives,
    parties::{DOMAIN, parties},
    random::Random,
};

/// A transaction. The same number is never executed twice on one chain: a nonce.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Its number.
    pub number: u64,
    /// What it does.
    pub call: Call,
}

/// What a transaction does. A channel's id stands beside its configuration so that it is hashed
/// once.
#[derive(Debug, Clone)]
pub enum Call {
    /// `deposit`, with an authorization of the payer's.
    Deposit {
        /// The channel.
        channel: Channel,
        /// Atomic units.
        amount: u128,
    },
    /// `claim` of one row, and `settle`.
    Claim {
        /// The channel.
        channel: Channel,
        /// The voucher's amount.
        ceiling: u128,
        /// The voucher's signature.
        signature: [u8; 65],
        /// The total that is claimed.
        total: u128,
    },
    /// `refund`, by the receiver's side.
    Refund {
        /// The channel.
        channel: Channel,
        /// Atomic units.
        amount: u128,
    },
    /// `initiateWithdraw`.
    Notice {
        /// The channel.
        channel: Channel,
        /// Atomic units.
        amount: u128,
    },
    /// `finalizeWithdraw`.
    Withdraw {
        /// The channel.
        channel: Channel,
    },
    /// `anchor`.
    Anchor {
        /// Whose log it is: the number of its gateway.
        log: usize,
        /// Entries.
        size: u64,
        /// The root over them.
        root: B256,
        /// By the provider.
        signature: Vec<u8>,
    },
}

/// A channel with its id.
#[derive(Debug, Clone, Copy)]
pub struct Channel {
    /// Its id.
    pub id: B256,
    /// Who pays whom.
    pub config: ChannelConfig,
}

/// What the settlement contract holds of a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Deposits less withdrawals.
    pub balance: u128,
    /// Claimed in all.
    pub claimed: u128,
    /// A notice of withdrawal: how much, and when in Unix seconds.
    pub notice: Option<(u128, u64)>,
}

impl Held {
    fn free(&self) -> u128 {
        self.balance - self.claimed
    }
}

/// Everything that contracts hold.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Of the token: what each account has, below what all were given.
    pub accounts: BTreeMap<Address, i128>,
    /// Of the token: what the settlement contract has.
    pub escrow: u128,
    /// By id.
    pub channels: BTreeMap<B256, Held>,
    /// The newest anchor of each log.
    pub anchors: BTreeMap<usize, (u64, B256)>,
    executed: BTreeSet<u64>,
}

/// A block with the state after it.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its number and hash.
    pub head: Head,
    /// Unix seconds.
    pub time_s: u64,
    /// Those that succeeded.
    pub transactions: Vec<Transaction>,
    /// Channels that its events name.
    pub touched: Vec<B256>,
    /// The state after it.
    pub state: Arc<State>,
}

/// The chain that one sees, and what waits to be mined.
#[derive(Debug)]
pub struct Chain {
    blocks: Vec<Block>,
    pool: Vec<Transaction>,
    mined: u64,
}

impl Chain {
    /// A chain with a block.
    #[must_use]
    pub fn new(time_s: u64) -> Self {
        let head = Head { number: 0, hash: keccak256("genesis") };
        let state = Arc::default();
        let genesis = Block { head, time_s, transactions: Vec::new(), touched: Vec::new(), state };
        Self { blocks: vec![genesis], pool: Vec::new(), mined: 0 }
    }

    /// The newest block.
    ///
    /// # Panics
    /// Never: the first block stays.
    #[must_use]
    pub fn newest(&self) -> &Block {
        &self.blocks[self.blocks.len() - 1]
    }

    /// All blocks, the oldest first.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The state of `depth` blocks ago.
    #[must_use]
    pub fn state(&self, depth: u64) -> &State {
        let newest = self.blocks.len() - 1;
        &self.blocks[newest.saturating_sub(depth as usize)].state
    }

    /// Whether a block is on this chain.
    #[must_use]
    pub fn has(&self, block: Head) -> bool {
        self.blocks.get(block.number as usize).is_some_and(|known| known.head == block)
    }

    /// Channels that the events of blocks `from` to `to` name.
    #[must_use]
    pub fn touched(&self, from: u64, to: u64) -> BTreeSet<B256> {
        let blocks = self.blocks.iter().filter(|block| (from..=to).contains(&block.head.number));
        blocks.flat_map(|block| block.touched.iter().copied()).collect()
    }

    /// What counts of a channel for who waits `finality` blocks: the questions that the settler
    /// asks of a node, and the rule of `core`.
    #[must_use]
    pub fn observe(&self, channel: &B256, finality: u64) -> OnChain {
        let held = |depth| self.state(depth).channels.get(channel).copied().unwrap_or_default();
        let (last, newest): (Held, Held) = (held(finality), held(0));
        let notice = newest.notice.map_or(0, |(amount, _)| amount);
        let block = self.newest().head.number;
        OnChain::seen(last.balance, (newest.balance, newest.claimed), notice, block)
    }

    /// Takes a transaction in that came over the network, perhaps again.
    pub fn submit(&mut self, transaction: Transaction) {
        if !self.pool.iter().any(|known| known.number == transaction.number) {
            self.pool.push(transaction);
        }
    }

    /// Mines a block out of some of what waits.
    pub fn mine(&mut self, time_s: u64, random: &mut Random) {
        self.mined += 1;
        let parent = self.newest();
        let mut state = State::clone(&parent.state);
        let time_s = time_s.max(parent.time_s);
        let number = parent.head.number + 1;
        let hash = keccak256([parent.head.hash.as_slice(), &self.mined.to_be_bytes()].concat());
        let (mut transactions, mut touched) = (Vec::new(), Vec::new());
        for transaction in std::mem::take(&mut self.pool) {
            if random.chance(150) {
                self.pool.push(transaction);
            } else if !state.executed.contains(&transaction.number)
                && state.execute(&transaction.call, time_s, &mut touched)
            {
                state.executed.insert(transaction.number);
                transactions.push(transaction);
            }
        }
        let (head, state) = (Head { number, hash }, Arc::new(state));
        self.blocks.push(Block { head, time_s, transactions, touched, state });
    }

    /// Takes the last `depth` blocks away and puts others in their place. Most of what was in them
    /// waits again; the rest is gone.
    pub fn reorganise(&mut self, depth: u64, time_s: u64, random: &mut Random) {
        let keep = self.blocks.len().saturating_sub(depth as usize).max(1);
        let gone = self.blocks.split_off(keep);
        for transaction in gone.iter().flat_map(|block| &block.transactions) {
            if random.chance(600) {
                self.submit(transaction.clone());
            }
        }
        // The node may show a shorter chain for a while: it follows the longer one bit by bit.
        for _ in 0..random.between(1, gone.len() as u64 + 1) {
            self.mine(time_s, random);
        }
    }
}

impl State {
    /// Executes a call as its contract says; false if it reverts, which changes nothing.
    fn execute(&mut self, call: &Call, time_s: u64, touched: &mut Vec<B256>) -> bool {
        match call {
            Call::Deposit { channel, amount } => {
                self.pay(channel.config.payer, -(*amount as i128));
                self.escrow += amount;
                self.held(channel).balance += amount;
                touched.push(channel.id);
                true
            }
            Call::Claim { channel, ceiling, signature, total } => {
                self.claim(channel, *ceiling, signature, *total, touched)
            }
            Call::Notice { channel, amount } => {
                let held = self.held(channel);
                let fits = *amount > 0 && *amount <= held.free() && held.notice.is_none();
                if fits {
                    held.notice = Some((*amount, time_s));
                    touched.push(channel.id);
                }
                fits
            }
            Call::Refund { channel, amount } => self.refund(channel, *amount, touched),
            Call::Withdraw { channel } => self.withdraw(channel, time_s, touched),
            Call::Anchor { log, size, root, signature } => {
                self.anchor(*log, *size, *root, signature)
            }
        }
    }

    fn claim(
        &mut self,
        channel: &Channel,
        ceiling: u128,
        signature: &[u8],
        total: u128,
        touched: &mut Vec<B256>,
    ) -> bool {
        let held = *self.held(channel);
        if total <= held.claimed {
            return true;
        }
        let domain = settlement_domain();
        let signed =
            primitives::signer(primitives::voucher(domain, channel.id, ceiling), signature);
        if total > ceiling
            || total > held.balance
            || signed != Some(channel.config.payer_authorizer)
        {
            return false;
        }
        self.held(channel).claimed = total;
        let gain = total - held.claimed;
        self.escrow -= gain;
        self.pay(channel.config.receiver, gain as i128);
        touched.push(channel.id);
        true
    }

    fn withdraw(&mut self, channel: &Channel, time_s: u64, touched: &mut Vec<B256>) -> bool {
        let held = self.held(channel);
        let Some((amount, since)) = held.notice else { return false };
        if time_s < since + channel.config.withdraw_delay {
            return false;
        }
        let amount = amount.min(held.free());
        held.notice = None;
        self.pay_back(channel, amount, touched);
        true
    }

    fn refund(&mut self, channel: &Channel, amount: u128, touched: &mut Vec<B256>) -> bool {
        let held = self.held(channel);
        let amount = amount.min(held.free());
        // What is given back now is no longer to be withdrawn later.
        held.notice = held.notice.and_then(|(asked, since)| {
            asked.checked_sub(amount).filter(|left| *left > 0).map(|left| (left, since))
        });
        self.pay_back(channel, amount, touched);
        true
    }

    /// Takes `amount` out of the channel and gives it to the payer.
    fn pay_back(&mut self, channel: &Channel, amount: u128, touched: &mut Vec<B256>) {
        self.held(channel).balance -= amount;
        self.escrow -= amount;
        self.pay(channel.config.payer, amount as i128);
        touched.push(channel.id);
    }

    fn anchor(&mut self, log: usize, size: u64, root: B256, signature: &[u8]) -> bool {
        let provider = &parties().providers[log];
        let digest = primitives::checkpoint(&provider.origin, size, root);
        if size == 0 || primitives::signer(digest, signature) != Some(provider.party.address) {
            return false;
        }
        let newest = self.anchors.get(&log).copied().unwrap_or_default();
        if size <= newest.0 {
            return (size, root) == newest;
        }
        self.anchors.insert(log, (size, root));
        true
    }

    fn held(&mut self, channel: &Channel) -> &mut Held {
        self.channels.entry(channel.id).or_default()
    }

    fn pay(&mut self, account: Address, amount: i128) {
        *self.accounts.entry(account).or_default() += amount;
    }
}

fn settlement_domain() -> B256 {
    static DOMAIN_SEPARATOR: std::sync::OnceLock<B256> = std::sync::OnceLock::new();
    *DOMAIN_SEPARATOR.get_or_init(|| {
        primitives::separator("x402 Batch Settlement", DOMAIN.chain, DOMAIN.settlement)
    })
}
