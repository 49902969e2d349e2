//! What a log and its witnesses say.

use vouch_core::log::{
    Checkpoint,
    note::{Note, Verifier},
    tile::Tile,
    witness::Submission,
};

use crate::text;

pub(crate) fn note(bytes: &[u8]) {
    if let Some(Ok(note)) = text(bytes).map(Note::parse) {
        let again = Note::parse(&note.to_string()).expect("its own form");
        assert_eq!(again, note);
    }
}

pub(crate) fn checkpoint(bytes: &[u8]) {
    if let Some(Ok(checkpoint)) = text(bytes).map(Checkpoint::parse) {
        assert_eq!(Some(checkpoint.text().as_str()), text(bytes), "one checkpoint, one text");
    }
}

pub(crate) fn verifier_key(bytes: &[u8]) {
    if let Some(Ok(key)) = text(bytes).map(Verifier::parse) {
        assert_eq!(Some(key.to_string().as_str()), text(bytes), "one key, one text");
    }
}

pub(crate) fn submission(bytes: &[u8]) {
    if let Some(Ok(submission)) = text(bytes).map(Submission::parse) {
        let again = Submission::parse(&submission.to_string()).expect("its own form");
        assert_eq!(again, submission);
    }
}

pub(crate) fn tile_path(bytes: &[u8]) {
    if let Some(Some(tile)) = text(bytes).map(Tile::parse) {
        assert_eq!(Some(tile.path().as_str()), text(bytes), "one tile, one path");
    }
}
