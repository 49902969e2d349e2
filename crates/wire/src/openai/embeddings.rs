//! OpenAI's embeddings: texts in, vectors out.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use crate::Error;

/// OpenAI's own limit on the texts of a request.
pub const MAX_EMBEDDING_INPUTS: usize = 2048;

/// A request for vectors. Unknown fields are ignored; those that would change the answer and are not
/// served are refused.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EmbeddingsRequest {
    /// The model's name at the provider.
    pub model: String,
    /// What to embed.
    pub input: EmbeddingsInput,
    #[serde(default)]
    encoding_format: Option<EncodingFormat>,
    /// Numbers of a vector, where the caller says: must be the model's.
    #[serde(default)]
    pub dimensions: Option<u32>,
}

/// One or several texts, or the token ids of such.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EmbeddingsInput {
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// A text's token ids, those that the model puts around a text included.
    Ids(Vec<u32>),
    /// Several texts' token ids.
    IdLists(Vec<Vec<u32>>),
}

impl EmbeddingsInput {
    /// How many texts there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Text(_) | Self::Ids(_) => 1,
            Self::Texts(texts) => texts.len(),
            Self::IdLists(lists) => lists.len(),
        }
    }

    /// The ids of each text, by `encode` where they are not given.
    pub fn ids(self, encode: impl Fn(&str) -> Vec<u32>) -> Vec<Vec<u32>> {
        match self {
            Self::Text(text) => vec![encode(&text)],
            Self::Texts(texts) => texts.iter().map(|text| encode(text)).collect(),
            Self::Ids(ids) => vec![ids],
            Self::IdLists(lists) => lists,
        }
    }
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncodingFormat {
    /// As arrays of numbers.
    #[default]
    Float,
    /// As base64 of little-endian binary32.
    Base64,
}

impl EmbeddingsRequest {
    /// Reads a body, whose size the caller has bounded, and checks it.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is no such request, [`Error::Param`] where a setting is out of
    /// range or not served.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let request: Self = serde_json::from_slice(body)
            .map_err(|why| Error::malformed("the request's body", why))?;
        match request.input.count() {
            0 => Err(Error::param("input", "is empty: send a string, or an array of strings")),
            count if count > MAX_EMBEDDING_INPUTS => {
                let why = format!("has {count} texts: send at most {MAX_EMBEDDING_INPUTS}");
                Err(Error::param("input", why))
            }
            _ => Ok(request),
        }
    }

    /// Checks the dimensions that were asked for against the model's.
    ///
    /// # Errors
    /// [`Error::Param`] where they are others.
    pub fn check_dimensions(&self, dimensions: usize) -> Result<(), Error> {
        match self.dimensions {
            Some(asked) if asked as usize != dimensions => {
                let why =
                    format!("is {asked}: this model's vectors have {dimensions}, leave it out");
                Err(Error::param("dimensions", why))
            }
            _ => Ok(()),
        }
    }

    /// How vectors are to be written; as numbers where the caller does not say.
    #[must_use]
    pub fn encoding_format(&self) -> EncodingFormat {
        self.encoding_format.unwrap_or_default()
    }
}

/// The vectors: what a receipt commits to by the hash of its RFC 8785 form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingsResponse {
    /// Names the answer.
    pub id: String,
    /// `list`.
    pub object: String,
    /// Unix seconds.
    pub created: u64,
    /// The model's name at the provider.
    pub model: String,
    /// One a text, in order.
    pub data: Vec<Embedding>,
    /// Token counts.
    pub usage: EmbeddingsUsage,
    /// The ids that were embedded.
    pub vouch: EmbeddingsVouch,
}

/// A text's vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// `embedding`.
    pub object: String,
    /// The text's place in the request, from 0.
    pub index: u32,
    /// The vector, in the form that was asked for.
    pub embedding: Vector,
}

/// A vector as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Vector {
    /// Numbers: each the shortest decimal that reads as the binary32 that it is.
    Float(Vec<f64>),
    /// base64 of little-endian binary32.
    Base64(String),
}

impl Vector {
    /// Writes a vector.
    #[must_use]
    pub fn new(numbers: &[f32], format: EncodingFormat) -> Self {
        match format {
            EncodingFormat::Float => Self::Float(numbers.iter().map(shortest).collect()),
            EncodingFormat::Base64 => {
                let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
                Self::Base64(BASE64_STANDARD.encode(bytes))
            }
        }
    }

    /// The numbers; `None` where they are not base64 of binary32.
    #[must_use]
    pub fn numbers(&self) -> Option<Vec<f32>> {
        match self {
            #[allow(clippy::cast_possible_truncation, reason = "rounding is what is meant")]
            Self::Float(numbers) => Some(numbers.iter().map(|x| *x as f32).collect()),
            Self::Base64(text) => {
                let bytes = BASE64_STANDARD.decode(text).ok()?;
                let (numbers, rest) = bytes.as_chunks();
                rest.is_empty().then(|| numbers.iter().map(|x| f32::from_le_bytes(*x)).collect())
            }
        }
    }
}

/// The binary64 whose shortest decimal is the binary32's: half as long as that of its exact value.
fn shortest(number: &f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| f64::from(*number))
}

/// Token counts in OpenAI's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingsUsage {
    /// Tokens of all texts.
    pub prompt_tokens: u64,
    /// The same.
    pub total_tokens: u64,
}

/// What was embedded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EmbeddingsVouch {
    /// The ids of each text.
    pub input_ids: Vec<Vec<u32>>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parse(input: Value) -> Result<EmbeddingsRequest, Error> {
        EmbeddingsRequest::parse(json!({"model": "m", "input": input}).to_string().as_bytes())
    }

    #[test]
    fn reads_every_form_of_input() {
        for (input, ids) in [
            (json!("a"), vec![vec![7]]),
            (json!(["a", "b"]), vec![vec![7], vec![7]]),
            (json!([1, 2]), vec![vec![1, 2]]),
            (json!([[1], [2, 3]]), vec![vec![1], vec![2, 3]]),
        ] {
            assert_eq!(parse(input).unwrap().input.ids(|_| vec![7]), ids);
        }
        let many = json!(vec!["a"; MAX_EMBEDDING_INPUTS + 1]);
        for input in [json!([]), json!(null), json!({}), json!([1, "a"]), json!([-1]), many] {
            assert!(parse(input.clone()).is_err(), "{input}");
        }
    }

    #[test]
    fn other_dimensions_are_refused() {
        let body =
            br#"{"model": "m", "input": "a", "dimensions": 128, "encoding_format": "base64"}"#;
        let request = EmbeddingsRequest::parse(body).unwrap();
        assert_eq!(request.encoding_format(), EncodingFormat::Base64);
        assert!(request.check_dimensions(128).is_ok());
        let error = request.check_dimensions(384).unwrap_err().to_string();
        assert_eq!(error, "dimensions is 128: this model's vectors have 384, leave it out");
    }

    proptest! {
        #[test]
        fn numbers_survive_both_forms(numbers in prop::collection::vec(-1f32..1.0, 0..20)) {
            for format in [EncodingFormat::Float, EncodingFormat::Base64] {
                let json = serde_json::to_string(&Vector::new(&numbers, format)).unwrap();
                let read: Vector = serde_json::from_str(&json).unwrap();
                let read = read.numbers().unwrap();
                prop_assert_eq!(&read, &numbers, "{}", json);
            }
        }
    }
}
