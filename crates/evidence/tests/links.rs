//! Each link proven, absent and broken, with bundles that are signed as they stand.
#![allow(clippy::unwrap_used, reason = "a test that cannot make its input fails")]

mod common;

use common::Draft;
use serde_json::{Value, json};
use vouch_core::{
    Address, B256,
    bundle::Bundle,
    receipt::{self, Kind, Tier, flags},
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
    let trust = |bundle: &Bundle| {
        let report = verify(bundle, &Options::default());
        report.link(LinkName::Request).unwrap().trust.clone()
    };
    assert!(trust(&bundle).contains("nonce"), "who chooses it could tell the request");
    assert_eq!(trust(&common::bundle()), "");
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
    assert_eq!(broken_by(|draft| (draft.sequence, draft.before) = (0, 0)), LinkName::Receipt);
    assert_eq!(broken_by(|draft| draft.kind = Kind::Embedding), LinkName::Receipt);
    assert_eq!(broken_by(|draft| draft.resource = common::EMBEDDINGS), LinkName::Receipt);
    assert_eq!(broken_by(|draft| draft.terms.log.origin = "other".into()), LinkName::Checkpoint);
    assert_eq!(broken_by(|draft| draft.terms.log.merge_delay_s = 0), LinkName::Promise);
}

fn holds(change: impl FnOnce(&mut Draft)) {
    let mut draft = Draft::default();
    change(&mut draft);
    let report = verify(&draft.sign(), &Options::default());
    assert!(report.verdict.holds(), "{report}");
}

#[test]
fn a_request_may_be_charged_all_that_it_allows() {
    holds(|draft| (draft.sequence, draft.before) = (1, 0));
    holds(|draft| draft.max_charge = 10);
    assert_eq!(broken_by(|draft| draft.max_charge = 9), LinkName::Authorization);
    holds(|draft| draft.request = draft.request.replace(":8,", ":3,"));
    let limits = "\"max_completion_tokens\":2,\"max_tokens\":8,";
    let both =
        |draft: &mut Draft| draft.request = draft.request.replace("\"max_tokens\":8,", limits);
    assert_eq!(broken_by(both), LinkName::Request, "the newer name counts");
    let text = |draft: &mut Draft| draft.request = draft.request.replace(":8,", ":\"8\",");
    assert_eq!(broken_by(text), LinkName::Request);
}

#[test]
fn one_answer_is_asked_for() {
    let with = |n: &'static str| {
        move |draft: &mut Draft| draft.request = draft.request.replace("\"seed\"", n)
    };
    holds(with("\"n\":1,\"seed\""));
    holds(with("\"n\":null,\"seed\""));
    assert_eq!(broken_by(with("\"n\":2,\"seed\"")), LinkName::Request);
}

#[test]
fn a_seed_is_the_callers_or_derived_as_the_receipt_says() {
    let seed = |seed: &'static str, flags: u16| {
        move |draft: &mut Draft| {
            draft.flags = flags;
            draft.request = draft.request.replace(":7}", seed);
        }
    };
    holds(seed(":null}", 0));
    assert_eq!(broken_by(seed(":null}", flags::CALLERS_SEED)), LinkName::Request);
    assert_eq!(broken_by(seed(":7}", 0)), LinkName::Request);
    assert_eq!(broken_by(seed(":7.5}", flags::CALLERS_SEED)), LinkName::Request);
}

#[test]
fn an_answer_that_did_not_end_has_no_finish_reason() {
    use receipt::Status::{Failed, OutOfFunds, StoppedByPayer};
    for status in [StoppedByPayer, OutOfFunds, Failed] {
        assert_eq!(broken_by(|draft| draft.status = status), LinkName::Response);
        holds(|draft| {
            draft.status = status;
            draft.response["choices"][0]["finish_reason"] = Value::Null;
        });
    }
}

#[test]
fn clocks_may_differ_by_five_minutes_and_no_more() {
    let created = |s: u64| {
        move |draft: &mut Draft| {
            draft.response["created"] = json!(common::TIME_S + s);
            draft.expiry = common::TIME_S + 1_000;
        }
    };
    holds(created(300));
    assert_eq!(broken_by(created(301)), LinkName::Response);
    // The promise's time, 100 s later: what the terms say, and a minute for the commit.
    holds(|draft| draft.terms.log.merge_delay_s = 40);
    assert_eq!(broken_by(|draft| draft.terms.log.merge_delay_s = 39), LinkName::Promise);
}

#[test]
fn as_many_ids_are_listed_as_are_charged() {
    for (name, ids) in [("inputIds", json!([1, 2, 3, 4])), ("outputIds", json!([6, 7]))] {
        let fewer = |draft: &mut Draft| {
            draft.response["vouch"][name] = ids.clone();
            match name {
                "inputIds" => draft.input_ids.truncate(4),
                _ => draft.output_ids.truncate(2),
            }
        };
        assert_eq!(broken_by(fewer), LinkName::Tokens, "{name}");
        let wide = |draft: &mut Draft| draft.response["vouch"][name][0] = json!(1u64 << 32);
        assert_eq!(broken_by(wide), LinkName::Tokens, "{name}");
    }
}

/// The verdict on vectors that are changed before they are signed.
fn embedded(change: impl FnOnce(&mut Draft)) -> Report {
    let mut draft = Draft::of_embeddings();
    change(&mut draft);
    verify(&draft.sign(), &Options::default())
}

fn input(draft: &mut Draft, input: Value) {
    draft.request = json!({"model": "smollm2-135m", "input": input}).to_string();
}

#[test]
fn vectors_are_one_for_each_text_in_order_and_of_one_length() {
    let bundle = Draft::of_embeddings().sign();
    let report = verify(&bundle, &common::strict(&bundle));
    assert_eq!(report.verdict, Verdict::Proven, "{report}");
    assert!(!report.link(LinkName::Request).unwrap().finding.contains("seed"), "{report}");
    assert!(embedded(|draft| input(draft, json!([[1, 2], [3, 4, 5]]))).verdict.holds());
    let base64 = |draft: &mut Draft| {
        draft.response["data"][0]["embedding"] = json!("AAAA");
        draft.response["data"][1]["embedding"] = json!("AAAB");
    };
    assert!(embedded(base64).verdict.holds());
    for one in [json!("one"), json!(["one"]), json!([1, 2, 3, 4, 5])] {
        let single = |draft: &mut Draft| {
            input(draft, one.clone());
            draft.response["data"].as_array_mut().unwrap().pop();
            draft.response["vouch"]["inputIds"] = json!([[1, 2, 3, 4, 5]]);
        };
        assert!(embedded(single).verdict.holds(), "{one}");
    }
    for (pointer, other) in [
        ("/usage/prompt_tokens", json!(6)),
        ("/usage/total_tokens", json!(6)),
        ("/data", json!([{"index": 0, "embedding": [0.5, -1]}])),
        ("/data", Value::Null),
        ("/vouch/inputIds", json!([[1, 2, 3, 4, 5]])),
        ("/data/0/index", json!(1)),
        ("/data/1/index", json!(0)),
        ("/data/1/embedding", json!([1])),
        ("/data/1/embedding", json!([1, "x"])),
        ("/data/0/embedding", Value::Null),
    ] {
        let report = embedded(|draft| *draft.response.pointer_mut(pointer).unwrap() = other);
        let link = LinkName::Response;
        assert_eq!(report.verdict, Verdict::Broken { link }, "{pointer}");
    }
    let empty = embedded(|draft| {
        for item in draft.response["data"].as_array_mut().unwrap() {
            item["embedding"] = json!([]);
        }
    });
    assert_eq!(empty.verdict, Verdict::Broken { link: LinkName::Response }, "of no numbers");
}

#[test]
fn a_request_for_vectors_draws_nothing_and_is_answered_whole() {
    type Spoil = fn(&mut Draft);
    let spoil: [Spoil; 9] = [
        |draft| input(draft, json!(5)),
        |draft| input(draft, json!([])),
        |draft| draft.request = json!({"model": "smollm2-135m"}).to_string(),
        |draft| draft.status = receipt::Status::Failed,
        |draft| draft.flags = flags::CALLERS_SEED,
        |draft| draft.drawn = B256::repeat_byte(1),
        |draft| draft.usage.output = 1,
        |draft| draft.usage.cached = 1,
        |draft| draft.request = draft.request.replace("smollm2", "another"),
    ];
    for (at, spoil) in spoil.into_iter().enumerate() {
        let link = LinkName::Request;
        assert_eq!(embedded(spoil).verdict, Verdict::Broken { link }, "{at}");
    }
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
        ("/usage/prompt_tokens", json!(6)),
        ("/usage/completion_tokens", json!(4)),
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
    let committed = Draft { input_ids: vec![1], ..draft() };
    let mut listed = draft();
    listed.response["vouch"] = json!({"inputIds": [], "outputIds": []});
    for draft in [replayed, committed, listed] {
        assert_eq!(broken(&draft.sign(), &Options::default()), LinkName::Tokens);
    }
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

/// A tokenizer that decodes and cannot render a prompt.
#[derive(Debug)]
struct Decodes;

impl Detokenizer for Decodes {
    fn text(&self, _: &[u32], _: &Value) -> Result<String, String> {
        Ok("Hello!".into())
    }
}

#[test]
fn a_tokenizer_that_cannot_tell_the_prompt_leaves_it_to_trust() {
    let bundle = common::bundle();
    let options = Options { detokenizer: Some(&Decodes), ..Options::default() };
    let report = verify(&bundle, &options);
    assert!(report.verdict.holds(), "{report}");
    assert!(report.link(LinkName::Tokens).unwrap().trust.contains("prompt"), "{report}");
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
fn an_anchor_is_of_the_log_with_the_receipt_in_it() {
    let mut bundle = common::bundle();
    // Before the checkpoint, at it, and after it; the receipt is entry 5.
    for size in [6, 9, 13] {
        bundle.anchor = Some(common::anchored_at(&bundle.receipt, size));
        let report = verify(&bundle, &Options::default());
        assert_eq!(status(&report, LinkName::Anchor), Status::Proven, "{size}: {report}");
        let trust = &report.link(LinkName::Anchor).unwrap().trust;
        assert!(trust.contains("on that chain") && trust.contains("is a Checkpoint"), "{trust}");
    }
    bundle.anchor = Some(common::anchored_at(&bundle.receipt, 5));
    assert_eq!(broken(&bundle, &Options::default()), LinkName::Anchor);
    let bundle = common::bundle();
    let report = verify(&bundle, &common::strict(&bundle));
    let trust = &report.link(LinkName::Anchor).unwrap().trust;
    assert!(!trust.contains("on that chain") && trust.contains("whoever makes"), "{trust}");
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
