//! Chat templates against Jinja2 (`golden/template.json`).
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod common;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use vouch_model::Gguf;
use vouch_model::template::ChatTemplate;
use vouch_model::tokenizer::Tokenizer;

#[derive(Deserialize)]
struct Golden {
    templates: BTreeMap<String, String>,
    conversations: Vec<Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    messages: usize,
    add_generation_prompt: bool,
    extra: Map<String, Value>,
    text: Option<String>,
    error: Option<String>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/template.json")).expect("the golden file reads")
}

#[test]
fn conversations_render_as_in_jinja2() {
    let golden = golden();
    for case in &golden.cases {
        let template =
            ChatTemplate::new(&golden.templates[&case.template], "<|im_start|>", "<|im_end|>")
                .unwrap();
        let messages = &golden.conversations[case.messages];
        let text = template.render(messages, case.add_generation_prompt, &case.extra);
        match &case.error {
            None => assert_eq!(text.ok(), case.text, "{} {messages}", case.template),
            Some(error) => assert!(text.unwrap_err().to_string().contains(error), "{messages}"),
        }
    }
}

#[test]
fn the_golden_template_is_the_model_s_own() {
    let gguf = Gguf::open(&common::default_model()).unwrap();
    let tokenizer = Tokenizer::from_gguf(&gguf).unwrap();
    let template = ChatTemplate::from_gguf(&gguf, &tokenizer).unwrap();
    assert_eq!(template.source(), golden().templates["smollm2"]);
}
