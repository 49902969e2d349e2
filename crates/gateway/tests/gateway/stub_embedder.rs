//! An embedder that computes nothing: a text's ids are its bytes, its vector their count and sum.

use vouch_model::{Error, embed::Embed, entry::ModelEntry};

#[derive(Debug)]
pub struct StubEmbedder {
    entry: ModelEntry,
}

impl StubEmbedder {
    pub fn new(name: &str) -> Self {
        let mut entry = ModelEntry::upstream("stub.example", name);
        entry.identity.arithmetic = vouch_model::entry::ARITHMETIC_EXACT.into();
        Self { entry }
    }
}

impl Embed for StubEmbedder {
    fn entry(&self) -> &ModelEntry {
        &self.entry
    }

    fn dimensions(&self) -> usize {
        2
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    fn check_ids(&self, ids: &[u32]) -> Result<(), Error> {
        match ids.is_empty() || ids.iter().any(|id| *id > 255) {
            true => Err(Error::Request("an input has an id above 255, or none".into())),
            false => Ok(()),
        }
    }

    fn embed_ids(&self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, Error> {
        let vector = |ids: &Vec<u32>| vec![ids.len() as f32, ids.iter().sum::<u32>() as f32 / 7.0];
        Ok(texts.iter().map(vector).collect())
    }
}
