//! The text in markup. What a stranger wrote is data: nothing here is interpreted, only read.

use serde_json::Value;

/// How deep a JSON document is read for text.
const MAX_DEPTH: usize = 32;

/// Without control characters (but newline and tab) and without invisible or direction-changing
/// ones, which could act on a terminal or hide words from a reader.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| matches!(c, '\n' | '\t') || !(c.is_control() || is_invisible(*c)))
        .collect()
}

/// Zero-width, direction and tag characters.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// The text between tags; scripts, styles and comments are left out, blocks end a line.
pub(super) fn of_html(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, tagged)) = rest.split_once('<') {
        decode_entities(before, &mut text);
        rest = if let Some(comment) = tagged.strip_prefix("!--") {
            comment.split_once("-->").map_or("", |(_, after)| after)
        } else {
            let Some((tag, after)) = tagged.split_once('>') else { break };
            let name = tag_name(tag);
            if BLOCKS.contains(&name.as_str()) {
                text.push('\n');
            }
            if matches!(name.as_str(), "script" | "style" | "template" | "noscript") {
                skip_element(after, &name)
            } else {
                after
            }
        };
    }
    if !rest.contains('<') {
        decode_entities(rest, &mut text);
    }
    text
}

const BLOCKS: [&str; 19] = [
    "p",
    "div",
    "br",
    "li",
    "ul",
    "ol",
    "tr",
    "table",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "title",
    "section",
    "article",
    "pre",
    "blockquote",
];

/// Lower case, without the slash of an end tag, at most 16 characters.
fn tag_name(tag: &str) -> String {
    let tag = tag.trim_start_matches('/');
    let name = tag.chars().take_while(char::is_ascii_alphanumeric).take(16);
    name.map(|c| c.to_ascii_lowercase()).collect()
}

/// What follows the end tag of an element whose content is not text.
fn skip_element<'a>(mut rest: &'a str, name: &str) -> &'a str {
    while let Some((_, after)) = rest.split_once("</") {
        rest = after;
        if tag_name(after) == name {
            return after.split_once('>').map_or("", |(_, after)| after);
        }
    }
    ""
}

fn decode_entities(text: &str, into: &mut String) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        into.push_str(before);
        let entity = after.split_once(';').filter(|(name, _)| name.len() <= 8);
        match entity.and_then(|(name, tail)| Some((entity_char(name)?, tail))) {
            Some((c, tail)) => {
                into.push(c);
                rest = tail;
            }
            None => {
                into.push('&');
                rest = after;
            }
        }
    }
    into.push_str(rest);
}

fn entity_char(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

/// The field `text`, `content` or `body` of an object; else every string in the document, in order.
pub(super) fn of_json(json: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(json) else { return String::new() };
    if let Value::Object(map) = &value {
        let named = ["text", "content", "body"].iter().find_map(|name| map.get(*name)?.as_str());
        if let Some(text) = named {
            return text.to_owned();
        }
    }
    let mut text = String::new();
    collect_strings(&value, &mut text, MAX_DEPTH);
    text
}

fn collect_strings(value: &Value, into: &mut String, depth: usize) {
    let Some(deeper) = depth.checked_sub(1) else { return };
    match value {
        Value::String(text) => {
            into.push_str(text);
            into.push('\n');
        }
        Value::Array(values) => values.iter().for_each(|v| collect_strings(v, into, deeper)),
        Value::Object(map) => map.values().for_each(|v| collect_strings(v, into, deeper)),
        _ => {}
    }
}

/// A string, number or boolean field of a JSON object, as text.
pub(super) fn json_field(json: &str, name: &str) -> Option<String> {
    match serde_json::from_str::<Value>(json).ok()?.get(name)? {
        Value::String(text) => Some(text.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        _ => None,
    }
}

/// The first heading.
pub(super) fn markdown_title(markdown: &str) -> Option<String> {
    let heading = markdown.lines().find(|line| line.starts_with('#'))?;
    Some(heading.trim_start_matches('#').trim().to_owned())
}

/// The content of `<title>`.
pub(super) fn html_title(html: &str) -> Option<String> {
    let start = html.to_ascii_lowercase().find("<title")?;
    let (_, after) = html.get(start..)?.split_once('>')?;
    let (title, _) = after.split_once('<')?;
    let mut text = String::new();
    decode_entities(title, &mut text);
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn html_gives_its_text_alone() {
        let html = "<html><title>A &amp; B</title><script>if (a<b) x()</script><!-- no <p> -->\
                    <p>One&nbsp;<b>two</b></p><p>three &#x41;&bogus;</p><style>p{}</style>";
        let text = of_html(html);
        let words: Vec<_> = text.split_whitespace().collect();
        assert_eq!(words, ["A", "&", "B", "One", "two", "three", "A&bogus;"]);
        assert_eq!(html_title(html).as_deref(), Some("A & B"));
    }

    #[test]
    fn json_gives_its_text_field_or_all_strings() {
        assert_eq!(of_json(r#"{"label":"x","text":"only this"}"#), "only this");
        assert_eq!(of_json(r#"{"a":"one","b":["two",3,{"c":"three"}]}"#), "one\ntwo\nthree\n");
        assert_eq!(json_field(r#"{"label":3}"#, "label").as_deref(), Some("3"));
    }

    #[test]
    fn nothing_invisible_remains() {
        assert_eq!(clean("a\u{1b}[2J\u{202e}b\u{200b}\nc"), "a[2Jb\nc");
    }

    proptest! {
        #[test]
        fn any_input_ends(html in ".{0,300}") {
            let _text = (of_html(&html), of_json(&html), html_title(&html));
        }
    }
}
