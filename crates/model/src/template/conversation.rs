//! Checks a conversation before a template sees it.

use serde_json::{Map, Value};

use super::refuse;
use crate::Error;

const MAX_MESSAGES: usize = 4096;
const MAX_CONTENT_BYTES: usize = 4 << 20;
const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

/// The messages with their contents as plain strings; everything else in them is kept.
pub(super) fn checked(messages: &Value) -> Result<Value, Error> {
    let list = messages.as_array().filter(|list| (1..=MAX_MESSAGES).contains(&list.len()));
    let list =
        list.ok_or_else(|| refuse(format!("needs a list of 1 to {MAX_MESSAGES} messages")))?;
    let mut left_bytes = MAX_CONTENT_BYTES;
    let messages = list.iter().enumerate().map(|(index, message)| {
        let message = checked_message(message)
            .map_err(|detail| refuse(format!("needs message {index} {detail}")))?;
        let size = size_bytes(&message);
        left_bytes = left_bytes.checked_sub(size).ok_or_else(|| {
            refuse(format!("takes conversations of up to {MAX_CONTENT_BYTES} bytes"))
        })?;
        Ok(Value::Object(message))
    });
    messages.collect::<Result<Vec<_>, _>>().map(Value::Array)
}

fn checked_message(message: &Value) -> Result<Map<String, Value>, String> {
    let mut message = message.as_object().ok_or("to be an object")?.clone();
    let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
    if !ROLES.contains(&role) {
        return Err(format!("to have a role of {}", ROLES.join(", ")));
    }
    let calls_tools = role == "assistant" && message.contains_key("tool_calls");
    let content = match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => joined(parts)?,
        None | Some(Value::Null) if calls_tools => String::new(),
        _ => return Err("to have a text as its content".into()),
    };
    message.insert("content".into(), Value::String(content));
    Ok(message)
}

/// Text parts joined by line ends, as llama.cpp's server does.
fn joined(parts: &[Value]) -> Result<String, String> {
    let text = |part: &Value| match part.get("type").and_then(Value::as_str) {
        Some("text") => part.get("text").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    let texts = parts.iter().map(text).collect::<Option<Vec<_>>>();
    texts
        .map(|texts| texts.join("\n"))
        .ok_or_else(|| "to have only parts of text in its content".into())
}

/// Bytes of every string in a message; nesting is bounded by the JSON parser that made it.
fn size_bytes(message: &Map<String, Value>) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::String(text) => text.len(),
            Value::Array(list) => list.iter().map(of).sum::<usize>() + list.len(),
            Value::Object(map) => size_bytes(map),
            _ => 1,
        }
    }
    message.iter().map(|(key, value)| key.len() + of(value)).sum()
}
