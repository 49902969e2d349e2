//! Test money, on chains whose token this provider may mint: for development only.

use alloy::{
    network::TransactionBuilder, providers::Provider, rpc::types::TransactionRequest,
    sol_types::SolCall,
};
use alloy_primitives::{Address, B256, U256};
use vouch_contracts::bindings::TestDollar::mintCall;

use crate::{Error, Settler};

/// What an empty wallet gets: 10 test dollars.
pub(crate) const FAUCET_UNITS: u128 = 10_000_000;
/// And a tenth of a test ether, for the transactions that only the payer can send.
const FAUCET_WEI: u128 = 100_000_000_000_000_000;

impl Settler {
    /// Fills a wallet that has less than the faucet gives; returns the transaction that minted, 0
    /// if none was needed.
    ///
    /// # Errors
    /// [`Error::NoFaucet`] if this provider may not mint, and as any transaction.
    pub async fn faucet(&self, to: Address) -> Result<B256, Error> {
        let mut transaction = B256::ZERO;
        let token = self.token();
        let minter = token.minter().call().await;
        if minter.map_or(true, |minter| minter != self.operator) {
            return Err(Error::NoFaucet(self.operator));
        }
        let mut turn = self.sender.turn().await?;
        let balance = token.balanceOf(to).call().await.map_err(Error::rpc("for a balance"))?;
        if balance < U256::from(FAUCET_UNITS) {
            let mint = mintCall { to, amount: U256::from(FAUCET_UNITS) };
            let request = TransactionRequest::default().input(mint.abi_encode().into());
            let mined = turn.send("the faucet's mint", self.deployment.token, request).await?;
            transaction = mined.transaction_hash;
        }
        let ether = self.provider.get_balance(to).await.map_err(Error::rpc("for a balance"))?;
        if ether < U256::from(FAUCET_WEI) {
            let request = TransactionRequest::default().with_value(U256::from(FAUCET_WEI));
            turn.send("the faucet's ether", to, request).await?;
        }
        Ok(transaction)
    }
}
