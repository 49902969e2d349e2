//! The sealed file of a dataset: a directory of what is in it, then one message a document.
//!
//! ```text
//!  "VOUCHDS1" | listing length u64 | sealed listing (JSON) | sealed document 0 | 1 | ...
//! ```
//! Integers are little-endian. A document's place is `id || index u64` (big-endian), so that none
//! can be moved within its dataset or into another; the listing's place is `id || 2^64 - 1`.

use std::{
    fs,
    io::Read,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vouch_core::log::merkle;

use super::{Document, MediaType, check_path, dataset_id, document_leaf};
use crate::{
    Error, Result,
    files::replace,
    seal::{Key, OVERHEAD},
};

const MAGIC: &[u8; 8] = b"VOUCHDS1";
const HEADER: u64 = 16;
const MAX_LISTING_BYTES: u64 = 256 << 20;
const MAX_DOCUMENT_BYTES: u64 = 128 << 20;

/// One document, without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// As [`Document::path`].
    pub path: String,
    /// As [`Document::media`].
    pub media: MediaType,
    /// Its leaf in the tree.
    pub leaf: B256,
    /// Where its message begins, after the listing.
    offset: u64,
    /// Length of its message.
    length: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    owner: Address,
    root: B256,
    documents: Vec<Listed>,
}

/// An open dataset: its listing in memory, its documents on disk, sealed.
#[derive(Debug)]
pub struct Archive {
    id: B256,
    listing: Listing,
    key: Key,
    file: fs::File,
    path: PathBuf,
    /// Where documents begin.
    base: u64,
}

impl Archive {
    /// The root that `documents` have under `key`, whose salts they are hidden by.
    #[must_use]
    pub fn root(documents: &[Document], key: &Key) -> B256 {
        merkle::root(&leaves(documents, key))
    }

    /// Seals `documents` into `path`, whole or not at all, and returns the file's size and SHA-256.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Random`], or [`Error::Malformed`] if there is no document.
    pub fn write(
        path: &Path,
        owner: Address,
        documents: &[Document],
        key: &Key,
    ) -> Result<(u64, B256)> {
        if documents.is_empty() {
            return Err(Error::malformed("dataset", "it has no document"));
        }
        let leaves = leaves(documents, key);
        let root = merkle::root(&leaves);
        let id = dataset_id(owner, root);
        let mut body = Vec::new();
        let mut listed = Vec::with_capacity(documents.len());
        for ((document, leaf), index) in documents.iter().zip(leaves).zip(0u64..) {
            let sealed = key.seal(document.content.as_bytes(), &place(id, index))?;
            listed.push(Listed {
                path: document.path.clone(),
                media: document.media,
                leaf,
                offset: body.len() as u64,
                length: sealed.len() as u64,
            });
            body.extend_from_slice(&sealed);
        }
        let listing = Listing { owner, root, documents: listed };
        let listing = serde_json::to_vec(&listing).map_err(|e| Error::malformed("listing", e))?;
        let listing = key.seal(&listing, &place(id, u64::MAX))?;
        let length = (listing.len() as u64).to_le_bytes();
        let bytes = [MAGIC.as_slice(), &length, &listing, &body].concat();
        replace(path, &bytes)?;
        Ok((bytes.len() as u64, B256::from(<[u8; 32]>::from(Sha256::digest(&bytes)))))
    }

    /// Opens the sealed file of dataset `id`.
    ///
    /// # Errors
    /// [`Error::Sealed`] if key, id or file are another's, [`Error::Malformed`], [`Error::Io`].
    pub fn open(path: &Path, id: B256, key: Key) -> Result<Self> {
        let mut file = fs::File::open(path).map_err(Error::io("open", path))?;
        let mut header = [0; HEADER as usize];
        file.read_exact(&mut header).map_err(Error::io("read", path))?;
        let (magic, length) = header.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(Error::malformed("sealed dataset", "it is no file of version 1"));
        }
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        if length > MAX_LISTING_BYTES {
            return Err(Error::TooMuch { what: "the listing", limit: MAX_LISTING_BYTES });
        }
        let mut sealed = Vec::new();
        file.by_ref().take(length).read_to_end(&mut sealed).map_err(Error::io("read", path))?;
        let listing = key.unseal(&sealed, &place(id, u64::MAX), "the dataset's listing")?;
        let listing: Listing =
            serde_json::from_slice(&listing).map_err(|e| Error::malformed("listing", e))?;
        if dataset_id(listing.owner, listing.root) != id {
            return Err(Error::malformed("listing", "it is another dataset's"));
        }
        listing.documents.iter().try_for_each(|document| check_path(&document.path))?;
        Ok(Self { id, listing, key, file, path: path.to_owned(), base: HEADER + length })
    }

    /// The dataset's id.
    #[must_use]
    pub fn id(&self) -> B256 {
        self.id
    }

    /// Who grants its use.
    #[must_use]
    pub fn owner(&self) -> Address {
        self.listing.owner
    }

    /// The root of its documents.
    #[must_use]
    pub fn merkle_root(&self) -> B256 {
        self.listing.root
    }

    /// Its documents, without content.
    #[must_use]
    pub fn documents(&self) -> &[Listed] {
        &self.listing.documents
    }

    /// Reads and opens one document; its leaf is checked.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Sealed`] if it was changed on disk, [`Error::Io`].
    pub fn document(&self, index: usize) -> Result<Document> {
        let listed = self.listed(index)?;
        if listed.length > MAX_DOCUMENT_BYTES {
            return Err(Error::TooMuch { what: "a document", limit: MAX_DOCUMENT_BYTES });
        }
        let mut sealed = vec![0; listed.length as usize];
        let at = self.base.saturating_add(listed.offset);
        self.file.read_exact_at(&mut sealed, at).map_err(Error::io("read", &self.path))?;
        let content = self.key.unseal(&sealed, &place(self.id, index as u64), "a document")?;
        let content = String::from_utf8(content).map_err(|e| Error::malformed("document", e))?;
        let document = Document { path: listed.path.clone(), media: listed.media, content };
        if document_leaf(&self.salt(index), &document) != listed.leaf {
            return Err(Error::Sealed("a document"));
        }
        Ok(document)
    }

    /// What hides a document's leaf; given to whoever is given the document.
    #[must_use]
    pub fn salt(&self, index: usize) -> B256 {
        salt(&self.key, index as u64)
    }

    /// The audit path of a document, from its leaf up.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such document.
    pub fn proof(&self, index: usize) -> Result<Vec<B256>> {
        self.listed(index)?;
        let leaves: Vec<B256> = self.listing.documents.iter().map(|listed| listed.leaf).collect();
        Ok(merkle::inclusion_path(&leaves, index))
    }

    /// Size of a document's content.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such document.
    pub fn content_bytes(&self, index: usize) -> Result<u64> {
        Ok(self.listed(index)?.length.saturating_sub(OVERHEAD as u64))
    }

    fn listed(&self, index: usize) -> Result<&Listed> {
        let id = || format!("number {index} in dataset {}", self.id);
        self.listing
            .documents
            .get(index)
            .ok_or_else(|| Error::NotFound { what: "document", id: id() })
    }
}

fn leaves(documents: &[Document], key: &Key) -> Vec<B256> {
    let numbered = documents.iter().zip(0..);
    numbered.map(|(document, index)| document_leaf(&salt(key, index), document)).collect()
}

fn salt(key: &Key, index: u64) -> B256 {
    key.derive("leaf salt", index)
}

fn place(id: B256, index: u64) -> [u8; 40] {
    let mut place = [0; 40];
    place[..32].copy_from_slice(id.as_slice());
    place[32..].copy_from_slice(&index.to_be_bytes());
    place
}
