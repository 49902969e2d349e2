//! What an account and its pools look like at one block.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use super::{Pool, math::decimal, v3};

/// Liquidity that the account provides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// In which pool.
    pub pool: Address,
    /// v3: the token id at the position manager. v2: 0, the account's shares of the pair.
    pub id: U256,
    /// Between these ticks; 0 and 0 in v2.
    pub lower: i32,
    /// See `lower`.
    pub upper: i32,
    /// v3: liquidity. v2: shares.
    #[serde(with = "decimal")]
    pub liquidity: u128,
    /// What could be collected now beside the liquidity: fees, and what was withdrawn before.
    pub owed0: U256,
    /// See `owed0`.
    pub owed1: U256,
}

impl Position {
    /// What the liquidity itself holds, in token0 and token1; none if `pool` is another one.
    #[must_use]
    pub fn amounts(&self, pool: &Pool) -> Option<(U256, U256)> {
        if pool.address() != self.pool {
            return None;
        }
        match pool {
            Pool::V2(pair) => pair.amounts_of(U256::from(self.liquidity)),
            Pool::V3(pool) => {
                v3::amounts_of(pool.sqrt_price, self.lower, self.upper, self.liquidity)
            }
        }
    }

    /// Whether the pool's price is where this liquidity earns.
    #[must_use]
    pub fn in_range(&self, pool: &Pool) -> bool {
        match pool {
            Pool::V2(_) => true,
            Pool::V3(pool) => (self.lower..self.upper).contains(&pool.tick),
        }
    }
}

/// All that a decision may rest on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The block's number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its timestamp, Unix seconds.
    pub time: u64,
    /// Wei that a unit of gas costs.
    #[serde(with = "decimal")]
    pub gas_price: u128,
    /// The account's ether, in wei.
    pub ether: U256,
    /// The account's tokens, as they say.
    pub balances: BTreeMap<Address, U256>,
    /// The pools watched, in the order of the portfolio.
    pub pools: Vec<Pool>,
    /// The account's liquidity in them.
    pub positions: Vec<Position>,
}

impl Snapshot {
    /// The pool at an address.
    #[must_use]
    pub fn pool(&self, address: Address) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.address() == address)
    }

    /// What the account has of a token, beside its liquidity.
    #[must_use]
    pub fn balance(&self, token: Address) -> U256 {
        self.balances.get(&token).copied().unwrap_or_default()
    }
}
