//! A real buyer: signs requests and vouchers, checks every reply with its receipt and promise, and
//! keeps the evidence.

use std::{net::SocketAddr, path::Path};

use anyhow::{bail, ensure};
use vouch_buyer::{Answered, Buyer, Event, Policy, system_clock};
use vouch_wallet::Wallet;
use vouch_wire::openai::Endpoint;

/// Millionths of a dollar; the faucet gives ten dollars.
const BUDGET: u128 = 8_000_000;
const PER_CALL: u128 = 20_000;

/// A buyer with an empty wallet, which the provider's faucet fills.
pub(crate) fn buyer(data_dir: &Path, gateway: SocketAddr) -> anyhow::Result<Buyer> {
    let policy = Policy::new(BUDGET, PER_CALL);
    let providers = [format!("http://{gateway}")];
    Ok(Buyer::open(data_dir, Wallet::random()?, policy, system_clock(), &providers)?)
}

/// One call, paid and checked.
pub(crate) async fn call(buyer: &Buyer, body: &str) -> anyhow::Result<Answered> {
    let mut running = buyer.start(Endpoint::Chat, body)?;
    while let Some(event) = running.events.recv().await {
        match event {
            Event::Done(answered) => {
                ensure!(answered.cut.is_none(), "an answer was cut: {:?}", answered.cut);
                return Ok(*answered);
            }
            Event::Failed(error) => return Err(error.into()),
            _ => {}
        }
    }
    bail!("a call ended without an outcome")
}
