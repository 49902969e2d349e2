//! Finds special tokens in text before anything else looks at it, in llama.cpp's order.

use super::TokenizerSpec;

#[derive(Debug)]
pub(super) struct SpecialTokens {
    tokens: Vec<SpecialToken>,
}

#[derive(Debug)]
struct SpecialToken {
    id: u32,
    text: String,
    is_control: bool,
}

/// A part of a text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fragment<'t> {
    Text(&'t str),
    Token(u32),
}

impl SpecialTokens {
    pub(super) fn new(spec: &TokenizerSpec) -> Self {
        let token = |id: u32, is_control| SpecialToken {
            id,
            text: spec.tokens[id as usize].clone(),
            is_control,
        };
        let control = spec.control.iter().map(|id| token(*id, true));
        let user_defined = spec.user_defined.iter().map(|id| token(*id, false));
        let mut tokens: Vec<_> =
            control.chain(user_defined).filter(|token| !token.text.is_empty()).collect();
        // llama.cpp takes the longest token first over the whole text, not the leftmost match.
        tokens.sort_by_key(|token| std::cmp::Reverse(token.text.len()));
        Self { tokens }
    }

    /// Cuts `text` around its special tokens, those of control only if `parse_special`.
    pub(super) fn split<'t>(&self, text: &'t str, parse_special: bool) -> Vec<Fragment<'t>> {
        let mut fragments = vec![Fragment::Text(text)];
        for token in self.tokens.iter().filter(|token| parse_special || !token.is_control) {
            if text.contains(&token.text) {
                fragments =
                    fragments.into_iter().flat_map(|fragment| token.split(fragment)).collect();
            }
        }
        fragments
    }
}

impl SpecialToken {
    fn split<'t>(&self, fragment: Fragment<'t>) -> Vec<Fragment<'t>> {
        let Fragment::Text(text) = fragment else { return vec![fragment] };
        let mut fragments = Vec::new();
        let mut at = 0;
        for (start, found) in text.match_indices(&self.text) {
            if at < start {
                fragments.push(Fragment::Text(&text[at..start]));
            }
            fragments.push(Fragment::Token(self.id));
            at = start + found.len();
        }
        if at < text.len() {
            fragments.push(Fragment::Text(&text[at..]));
        }
        fragments
    }
}
