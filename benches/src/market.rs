//! A gateway as its payers see it: who sells, for what, in which domain.

use std::{net::SocketAddr, time::Duration};

use alloy_primitives::B256;
use anyhow::{Context, ensure};
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use vouch_core::domain::Domain;
use vouch_wire::{
    openai::ModelList,
    vouch::{ChannelView, OfferInfo, ProviderDocument},
    x402::{self, Offer, PAYMENT_REQUIRED, PaymentRequired},
};

use crate::load;

/// The paid route.
pub const CHAT: &str = "/v1/chat/completions";
/// What every call asks.
pub const BODY: &str = r#"{"model":"stub","messages":[{"role":"user","content":"What does a receipt say? Answer in one sentence."}],"max_tokens":16}"#;

/// A gateway that sells.
#[derive(Debug, Clone)]
pub struct Market {
    /// Where it listens.
    pub address: SocketAddr,
    /// Who it is.
    pub document: ProviderDocument,
    /// Where it settles.
    pub domain: Domain,
    /// Hash of what the calls cost.
    pub terms: B256,
    /// What an unpaid call is told.
    pub offer: Offer,
}

impl Market {
    /// Reads a gateway's documents and its offer for [`BODY`].
    ///
    /// # Errors
    /// If it does not sell to strangers.
    pub async fn visit(address: SocketAddr) -> anyhow::Result<Self> {
        let document: ProviderDocument = get(address, "/.well-known/vouch.json").await?;
        let models: ModelList = get(address, "/v1/models").await?;
        let model = models.data.into_iter().find_map(|model| model.vouch);
        let chain = document.network.strip_prefix("eip155:").context("not an EVM chain")?;
        let domain = Domain { chain: chain.parse()?, settlement: document.settlement };
        let call = load::call(address, Method::POST, CHAT, BODY)?;
        let (parts, _) = load::exchange(address, call).await?;
        ensure!(
            parts.status == StatusCode::PAYMENT_REQUIRED,
            "an unpaid call got {}",
            parts.status
        );
        let header = parts.headers.get(PAYMENT_REQUIRED).context("a 402 has no offer")?;
        let mut required: PaymentRequired<OfferInfo> = x402::decode("offer", header.as_bytes())?;
        Ok(Self {
            address,
            document,
            domain,
            terms: model.context("nothing is sold")?.terms_hash,
            offer: required.accepts.pop().context("nothing is offered")?,
        })
    }

    /// A channel as the gateway sees it.
    ///
    /// # Errors
    /// If it knows of none.
    pub async fn channel(&self, id: &B256) -> anyhow::Result<ChannelView> {
        get(self.address, &format!("/vouch/channels/{id}")).await
    }

    /// How long all calls so far have waited for their receipts to be durable, as the gateway's
    /// metrics have it.
    ///
    /// # Errors
    /// If it has no such metric.
    pub async fn commits(&self) -> anyhow::Result<Duration> {
        let call = load::call(self.address, Method::GET, "/metrics", "")?;
        let (_, page) = load::exchange(self.address, call).await?;
        let page = String::from_utf8(page.into())?;
        let mut lines = page.lines();
        let sum = lines.find_map(|line| line.strip_prefix("vouch_commit_seconds_sum "));
        Ok(Duration::from_secs_f64(sum.context("no vouch_commit_seconds_sum")?.parse()?))
    }
}

async fn get<T: DeserializeOwned>(address: SocketAddr, path: &str) -> anyhow::Result<T> {
    let call = load::call(address, Method::GET, path, "")?;
    let (parts, body) = load::exchange(address, call).await?;
    ensure!(parts.status == StatusCode::OK, "GET {path} got {}", parts.status);
    serde_json::from_slice(&body).with_context(|| format!("{path} cannot be read"))
}
