//! Recomputes what each account is owed and was paid, from the chain and the receipts that the
//! accounts hold: with no word of the provider's but what it signed.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};
use vouch_core::{promise::SignedPromise, receipt::Receipt};

use super::{History, Leaf, Tree, check_receipt};

/// A receipt as its owner holds it. What opens it may stand beside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// What the provider credited.
    pub receipt: Receipt,
    /// The provider's signature for it.
    pub promise: SignedPromise,
}

/// A receipt that was due and that the newest root does not cover.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Omission {
    /// The root.
    pub root: B256,
    /// What the root has of the account, if anything.
    pub leaf: Option<Leaf>,
    /// The receipt that says more, with the provider's signature: the proof, as
    /// `challengeWithReceipt` takes it.
    pub proof: Held,
}

/// One account's books.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Whose.
    pub account: Address,
    /// The highest total that the provider promised, by the receipts that are held.
    #[serde(with = "crate::decimal")]
    pub earned: u128,
    /// How many receipts the stream has by then.
    pub sequence: u64,
    /// What was due by the newest root's cut-off.
    #[serde(with = "crate::decimal")]
    pub due: u128,
    /// What the newest root has.
    #[serde(with = "crate::decimal")]
    pub in_root: u128,
    /// What was claimed.
    pub paid: U256,
    /// What the root left out.
    pub omission: Option<Omission>,
}

/// Something that contradicts itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fault {
    /// A held receipt that is not the publisher's data use, or that it did not promise.
    NotPromised {
        /// The receipt's id.
        receipt: B256,
        /// What is wrong.
        why: String,
    },
    /// Two promised receipts in one place of a stream: a fault by signatures alone.
    TwoInOnePlace {
        /// Ids of both.
        receipts: [B256; 2],
    },
    /// A total that does not follow from the receipt before.
    TotalDoesNotFollow {
        /// The receipt's id.
        receipt: B256,
    },
    /// The leaves that came with a root do not give it.
    Evidence {
        /// The root.
        root: B256,
        /// What is wrong.
        why: String,
    },
}

/// Everybody's books.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// By account.
    pub accounts: Vec<Account>,
    /// What contradicts itself.
    pub faults: Vec<Fault>,
}

/// Explains a series by its history and by receipts, whoever holds them.
#[must_use]
pub fn explain(history: &History, held: &[Held]) -> Explanation {
    let mut faults = Vec::new();
    let streams = streams(history, held, &mut faults);
    let newest = history.newest();
    let tree = newest.and_then(|proposed| {
        let tree = Tree::from_evidence(&proposed.evidence);
        let why = match &tree {
            Err(error) => error.to_string(),
            Ok(tree) if tree.root() != proposed.root => "its leaves have another root".into(),
            Ok(tree) if tree.total().ok() != Some(proposed.total) => {
                "its leaves have another sum".into()
            }
            Ok(_) => return tree.ok(),
        };
        faults.push(Fault::Evidence { root: proposed.root, why });
        // Leaves that are not the root's say nothing about it.
        tree.ok().filter(|tree| tree.root() == proposed.root)
    });
    let mut names: Vec<Address> = streams.keys().copied().collect();
    names.extend(tree.iter().flat_map(|tree| tree.leaves().iter().map(|leaf| leaf.account)));
    names.extend(history.claimed.iter().map(|(account, _)| *account));
    names.sort();
    names.dedup();
    let none = BTreeMap::new();
    let books = |account: Address| {
        let stream = streams.get(&account).unwrap_or(&none);
        let last = stream.values().max_by_key(|held| held.receipt.cumulative);
        let until = newest.map_or(0, |proposed| proposed.until);
        let in_time = stream.values().filter(|held| held.receipt.time < until);
        let due = in_time.max_by_key(|held| held.receipt.cumulative);
        let leaf = tree.as_ref().and_then(|tree| Some(tree.proof(account)?.0));
        let covered = |held: &&&Held| {
            leaf.is_some_and(|leaf| {
                leaf.cumulative >= held.receipt.cumulative && leaf.sequence >= held.receipt.sequence
            })
        };
        // Without the leaves nobody can say that a receipt is covered: the challenge asks for one.
        let omitted = due.as_ref().filter(|held| !covered(held));
        let omission = newest.zip(omitted).map(|(proposed, held)| Omission {
            root: proposed.root,
            leaf,
            proof: (**held).clone(),
        });
        let claimed = history.claimed.iter().find(|(claimer, _)| *claimer == account);
        Account {
            account,
            earned: last.map_or(0, |held| held.receipt.cumulative),
            sequence: last.map_or(0, |held| held.receipt.sequence),
            due: due.map_or(0, |held| held.receipt.cumulative),
            in_root: leaf.map_or(0, |leaf| leaf.cumulative),
            paid: claimed.map_or(U256::ZERO, |(_, amount)| *amount),
            omission,
        }
    };
    Explanation { accounts: names.into_iter().map(books).collect(), faults }
}

/// Promised receipts by account and sequence.
fn streams<'a>(
    history: &History,
    held: &'a [Held],
    faults: &mut Vec<Fault>,
) -> BTreeMap<Address, BTreeMap<u64, &'a Held>> {
    let (domain, provider) = (&history.domain, history.publisher);
    let mut streams: BTreeMap<Address, BTreeMap<u64, &Held>> = BTreeMap::new();
    for held in held.iter().filter(|held| held.receipt.asset == history.token) {
        let receipt = &held.receipt;
        let checked = check_receipt(receipt, domain, provider)
            .and_then(|()| Ok(held.promise.verify(receipt.leaf_hash(), domain, provider)?));
        if let Err(error) = checked {
            faults.push(Fault::NotPromised { receipt: receipt.digest(), why: error.to_string() });
            continue;
        }
        let stream = streams.entry(receipt.payer).or_default();
        if let Some(other) = stream.insert(receipt.sequence, held)
            && other.receipt != *receipt
        {
            let receipts = [other.receipt.digest(), receipt.digest()];
            faults.push(Fault::TwoInOnePlace { receipts });
        }
    }
    for stream in streams.values() {
        for (sequence, held) in stream {
            let before = match sequence.checked_sub(1) {
                Some(0) => Some(0),
                Some(previous) => stream.get(&previous).map(|held| held.receipt.cumulative),
                None => None,
            };
            let follows = before.is_none_or(|before| {
                before.checked_add(held.receipt.charge) == Some(held.receipt.cumulative)
            });
            if !follows {
                let receipt = held.receipt.digest();
                faults.push(Fault::TotalDoesNotFollow { receipt });
            }
        }
    }
    streams
}
