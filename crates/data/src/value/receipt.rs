//! A training as receipts: one of kind 4, and under it one of kind 5 for each set.

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vouch_core::{
    commitment::source_nonce,
    data_use::{self, Grant, WHOLE},
    domain::Domain,
    money::Usage,
    receipt::{Kind, Receipt, Status, Tier, VERSION},
    training::{self, Share, Shares},
};

use crate::{Error, Result};

/// What opens a training's receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Opening {
    /// Of both commitments.
    pub nonce: B256,
    /// What was to be trained.
    pub manifest: Value,
    /// What came of it.
    pub report: Value,
}

impl Opening {
    /// With a nonce of its own.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn new(manifest: Value, report: Value) -> Result<Self> {
        let mut nonce = B256::ZERO;
        getrandom::fill(nonce.as_mut_slice()).map_err(|error| Error::Random(error.to_string()))?;
        Ok(Self { nonce, manifest, report })
    }
}

/// What opens the receipt of a set's use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UseOpening {
    /// Opens this receipt and nothing else.
    pub nonce: B256,
    /// The set.
    pub dataset: B256,
    /// What it was used under.
    pub grant: Grant,
}

/// A set's use, about to be logged; its place in its owner's stream is the log's to fill in.
#[derive(Debug, Clone)]
pub struct UseDraft {
    /// Of kind 5.
    pub receipt: Receipt,
    /// What opens it.
    pub opening: UseOpening,
}

/// A training that is about to be logged.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Of kind 4.
    pub receipt: Receipt,
    /// What opens it.
    pub opening: Opening,
    /// Of each set that had examples, in order.
    pub uses: Vec<UseDraft>,
}

impl Draft {
    /// The receipts of a training by `trainer`, for itself, credited in `asset`. `grants`: what each
    /// set was used under, in order; `time` in Unix milliseconds.
    ///
    /// # Errors
    /// [`Error::Malformed`] if there is not one grant for each set of the report, and as
    /// [`Shares::of`].
    pub fn new(
        trainer: Address,
        domain: Domain,
        asset: Address,
        opening: Opening,
        grants: &[Grant],
        time: u64,
    ) -> Result<Self> {
        let shares = Shares::of(&opening.report)?;
        if shares.sets.len() != grants.len() {
            return Err(Error::malformed("training", "it has not one grant for each set"));
        }
        let named = shares.sets.iter().map(|share| (share.set.owner, share.set.dataset));
        if !named.eq(grants.iter().map(|grant| (grant.owner, grant.dataset))) {
            return Err(Error::malformed("training", "a grant is of another set"));
        }
        let blank = Receipt {
            version: VERSION,
            domain,
            kind: Kind::TrainingRound,
            status: Status::Complete,
            tier: Tier::Signed,
            flags: 0,
            provider: trainer,
            agent: U256::ZERO,
            payer: trainer,
            channel: B256::ZERO,
            sequence: 0,
            request: B256::ZERO,
            response: B256::ZERO,
            tokens: B256::ZERO,
            usage: Usage::default(),
            model: shares.model,
            sampling: B256::ZERO,
            seed: B256::ZERO,
            commitment: B256::ZERO,
            terms: B256::ZERO,
            charge: shares.credited()?,
            cumulative: 0,
            asset,
            parent: B256::ZERO,
            time,
        };
        let sets = (0u32..).zip(shares.sets.iter().zip(grants));
        let used = sets.filter(|(_, (share, _))| share.examples > 0);
        let uses = used.map(|(number, (share, grant))| {
            let nonce = source_nonce(&opening.nonce, number);
            used_set(&blank, nonce, share, grant)
        });
        let uses = uses.collect();
        let receipt = Receipt {
            request: training::manifest(&opening.nonce, &opening.manifest)?,
            response: training::report(&opening.nonce, &opening.report)?,
            ..blank
        };
        Ok(Self { receipt, opening, uses })
    }
}

fn used_set(blank: &Receipt, nonce: B256, share: &Share, grant: &Grant) -> UseDraft {
    let (owner, dataset) = (grant.owner, grant.dataset);
    let receipt = Receipt {
        kind: Kind::DataUse,
        status: if share.revoked { Status::Failed } else { Status::Complete },
        payer: owner,
        channel: data_use::stream(&blank.domain, blank.provider, owner),
        request: data_use::request(&nonce, &dataset, &WHOLE),
        usage: Usage { input: share.examples, ..Usage::default() },
        model: dataset,
        terms: grant.id(),
        charge: share.credited(),
        ..blank.clone()
    };
    UseDraft { receipt, opening: UseOpening { nonce, dataset, grant: *grant } }
}
