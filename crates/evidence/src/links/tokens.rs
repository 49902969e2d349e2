//! What was counted: the ids in the response against the receipt.

use serde_json::{Map, Value};
use vouch_core::{
    bundle::Bundle,
    commitment,
    receipt::{Kind, Receipt, Tier, flags},
    sourced,
};

use super::{Broken, Outcome, absent, answer, ensure, proven};
use crate::{Detokenizer, Options};

pub(super) fn tokens(bundle: &Bundle, options: &Options<'_>) -> Outcome {
    let Bundle { nonce, response, receipt, .. } = bundle;
    if receipt.flags & flags::NO_TOKEN_IDS != 0 {
        return no_ids(bundle);
    }
    let (input, output) = match receipt.kind {
        Kind::Embedding => (id_lists(response)?, Vec::new()),
        _ => (ids(response, "inputIds")?, ids(response, "outputIds")?),
    };
    let committed = commitment::tokens(nonce, &input, &output);
    ensure(committed == receipt.tokens, "the receipt is for other token ids than the response's")?;
    counts(receipt, input.len(), output.len())?;
    let Some(detokenizer) = options.detokenizer else {
        let trust = "that the ids decode to the text: pass the model's tokenizer to check";
        return proven(format!("{} ids in, {} out, as counted", input.len(), output.len()), trust);
    };
    let trust = if decoded(bundle, detokenizer, &input, &output)? {
        ""
    } else {
        "that the input ids are the prompt's: this tokenizer cannot tell"
    };
    proven(format!("{} ids in, {} out, and they are the text's", input.len(), output.len()), trust)
}

/// The engine gave no ids: nothing but the provider's word stands behind the counts.
fn no_ids(bundle: &Bundle) -> Outcome {
    let Bundle { nonce, response, receipt, .. } = bundle;
    ensure(response.get("vouch").is_none(), "the receipt says there are no ids, but there are")?;
    let none = commitment::tokens(nonce, &[], &[]);
    ensure(receipt.tokens == none, "the receipt commits to token ids that it says are not there")?;
    let tier = matches!(receipt.tier, Tier::Signed | Tier::Attested);
    ensure(tier, "the receipt claims a tier that needs token ids, and has none")?;
    absent(
        "the engine gave no token ids",
        "the provider's count; the payer's cap is the protection",
    )
}

fn ids(response: &Value, name: &str) -> Result<Vec<u32>, Broken> {
    let ids = response.get("vouch").and_then(|vouch| vouch.get(name));
    ids.and_then(integers)
        .ok_or_else(|| format!("the response has no {name}, or not as 32-bit integers").into())
}

/// The ids of all texts, one behind the other.
fn id_lists(response: &Value) -> Result<Vec<u32>, Broken> {
    let lists = response.pointer("/vouch/inputIds").and_then(Value::as_array);
    let ids = lists.and_then(|lists| lists.iter().map(integers).collect::<Option<Vec<_>>>());
    let ids = ids.ok_or("the response has no inputIds, or not as lists of 32-bit integers")?;
    Ok(ids.concat())
}

fn integers(ids: &Value) -> Option<Vec<u32>> {
    let ids = ids.as_array()?.iter();
    ids.map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
}

fn counts(receipt: &Receipt, input: usize, output: usize) -> Result<(), Broken> {
    let charged_input = receipt.usage.input.checked_add(receipt.usage.cached);
    let agrees = charged_input == u64::try_from(input).ok()
        && Some(receipt.usage.output) == u64::try_from(output).ok();
    ensure(agrees, "there are not as many ids as were charged")
}

/// The sources of an answer must be what the engine was shown, also where a tokenizer cannot tell
/// the whole prompt.
fn quoted(bundle: &Bundle, detokenizer: &dyn Detokenizer, input: &[u32]) -> Result<(), Broken> {
    let Some(sources) = answer::sources(bundle)? else { return Ok(()) };
    // Of a request without stop strings, which would cut the text.
    let shown = detokenizer
        .text(input, &Value::Object(Map::new()))
        .map_err(|why| format!("the ids do not decode: {}", crate::report::printable(&why)))?;
    ensure(
        shown.contains(&sourced::preamble(&sources)),
        "the engine was shown other sources than the response lists",
    )
}

/// The request as the engine was shown it: with the sources before the question.
fn shown(bundle: &Bundle, mut request: Value) -> Result<Value, Broken> {
    if let (Some(sources), Some(fields)) = (answer::sources(bundle)?, request.as_object_mut()) {
        let messages = fields.get("messages").ok_or("a sourced answer is to no conversation")?;
        let messages = sourced::prompt(messages, &sources)?;
        fields.insert("messages".into(), messages);
    }
    Ok(request)
}

/// Whether the prompt was checked too; broken if ids and text differ.
fn decoded(
    bundle: &Bundle,
    detokenizer: &dyn Detokenizer,
    input: &[u32],
    output: &[u32],
) -> Result<bool, Broken> {
    let request = answer::parsed(&bundle.request)?;
    if bundle.receipt.kind != Kind::Embedding {
        generated(bundle, detokenizer, &request, output)?;
    }
    quoted(bundle, detokenizer, input)?;
    let prompt = detokenizer.input_ids(&bundle.resource, &shown(bundle, request)?);
    ensure(
        prompt.as_ref().is_none_or(|ids| ids == input),
        "the input ids are not those of the prompt",
    )?;
    Ok(prompt.is_some())
}

/// The generated ids are the response's text.
fn generated(
    bundle: &Bundle,
    detokenizer: &dyn Detokenizer,
    request: &Value,
    output: &[u32],
) -> Result<(), Broken> {
    let text = detokenizer
        .text(output, request)
        .map_err(|why| format!("the ids do not decode: {}", crate::report::printable(&why)))?;
    let choice = bundle.response.pointer("/choices/0");
    let said = choice
        .and_then(|choice| choice.pointer("/message/content").or_else(|| choice.get("text")))
        .and_then(Value::as_str);
    ensure(said == Some(&text), "the ids decode to another text than the response's")
}
