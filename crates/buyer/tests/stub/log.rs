//! The stub's log, which may be rewritten or shown twice.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::B256;
use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use serde_json::json;
use vouch_core::{
    bundle::LogProof,
    log::{
        Checkpoint, merkle,
        note::{Note, sign_eip712},
    },
};

use super::{Inner, Misbehave, Shared, documents::refuse};

#[derive(Debug, Default)]
pub(super) struct Log {
    leaves: Vec<B256>,
}

impl Log {
    pub(super) fn promise(&mut self, leaf: B256) -> u64 {
        self.leaves.push(leaf);
        self.leaves.len() as u64 - 1
    }
}

/// The log as it is shown now. The second look at an equivocating log is another.
fn shown(stub: &Inner) -> Vec<B256> {
    let books = stub.books.lock();
    let mut leaves = books.log.leaves.clone();
    match books.misbehave {
        Some(Misbehave::Equivocates) => leaves[0] = merkle::leaf_hash(b"another"),
        Some(Misbehave::Rewrites | Misbehave::RewritesInSilence) => {
            leaves[0] = merkle::leaf_hash(b"another");
            leaves.push(merkle::leaf_hash(b"more"));
        }
        _ => {}
    }
    leaves
}

/// Two ways on from the log that was seen, told apart by their sizes.
fn forked(stub: &Inner, way: u8) -> Vec<B256> {
    let mut leaves = stub.books.lock().log.leaves.clone();
    leaves.extend((0..=way).map(|n| merkle::leaf_hash(&[way, n])));
    leaves
}

fn signed(stub: &Inner, leaves: &[B256]) -> String {
    let origin = stub.document.log.origin.clone();
    let checkpoint = Checkpoint {
        origin: origin.clone(),
        size: leaves.len() as u64,
        root: merkle::root(leaves),
    };
    let text = checkpoint.text();
    let mut signatures = vec![stub.log_key.sign(&origin, &text)];
    if stub.books.lock().misbehave != Some(Misbehave::HalfSigned) {
        let signature = stub.wallet.sign(checkpoint.digest());
        signatures.push(sign_eip712(&origin, stub.wallet.address(), &signature));
    }
    Note { text, signatures }.to_string()
}

pub(super) async fn checkpoint(State(stub): Shared) -> String {
    if stub.is(Misbehave::Forks) {
        let mut books = stub.books.lock();
        let way = books.looks % 2;
        books.looks += 1;
        drop(books);
        return signed(&stub, &forked(&stub, way));
    }
    signed(&stub, &shown(&stub))
}

pub(super) async fn proof(State(stub): Shared, Path(index): Path<usize>) -> Response {
    let leaves = shown(&stub);
    if index >= leaves.len() || stub.books.lock().misbehave == Some(Misbehave::NeverLogs) {
        return refuse(404, "not_logged_yet", None);
    }
    let path = merkle::inclusion_path(&leaves, index);
    let checkpoint = signed(&stub, &leaves);
    Json(LogProof { index: index as u64, path, checkpoint }).into_response()
}

pub(super) async fn consistency(
    State(stub): State<Arc<Inner>>,
    Query(query): Query<BTreeMap<String, usize>>,
) -> Response {
    let mut leaves = shown(&stub);
    let (from, to) = (query["from"], query["to"]);
    if stub.is(Misbehave::Forks) {
        // Both who look have their checkpoint before either has its path.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        leaves = forked(&stub, u8::from(to > leaves.len() + 1));
    }
    if from > to || to > leaves.len() || stub.is(Misbehave::RewritesInSilence) {
        return refuse(404, "out_of_range", None);
    }
    Json(json!({ "path": merkle::consistency_path(&leaves[..to], from) })).into_response()
}
