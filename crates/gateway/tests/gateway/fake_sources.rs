//! Sources that are a fake: what they find is set by the test, and grants are revoked at will.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use alloy_primitives::{Address, B256, U256, keccak256};
use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use vouch_core::data_use::{Grant, SEARCH};
use vouch_gateway::{Passage, Retrieval, Sources, SourcesError, Sourcing};

use crate::harness::provider;

#[derive(Debug, Default)]
pub struct FakeSources {
    pub passages: Mutex<Vec<Passage>>,
    /// Grants that no longer hold when an answer settles.
    pub revoked: Mutex<HashSet<B256>>,
    /// How often something was retrieved.
    pub retrieved: AtomicU32,
    /// The last question.
    pub question: Mutex<String>,
    /// Whether retrieval, and the question what still holds, fail.
    pub fails: Mutex<bool>,
    pub registry_fails: Mutex<bool>,
}

impl FakeSources {
    pub fn new(passages: Vec<Passage>) -> Arc<Self> {
        Arc::new(Self { passages: Mutex::new(passages), ..Self::default() })
    }

    pub fn sourcing(self: &Arc<Self>) -> Sourcing {
        Sourcing {
            sources: Arc::clone(self) as Arc<dyn Sources>,
            price: 400,
            max_sources: 4,
            max_bytes: 2000,
        }
    }
}

impl Sources for FakeSources {
    fn retrieve<'a>(
        &'a self,
        asked: &'a Retrieval,
    ) -> BoxFuture<'a, Result<Vec<Passage>, SourcesError>> {
        self.retrieved.fetch_add(1, Ordering::SeqCst);
        *self.question.lock() = asked.question.clone();
        let found = match *self.fails.lock() {
            true => Err(SourcesError("the index is not there".into())),
            false => Ok(self.passages.lock().clone()),
        };
        async { found }.boxed()
    }

    fn still_allowed<'a>(
        &'a self,
        grants: &'a [B256],
        _service: B256,
    ) -> BoxFuture<'a, Result<Vec<bool>, SourcesError>> {
        let revoked = self.revoked.lock();
        let allowed = match *self.registry_fails.lock() {
            true => Err(SourcesError("the chain is not there".into())),
            false => Ok(grants.iter().map(|grant| !revoked.contains(grant)).collect()),
        };
        async { allowed }.boxed()
    }
}

pub fn grant(owner: u8, price: u128, share_bps: u16) -> Grant {
    Grant {
        owner: Address::repeat_byte(owner),
        dataset: B256::repeat_byte(owner ^ 0xff),
        grantee: provider(),
        purpose: keccak256(SEARCH),
        service: B256::ZERO,
        price,
        share_bps,
        start: 0,
        end: u64::MAX,
        nonce: U256::ZERO,
    }
}

pub fn passage(grant: Grant, document: u8, text: &str) -> Passage {
    Passage {
        document: B256::repeat_byte(document),
        grant,
        title: format!("Document {document}"),
        text: text.into(),
    }
}
