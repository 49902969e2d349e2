//! Models: entries, tokenizers, engines, replay.
