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

use super::{Inner, Misbehave, Shared, refuse};

#[derive(Debug, Default)]
pub struct Log {
    pub leaves: Vec<B256>,
}

impl Log {
    pub fn promise(&mut self, leaf: B256) -> u64 {
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
        Some(Misbehave::Rewrites) => {
            leaves[0] = merkle::leaf_hash(b"another");
            leaves.push(merkle::leaf_hash(b"more"));
        }
        _ => {}
    }
    leaves
}

fn signed(stub: &Inner, leaves: &[B256]) -> String {
    let origin = stub.document.log.origin.clone();
    let checkpoint =
        Checkpoint { origin: origin.clone(), size: leaves.len() as u64, root: merkle::root(leaves) };
    let text = checkpoint.text();
    let mut signatures = vec![stub.log_key.sign(&origin, &text)];
    if stub.books.lock().misbehave != Some(Misbehave::HalfSigned) {
        let signature = stub.wallet.sign(checkpoint.digest());
        signatures.push(sign_eip712(&origin, stub.wallet.address(), &signature));
    }
    Note { text, signatures }.to_string()
}

pub async fn checkpoint(State(stub): Shared) -> String {
    let leaves = shown(&stub);
    signed(&stub, &leaves)
}

pub async fn proof(State(stub): Shared, Path(index): Path<usize>) -> Response {
    let leaves = shown(&stub);
    if index >= leaves.len() || stub.books.lock().misbehave == Some(Misbehave::NeverLogs) {
        return refuse(404, "not_logged_yet", None);
    }
    let path = merkle::inclusion_path(&leaves, index);
    let checkpoint = signed(&stub, &leaves);
    Json(LogProof { index: index as u64, path, checkpoint }).into_response()
}

pub async fn consistency(
    State(stub): State<Arc<Inner>>,
    Query(query): Query<BTreeMap<String, usize>>,
) -> Response {
    let leaves = shown(&stub);
    let (from, to) = (query["from"], query["to"]);
    if from > to || to > leaves.len() {
        return refuse(404, "out_of_range", None);
    }
    Json(json!({ "path": merkle::consistency_path(&leaves[..to], from) })).into_response()
}
