//! An owner's datasets on disk: one directory each.

use std::{
    fs,
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, B256};

use super::{Archive, Card, Document, Facts, card::MAX_CARD_BYTES, dataset_id};
use crate::{
    Error, Result,
    files::{read_bounded, replace},
    seal::Key,
};

const SEALED: &str = "documents.sealed";
const CARD: &str = "card.json";

/// Where an owner keeps what it publishes: `keys/<name>.json`, `<id>/card.json`,
/// `<id>/documents.sealed`.
#[derive(Debug, Clone)]
pub struct Library {
    directory: PathBuf,
    passphrase: zeroize::Zeroizing<String>,
}

/// A dataset of the library.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// On every chain.
    pub id: B256,
    /// Of its documents.
    pub root: B256,
    /// Its description.
    pub card: Card,
}

impl Library {
    /// The library in `directory`, whose keys are under `passphrase`.
    #[must_use]
    pub fn new(directory: &Path, passphrase: &str) -> Self {
        Self { directory: directory.to_owned(), passphrase: passphrase.to_owned().into() }
    }

    /// Seals `documents` under the key of `name`. The same documents under the same name are the
    /// same dataset; other documents are another one, and the earlier stays.
    ///
    /// `describe` is given what is known and may change name, description, licence and creator.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Wallet`] if the passphrase is another's, and as [`Card::new`].
    pub fn add(
        &self,
        owner: Address,
        name: &str,
        documents: &[Document],
        describe: impl FnOnce(Facts) -> Facts,
    ) -> Result<Published> {
        let key = self.key(name)?;
        let root = Archive::root(documents, &key);
        let id = dataset_id(owner, root);
        if let Ok(published) = self.get(id) {
            return Ok(published);
        }
        let directory = self.directory.join(id.to_string());
        let (sealed_bytes, sealed_sha256) =
            Archive::write(&directory.join(SEALED), owner, documents, &key)?;
        let facts = describe(Facts {
            id,
            owner,
            root,
            name: name.to_owned(),
            description: format!("{} documents, served under a grant.", documents.len()),
            licence: String::new(),
            creator: String::new(),
            documents: documents.len() as u64,
            sealed_bytes,
            sealed_sha256,
            published: 0,
        });
        let facts = Facts { id, owner, root, ..facts };
        let card = Card::new(&facts)?;
        // The card last: a directory without one is no dataset yet.
        let key_name = serde_json::json!({ "key": file_name(name), "root": root, "card": card });
        replace(&directory.join(CARD), key_name.to_string().as_bytes())?;
        Ok(Published { id, root, card })
    }

    /// Every dataset, by id; what is not whole is left out.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Published>> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", &self.directory)(error)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut ids: Vec<B256> = names.filter_map(|name| name.parse().ok()).collect();
        ids.sort();
        Ok(ids.into_iter().filter_map(|id| self.get(id).ok()).collect())
    }

    /// One dataset's description.
    ///
    /// # Errors
    /// [`Error::Io`] if it is not here, [`Error::Malformed`] if its card is damaged.
    pub fn get(&self, id: B256) -> Result<Published> {
        let entry = self.entry(id)?;
        Ok(Published { id, root: entry.root, card: entry.card })
    }

    /// Opens a dataset.
    ///
    /// # Errors
    /// As [`Library::get`] and [`Archive::open`].
    pub fn open(&self, id: B256) -> Result<Archive> {
        let entry = self.entry(id)?;
        let key = Key::open(&self.key_path(&entry.key), &self.passphrase)?;
        Archive::open(&self.directory.join(id.to_string()).join(SEALED), id, key)
    }

    fn entry(&self, id: B256) -> Result<Entry> {
        let path = self.directory.join(id.to_string()).join(CARD);
        let bytes = read_bounded(&path, MAX_CARD_BYTES as u64, "a card")?;
        let entry: Entry =
            serde_json::from_slice(&bytes).map_err(|e| Error::malformed("card", e))?;
        // The name of the key becomes a path.
        if entry.key != file_name(&entry.key) {
            return Err(Error::malformed("card", "its key's name is not one of ours"));
        }
        Ok(entry)
    }

    fn key(&self, name: &str) -> Result<Key> {
        Key::open_or_create(&self.key_path(&file_name(name)), &self.passphrase)
    }

    fn key_path(&self, name: &str) -> PathBuf {
        self.directory.join("keys").join(format!("{name}.json"))
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: String,
    root: B256,
    card: Card,
}

/// A name as a file's: letters, digits and dashes, and a hash where that says less than the name.
fn file_name(name: &str) -> String {
    let plain: String = name
        .chars()
        .take(40)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' })
        .collect();
    if plain == name && !name.is_empty() {
        return plain;
    }
    let hash = alloy_primitives::keccak256(name.as_bytes()).to_string();
    format!("{}-{}", plain.trim_matches('-'), &hash[2..10])
}
