//! One process for one target, which `VOUCH_FUZZ` names: `cargo xtask fuzz` runs them all.
//!
//! What a target finds is a panic, an endless loop, memory without bound, or a value that does not
//! survive being written and read again.
#![no_main]

mod chain;
mod disk;
mod log;
mod model;
mod proof;
mod wire;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

type Target = fn(&[u8]);

/// Every decoder of foreign bytes, by what it reads.
const TARGETS: [(&str, Target); 22] = [
    ("receipt", proof::receipt),
    ("terms", proof::terms),
    ("bundle", proof::bundle),
    ("tree", proof::tree),
    ("fault", proof::fault),
    ("policy", proof::policy),
    ("note", log::note),
    ("checkpoint", log::checkpoint),
    ("verifier-key", log::verifier_key),
    ("submission", log::submission),
    ("tile-path", log::tile_path),
    ("payment", wire::payment),
    ("settlement", wire::settlement),
    ("question", wire::question),
    ("chunks", wire::chunks),
    ("events", wire::events),
    ("journal", disk::journal),
    ("store", disk::store),
    ("gguf", model::gguf),
    ("tokenizer", model::tokenizer),
    ("rpc", chain::rpc),
    ("transaction", chain::transaction),
];

fn selected() -> Target {
    static SELECTED: OnceLock<Target> = OnceLock::new();
    *SELECTED.get_or_init(|| {
        let name = std::env::var("VOUCH_FUZZ").unwrap_or_default();
        let found = TARGETS.iter().find(|(target, _)| *target == name);
        found
            .unwrap_or_else(|| panic!("VOUCH_FUZZ={name:?} is none of {:?}", TARGETS.map(|t| t.0)))
            .1
    })
}

fuzz_target!(|bytes: &[u8]| selected()(bytes));

/// The text, where it is one.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
