//! The tables of characters; the model itself is tested in `tests/embed.rs`.

use super::unicode::{Piece, clean};

fn pieces(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars() {
        clean(char, |piece| match piece {
            Piece::Letter(char) => out.push(char),
            Piece::Single(char) => out.extend(['<', char, '>']),
            Piece::Space => out.push('_'),
        });
    }
    out
}

#[test]
fn characters_are_cleaned_as_bert_does() {
    assert_eq!(pieces("Ab\t9\u{a0}\u{0}\u{fffd}\u{200d}z"), "ab_9_z");
    assert_eq!(pieces("Ünïcode É\u{301}İß"), "unicode_eiß");
    assert_eq!(pieces("a-b¿$"), "a<->b<¿><$>");
    assert_eq!(pieces("漢a字"), "<漢>a<字>");
    assert_eq!(pieces("한글"), "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}");
    assert_eq!(pieces("\u{f900}"), "<\u{8c48}>");
}
