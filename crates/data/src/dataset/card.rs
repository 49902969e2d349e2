//! The dataset's public description: Croissant 1.1 JSON-LD.
//!
//! The card is public and its hash is on the chain. It names no document and quotes none; what it
//! gives of the content is a count, and a checksum of the sealed file.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vouch_core::commitment;

use crate::{Error, Result};

/// The most bytes of a card.
pub(super) const MAX_CARD_BYTES: usize = 256 << 10;
/// The most characters of a name, licence or creator.
const MAX_FIELD: usize = 500;

/// What a card says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The dataset's id.
    pub id: B256,
    /// Who grants its use.
    pub owner: Address,
    /// The Merkle root of its documents.
    pub root: B256,
    /// For people.
    pub name: String,
    /// In a sentence or two.
    pub description: String,
    /// An SPDX identifier, or the URL of a licence.
    pub licence: String,
    /// Who made it: a person's or an organisation's name.
    pub creator: String,
    /// How many documents it has.
    pub documents: u64,
    /// Size of the sealed file.
    pub sealed_bytes: u64,
    /// SHA-256 of the sealed file.
    pub sealed_sha256: B256,
    /// Unix seconds.
    pub published: u64,
}

/// A Croissant description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Card(pub Value);

impl Card {
    /// Describes a dataset.
    ///
    /// # Errors
    /// [`Error::Malformed`] if name or licence is empty, or a field too long.
    pub fn new(facts: &Facts) -> Result<Self> {
        for (field, text) in [("name", &facts.name), ("licence", &facts.licence)] {
            if text.trim().is_empty() {
                return Err(Error::malformed("card", format!("its {field} is empty")));
            }
        }
        let long = [&facts.name, &facts.licence, &facts.creator, &facts.description];
        if long.iter().any(|text| text.chars().count() > MAX_FIELD) {
            return Err(Error::malformed(
                "card",
                format!("a field is over {MAX_FIELD} characters"),
            ));
        }
        let licence = match facts.licence.contains("://") {
            true => facts.licence.clone(),
            false => format!("https://spdx.org/licenses/{}", facts.licence),
        };
        let creator = match facts.creator.is_empty() {
            true => facts.owner.to_string(),
            false => facts.creator.clone(),
        };
        let (url, published) = (format!("urn:vouch:dataset:{}", facts.id), date(facts.published));
        Ok(Self(json!({
            "@context": context(),
            "@type": "sc:Dataset",
            "@id": url,
            "conformsTo": "http://mlcommons.org/croissant/1.1",
            "name": facts.name,
            "description": facts.description,
            "license": licence,
            "url": url,
            "version": "1.0.0",
            "citeAs": format!("{creator}: {} ({published}). {url}", facts.name),
            "datePublished": published,
            "creator": { "@type": "sc:Organization", "name": creator, "url": format!("urn:ethereum:{}", facts.owner) },
            "conditionsOfAccess": "Served to the holder of a grant in Vouch's ConsentRegistry. Revoking \
                a grant stops future use and future pay; it does not untrain what was trained before.",
            "distribution": [distribution(facts)],
            "recordSet": [records()],
            "vouch:dataset": facts.id,
            "vouch:root": facts.root,
            "vouch:owner": facts.owner,
            "vouch:documents": facts.documents,
        })))
    }

    /// keccak-256 of the RFC 8785 form: what `publish` puts on the chain.
    ///
    /// # Errors
    /// [`Error::Core`] if the card has no canonical form.
    pub fn hash(&self) -> Result<B256> {
        card_hash(&self.0)
    }

    /// A text field for people, without what could act on a terminal.
    #[must_use]
    pub fn field(&self, name: &str) -> String {
        super::text::clean(self.0.get(name).and_then(Value::as_str).unwrap_or(""))
    }
}

/// The hash of a card, whoever wrote it.
///
/// # Errors
/// [`Error::Core`] if it has no canonical form.
pub fn card_hash(card: &Value) -> Result<B256> {
    Ok(commitment::canonical_hash(card)?)
}

fn distribution(facts: &Facts) -> Value {
    json!({
        "@type": "cr:FileObject",
        "@id": "documents",
        "name": "documents",
        "description": "All documents, each sealed by XChaCha20-Poly1305; the checksum is the sealed \
            file's. Under a grant they are served opened, with proofs to the Merkle root.",
        "contentUrl": format!("datasets/{}/documents", facts.id),
        "contentSize": format!("{} B", facts.sealed_bytes),
        "encodingFormat": "application/octet-stream",
        "sha256": facts.sealed_sha256.to_string().trim_start_matches("0x"),
    })
}

fn records() -> Value {
    let field = |name: &str, description: &str, property: &str| {
        json!({
            "@type": "cr:Field",
            "@id": format!("documents/{name}"),
            "name": name,
            "description": description,
            "dataType": "sc:Text",
            "source": { "fileObject": { "@id": "documents" }, "extract": { "fileProperty": property } },
        })
    };
    json!({
        "@type": "cr:RecordSet",
        "@id": "records",
        "name": "records",
        "field": [
            field("path", "The document's path in the dataset.", "filename"),
            field("content", "The document.", "content"),
        ],
    })
}

/// Croissant's own context, with ours beside it.
fn context() -> Value {
    json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "sc": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "dct": "http://purl.org/dc/terms/",
        "vouch": "https://github.com/vouch-network/vouch#",
        "citeAs": "cr:citeAs",
        "column": "cr:column",
        "conformsTo": "dct:conformsTo",
        "data": { "@id": "cr:data", "@type": "@json" },
        "dataType": { "@id": "cr:dataType", "@type": "@vocab" },
        "equivalentProperty": "cr:equivalentProperty",
        "examples": { "@id": "cr:examples", "@type": "@json" },
        "extract": "cr:extract",
        "field": "cr:field",
        "fileObject": "cr:fileObject",
        "fileProperty": "cr:fileProperty",
        "fileSet": "cr:fileSet",
        "format": "cr:format",
        "includes": "cr:includes",
        "isLiveDataset": "cr:isLiveDataset",
        "jsonPath": "cr:jsonPath",
        "key": "cr:key",
        "md5": "cr:md5",
        "parentField": "cr:parentField",
        "path": "cr:path",
        "recordSet": "cr:recordSet",
        "references": "cr:references",
        "regex": "cr:regex",
        "repeated": "cr:repeated",
        "replace": "cr:replace",
        "samplingRate": "cr:samplingRate",
        "separator": "cr:separator",
        "source": "cr:source",
        "subField": "cr:subField",
        "transform": "cr:transform",
    })
}

/// A day in UTC as ISO 8601 writes it (Howard Hinnant's `civil_from_days`).
fn date(unix_seconds: u64) -> String {
    let days = unix_seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn facts() -> Facts {
        Facts {
            id: B256::repeat_byte(1),
            owner: Address::repeat_byte(2),
            root: B256::repeat_byte(3),
            name: "Letters".into(),
            description: "Letters of a lighthouse keeper.".into(),
            licence: "CC-BY-4.0".into(),
            creator: "Ada".into(),
            documents: 3,
            sealed_bytes: 100,
            sealed_sha256: B256::repeat_byte(4),
            published: 951_782_400,
        }
    }

    #[test]
    fn a_card_is_croissant_and_has_one_hash() {
        let card = Card::new(&facts()).unwrap();
        assert_eq!(card.0["@type"], "sc:Dataset");
        assert_eq!(card.0["conformsTo"], "http://mlcommons.org/croissant/1.1");
        assert_eq!(card.0["license"], "https://spdx.org/licenses/CC-BY-4.0");
        assert_eq!(card.0["datePublished"], "2000-02-29");
        let cited = format!("Ada: Letters (2000-02-29). urn:vouch:dataset:{}", facts().id);
        assert_eq!(card.0["citeAs"], cited);
        let read: Card =
            serde_json::from_str(&serde_json::to_string_pretty(&card).unwrap()).unwrap();
        assert_eq!(read.hash().unwrap(), card.hash().unwrap());
    }

    #[test]
    fn dates_are_the_calendars() {
        for (seconds, day) in
            [(0, "1970-01-01"), (1_709_164_799, "2024-02-28"), (1_795_737_600, "2026-11-27")]
        {
            assert_eq!(date(seconds), day);
        }
    }

    #[test]
    fn a_card_without_a_licence_is_refused() {
        assert!(Card::new(&Facts { licence: " ".into(), ..facts() }).is_err());
        assert!(Card::new(&Facts { name: "x".repeat(501), ..facts() }).is_err());
    }
}
