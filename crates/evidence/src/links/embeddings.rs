//! What was asked and answered where texts became vectors.

use serde_json::Value;
use vouch_core::{
    B256,
    bundle::Bundle,
    receipt::{Receipt, Status, flags},
};

use super::{Broken, ensure};

/// The resource whose receipts are of kind embedding.
pub(super) const EMBEDDINGS: &str = "POST /v1/embeddings";

/// A request for vectors draws nothing, and is answered whole.
pub(super) fn request(request: &Value, receipt: &Receipt) -> Result<(), Broken> {
    ensure(count(request).is_some(), "the request has no input to embed")?;
    ensure(receipt.status == Status::Complete, "vectors are given whole or not at all")?;
    ensure(receipt.flags & flags::CALLERS_SEED == 0, "vectors have no seed")?;
    let drawn = [receipt.sampling, receipt.seed, receipt.commitment];
    ensure(drawn.iter().all(B256::is_zero), "vectors are not drawn, but the receipt says how")?;
    let usage = &receipt.usage;
    ensure(usage.output == 0 && usage.cached == 0, "only the input of vectors is counted")
}

/// How many texts a request has.
fn count(request: &Value) -> Option<usize> {
    match request.get("input")? {
        Value::String(_) => Some(1),
        Value::Array(items) => match items.first()? {
            Value::Number(_) => Some(1),
            _ => Some(items.len()),
        },
        _ => None,
    }
}

/// As many vectors as texts, in order, of one length; the counts are the receipt's.
pub(super) fn response(bundle: &Bundle) -> Result<(), Broken> {
    let Bundle { response, receipt, request, .. } = bundle;
    let texts = count(&super::answer::parsed(request)?);
    let counted = |pointer| response.pointer(pointer).and_then(Value::as_u64);
    let input = Some(receipt.usage.input);
    let agrees =
        counted("/usage/prompt_tokens") == input && counted("/usage/total_tokens") == input;
    ensure(agrees, "the response's usage is not what the receipt counts")?;
    let data = response.get("data").and_then(Value::as_array).ok_or("the response has no data")?;
    ensure(texts == Some(data.len()), "the response has not one vector for each text")?;
    let ids = response.pointer("/vouch/inputIds").and_then(Value::as_array);
    ensure(ids.map(Vec::len) == texts, "the response has not the ids of each text")?;
    let mut lengths = (0..).zip(data).map(|(index, item): (u64, _)| {
        let in_order = item.get("index").and_then(Value::as_u64) == Some(index);
        in_order.then(|| item.get("embedding").and_then(length)).flatten()
    });
    let first = lengths.next().flatten();
    let whole = first.is_some_and(|length| length > 0) && lengths.all(|length| length == first);
    ensure(whole, "the response's vectors are not in order, or not of one length")
}

/// Numbers in a vector, or characters of its base64.
fn length(vector: &Value) -> Option<usize> {
    match vector {
        Value::Array(numbers) => numbers.iter().all(Value::is_number).then_some(numbers.len()),
        Value::String(base64) => Some(base64.len()),
        _ => None,
    }
}
