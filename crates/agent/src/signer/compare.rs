//! A call's simulated effects beside what its intent asks for and its permission allows.

use alloy::{providers::Provider, rpc::types::TransactionRequest, sol_types::SolCall};
use alloy_primitives::{Bytes, U256};
use vouch_contracts::bindings::NonfungiblePositionManager as Positions;

use super::{Call, Change, Expected, Plan, Refusal, Signer, State, price, simulate};
use crate::mandate::Permission;

impl Signer {
    /// What the call would do now, if that is what it is meant to do.
    pub(super) async fn simulate(
        &self,
        state: &mut State,
        plan: &Plan,
        call: &Call,
        redemption: Bytes,
    ) -> Result<Vec<Change>, Refusal> {
        let permission = self.grant.mandate.permissions.get(plan.permission);
        let spot = match (permission, &call.expected) {
            (
                Some(Permission::Swap { venue, router, sell, buy, fee, .. }),
                Expected::Swap { amount_in, .. },
            ) => {
                let tokens = [*sell, *buy];
                let pool = match state.pools.get(&plan.permission) {
                    Some(pool) => *pool,
                    None => price::pool(self.provider(), *venue, *router, tokens, *fee).await?,
                };
                state.pools.insert(plan.permission, pool);
                Some(price::Spot::new(*venue, pool, tokens, *amount_in, *fee))
            }
            _ => None,
        };
        let simulated =
            simulate::simulate(self.provider(), &self.grant, call, redemption, spot).await?;
        let came = simulated.check(&call.expected)?;
        match (permission, &call.expected) {
            (
                Some(Permission::Swap { max_slippage_bps, max_impact_bps, .. }),
                Expected::Swap { min_out, .. },
            ) => {
                let impact_bps = price::impact_bps(simulated.spot.unwrap_or(u128::MAX), came[0]);
                if impact_bps > u32::from(*max_impact_bps) {
                    return Err(Refusal::Impact { impact_bps, max_impact_bps: *max_impact_bps });
                }
                check_minima([*min_out, 0], [came[0], 0], *max_slippage_bps)?;
            }
            (
                Some(Permission::Liquidity { max_slippage_bps, .. }),
                Expected::Add { minima, .. } | Expected::Remove { minima, position: None, .. },
            ) => check_minima(*minima, came, *max_slippage_bps)?,
            (
                Some(Permission::Liquidity { max_slippage_bps, fee, .. }),
                Expected::Remove { minima, position: Some(position), .. },
            ) => {
                let freed = self.freed(call, *position, *fee).await?;
                check_minima(*minima, freed, *max_slippage_bps)?;
            }
            _ => {}
        }
        Ok(simulated.changes())
    }

    /// What a v3 removal frees, fees left out: the manager's own answer to the owner. The position
    /// must be of the permission's fee tier; its tokens were compared before.
    async fn freed(&self, call: &Call, position: U256, fee: u32) -> Result<[u128; 2], Refusal> {
        let failed = |error: &dyn std::fmt::Display| Refusal::Rpc(error.to_string());
        let manager = Positions::new(call.target, self.provider());
        let held = manager.positions(position).call().await.map_err(|e| failed(&e))?;
        if held.fee.to::<u32>() != fee {
            return Err(Refusal::OtherPosition(position.to_string()));
        }
        let request = TransactionRequest::default()
            .from(self.grant.mandate.owner)
            .to(call.target)
            .input(call.data.clone().into());
        let answer = self.provider().call(request).await.map_err(|e| failed(&e))?;
        let freed = Positions::decreaseLiquidityCall::abi_decode_returns(&answer)
            .map_err(|e| failed(&e))?;
        Ok([freed.amount0.saturating_to(), freed.amount1.saturating_to()])
    }
}

fn check_minima(minima: [u128; 2], came: [u128; 2], max_slippage_bps: u16) -> Result<(), Refusal> {
    for (min_out, expected) in minima.into_iter().zip(came) {
        if !price::within_slippage(min_out, expected, max_slippage_bps) {
            return Err(Refusal::Slippage { min_out, expected, max_slippage_bps });
        }
    }
    Ok(())
}
