//! What a mandate says.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use vouch_core::commitment::canonical_hash;

use super::MandateError;

/// What an agent may do for an owner: the terms of each of its acts.
///
/// Everything that is not said is forbidden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mandate {
    /// The account that is acted for.
    pub owner: Address,
    /// The agent's key.
    pub agent: Address,
    /// EIP-155 id of the chain.
    pub chain: u64,
    /// From when, Unix seconds; periods are counted from here.
    pub start: u64,
    /// Until when, Unix seconds, not included.
    pub expiry: u64,
    /// The most transactions in all.
    pub calls: u64,
    /// What may be spent.
    pub caps: Vec<Cap>,
    /// What may be done.
    pub permissions: Vec<Permission>,
}

/// At most `amount` of `token` in each period. What is spent is what the owner's balance falls by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cap {
    /// An ERC-20 token.
    pub token: Address,
    /// Atomic units.
    #[serde(with = "crate::decimal")]
    pub amount: u128,
    /// Length of a period, seconds.
    pub period_s: u64,
}

/// Where tokens are traded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Venue {
    /// `UniswapV2Router02`.
    UniswapV2,
    /// `SwapRouter02` for swaps, `NonfungiblePositionManager` for liquidity.
    UniswapV3,
}

/// One thing that may be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Permission {
    /// Pay one of these.
    Transfer {
        /// With this token.
        token: Address,
        /// Whom.
        payees: Vec<Address>,
    },
    /// Sell one token for another.
    Swap {
        /// What kind of exchange it is.
        venue: Venue,
        /// The router.
        router: Address,
        /// What is sold.
        sell: Address,
        /// What is bought.
        buy: Address,
        /// The pool's fee, hundredths of a basis point: 3000 on v2.
        fee: u32,
        /// The most that the minimum may be below what the simulation gives.
        max_slippage_bps: u16,
        /// The most that the price may be below the pool's price before the swap, the fee left out.
        max_impact_bps: u16,
    },
    /// Provide liquidity in one pool and take it out again.
    Liquidity {
        /// What kind of exchange it is.
        venue: Venue,
        /// v3's position manager, v2's router.
        manager: Address,
        /// One token; on v3 the lower address.
        token0: Address,
        /// The other.
        token1: Address,
        /// The pool's fee, hundredths of a basis point: 3000 on v2.
        fee: u32,
        /// The most that the minima may be below what the simulation gives.
        #[serde(default = "default_slippage_bps")]
        max_slippage_bps: u16,
    },
    /// Vote with the owner's weight.
    Vote {
        /// An OpenZeppelin Governor.
        governor: Address,
    },
    /// Buy answers. Off chain: held by the signer, not by the chain.
    Ask {
        /// Atomic dollars for one answer.
        #[serde(with = "crate::decimal")]
        max_per_call: u128,
        /// Atomic dollars in all.
        #[serde(with = "crate::decimal")]
        total: u128,
        /// Whose receipts say what an answer cost. Where none is named anybody's do, and the
        /// strategy, which shows them, is trusted for it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        providers: Vec<Address>,
    },
    /// Hand permissions on to a sub-agent, which may hand on nothing.
    Delegate {
        /// The sub-agent's key.
        to: Address,
        /// What it may spend.
        token: Address,
        /// How much of it in all.
        #[serde(with = "crate::decimal")]
        limit: u128,
        /// Which permissions, by index; they may spend no other token.
        permissions: Vec<usize>,
        /// Atomic dollars for answers, of the `ask`'s total; held by the signers alone.
        #[serde(with = "crate::decimal", default, skip_serializing_if = "crate::decimal::is_zero")]
        dollars: u128,
    },
}

fn default_slippage_bps() -> u16 {
    100
}

impl Mandate {
    /// keccak-256 of its RFC 8785 form: the `terms` of its acts' receipts, and the salt of its
    /// delegations, so that the chain names it too.
    ///
    /// # Errors
    /// [`MandateError::Canonical`] never, for a mandate that came from TOML or JSON.
    pub fn hash(&self) -> Result<B256, MandateError> {
        canonical_hash(self).map_err(|error| MandateError::Canonical(error.to_string()))
    }

    /// The cap on a token, with its index.
    #[must_use]
    pub fn cap(&self, token: Address) -> Option<(usize, &Cap)> {
        self.caps.iter().enumerate().find(|(_, cap)| cap.token == token)
    }

    /// Which period of a cap a time is in; `None` before the start.
    #[must_use]
    pub fn period(&self, cap: &Cap, now: u64) -> Option<u64> {
        now.checked_sub(self.start)?.checked_div(cap.period_s)
    }

    /// Every token that it names, each once, in the order of first mention.
    #[must_use]
    pub fn tokens(&self) -> Vec<Address> {
        let mut tokens: Vec<Address> = self.caps.iter().map(|cap| cap.token).collect();
        for permission in &self.permissions {
            match permission {
                Permission::Transfer { token, .. } | Permission::Delegate { token, .. } => {
                    tokens.push(*token);
                }
                Permission::Swap { sell, buy, .. } => tokens.extend([*sell, *buy]),
                Permission::Liquidity { token0, token1, .. } => tokens.extend([*token0, *token1]),
                Permission::Vote { .. } | Permission::Ask { .. } => {}
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        tokens.retain(|token| seen.insert(*token));
        tokens
    }

    /// Who must be allowed to take which token from the owner for its permissions to work; each
    /// pair once.
    #[must_use]
    pub fn allowances(&self) -> Vec<(Address, Address)> {
        let mut pairs = Vec::new();
        for permission in &self.permissions {
            match permission {
                Permission::Swap { router, sell, .. } => pairs.push((*sell, *router)),
                Permission::Liquidity { manager, token0, token1, .. } => {
                    pairs.extend([(*token0, *manager), (*token1, *manager)]);
                }
                _ => {}
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        pairs.retain(|pair| seen.insert(*pair));
        pairs
    }
}

impl Permission {
    /// Its kind, as the file has it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Transfer { .. } => "transfer",
            Self::Swap { .. } => "swap",
            Self::Liquidity { .. } => "liquidity",
            Self::Vote { .. } => "vote",
            Self::Ask { .. } => "ask",
            Self::Delegate { .. } => "delegate",
        }
    }

    /// The tokens that acts under it take from the owner.
    #[must_use]
    pub fn spends(&self) -> Vec<Address> {
        match self {
            Self::Transfer { token, .. } | Self::Delegate { token, .. } => vec![*token],
            Self::Swap { sell, .. } => vec![*sell],
            Self::Liquidity { token0, token1, .. } => vec![*token0, *token1],
            Self::Vote { .. } | Self::Ask { .. } => Vec::new(),
        }
    }
}
