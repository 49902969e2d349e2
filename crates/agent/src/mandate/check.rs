//! Whether a mandate makes sense.

use std::collections::BTreeSet;

use alloy_primitives::Address;

use super::{Mandate, MandateError, Permission, Venue};

const MAX_PERMISSIONS: usize = 64;
const MAX_PAYEES: usize = 64;
const MAX_CAPS: usize = 16;
const BPS: u16 = 10_000;

type Checked = Result<(), MandateError>;

fn refuse(why: impl Into<String>) -> Checked {
    Err(MandateError::Contradiction(why.into()))
}

impl Mandate {
    /// Refuses a mandate that contradicts itself or could never be used. `now` in Unix seconds.
    ///
    /// # Errors
    /// [`MandateError::Contradiction`], with one sentence.
    pub fn check(&self, now: u64) -> Checked {
        self.check_frame(now)?;
        self.check_caps()?;
        if self.permissions.is_empty() {
            return refuse("it permits nothing: add a permission");
        }
        if self.permissions.len() > MAX_PERMISSIONS {
            return refuse(format!("it has more than {MAX_PERMISSIONS} permissions"));
        }
        for (index, permission) in self.permissions.iter().enumerate() {
            self.check_permission(permission).map_err(|error| match error {
                MandateError::Contradiction(why) => MandateError::Contradiction(format!(
                    "permission {index} ({}): {why}",
                    permission.kind()
                )),
                other => other,
            })?;
            self.check_overlap(index, permission)?;
        }
        Ok(())
    }

    fn check_frame(&self, now: u64) -> Checked {
        if self.owner.is_zero() || self.agent.is_zero() {
            return refuse("owner and agent must be accounts, not the zero address");
        }
        if self.owner == self.agent {
            return refuse("the agent's key is the owner's own: give the agent a key of its own");
        }
        if self.chain == 0 {
            return refuse("chain 0 is no chain: name the EIP-155 id");
        }
        if self.expiry <= self.start {
            return refuse(format!("it ends ({}) before it starts ({})", self.expiry, self.start));
        }
        if self.expiry <= now {
            return refuse(format!("it expired at {}, and now is {now}", self.expiry));
        }
        if self.calls == 0 {
            return refuse("it allows 0 calls: set calls to at least 1");
        }
        Ok(())
    }

    fn check_caps(&self) -> Checked {
        if self.caps.len() > MAX_CAPS {
            return refuse(format!("it has more than {MAX_CAPS} caps"));
        }
        let mut seen = BTreeSet::new();
        for cap in &self.caps {
            let token = cap.token;
            if token.is_zero() {
                return refuse("a cap is on the zero address: only ERC-20 tokens can be spent");
            }
            if cap.period_s == 0 {
                return refuse(format!("the cap on {token} has a period of 0 seconds"));
            }
            if cap.amount == 0 {
                return refuse(format!("the cap on {token} is 0: leave the token out instead"));
            }
            if !seen.insert(token) {
                return refuse(format!("{token} has two caps: keep one"));
            }
        }
        Ok(())
    }

    fn check_permission(&self, permission: &Permission) -> Checked {
        for token in permission.spends() {
            if self.cap(token).is_none() {
                return refuse(format!("it spends {token}, which has no cap: add one"));
            }
        }
        match permission {
            Permission::Transfer { token, payees } => self.check_payees(*token, payees),
            Permission::Swap {
                venue,
                router,
                sell,
                buy,
                fee,
                max_slippage_bps,
                max_impact_bps,
            } => {
                if sell == buy {
                    return refuse("it sells and buys the same token");
                }
                if *max_slippage_bps >= BPS || *max_impact_bps >= BPS {
                    return refuse("slippage and impact must be below 10000 basis points");
                }
                check_fee(*venue, *fee)?;
                self.check_contract(*router, "router")?;
                self.check_contract(*buy, "token that is bought")
            }
            Permission::Liquidity { venue, manager, token0, token1, fee, max_slippage_bps } => {
                if token0 == token1 {
                    return refuse("both tokens are the same");
                }
                if *venue == Venue::UniswapV3 && token0 > token1 {
                    return refuse("token0 must be the lower address, as v3 pools have them");
                }
                if *max_slippage_bps >= BPS {
                    return refuse("slippage must be below 10000 basis points");
                }
                check_fee(*venue, *fee)?;
                self.check_contract(*manager, "manager")
            }
            Permission::Vote { governor } => self.check_contract(*governor, "governor"),
            Permission::Ask { max_per_call, total, .. } => match max_per_call {
                0 => refuse("it allows 0 dollars for a call"),
                per_call if per_call > total => refuse(format!(
                    "one call may cost {per_call} and all together {total}: raise total or lower maxPerCall"
                )),
                _ => Ok(()),
            },
            Permission::Delegate { to, limit, token, permissions, dollars } => {
                self.check_dollars(*dollars)?;
                self.check_delegate(*to, *token, *limit, permissions)
            }
        }
    }

    fn check_payees(&self, token: Address, payees: &[Address]) -> Checked {
        if payees.is_empty() || payees.len() > MAX_PAYEES {
            return refuse(format!("it names {} payees: 1 to {MAX_PAYEES}", payees.len()));
        }
        let mut seen = BTreeSet::new();
        for payee in payees {
            let why = match *payee {
                p if p.is_zero() => "the zero address",
                p if p == token => "the token itself, where it would be lost",
                p if p == self.owner => "the owner",
                p if !seen.insert(p) => "named twice",
                _ => continue,
            };
            return refuse(format!("payee {payee} is {why}"));
        }
        Ok(())
    }

    /// A contract that is called must be another's than the parties and the tokens.
    fn check_contract(&self, contract: Address, what: &str) -> Checked {
        if contract.is_zero() || contract == self.owner || contract == self.agent {
            return refuse(format!("the {what} {contract} is no contract to call"));
        }
        if what != "token that is bought" && self.tokens().contains(&contract) {
            return refuse(format!("the {what} {contract} is one of the mandate's tokens"));
        }
        Ok(())
    }

    fn check_dollars(&self, dollars: u128) -> Checked {
        let total = self.permissions.iter().find_map(|permission| match permission {
            Permission::Ask { total, .. } => Some(*total),
            _ => None,
        });
        match total.unwrap_or_default() {
            total if dollars > total => refuse(format!(
                "it hands on {dollars} dollars for answers, and the permission to ask has {total}"
            )),
            _ => Ok(()),
        }
    }

    fn check_delegate(
        &self,
        to: Address,
        token: Address,
        limit: u128,
        permissions: &[usize],
    ) -> Checked {
        if to.is_zero() || to == self.owner || to == self.agent {
            return refuse(format!("{to} is no sub-agent: it needs a key of its own"));
        }
        if limit == 0 {
            return refuse("its limit is 0");
        }
        let periods = self.cap(token).map(|(_, cap)| {
            u128::from(self.expiry.saturating_sub(self.start).div_ceil(cap.period_s.max(1)))
                .saturating_mul(cap.amount)
        });
        if periods.is_some_and(|most| limit > most) {
            return refuse(format!(
                "its limit {limit} is above what the cap on {token} allows in all"
            ));
        }
        if permissions.is_empty() {
            return refuse("it hands on no permissions");
        }
        let mut seen = BTreeSet::new();
        for index in permissions {
            let Some(permission) = self.permissions.get(*index) else {
                return refuse(format!("it hands on permission {index}, which there is not"));
            };
            if !seen.insert(index) {
                return refuse(format!("it hands on permission {index} twice"));
            }
            let on_chain =
                !matches!(permission, Permission::Ask { .. } | Permission::Delegate { .. });
            if !on_chain || permission.spends().iter().any(|spent| *spent != token) {
                return refuse(format!(
                    "permission {index} cannot be handed on: it must spend {token} alone, on chain"
                ));
            }
        }
        Ok(())
    }

    /// Two permissions for the same thing leave open which limits hold.
    fn check_overlap(&self, index: usize, permission: &Permission) -> Checked {
        let earlier = self.permissions.iter().take(index).position(|other| same(other, permission));
        match earlier {
            Some(earlier) => refuse(format!(
                "permissions {earlier} and {index} ({}) are for the same thing: keep one",
                permission.kind()
            )),
            None => Ok(()),
        }
    }
}

fn check_fee(venue: Venue, fee: u32) -> Checked {
    match venue {
        Venue::UniswapV2 if fee != 3_000 => refuse("v2 pools have the fee 3000"),
        Venue::UniswapV3 if fee == 0 || fee >= 1_000_000 => {
            refuse("the fee must be between 1 and 999999 hundredths of a basis point")
        }
        _ => Ok(()),
    }
}

fn same(one: &Permission, other: &Permission) -> bool {
    use Permission::{Ask, Delegate, Liquidity, Swap, Transfer, Vote};
    match (one, other) {
        (Transfer { token: a, payees: p }, Transfer { token: b, payees: q }) => {
            a == b && p.iter().any(|payee| q.contains(payee))
        }
        (
            Swap { router: a, sell: b, buy: c, fee: d, .. },
            Swap { router: e, sell: f, buy: g, fee: h, .. },
        ) => (a, b, c, d) == (e, f, g, h),
        (
            Liquidity { manager: a, token0: b, token1: c, fee: d, .. },
            Liquidity { manager: e, token0: f, token1: g, fee: h, .. },
        ) => a == e && d == h && ((b, c) == (f, g) || (b, c) == (g, f)),
        (Vote { governor: a }, Vote { governor: b }) => a == b,
        (Ask { .. }, Ask { .. }) => true,
        (Delegate { to: a, .. }, Delegate { to: b, .. }) => a == b,
        _ => false,
    }
}
