//! The endpoints of one chain: which can be believed now, and a provider that asks those.
//!
//! alloy's own fallback gives the first answer that comes and compares none, so that a node that
//! lags, or was forked off, would decide what a channel holds. Here one endpoint answers all reads of
//! a moment, chosen among those that were found to be well and of one mind.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy::{
    eips::BlockId,
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::client::RpcClient,
};
use alloy_primitives::B256;
use futures_util::future::join_all;

use crate::{Error, Finality, router::Router};

/// How long an endpoint may take to say where it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// An endpoint whose newest block is older than another's by this much lags.
const LAG_S: u64 = 30;

/// JSON-RPC endpoints of one chain; a clone is the same endpoints.
#[derive(Debug, Clone)]
pub struct Endpoints {
    pub(crate) list: Arc<[Endpoint]>,
    standing: Arc<Mutex<Standing>>,
}

/// One endpoint.
pub(crate) struct Endpoint {
    /// For people; without keys.
    pub(crate) name: String,
    pub(crate) provider: DynProvider,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is known of each endpoint, in their order.
#[derive(Debug)]
struct Standing {
    /// Why it is not asked, if so.
    dropped: Vec<Option<String>>,
    /// It has named its chain since it was last dropped.
    named: Vec<bool>,
    /// Which answers reads.
    active: usize,
    /// The highest block that all were found to agree on.
    agreed: Option<u64>,
}

/// Where a chain is, as an endpoint that can be believed says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    /// Its time, Unix seconds.
    pub(crate) time_s: u64,
    /// The newest block that counts.
    pub(crate) newest_final: u64,
}

impl Endpoints {
    /// Endpoints by the names that people are told, of which the first is preferred.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn new(named: impl IntoIterator<Item = (String, DynProvider)>) -> Self {
        let list: Arc<[_]> =
            named.into_iter().map(|(name, provider)| Endpoint { name, provider }).collect();
        assert!(!list.is_empty(), "a chain has an endpoint");
        let standing = Standing {
            dropped: vec![None; list.len()],
            named: vec![false; list.len()],
            active: 0,
            agreed: None,
        };
        Self { list, standing: Arc::new(Mutex::new(standing)) }
    }

    /// A chain with one endpoint, such as the embedded one.
    #[must_use]
    pub fn one(provider: DynProvider) -> Self {
        Self::new([("the chain".to_owned(), provider)])
    }

    /// A provider that reads from an endpoint that is well, goes to the next if that does not
    /// answer, and sends transactions to all that are well.
    #[must_use]
    pub fn provider(&self) -> DynProvider {
        let polls = self.list.first().map(|first| first.provider.client().poll_interval());
        let mut client = RpcClient::new(Router::new(self.clone()), false);
        if let Some(polls) = polls {
            client = client.with_poll_interval(polls);
        }
        ProviderBuilder::default().connect_client(client).erased()
    }

    /// Those that are well, the active one first; all of them if none is, since one may be back.
    pub(crate) fn well(&self) -> Vec<usize> {
        let standing = self.standing();
        let is_well = |place: &usize| standing.dropped.get(*place).is_some_and(Option::is_none);
        let mut well: Vec<_> = (0..self.list.len()).filter(is_well).collect();
        if well.is_empty() {
            well = (0..self.list.len()).collect();
        }
        well.sort_by_key(|place| *place != standing.active);
        well
    }

    /// The chain's id: that of the first endpoint that answers.
    ///
    /// # Errors
    /// [`Error::NoEndpoint`] if none answers.
    pub async fn chain_id(&self) -> Result<u64, Error> {
        let ids = join_all(self.list.iter().map(|endpoint| async {
            let id = tokio::time::timeout(PATIENCE, endpoint.provider.get_chain_id()).await;
            id.ok().and_then(Result::ok)
        }));
        ids.await.into_iter().flatten().next().ok_or_else(|| self.none())
    }

    /// Asks every endpoint where the chain is; drops those that fail, lag or are on another chain
    /// than `chain_id`, with a warning, and takes back those that are well again.
    ///
    /// # Errors
    /// [`Error::NoEndpoint`] if none is well, [`Error::Disagree`] if those that are have different
    /// blocks at a final height.
    pub(crate) async fn survey(&self, chain_id: u64, finality: Finality) -> Result<View, Error> {
        let looks = self.list.iter().enumerate().map(|(place, endpoint)| {
            let named = self.standing().named.get(place).is_some_and(|named| *named);
            look(endpoint, (!named).then_some(chain_id), finality)
        });
        let mut looks = join_all(looks).await;
        drop_laggards(&mut looks);
        self.note(&looks);
        self.compare(&looks).await?;
        let active = self.well().first().copied().unwrap_or(0);
        self.standing().active = active;
        looks.into_iter().nth(active).and_then(Result::ok).ok_or_else(|| self.none())
    }

    /// Warns of what has changed for the worse or the better.
    fn note(&self, looks: &[Result<View, String>]) {
        let mut standing = self.standing();
        for (place, (endpoint, look)) in self.list.iter().zip(looks).enumerate() {
            let why = look.as_ref().err();
            let Some(before) = standing.dropped.get_mut(place) else { continue };
            match (why, &before) {
                (Some(why), None) => {
                    tracing::warn!(endpoint = endpoint.name, why, "an endpoint is dropped");
                }
                (None, Some(_)) => {
                    // As loud as what it ends.
                    tracing::warn!(endpoint = endpoint.name, "an endpoint is well again");
                }
                _ => {}
            }
            *before = why.cloned();
            if let Some(named) = standing.named.get_mut(place) {
                *named = why.is_none();
            }
        }
    }

    /// Compares the block that is final for all that are well.
    async fn compare(&self, looks: &[Result<View, String>]) -> Result<(), Error> {
        let well: Vec<_> = self.list.iter().zip(looks).filter(|(_, look)| look.is_ok()).collect();
        let finals = looks.iter().flatten().map(|view| view.newest_final);
        let Some(height) = finals.min().filter(|_| well.len() > 1) else { return Ok(()) };
        if self.standing().agreed.is_some_and(|agreed| agreed >= height) {
            return Ok(());
        }
        let hashes = join_all(well.iter().map(|(endpoint, _)| hash_at(endpoint, height))).await;
        let mut known = well
            .iter()
            .zip(hashes)
            .filter_map(|((endpoint, _), hash)| Some((endpoint.name.as_str(), hash?)));
        let Some((first, hash)) = known.next() else { return Ok(()) };
        if let Some((second, _)) = known.find(|(_, other)| *other != hash) {
            let (first, second) = (first.to_owned(), second.to_owned());
            return Err(Error::Disagree { height, first, second });
        }
        self.standing().agreed = Some(height);
        Ok(())
    }

    fn none(&self) -> Error {
        let standing = self.standing();
        let why = self.list.iter().zip(&standing.dropped).map(|(endpoint, why)| {
            format!("{}: {}", endpoint.name, why.as_deref().unwrap_or("no answer"))
        });
        Error::NoEndpoint { why: why.collect::<Vec<_>>().join("; ") }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where one endpoint is, or why it is not to be asked.
async fn look(
    endpoint: &Endpoint,
    chain_id: Option<u64>,
    finality: Finality,
) -> Result<View, String> {
    let look = async {
        if let Some(expected) = chain_id {
            let id = endpoint.provider.get_chain_id().await;
            let id = id.map_err(|error| error.to_string())?;
            if id != expected {
                return Err(format!("it is on chain {id}, not on {expected}"));
            }
        }
        let block = endpoint.provider.get_block(BlockId::latest()).await;
        let block = block.map_err(|error| error.to_string())?;
        let header = block.ok_or("it has no block")?.header;
        let newest_final = finality.newest(&endpoint.provider, header.number).await;
        let newest_final = newest_final.map_err(|error| error.to_string())?;
        let (number, hash, time_s) = (header.number, header.hash, header.timestamp);
        Ok(View { number, hash, time_s, newest_final })
    };
    let look = tokio::time::timeout(PATIENCE, look).await;
    let look = look.unwrap_or_else(|_| Err("it does not answer".into()));
    look.map_err(|why| without_keys(&why))
}

fn drop_laggards(looks: &mut [Result<View, String>]) {
    let newest_s = looks.iter().flatten().map(|view| view.time_s).max().unwrap_or(0);
    for look in looks {
        if let Ok(view) = look
            && view.time_s.saturating_add(LAG_S) < newest_s
        {
            let behind = newest_s.saturating_sub(view.time_s);
            *look = Err(format!("its block {} is {behind} s behind another's", view.number));
        }
    }
}

async fn hash_at(endpoint: &Endpoint, height: u64) -> Option<B256> {
    let block = endpoint.provider.get_block_by_number(height.into());
    let block = tokio::time::timeout(PATIENCE, block).await.ok()?.ok()??;
    Some(block.header.hash)
}

/// A text with its URLs cut to scheme and host: paths, queries and user names of endpoints hold keys.
#[must_use]
pub fn without_keys(text: &str) -> String {
    let mut rest = text;
    let mut clean = String::with_capacity(text.len());
    while let Some(start) = rest.find("://") {
        let (before, url) = rest.split_at(start.saturating_add(3));
        clean.push_str(before);
        let end = url.find(|c: char| c.is_whitespace() || "()\"'<>,;".contains(c));
        let (url, after) = url.split_at(end.unwrap_or(url.len()));
        let authority = url.split(['/', '?', '#']).next().unwrap_or(url);
        clean.push_str(authority.rsplit('@').next().unwrap_or(authority));
        rest = after;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_told() {
        for (text, clean) in [
            ("https://host/v3/KEY", "https://host"),
            ("wss://me:KEY@host:8546?key=KEY and more", "wss://host:8546 and more"),
            ("error (http://a/KEY), then https://b#KEY", "error (http://a), then https://b"),
            ("no address", "no address"),
        ] {
            assert_eq!(without_keys(text), clean);
        }
    }

    #[test]
    fn a_lagging_endpoint_is_dropped() {
        let at = |time_s| View { number: 7, hash: B256::ZERO, time_s, newest_final: 0 };
        let mut looks = [Ok(at(1_000)), Ok(at(1_030)), Ok(at(1_031)), Err("gone".into())];
        drop_laggards(&mut looks);
        assert_eq!(looks[0], Err("its block 7 is 31 s behind another's".into()));
        assert!(looks[1].is_ok() && looks[2].is_ok());
    }
}
