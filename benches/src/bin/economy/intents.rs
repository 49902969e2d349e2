//! A mandate, and what a strategy that keeps to nothing asks of its signer.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use anyhow::ensure;
use vouch_agent::{
    intent::{Intent, Range},
    mandate::{Cap, Contracts, Grant, Mandate, Permission, Venue},
    signer::Taken,
};
use vouch_benches::random::Random;
use vouch_contracts::economy::{Governance, economy};
use vouch_wallet::Wallet;

const START: u64 = 1_800_000_000;
const PERIOD_S: u64 = 3_600;
const CAPS: [u128; 2] = [1_000_000, 400_000];
const ASK_TOTAL: u128 = 50_000_000;

pub(crate) fn grant() -> anyhow::Result<Grant> {
    let (owner, agent) = (Wallet::random()?, Wallet::random()?);
    let at = Address::repeat_byte;
    let (token, other) = (at(0x10), at(0x11));
    let swap = |venue, router, sell, buy| Permission::Swap {
        venue,
        router,
        sell,
        buy,
        fee: 3_000,
        max_slippage_bps: 50,
        max_impact_bps: 100,
    };
    let mandate = Mandate {
        owner: owner.address(),
        agent: agent.address(),
        chain: 1,
        start: START,
        expiry: START + 10_000 * PERIOD_S,
        calls: 1_000_000,
        caps: vec![
            Cap { token, amount: CAPS[0], period_s: PERIOD_S },
            Cap { token: other, amount: CAPS[1], period_s: 3 * PERIOD_S },
        ],
        permissions: vec![
            Permission::Transfer { token, payees: vec![at(0x30), at(0x31)] },
            swap(Venue::UniswapV2, at(0x20), token, other),
            swap(Venue::UniswapV3, at(0x21), other, token),
            Permission::Liquidity {
                venue: Venue::UniswapV3,
                manager: at(0x22),
                token0: token,
                token1: other,
                fee: 500,
                max_slippage_bps: 100,
            },
            Permission::Ask { max_per_call: 1_000, total: ASK_TOTAL, providers: Vec::new() },
        ],
    };
    let contracts = Contracts::of(&economy(&Governance::development(at(0x40)))?, 1);
    Ok(Grant::sign(mandate, contracts, &owner, START)?)
}

/// Intents with the time at which each is asked, rising over the mandate's life.
pub(crate) fn asked(count: usize) -> Vec<(u64, Intent)> {
    let mut random = Random(0x5eed);
    let life = 9_000 * PERIOD_S;
    let time = |at: usize| START + 1 + at as u64 * life / count as u64;
    (0..count).map(|at| (time(at), intent(&mut random, time(at)))).collect()
}

fn intent(random: &mut Random, now: u64) -> Intent {
    let permission = random.below(6);
    let deadline = now + random.below(3_000) as u64;
    let [a, b, c, d] = std::array::from_fn(|_| amount(random));
    match random.below(5) {
        0 => Intent::Transfer { permission, payee: random.below(3), amount: a },
        1 => Intent::Swap { permission, amount_in: a, min_out: b, deadline },
        2 => {
            let tick = |random: &mut Random| (random.below(40_000) as i32 - 20_000) * 10;
            let range = Some(Range { lower: tick(random), upper: tick(random) });
            Intent::AddLiquidity {
                permission,
                amount0: a,
                amount1: b,
                min0: c,
                min1: d,
                range,
                deadline,
            }
        }
        3 => Intent::Ask { permission, max_charge: a, request: B256::repeat_byte(7) },
        // The right permission, and little: most of what is allowed.
        _ => Intent::Transfer { permission: 0, payee: 0, amount: a % 50_000 + 1 },
    }
}

/// Nothing, a little, about a cap, or more than there is.
fn amount(random: &mut Random) -> u128 {
    let edge = *random.pick(&[CAPS[0], CAPS[1], 1_000]);
    match random.below(8) {
        0 => 0,
        1 => edge,
        2 => edge + 1,
        3 => u128::from(random.bits()),
        _ => u128::from(random.bits()) % (edge / 20) + 1,
    }
}

/// Adds up what was allowed, apart from the ledger.
pub(crate) fn within(grant: &Grant, taken: &[Taken]) -> anyhow::Result<()> {
    let mut spent: BTreeMap<(usize, u64), u128> = BTreeMap::new();
    for spend in taken.iter().flat_map(|taken| &taken.spends) {
        *spent.entry((spend.cap, spend.period)).or_default() += spend.amount.0;
    }
    for ((cap, period), sum) in spent {
        let most = grant.mandate.caps[cap].amount;
        ensure!(sum <= most, "{sum} was allowed in period {period} under a cap of {most}");
    }
    let dollars: u128 = taken.iter().map(|taken| taken.dollars).sum();
    ensure!(dollars <= ASK_TOTAL, "{dollars} was allowed for questions");
    Ok(())
}
