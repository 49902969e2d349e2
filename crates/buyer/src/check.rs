//! From an acknowledgement to a kept, checked bundle.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use vouch_core::{
    bundle::Bundle,
    data_use::DataUse,
    planted::{Bug, planted},
    sourced::Source,
    tree::TreeBundle,
};
use vouch_evidence::{
    Link, LinkName, Options, Report, Status, Verdict,
    fault::{self, Promised},
    verify_tree,
};
use vouch_wire::vouch::Acknowledgement;

use crate::{
    Answered, Buyer, Error, Misconduct,
    seller::Seller,
    state::{Call, Channel, Entry, Record},
};

/// Clocks may differ by so much before what a provider says of a time counts as untrue.
pub(crate) const CLOCK_SLACK_S: u64 = 120;

impl Buyer {
    /// Checks an answer against what was asked, and against what was `streamed` where that is
    /// another; keeps its bundle, and settles the books. An answer that fails a check is kept as
    /// evidence, counted as charged, and not given out.
    pub(crate) async fn settle(
        &self,
        seller: &Seller,
        call: &Call,
        acknowledgement: Acknowledgement,
        response: Value,
        streamed: Option<&str>,
    ) -> Result<Answered, Error> {
        let bundle = self.assemble(seller, call, &acknowledgement, response).await?;
        let tokenizer = seller.tokenizer(&bundle.model).await?;
        let mut report = self.report(seller, &bundle, tokenizer.as_deref());
        let uses = uses(&bundle, &acknowledgement);
        if let Some(broken) = broken_use(&bundle, &uses) {
            report.verdict = Verdict::Broken { link: broken.link };
            report.links.push(broken);
        }
        if !uses.is_empty() {
            // Before the books, as the bundle: a crash in between repeats the call.
            self.state().write_uses(&bundle.receipt.digest(), &uses)?;
        }
        match self.keep(call, &bundle, &report, &acknowledgement, streamed)? {
            None => Ok(Answered { bundle, report, uses, acknowledgement, vouchers: 0, cut: None }),
            Some((what, evidence)) => Err(self.distrust(seller, what, Some(evidence))),
        }
    }

    async fn assemble(
        &self,
        seller: &Seller,
        call: &Call,
        acknowledgement: &Acknowledgement,
        response: Value,
    ) -> Result<Bundle, Error> {
        let model = seller.identity(call.terms.identity).await?.as_ref().clone();
        let (config, voucher) = {
            let state = self.state();
            let channel = state.ledger.channels.get(&call.channel());
            let channel = channel.ok_or(Error::NotFound { what: "channel", id: call.channel() })?;
            let voucher =
                channel.best.ok_or(Error::State("a call was paid by no voucher".into()))?;
            (channel.opened.config, voucher)
        };
        Ok(Bundle {
            version: vouch_core::bundle::VERSION,
            nonce: call.nonce,
            resource: call.endpoint().resource().to_owned(),
            request: call.body.clone(),
            response,
            receipt: acknowledgement.receipt.clone(),
            terms: call.terms.clone(),
            channel: config,
            voucher,
            authorization: Some(call.authorization),
            promise: acknowledgement.promise.clone(),
            log: None,
            anchor: None,
            model,
        })
    }

    /// Writes the bundle's file, then bundle and receipt to the journal in one sync: a crash between
    /// the two repeats the call, which gives the same bundle again; one after them may take the file,
    /// which the next start writes again.
    fn keep(
        &self,
        call: &Call,
        bundle: &Bundle,
        report: &Report,
        acknowledgement: &Acknowledgement,
        streamed: Option<&str>,
    ) -> Result<Option<(Misconduct, PathBuf)>, Error> {
        let mut state = self.state();
        let receipt = &bundle.receipt;
        let digest = receipt.digest();
        let mut entry = Entry {
            nonce: call.nonce,
            digest,
            channel: call.channel(),
            provider: call.provider,
            url: call.url.clone(),
            model: call.terms.model.clone(),
            sequence: receipt.sequence,
            index: bundle.promise.index,
            charge: receipt.charge,
            cumulative: receipt.cumulative,
            merge_by: bundle.promise.promise.merge_by,
            time: receipt.time,
            misconduct: None,
        };
        let broken = report.links.iter().find(|link| link.status == Status::Broken);
        let broken = broken
            .map(|link| Misconduct::Evidence { link: link.link, finding: link.finding.clone() });
        let other = (acknowledgement.nonce != call.nonce).then_some(Misconduct::OtherCall);
        let changed = streamed.map(|_| Misconduct::AnswerChanged);
        let misconduct = other
            .or_else(|| state.ledger.reuses(&entry))
            .or(broken)
            .or(changed)
            .or_else(|| state.ledger.fits(&entry).err())
            .or_else(|| dated(call, entry.time, self.now_s()));
        // A receipt that was given for another call has its bundle already, and keeps it.
        let (path, kept) = match misconduct.is_some() && state.ledger.entry(&digest).is_some() {
            true => (state.write_evidence(&format!("call-{}", call.nonce), &json(bundle))?, None),
            false => state.file_bundle(bundle)?,
        };
        if let Some(what) = &misconduct {
            entry.misconduct = Some(what.to_string());
            // Whatever it says, it cannot take more than was signed for.
            let channel = state.ledger.channels.get(&call.channel());
            entry.charge = entry.charge.min(channel.map_or(0, Channel::ahead));
            if let Some(proof) = proof(&state, what, bundle, &entry) {
                state.write_evidence(&digest.to_string(), &json(&proof))?;
            }
            if let Some(streamed) = streamed {
                let streamed = serde_json::json!({ "receipt": digest, "streamed": streamed });
                state.write_evidence(&format!("streamed-{digest}"), &json(&streamed))?;
            }
        }
        state.commit(kept.into_iter().chain([Record::Received(Box::new(entry))]))?;
        Ok(misconduct.map(|what| (what, path)))
    }
}

/// Whether a receipt is of another time than its call. Its promise's `mergeBy` is bound to its time
/// by the terms.
fn dated(call: &Call, time_ms: u64, now_s: u64) -> Option<Misconduct> {
    let (time, from, to) = (time_ms / 1000, call.signed_at, now_s);
    let earliest = from.saturating_sub(CLOCK_SLACK_S);
    let latest = to.saturating_add(CLOCK_SLACK_S);
    let in_time = planted(Bug::TimestampTrusted) || (earliest..=latest).contains(&time);
    (!in_time).then_some(Misconduct::Dated { time, from, to })
}

/// The receipts of an answer's sources with what opens them.
fn uses(bundle: &Bundle, acknowledgement: &Acknowledgement) -> Vec<DataUse> {
    let listed = bundle.response.pointer("/vouch/sources");
    let listed = listed.and_then(|listed| Vec::<Source>::deserialize(listed).ok());
    acknowledgement.uses(&listed.unwrap_or_default())
}

/// What is broken about the uses of data in an answer: each source must have its receipt, by rule
/// and in the answer's own commit.
fn broken_use(bundle: &Bundle, uses: &[DataUse]) -> Option<Link> {
    bundle.terms.sources?;
    let tree = TreeBundle::of_answer(bundle.clone(), uses.iter().cloned());
    let require = vec![LinkName::Sources, LinkName::Credit];
    let report =
        verify_tree(&tree, &|_| Options { require: require.clone(), ..Options::default() });
    let links = report.nodes.into_iter().flat_map(|node| node.links);
    std::iter::once(report.tree).chain(links).find(|link| link.status == Status::Broken)
}

fn json(evidence: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(evidence).unwrap_or_default()
}

/// A proof for others, where the provider's signatures alone make one.
fn proof(
    state: &crate::state::State,
    what: &Misconduct,
    bundle: &Bundle,
    entry: &Entry,
) -> Option<fault::Fault> {
    let promised = |bundle: &Bundle| Promised {
        receipt: bundle.receipt.clone(),
        promise: bundle.promise.clone(),
        terms: bundle.terms.clone(),
    };
    let other = match what {
        Misconduct::SequenceReused { sequence } => {
            state.ledger.at_sequence(&entry.channel, *sequence)?
        }
        Misconduct::IndexReused { index } => state.ledger.at_index(entry.provider, *index)?,
        Misconduct::Evidence { link: LinkName::Price, .. } => {
            return fault::wrong_charge(&promised(bundle)).ok();
        }
        _ => return None,
    };
    let other = state.read_bundle(&other).ok()?;
    fault::double_receipt(&promised(&other), &promised(bundle)).ok()
}
