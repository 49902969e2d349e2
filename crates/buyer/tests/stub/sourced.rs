//! Sources of an answer: what the stub says that it quoted, and the receipts of it.

use alloy_primitives::{B256, keccak256};
use vouch_core::{
    commitment,
    data_use::{self, Grant, SEARCH},
    money::Usage,
    receipt::{Kind, Receipt, Tier},
    sourced::Source,
};

use super::{Inner, Misbehave};

/// A grant of an owner to the stub.
pub(crate) fn grant(stub: &Inner, owner: u8, price: u128) -> Grant {
    Grant {
        owner: alloy_primitives::Address::repeat_byte(owner),
        dataset: B256::repeat_byte(owner),
        grantee: stub.document.provider,
        purpose: keccak256(SEARCH),
        service: B256::ZERO,
        price,
        share_bps: 1_000,
        start: 0,
        end: u64::MAX,
        nonce: alloy_primitives::U256::ZERO,
    }
}

pub(super) fn sources(stub: &Inner, charge: u128) -> Option<Vec<Source>> {
    let grants = stub.grants.lock();
    let source = |(terms, index): (&Grant, u32)| Source {
        index,
        title: format!("Document {index}"),
        dataset: terms.dataset,
        document: B256::repeat_byte(0xd0),
        owner: terms.owner,
        grant: terms.id(),
        terms: *terms,
        passages: 1,
        text: "Two times three is six.".into(),
        credited: terms.credit(charge).unwrap(),
        revoked: false,
    };
    (!grants.is_empty()).then(|| grants.iter().zip(1..).map(source).collect())
}

/// Each owner's first receipt: tests use a stub for one call.
pub(super) fn uses(
    parent: &Receipt,
    nonce: &B256,
    sources: Option<&[Source]>,
    misbehave: Option<Misbehave>,
) -> Vec<Receipt> {
    let used = |source: &Source| {
        let nonce = commitment::source_nonce(nonce, source.index);
        let less = u128::from(misbehave == Some(Misbehave::CreditsLess));
        let charge = source.credited - less;
        Receipt {
            kind: Kind::DataUse,
            tier: Tier::Signed,
            flags: 0,
            payer: source.owner,
            channel: data_use::stream(&parent.domain, parent.provider, source.owner),
            sequence: 1,
            request: data_use::request(&nonce, &source.dataset, &source.document),
            response: B256::ZERO,
            tokens: B256::ZERO,
            usage: Usage { input: 1, cached: 0, output: 0 },
            model: source.dataset,
            sampling: B256::ZERO,
            seed: B256::ZERO,
            commitment: B256::ZERO,
            terms: source.grant,
            charge,
            cumulative: charge,
            parent: parent.digest(),
            ..parent.clone()
        }
    };
    let mut uses: Vec<_> = sources.unwrap_or_default().iter().map(used).collect();
    if misbehave == Some(Misbehave::KeepsUse) {
        uses.pop();
    }
    uses
}
