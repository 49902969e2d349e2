//! Cases as ethereum/execution-apis writes them: what is sent after `>>`, what is answered after
//! `<<`, words after `//`.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// One file.
pub(crate) struct Case {
    /// `method/name`.
    pub(crate) name: String,
    /// Only the answer's form counts.
    pub(crate) form_only: bool,
    pub(crate) exchanges: Vec<(Value, Value)>,
}

/// All of them, by name.
pub(crate) fn read(directory: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for method in fs::read_dir(directory).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        for file in fs::read_dir(method.path()).unwrap().flatten() {
            let method = method.file_name().into_string().unwrap();
            let name = file.file_name().into_string().unwrap();
            let name = format!("{method}/{}", name.trim_end_matches(".io"));
            cases.push(case(name, &fs::read_to_string(file.path()).unwrap()));
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn case(name: String, text: &str) -> Case {
    let json = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let mut exchanges = Vec::new();
    let mut asked = None;
    for line in text.lines() {
        if let Some(request) = line.strip_prefix(">> ") {
            asked = Some(json(request));
        } else if let Some(answer) = line.strip_prefix("<< ") {
            exchanges.push((asked.take().unwrap(), json(answer)));
        }
    }
    assert!(!exchanges.is_empty(), "{name} asks nothing");
    let form_only = text.lines().any(|line| line.starts_with("// speconly"));
    Case { name, form_only, exchanges }
}

/// Why an answer is not the one expected; `None` if it is. Errors are compared by code and data:
/// each client has words of its own.
pub(crate) fn differs(expected: &Value, found: &Value, form_only: bool) -> Option<String> {
    match (expected.get("error"), found.get("error")) {
        (Some(expected), Some(found)) => {
            let same = ["code", "data"].iter().all(|part| expected.get(part) == found.get(part));
            (!same).then(|| format!("error {found}, expected {expected}"))
        }
        (Some(expected), None) => Some(format!("no error, expected {expected}")),
        (None, Some(found)) => Some(format!("error {found}")),
        (None, None) => difference("result", &expected["result"], &found["result"], form_only),
    }
}

fn difference(at: &str, expected: &Value, found: &Value, form_only: bool) -> Option<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let missing = expected.keys().find(|key| !found.contains_key(*key));
            let more = found.keys().find(|key| !expected.contains_key(*key));
            if let Some(key) = missing {
                return Some(format!("{at}.{key} is missing"));
            }
            if let Some(key) = more.filter(|_| !form_only) {
                return Some(format!("{at}.{key} = {} is too much", found[key]));
            }
            expected.iter().find_map(|(key, expected)| {
                difference(&format!("{at}.{key}"), expected, &found[key], form_only)
            })
        }
        (Value::Array(expected), Value::Array(found)) if !form_only => {
            if expected.len() != found.len() {
                return Some(format!("{at} has {} parts, not {}", found.len(), expected.len()));
            }
            (0..).zip(expected.iter().zip(found)).find_map(|(index, (expected, found))| {
                difference(&format!("{at}[{index}]"), expected, found, form_only)
            })
        }
        (Value::String(_), Value::String(_)) if form_only => None,
        (Value::Array(_), Value::Array(_)) => None,
        (expected, found) if expected == found => None,
        (expected, found) => Some(format!("{at} is {found}, expected {expected}")),
    }
}
