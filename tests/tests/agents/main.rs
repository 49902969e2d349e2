//! Agents by the real processes: a provider, a market, a signer, a buyer's endpoint, one chain.

mod ask;
mod govern;
mod house;
mod poisoned;
mod run;
mod sub;
