//! Each link proven, absent and broken, with bundles that are signed as they stand.
#![allow(clippy::unwrap_used, reason = "a test that cannot make its input fails")]

mod common;

use common::Draft;
use serde_json::{Value, json};
use vouch_core::{
    Address, B256,
    bundle::Bundle,
    receipt::{Tier, flags},
};
use vouch_evidence::{
    Detokenizer, LinkName, Options, Report, Status, Verdict, WitnessPolicy, verify,
};

fn broken(bundle: &Bundle, options: &Options<'_>) -> LinkName {
    match verify(bundle, options).verdict {
        Verdict::Broken { link } => link,
        verdict => panic!("{verdict}"),
    }
}

/// The link that breaks when a provider and a payer sign something that does not fit together.
fn broken_by(change: impl FnOnce(&mut Draft)) -> LinkName {
    let mut draft = Draft::default();
    change(&mut draft);
    broken(&draft.sign(), &Options::default())
}

fn status(report: &Report, link: LinkName) -> Status {
    report.link(link).unwrap().status
}

#[test]
fn a_true_bundle_is_proven() {
    let bundle = common::bundle();
    let report = verify(&bundle, &common::strict(&bundle));
    assert_eq!(report.verdict, Verdict::Proven, "{report}");
    assert_eq!(report.links.len(), 13);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["verdict"], json!({"result": "proven"}));
    assert_eq!(json["links"][12]["link"], "anchor");
    assert!(report.to_string().contains("ok     anchor"), "{report}");
}

#[test]
fn what_is_not_there_is_absent_and_can_be_required() {
    let mut bundle = common::bundle();
    bundle.anchor = None;
    bundle.log = None;
    let report = verify(&bundle, &Options::default());
    let absent =
        vec![LinkName::Inclusion, LinkName::Checkpoint, LinkName::Witnesses, LinkName::Anchor];
    assert_eq!(report.verdict, Verdict::Partial { absent });
    let require = vec![LinkName::Anchor];
    assert_eq!(broken(&bundle, &Options { require, ..Options::default() }), LinkName::Anchor);
}

#[test]
fn an_anchor_without_a_log_is_broken() {
    let mut bundle = common::bundle();
    bundle.log = None;
    assert_eq!(broken(&bundle, &Options::default()), LinkName::Inclusion);
}

#[test]
fn stock_mode_says_what_it_leaves_open() {
    let draft = Draft { flags: flags::CALLERS_SEED | flags::PROVIDERS_NONCE, ..Draft::default() };
    let mut bundle = draft.sign();
    assert_eq!(bundle.authorization, None);
    let report = verify(&bundle, &Options::default());
    assert_eq!(status(&report, LinkName::Authorization), Status::Absent);
    assert!(report.verdict.holds());
    bundle.authorization = common::bundle().authorization;
    assert_eq!(broken(&bundle, &Options::default()), LinkName::Authorization);
}

#[test]
fn what_both_parties_signed_must_fit_together() {
    use LinkName::{Authorization, Price, Request, Response, Tokens, Voucher};
    assert_eq!(broken_by(|draft| draft.overcharge = 1), Price);
    assert_eq!(broken_by(|draft| draft.max_charge = 1), Authorization);
    assert_eq!(broken_by(|draft| draft.expiry = 1), Authorization);
    assert_eq!(broken_by(|draft| draft.usage.output = 2), Response);
    assert_eq!(broken_by(|draft| draft.input_ids.push(1)), Tokens);
    assert_eq!(broken_by(|draft| draft.output_ids[0] = 1), Tokens);
    assert_eq!(broken_by(|draft| draft.flags = 0), Request);
    assert_eq!(broken_by(|draft| draft.terms.model = "another".into()), Request);
    assert_eq!(broken_by(|draft| draft.request = draft.request.replace(":8,", ":2,")), Request);
    assert_eq!(broken_by(|draft| draft.request = draft.request.replace(":7}", ":8}")), Request);
    assert_eq!(broken_by(|draft| draft.request = "[]".into()), Request);
    assert_eq!(broken_by(|draft| draft.channel.receiver = Address::ZERO), Voucher);
    assert_eq!(broken_by(|draft| draft.terms.receiver = Some(Address::ZERO)), Voucher);
    assert_eq!(broken_by(|draft| draft.channel.token = Address::ZERO), Voucher);
    assert_eq!(broken_by(|draft| draft.channel.withdraw_delay = 1 << 40), Voucher);
    assert_eq!(
        broken_by(|draft| draft.channel.payer_authorizer = Address::ZERO.create(0)),
        Voucher
    );
    assert_eq!(broken_by(|draft| draft.terms.identity = B256::ZERO), LinkName::Model);
    assert_eq!(broken_by(|draft| draft.sequence = 0), LinkName::Receipt);
    assert_eq!(broken_by(|draft| draft.sequence = 1), LinkName::Receipt);
    assert_eq!(broken_by(|draft| draft.terms.log.origin = "other".into()), LinkName::Checkpoint);
    assert_eq!(broken_by(|draft| draft.terms.log.merge_delay_s = 0), LinkName::Promise);
}

#[test]
fn a_key_twice_in_the_request_is_refused() {
    let twice = |draft: &mut Draft| {
        draft.request = draft.request.replacen('{', "{\"model\":\"other\",", 1);
    };
    assert_eq!(broken_by(twice), LinkName::Request);
}

#[test]
fn the_response_must_agree_with_the_receipt() {
    for (pointer, other) in [
        ("/model", json!("another")),
        ("/created", json!(1_900_000_000)),
        ("/usage/total_tokens", json!(9)),
        ("/usage/prompt_tokens_details/cached_tokens", json!(0)),
        ("/choices/0/finish_reason", Value::Null),
        ("/choices", json!([])),
        ("/id", json!(u64::MAX)),
    ] {
        let change = |draft: &mut Draft| *draft.response.pointer_mut(pointer).unwrap() = other;
        assert_eq!(broken_by(change), LinkName::Response, "{pointer}");
    }
}

#[test]
fn without_ids_the_count_is_the_providers_word() {
    let draft = || {
        let mut draft = Draft { tier: Tier::Signed, ..Draft::default() };
        draft.flags |= flags::NO_TOKEN_IDS;
        (draft.input_ids, draft.output_ids) = (vec![], vec![]);
        draft.response.as_object_mut().unwrap().remove("vouch");
        draft
    };
    let report = verify(&draft().sign(), &Options::default());
    assert_eq!(status(&report, LinkName::Tokens), Status::Absent, "{report}");
    let replayed = Draft { tier: Tier::Replayed, ..draft() };
    assert_eq!(broken(&replayed.sign(), &Options::default()), LinkName::Tokens);
}

#[derive(Debug)]
struct Fixed(&'static str, Vec<u32>);

impl Detokenizer for Fixed {
    fn text(&self, ids: &[u32], _: &Value) -> Result<String, String> {
        assert_eq!(ids, [6, 7, 8]);
        if self.0.is_empty() { Err("id 6 is unknown\u{1b}[2J".into()) } else { Ok(self.0.into()) }
    }

    fn input_ids(&self, _: &str, _: &Value) -> Option<Vec<u32>> {
        Some(self.1.clone())
    }
}

#[test]
fn a_tokenizer_ties_the_ids_to_the_text() {
    let bundle = common::bundle();
    let check = |tokenizer: &Fixed| {
        verify(&bundle, &Options { detokenizer: Some(tokenizer), ..common::strict(&bundle) })
    };
    let report = check(&Fixed("Hello!", vec![1, 2, 3, 4, 5]));
    assert_eq!(report.verdict, Verdict::Proven);
    assert_eq!(report.link(LinkName::Tokens).unwrap().trust, "");
    let tokens = Verdict::Broken { link: LinkName::Tokens };
    assert_eq!(check(&Fixed("Goodbye!", vec![1, 2, 3, 4, 5])).verdict, tokens);
    assert_eq!(check(&Fixed("Hello!", vec![1])).verdict, tokens);
    let report = check(&Fixed("", vec![]));
    assert_eq!(report.verdict, tokens);
    assert!(!report.to_string().contains('\u{1b}'), "a stranger's escape sequence is printed");
}

#[test]
fn witnesses_are_counted() {
    let bundle = common::bundle();
    let mut options = common::strict(&bundle);
    let one = options.witnesses.witnesses()[0].key.clone();
    options.witnesses = WitnessPolicy::of(vec![one.clone(), one.clone()], 2);
    assert_eq!(broken(&bundle, &options), LinkName::Witnesses);
    options.witnesses = WitnessPolicy::of(vec![one.clone(), one], 1);
    assert_eq!(verify(&bundle, &options).verdict, Verdict::Proven);
}

#[test]
fn a_policy_names_logs_and_a_quorum() {
    let bundle = common::bundle();
    let mut options = common::strict(&bundle);
    let known = options.witnesses.witnesses().to_vec();
    let witnesses: String = known
        .iter()
        .zip(["a", "b"])
        .map(|(w, name)| format!("witness {name} {}\n", w.key))
        .collect();
    let mut verdict = |policy: String| {
        options.witnesses = WitnessPolicy::parse(&policy).unwrap();
        verify(&bundle, &options).verdict
    };
    let (log, witnesses) = (&bundle.terms.log.key, &witnesses);
    let proven = format!("log {log}\n{witnesses}group g all a b\nquorum g\n");
    assert_eq!(verdict(proven), Verdict::Proven);
    let elsewhere = format!("log {}\n{witnesses}quorum a\n", known[0].key);
    assert_eq!(verdict(elsewhere), Verdict::Broken { link: LinkName::Witnesses });
}

#[test]
fn parties_blocks_and_code_are_held_to_what_is_expected() {
    let bundle = common::bundle();
    let strict = || common::strict(&bundle);
    let other = Some(Address::ZERO);
    assert_eq!(broken(&bundle, &Options { provider: other, ..strict() }), LinkName::Receipt);
    assert_eq!(broken(&bundle, &Options { payer: other, ..strict() }), LinkName::Receipt);
    let code = Some(B256::ZERO);
    assert_eq!(broken(&bundle, &Options { anchor_code: code, ..strict() }), LinkName::Anchor);
    let mut options = strict();
    options.block.as_mut().unwrap().chain += 1;
    assert_eq!(broken(&bundle, &options), LinkName::Anchor);
}

#[test]
fn terms_may_name_a_vault_that_the_channel_pays() {
    let vault = Address::repeat_byte(0x55);
    let mut draft = Draft::default();
    draft.terms.receiver = Some(vault);
    draft.channel.receiver = vault;
    let bundle = draft.sign();
    assert!(verify(&bundle, &Options::default()).verdict.holds());
}
