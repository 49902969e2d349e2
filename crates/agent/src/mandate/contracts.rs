//! Where the contracts stand that hold a mandate.

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use vouch_contracts::Economy;

/// The delegation framework on a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Contracts {
    /// EIP-155 id.
    pub chain: u64,
    /// `DelegationManager`.
    pub manager: Address,
    /// `EIP7702StatelessDeleGator`, the code of the owner's account.
    pub delegator: Address,
    /// What holds the caveats.
    pub enforcers: Enforcers,
}

/// One contract for each kind of caveat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "MetaMask's names, and Vouch's SpendPerPeriodEnforcer")]
pub struct Enforcers {
    pub allowed_targets: Address,
    pub allowed_methods: Address,
    pub allowed_calldata: Address,
    pub timestamp: Address,
    pub limited_calls: Address,
    pub value_lte: Address,
    pub erc20_period_transfer: Address,
    pub spend_per_period: Address,
}

impl Contracts {
    /// Those of the economy on a chain.
    #[must_use]
    pub fn of(economy: &Economy, chain: u64) -> Self {
        let enforcers = &economy.enforcers;
        Self {
            chain,
            manager: economy.delegation_manager,
            delegator: economy.delegator,
            enforcers: Enforcers {
                allowed_targets: enforcers.allowed_targets,
                allowed_methods: enforcers.allowed_methods,
                allowed_calldata: enforcers.allowed_calldata,
                timestamp: enforcers.timestamp,
                limited_calls: enforcers.limited_calls,
                value_lte: enforcers.value_lte,
                erc20_period_transfer: enforcers.erc20_period_transfer,
                spend_per_period: enforcers.spend_per_period,
            },
        }
    }
}
