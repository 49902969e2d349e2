//! A backtest on a history: the same machine, with fills at the next block.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256, U512, utils::parse_units};

use super::{Action, Begin, Effect, Entry, Error, Event, Fill, Machine, Order, Outcome, Result};
use crate::{
    market::{
        Pool, Position, Snapshot,
        math::{mul_div, narrow, wide},
        tick::{self, MAX_TICK, MIN_TICK},
        v2, v3,
    },
    portfolio::Portfolio,
    strategy::{Advice, value},
};

/// What a simulated account begins with, and what acting costs it.
#[derive(Debug, Clone)]
pub struct Costs {
    /// Tokens at the beginning.
    pub holdings: BTreeMap<Address, U256>,
    /// Wei of ether at the beginning.
    pub ether: U256,
    /// Wei that a unit of gas costs, where the history does not say.
    pub gas_price: u128,
    /// How deep the pool of a price history is: what it holds of the quote token, atomic units.
    pub depth: U256,
    /// The fee of a v3 pool of a price history, millionths.
    pub fee_pips: u32,
}

/// What a market was like, block by block.
#[derive(Debug, Clone)]
pub struct History {
    steps: Vec<Step>,
    /// The lines of a file are samples: blocks came between, in which an order was mined in time.
    sampled: bool,
}

#[derive(Debug, Clone)]
struct Step {
    snapshot: Snapshot,
    /// What was traded since the step before, in the quote token.
    volume: U256,
}

/// Decimals that a price of a history may have.
const PRICE_DECIMALS: u8 = 18;

impl History {
    /// From lines `time,price` or `time,price,volume`: Unix seconds, quote token per unit of the
    /// other asset, and what was traded in the quote token since the line before. A first line that
    /// begins with `time` is a heading. The portfolio must have two assets and one pool.
    ///
    /// # Errors
    /// [`Error::History`].
    pub fn csv(text: &str, portfolio: &Portfolio, costs: &Costs) -> Result<Self> {
        let mut steps: Vec<Step> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || at == 0 && line.starts_with("time") {
                continue;
            }
            let wrong = |why: String| Error::History { line: at.saturating_add(1), why };
            let mut fields = line.split(',').map(str::trim);
            let mut field = || fields.next().unwrap_or_default();
            let (time, price, volume) = (field(), field(), field());
            let time = time.parse().map_err(|_| wrong(format!("{time:?} is no Unix time")))?;
            if steps.last().is_some_and(|last| last.snapshot.time >= time) {
                return Err(wrong("times must rise".into()));
            }
            let price = decimal(price, PRICE_DECIMALS)
                .filter(|price| !price.is_zero())
                .ok_or_else(|| wrong(format!("{price:?} is no price above 0")))?;
            let quote = portfolio.asset(portfolio.quote);
            let decimals = quote.map_or(0, |quote| quote.decimals);
            let volume = match volume {
                "" => U256::ZERO,
                text => decimal(text, decimals)
                    .ok_or_else(|| wrong(format!("{text:?} is no volume")))?,
            };
            let pool = made(portfolio, costs, price).map_err(wrong)?;
            let number = u64::try_from(steps.len()).unwrap_or(u64::MAX).saturating_add(1);
            steps.push(Step { snapshot: bare(number, time, costs.gas_price, vec![pool]), volume });
        }
        Ok(Self { steps, sampled: true })
    }

    /// From the blocks of a recorded run, pools as they were.
    #[must_use]
    pub fn recorded(entries: &[Entry]) -> Self {
        let blocks = entries.iter().filter_map(|entry| match entry {
            Entry::Event(Event::Block(snapshot)) => Some(snapshot),
            _ => None,
        });
        let steps = blocks.map(|snapshot| Step {
            snapshot: Snapshot {
                balances: BTreeMap::new(),
                positions: Vec::new(),
                ..snapshot.as_ref().clone()
            },
            volume: U256::ZERO,
        });
        Self { steps: steps.collect(), sampled: false }
    }

    /// How many blocks it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

fn decimal(text: &str, decimals: u8) -> Option<U256> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let parsed = parse_units(text, decimals).ok().filter(|_| plain && !text.is_empty());
    parsed.map(|units| units.get_absolute())
}

fn bare(number: u64, time: u64, gas_price: u128, pools: Vec<Pool>) -> Snapshot {
    Snapshot {
        number,
        hash: B256::ZERO,
        time,
        gas_price,
        ether: U256::ZERO,
        balances: BTreeMap::new(),
        pools,
        positions: Vec::new(),
    }
}

/// A pool at a price, as deep as was said, of the kind that the portfolio names.
fn made(portfolio: &Portfolio, costs: &Costs, price: U256) -> std::result::Result<Pool, String> {
    let [a, b] = portfolio.assets.as_slice() else {
        return Err("a price history needs a portfolio of two assets".into());
    };
    let (quote, base) = if a.address == portfolio.quote { (a, b) } else { (b, a) };
    let ten = |decimals: u8| U512::from(10).pow(U512::from(decimals));
    // Atomic quote per atomic base, as a fraction.
    let up = wide(price) * ten(quote.decimals);
    let down = ten(base.decimals) * ten(PRICE_DECIMALS);
    let overflow = || "the price is out of range".to_owned();
    let base_depth = narrow(wide(costs.depth) * down / up).ok_or_else(overflow)?;
    let base_first = base.address < quote.address;
    let (token0, token1) = match base_first {
        true => (base.address, quote.address),
        false => (quote.address, base.address),
    };
    match (portfolio.pairs.as_slice(), portfolio.pools.as_slice()) {
        ([address], []) => {
            let (reserve0, reserve1) = match base_first {
                true => (base_depth, costs.depth),
                false => (costs.depth, base_depth),
            };
            let supply = narrow((wide(reserve0) * wide(reserve1)).root(2)).ok_or_else(overflow)?;
            Ok(Pool::V2(v2::Pair { address: *address, token0, token1, reserve0, reserve1, supply }))
        }
        ([], [address]) => {
            let (up, down) = if base_first { (up, down) } else { (down, up) };
            if up.bit_len() > 300 {
                return Err(overflow());
            }
            let square: U512 = (up << 192) / down;
            let sqrt_price = narrow(square.root(2)).ok_or_else(overflow)?;
            let tick = tick::tick_at(sqrt_price).ok_or_else(overflow)?;
            let spacing = 1;
            let liquidity = (wide(costs.depth) * wide(base_depth)).root(2);
            let liquidity = narrow(liquidity).and_then(|l| u128::try_from(l).ok());
            Ok(Pool::V3(v3::Pool {
                address: *address,
                token0,
                token1,
                fee: costs.fee_pips.min(v3::PIPS - 1),
                spacing,
                sqrt_price,
                tick,
                liquidity: liquidity.ok_or_else(overflow)?,
                words: (v3::word_of(MIN_TICK, spacing), v3::word_of(MAX_TICK, spacing)),
                ticks: Vec::new(),
            }))
        }
        _ => Err("a price history needs a portfolio of one pool".into()),
    }
}

/// Gas of an action, as measured on the contracts.
fn gas(action: &Action) -> u128 {
    match action {
        Action::Swap { .. } => 130_000,
        Action::AddLiquidity { .. } => 400_000,
        Action::RemoveLiquidity { .. } => 260_000,
        Action::Collect { .. } => 150_000,
        Action::Vote { .. } => 90_000,
    }
}

/// The account of a simulation.
struct Account {
    balances: BTreeMap<Address, U256>,
    ether: U256,
    positions: Vec<Position>,
    minted: u64,
}

/// Runs `machine` over a history. An order decided on one block is filled against the next one's pools,
/// so that nothing is known before it happened; it fails there if its minimum is not met, and costs
/// gas either way. Questions are not answered. The account is too small to move the market.
#[must_use]
pub fn simulate(mut machine: Machine, history: &History, costs: &Costs) -> Vec<Entry> {
    let portfolio = machine.portfolio().clone();
    let mut account = Account {
        balances: portfolio.assets.iter().map(|asset| (asset.address, U256::ZERO)).collect(),
        ether: costs.ether,
        positions: Vec::new(),
        minted: 0,
    };
    account.balances.extend(costs.holdings.clone());
    let mut entries = vec![Entry::Begin(Begin::new(&portfolio, Address::ZERO))];
    for step in &history.steps {
        if let Some(order) = machine.open_order().cloned() {
            let outcome = account.fill(&order, &step.snapshot, history.sampled);
            tell(&mut machine, &mut entries, Event::Outcome { order: order.id, outcome });
        }
        account.earn(step, portfolio.quote);
        let snapshot = Snapshot {
            balances: account.balances.clone(),
            ether: account.ether,
            positions: account.positions.clone(),
            ..step.snapshot.clone()
        };
        tell(&mut machine, &mut entries, Event::Block(Box::new(snapshot)));
        if let Some(question) = machine.open_question().map(|question| question.id) {
            tell(&mut machine, &mut entries, Event::Advice(Advice::none(question)));
        }
    }
    entries
}

fn tell(machine: &mut Machine, entries: &mut Vec<Entry>, event: Event) {
    let effects: Vec<Effect> = machine.step(&event);
    entries.push(Entry::Event(event));
    entries.extend(effects.into_iter().map(Entry::Effect));
}

impl Account {
    fn fill(&mut self, order: &Order, snapshot: &Snapshot, sampled: bool) -> Outcome {
        let gas_cost = gas(&order.action).saturating_mul(snapshot.gas_price);
        self.ether = self.ether.saturating_sub(U256::from(gas_cost));
        let late = !sampled && snapshot.time > order.deadline;
        let moved = match late {
            true => Err("its deadline passed before the next block".to_owned()),
            false => self.act(&order.action, snapshot),
        };
        match moved {
            Ok((spent, received)) => {
                let (transaction, block) = (B256::ZERO, snapshot.number);
                Outcome::Settled(Fill { transaction, block, gas_cost, spent, received })
            }
            Err(reason) => Outcome::Failed { reason, transaction: None, gas_cost },
        }
    }

    fn act(
        &mut self,
        action: &Action,
        snapshot: &Snapshot,
    ) -> std::result::Result<(Amounts, Amounts), String> {
        let at = |pool: &Address| snapshot.pool(*pool).ok_or("the pool is gone".to_owned());
        match action {
            Action::Swap { pool, sell, buy, amount_in, min_out, .. } => {
                let quote = at(pool)?.quote(*sell, *amount_in).map_err(|why| why.to_string())?;
                if quote.amount_out < *min_out {
                    return Err("the pool had moved: less than min_out".into());
                }
                let (spent, received) = (vec![(*sell, *amount_in)], vec![(*buy, quote.amount_out)]);
                self.book(&spent, &received)?;
                Ok((spent, received))
            }
            Action::AddLiquidity { pool: address, tokens, range, amounts, minima, .. } => {
                let (taken, liquidity) = deposit(at(address)?, *range, *amounts)
                    .ok_or("the amounts make no liquidity".to_owned())?;
                if taken.0 < minima.0 || taken.1 < minima.1 {
                    return Err("the pool had moved: less than the minima".into());
                }
                let spent = vec![(tokens.0, taken.0), (tokens.1, taken.1)];
                self.book(&spent, &[])?;
                let v2 = matches!(at(address)?, Pool::V2(_));
                self.minted = self.minted.saturating_add(1);
                self.positions.push(Position {
                    pool: *address,
                    id: if v2 { U256::ZERO } else { U256::from(self.minted) },
                    lower: range.0,
                    upper: range.1,
                    liquidity,
                    owed0: U256::ZERO,
                    owed1: U256::ZERO,
                });
                Ok((spent, Vec::new()))
            }
            Action::RemoveLiquidity { pool, tokens, id, minima, .. } => {
                let index = self.index(pool, id)?;
                let position = self.positions.get(index).ok_or("no such position")?;
                let amounts = position.amounts(at(pool)?).ok_or("the amounts overflow")?;
                if amounts.0 < minima.0 || amounts.1 < minima.1 {
                    return Err("the pool had moved: less than the minima".into());
                }
                let received = vec![
                    (tokens.0, amounts.0.saturating_add(position.owed0)),
                    (tokens.1, amounts.1.saturating_add(position.owed1)),
                ];
                self.positions.remove(index);
                self.book(&[], &received)?;
                Ok((Vec::new(), received))
            }
            Action::Collect { pool, id, .. } => {
                let tokens = at(pool)?.tokens();
                let index = self.index(pool, id)?;
                let position = self.positions.get_mut(index).ok_or("no such position")?;
                let received = vec![
                    (tokens.0, std::mem::take(&mut position.owed0)),
                    (tokens.1, std::mem::take(&mut position.owed1)),
                ];
                self.book(&[], &received)?;
                Ok((Vec::new(), received))
            }
            Action::Vote { .. } => Err("a history has no governor".into()),
        }
    }

    fn index(&self, pool: &Address, id: &U256) -> std::result::Result<usize, String> {
        let found =
            self.positions.iter().position(|position| position.pool == *pool && position.id == *id);
        found.ok_or_else(|| "no such position".into())
    }

    fn book(
        &mut self,
        spent: &[(Address, U256)],
        received: &[(Address, U256)],
    ) -> std::result::Result<(), String> {
        for (token, amount) in spent {
            if self.balances.get(token).is_none_or(|held| held < amount) {
                return Err("the account has too little".into());
            }
        }
        for (token, amount) in spent {
            let held = self.balances.entry(*token).or_default();
            *held = held.saturating_sub(*amount);
        }
        for (token, amount) in received {
            let held = self.balances.entry(*token).or_default();
            *held = held.saturating_add(*amount);
        }
        Ok(())
    }

    /// A position in range earns its part of the volume's fee, half in each token.
    fn earn(&mut self, step: &Step, quote: Address) {
        for position in &mut self.positions {
            let Some(pool) = step.snapshot.pool(position.pool) else { continue };
            if step.volume.is_zero() || !position.in_range(pool) {
                continue;
            }
            let depth = match pool {
                Pool::V2(pair) => pair.supply,
                Pool::V3(pool) => U256::from(pool.liquidity),
            };
            let own = U256::from(position.liquidity);
            let fees = mul_div(step.volume, U256::from(pool.fee_pips()), U256::from(v3::PIPS));
            let part = fees.and_then(|fees| mul_div(fees, own, depth.checked_add(own)?));
            let half = part.unwrap_or_default() / U256::from(2);
            let tokens = pool.tokens();
            let probe = U256::from(1u64 << 40);
            for (token, owed) in [(tokens.0, &mut position.owed0), (tokens.1, &mut position.owed1)]
            {
                let price = value(&step.snapshot, quote, token, probe).unwrap_or_default();
                let earned = mul_div(half, probe, price).unwrap_or_default();
                *owed = owed.saturating_add(earned);
            }
        }
    }
}

type Amounts = Vec<(Address, U256)>;

/// What a deposit takes, and the liquidity it gives.
fn deposit(pool: &Pool, range: (i32, i32), amounts: (U256, U256)) -> Option<((U256, U256), u128)> {
    match pool {
        Pool::V2(pair) => {
            let (taken0, taken1, shares) = pair.deposit(amounts.0, amounts.1)?;
            Some(((taken0, taken1), u128::try_from(shares).ok()?))
        }
        Pool::V3(pool) => {
            let price = pool.sqrt_price;
            let all = v3::liquidity_for(price, range.0, range.1, amounts.0, amounts.1)?;
            Some((v3::amounts(price, range.0, range.1, all, true)?, all))
        }
    }
}
