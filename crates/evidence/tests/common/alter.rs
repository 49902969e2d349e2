//! Every other value in place of one, for whoever holds that nothing is ignored.

use serde_json::{Value, json};

/// Pointers to every value in the tree, the root included.
pub fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(n, item)| pointers(item, &format!("{at}/{n}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(key, field)| pointers(field, &format!("{at}/{key}"), found));
        }
        _ => {}
    }
}

/// Other values in place of one.
pub fn alterations(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => vec![json!(0), json!(""), json!({})],
        Value::Bool(it) => vec![json!(!it), Value::Null],
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            vec![
                json!(number + 1),
                json!(number.wrapping_sub(1)),
                json!(-1),
                json!(u64::MAX),
                Value::Null,
            ]
        }
        Value::String(text) => strings(text),
        Value::Array(items) => arrays(items),
        Value::Object(fields) => objects(fields),
    }
}

/// Every character another in turn (a sample of long texts), cut, grown, and another spelling.
fn strings(text: &str) -> Vec<Value> {
    let characters: Vec<_> = text.chars().collect();
    let mut altered: Vec<String> = Vec::new();
    for (at, character) in characters.iter().enumerate().step_by(1 + characters.len() / 400) {
        let mut changed = characters.clone();
        changed[at] = match character {
            '0' => '1',
            'a'..='y' | 'A'..='Y' | '1'..='8' => char::from_u32(u32::from(*character) + 1).unwrap(),
            _ => '0',
        };
        altered.push(changed.into_iter().collect());
    }
    altered.extend([
        String::new(),
        format!("{text}0"),
        format!("0{text}"),
        format!("{text}\n"),
        format!(" {text}"),
        text.to_uppercase(),
        text.trim_start_matches("0x").to_owned(),
        text.chars().take(characters.len().saturating_sub(1)).collect(),
    ]);
    altered.retain(|other| other != text);
    altered.into_iter().map(Value::from).chain([Value::Null, json!(1)]).collect()
}

fn arrays(items: &[Value]) -> Vec<Value> {
    let mut altered: Vec<Vec<Value>> = Vec::new();
    for at in 0..items.len() {
        let mut dropped = items.to_vec();
        let item = dropped.remove(at);
        altered.push(dropped);
        let mut doubled = items.to_vec();
        doubled.insert(at, item);
        altered.push(doubled);
        if at > 0 {
            let mut swapped = items.to_vec();
            swapped.swap(at - 1, at);
            altered.push(swapped);
        }
    }
    let zero = Value::from(format!("0x{}", "00".repeat(32)));
    altered.push([items, &[zero]].concat());
    altered.push(Vec::new());
    altered.retain(|other| other != items);
    altered.into_iter().map(Value::from).chain([Value::Null]).collect()
}

fn objects(fields: &serde_json::Map<String, Value>) -> Vec<Value> {
    let mut altered = vec![Value::Null, json!({})];
    for key in fields.keys() {
        let mut without = fields.clone();
        let value = without.remove(key).unwrap();
        altered.push(without.clone().into());
        without.insert(format!("{key}2"), value);
        altered.push(without.into());
    }
    let mut with = fields.clone();
    with.insert("unknown".into(), json!(0));
    altered.push(with.into());
    altered
}
