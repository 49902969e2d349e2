//! What a grantee signs to be given documents, and what it is given.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};
use serde::{Deserialize, Serialize};
use vouch_core::signature::Signature;
use vouch_wallet::Wallet;

use crate::{
    Error, Result,
    consent::Purpose,
    dataset::{Document, check_path, dataset_id, verify_document},
};

mod typed {
    #![allow(missing_docs, reason = "the public twin below is documented")]
    super::sol! {
        struct Access {
            string server;
            bytes32 dataset;
            address grantee;
            bytes32 purpose;
            bytes32 service;
            uint64 first;
            uint32 count;
            bytes32 challenge;
        }
    }
}

/// A wish for documents (EIP-712 `Access(string server,bytes32 dataset,address grantee,bytes32
/// purpose,bytes32 service,uint64 first,uint32 count,bytes32 challenge)`, domain `Vouch Data`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Access {
    /// The server's own address, as it gave it with the challenge.
    pub server: String,
    /// The dataset.
    pub dataset: B256,
    /// Who asks, and signs.
    pub grantee: Address,
    /// For what.
    pub purpose: Purpose,
    /// For which model or service.
    pub service: B256,
    /// Number of the first document.
    pub first: u64,
    /// How many at most.
    pub count: u32,
    /// From the server; good once.
    pub challenge: B256,
}

/// A wish with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// What is wished.
    pub access: Access,
    /// By the grantee.
    pub signature: Signature,
}

/// A document with its way to the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Its number in the dataset.
    pub index: u64,
    /// The document.
    pub document: Document,
    /// What hides its leaf from others.
    pub salt: B256,
    /// Audit path, from the leaf up.
    pub proof: Vec<B256>,
}

/// What a wish is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The dataset's root; the id binds it to the owner.
    pub root: B256,
    /// Documents of the dataset.
    pub size: u64,
    /// The grant that allowed it.
    pub grant: B256,
    /// In order from the first that was asked for; fewer than asked where they are large.
    pub items: Vec<Item>,
}

impl Access {
    /// The digest that the grantee signs, on `chain` with the consent registry at `registry`.
    #[must_use]
    pub fn digest(&self, chain: u64, registry: Address) -> B256 {
        let message = typed::Access {
            server: self.server.clone(),
            dataset: self.dataset,
            grantee: self.grantee,
            purpose: self.purpose.0,
            service: self.service,
            first: self.first,
            count: self.count,
            challenge: self.challenge,
        };
        message.eip712_signing_hash(&Eip712Domain::new(
            Some("Vouch Data".into()),
            Some("1".into()),
            Some(U256::from(chain)),
            Some(registry),
            None,
        ))
    }

    /// Signs the wish.
    #[must_use]
    pub fn sign(self, wallet: &Wallet, chain: u64, registry: Address) -> Signed {
        let signature = wallet.sign(self.digest(chain, registry));
        Signed { access: self, signature }
    }
}

impl Page {
    /// Checks every document against the dataset's id: a server cannot give another's, nor a changed
    /// one. Returns each with its leaf.
    ///
    /// # Errors
    /// [`Error::Malformed`] if root, owner and id do not fit, [`Error::Core`] for a wrong proof.
    pub fn verify(&self, wished: &Access, owner: Address) -> Result<Vec<(B256, Document)>> {
        if dataset_id(owner, self.root) != wished.dataset {
            return Err(Error::malformed("page", "its root is not that of the dataset"));
        }
        if self.items.len() > wished.count as usize {
            return Err(Error::malformed("page", "it has more documents than were asked for"));
        }
        let numbered = self.items.iter().zip(wished.first..);
        let checked = numbered.map(|(item, index)| {
            if item.index != index {
                return Err(Error::malformed("page", "its documents are not those asked for"));
            }
            let document = &item.document;
            check_path(&document.path)?;
            verify_document(document, &item.salt, index, self.size, &item.proof, self.root)?;
            Ok((crate::dataset::document_leaf(&item.salt, document), document.clone()))
        });
        checked.collect()
    }
}
