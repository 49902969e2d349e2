//! What a template may not do to us; what it must render is in `tests/template.rs`.

use serde_json::json;

use super::*;

fn render(source: &str, messages: Value) -> Result<String, String> {
    let template = ChatTemplate::new(source, "<s>", "</s>").map_err(|error| error.to_string())?;
    template.render(&messages, true, &Map::new()).map_err(|error| error.to_string())
}

fn hello() -> Value {
    json!([{"role": "user", "content": "hello"}])
}

#[test]
fn the_tokenizers_names_and_the_content_are_there() {
    let text = render("{{ bos_token }}{{ messages[0].content.upper() }}{{ eos_token }}", hello());
    assert_eq!(text.unwrap(), "<s>HELLO</s>");
}

#[test]
fn extra_variables_cannot_replace_the_standard_ones() {
    let template = ChatTemplate::new("{{ messages | length }}{{ x }}", "", "").unwrap();
    let extra = json!({"messages": [], "x": 7});
    let text = template.render(&hello(), true, extra.as_object().unwrap());
    assert_eq!(text.unwrap(), "17");
}

#[test]
fn a_template_may_refuse_in_its_own_shortened_words() {
    let source = "{{ raise_exception('roles must\u{7} alternate' ~ 'x' * 1000) }}";
    let error = render(source, hello()).unwrap_err();
    assert!(error.starts_with("the chat template refuses the conversation: roles must alternate"));
    assert!(error.len() < 300, "{error}");
}

#[test]
fn an_endless_template_runs_out_of_fuel() {
    let source = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}\
                  {% set x = a %}{% endfor %}{% endfor %}{% endfor %}";
    assert!(render(source, hello()).unwrap_err().contains("fuel"));
}

#[test]
fn an_output_without_end_is_cut_off() {
    let source = "{% for a in range(9999) %}{{ 'x' * 10000 }}{% endfor %}";
    let error = render(source, hello()).unwrap_err();
    assert!(error.contains("refuses"), "{error}");
}

#[test]
fn a_broken_template_says_where() {
    let error = render("a\n{% for %}", hello()).unwrap_err();
    assert!(error.contains("does not compile") && error.contains("line 2"), "{error}");
}

#[test]
fn conversations_are_checked() {
    let refused = |messages: Value| render("x", messages).unwrap_err();
    assert!(refused(json!([])).contains("1 to 4096 messages"));
    assert!(refused(json!({})).contains("1 to 4096 messages"));
    assert!(refused(json!(["hello"])).contains("message 0 to be an object"));
    assert!(refused(json!([{"role": "root", "content": ""}])).contains("a role of system"));
    assert!(refused(json!([{"role": "user"}])).contains("a text as its content"));
    let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]);
    assert!(refused(image).contains("only parts of text"));
    let long = "x".repeat(3 << 20);
    let both = json!([{"role": "user", "content": long}, {"role": "user", "content": long}]);
    assert!(refused(both).contains("up to 4194304 bytes"));
}

#[test]
fn parts_of_text_are_joined_and_tool_calls_need_no_content() {
    let parts = json!([
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]},
    ]);
    let source =
        "{% for m in messages %}[{{ m.content }}]{% endfor %}{{ messages[1].tool_calls | tojson }}";
    assert_eq!(render(source, parts).unwrap(), "[a\nb][][{\"id\": \"1\"}]");
}
