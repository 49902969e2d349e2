//! The receipt: one kind of record for everything that happens.
//!
//! Canonical bytes are fixed width and big-endian, in the order of the fields of [`Receipt`];
//! the JSON form is for people and tools.
//!
//! Some kinds read a field in their own way:
//!
//! | kind | `provider` | `payer` | `channel`, `sequence`, `cumulative` | `request` | `model` | `terms` | `parent` |
//! |---|---|---|---|---|---|---|---|
//! | 1, 2 | who answered | who paid | the channel that paid | [`crate::commitment::request`] | its identity | hash of the quote | 0, or what it was asked for |
//! | 4 training round | who trained | for whom | 0 | [`crate::training::manifest`] | the trained model's identity | 0 | 0 |
//! | 5 data use | who used the data | the data's **owner, who is credited** | the owner's [`crate::data_use::stream`] | [`crate::data_use::request`] | the dataset | the grant | the answer, or the training |
//! | 6 agent act | the agent's key | the owner's account | 0 | [`crate::act::intent`] | hash of the strategy | hash of the mandate | the delegating act, or an answer |
//!
//! Of a training round, `response` commits to the report ([`crate::training::report`]) and `charge`
//! is what its children credit in all; of an act, to the outcome
//! ([`crate::act::outcome`]). Kind 5 has no response: it counts passages as `input`, and what is
//! credited as `charge`; status failed and charge 0 say that the grant was revoked meanwhile.
//! Kind 2 charges input tokens alone. What has no meaning for a kind is 0.

use alloy_primitives::{Address, B256, U256, keccak256};
use serde::{Deserialize, Serialize};

use crate::{Error, domain::Domain, log::merkle, money::Usage};

/// The version of the canonical bytes.
pub const VERSION: u8 = 1;
/// Length of the canonical bytes.
pub const ENCODED_LEN: usize = 518;
/// Length of a log entry: [`ENTRY_VERSION`] and a keccak-256 digest.
pub const ENTRY_LEN: usize = 33;
/// First byte of a log entry that holds a receipt's digest.
pub const ENTRY_VERSION: u8 = 1;

/// Bits of [`Receipt::flags`].
pub mod flags {
    /// The answer came from a cache of answers.
    pub const CACHED_ANSWER: u16 = 1;
    /// The caller chose the seed; otherwise it was derived from nonce and request.
    pub const CALLERS_SEED: u16 = 1 << 1;
    /// The provider chose the nonce, because the client speaks no extension (stock mode).
    pub const PROVIDERS_NONCE: u16 = 1 << 2;
    /// The engine gave no token ids: `tokens` commits to none and the counts are its own word.
    pub const NO_TOKEN_IDS: u16 = 1 << 3;
    /// Every bit that has a meaning.
    pub const ALL: u16 = CACHED_ANSWER | CALLERS_SEED | PROVIDERS_NONCE | NO_TOKEN_IDS;
}

/// Declares an enum with a byte for each variant in the encoding and a name in JSON.
macro_rules! byte_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $value:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant = $value,)+ }

        impl TryFrom<u8> for $name {
            type Error = Error;
            fn try_from(byte: u8) -> Result<Self, Error> {
                match byte {
                    $($value => Ok(Self::$variant),)+
                    _ => Err(Error::malformed("receipt", format!("{} {byte} is unknown", stringify!($name).to_lowercase()))),
                }
            }
        }
    };
}

byte_enum! {
    /// What happened.
    Kind {
        /// A model answered.
        Inference = 1,
        /// Texts became vectors: as an inference, without output tokens.
        Embedding = 2,
        /// A job ran.
        Job = 3,
        /// A round of training; no channel pays for it.
        TrainingRound = 4,
        /// Data was used in an answer, whose child this is: see [`crate::data_use`].
        DataUse = 5,
        /// An agent acted, or was refused: see [`crate::act`].
        AgentAct = 6,
        /// Content was made.
        Content = 7,
        /// A warning was raised.
        Alert = 8,
    }
}

byte_enum! {
    /// How it ended.
    Status {
        /// To its end.
        Complete = 1,
        /// The payer went away or said stop.
        StoppedByPayer = 2,
        /// No voucher covered more.
        OutOfFunds = 3,
        /// The engine failed; what had arrived is charged.
        Failed = 4,
    }
}

byte_enum! {
    /// What stands behind the claim that this model gave this answer.
    Tier {
        /// The provider's signature.
        Signed = 0,
        /// A random share is checked.
        Audited = 1,
        /// Anyone can replay it bit for bit.
        Replayed = 2,
        /// A proof of the computation.
        Proven = 3,
        /// A hardware attestation.
        Attested = 4,
    }
}

/// A record of one thing that happened, in the order of its canonical bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    /// Format: [`VERSION`].
    pub version: u8,
    /// The chain and settlement contract it belongs to.
    #[serde(flatten)]
    pub domain: Domain,
    /// What happened.
    pub kind: Kind,
    /// How it ended.
    pub status: Status,
    /// What stands behind it.
    pub tier: Tier,
    /// See [`flags`].
    pub flags: u16,
    /// Who did it.
    pub provider: Address,
    /// ERC-8004 identity of the provider, 0 if none.
    pub agent: U256,
    /// For whom.
    pub payer: Address,
    /// The channel that paid, 0 if none.
    pub channel: B256,
    /// Place in the channel, from 1 without gaps; 0 where there is no channel.
    pub sequence: u64,
    /// [`crate::commitment::request`].
    pub request: B256,
    /// [`crate::commitment::response`].
    pub response: B256,
    /// [`crate::commitment::tokens`].
    pub tokens: B256,
    /// Token counts, enough to recompute the charge.
    #[serde(flatten)]
    pub usage: Usage,
    /// The model's identity.
    pub model: B256,
    /// Hash of the full sampling settings.
    pub sampling: B256,
    /// [`crate::commitment::seed`].
    pub seed: B256,
    /// Root over the engine's commitments, 0 if none.
    pub commitment: B256,
    /// Hash of the quote.
    pub terms: B256,
    /// What was charged, in atomic units of `asset`.
    #[serde(with = "crate::serde_decimal")]
    pub charge: u128,
    /// The channel's total with this charge.
    #[serde(with = "crate::serde_decimal")]
    pub cumulative: u128,
    /// The token that pays.
    pub asset: Address,
    /// Digest of the receipt this was made under, 0 if none.
    pub parent: B256,
    /// The provider's clock, Unix milliseconds.
    pub time: u64,
}

impl Receipt {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; ENCODED_LEN] {
        let mut bytes = [0; ENCODED_LEN];
        let mut writer = Writer(&mut bytes);
        writer.put(&[self.version]);
        writer.put(&self.domain.chain.to_be_bytes());
        writer.put(self.domain.settlement.as_slice());
        writer.put(&[self.kind as u8, self.status as u8, self.tier as u8]);
        writer.put(&self.flags.to_be_bytes());
        writer.put(self.provider.as_slice());
        writer.put(&self.agent.to_be_bytes::<32>());
        writer.put(self.payer.as_slice());
        writer.put(self.channel.as_slice());
        writer.put(&self.sequence.to_be_bytes());
        for hash in [&self.request, &self.response, &self.tokens] {
            writer.put(hash.as_slice());
        }
        for count in [self.usage.input, self.usage.cached, self.usage.output] {
            writer.put(&count.to_be_bytes());
        }
        for hash in [&self.model, &self.sampling, &self.seed, &self.commitment, &self.terms] {
            writer.put(hash.as_slice());
        }
        writer.put(&self.charge.to_be_bytes());
        writer.put(&self.cumulative.to_be_bytes());
        writer.put(self.asset.as_slice());
        writer.put(self.parent.as_slice());
        writer.put(&self.time.to_be_bytes());
        debug_assert!(writer.0.is_empty(), "ENCODED_LEN is the sum of the widths");
        bytes
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the length, the version, an enum or a flag is unknown.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() != ENCODED_LEN {
            let why = format!("{} bytes, expected {ENCODED_LEN}", bytes.len());
            return Err(Error::malformed("receipt", why));
        }
        let mut reader = Reader(bytes);
        let receipt = Self {
            version: u8::from_be_bytes(reader.take()?),
            domain: Domain {
                chain: u64::from_be_bytes(reader.take()?),
                settlement: reader.take()?.into(),
            },
            kind: u8::from_be_bytes(reader.take()?).try_into()?,
            status: u8::from_be_bytes(reader.take()?).try_into()?,
            tier: u8::from_be_bytes(reader.take()?).try_into()?,
            flags: u16::from_be_bytes(reader.take()?),
            provider: reader.take()?.into(),
            agent: U256::from_be_bytes::<32>(reader.take()?),
            payer: reader.take()?.into(),
            channel: reader.take()?.into(),
            sequence: u64::from_be_bytes(reader.take()?),
            request: reader.take()?.into(),
            response: reader.take()?.into(),
            tokens: reader.take()?.into(),
            usage: Usage {
                input: u64::from_be_bytes(reader.take()?),
                cached: u64::from_be_bytes(reader.take()?),
                output: u64::from_be_bytes(reader.take()?),
            },
            model: reader.take()?.into(),
            sampling: reader.take()?.into(),
            seed: reader.take()?.into(),
            commitment: reader.take()?.into(),
            terms: reader.take()?.into(),
            charge: u128::from_be_bytes(reader.take()?),
            cumulative: u128::from_be_bytes(reader.take()?),
            asset: reader.take()?.into(),
            parent: reader.take()?.into(),
            time: u64::from_be_bytes(reader.take()?),
        };
        receipt.check()?;
        Ok(receipt)
    }

    /// Checks what the types alone do not hold: the version and the flags.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the version or a flag is unknown.
    pub fn check(&self) -> Result<(), Error> {
        if self.version != VERSION {
            let why = format!("version {} is unknown, this software reads {VERSION}", self.version);
            return Err(Error::malformed("receipt", why));
        }
        if self.flags & !flags::ALL != 0 {
            return Err(Error::malformed(
                "receipt",
                format!("flags {:#06x} are unknown", self.flags),
            ));
        }
        Ok(())
    }

    /// keccak-256 of the canonical bytes: the receipt's id.
    #[must_use]
    pub fn digest(&self) -> B256 {
        keccak256(self.encode())
    }

    /// The log entry: [`ENTRY_VERSION`] and the digest. The log shows no more than this.
    #[must_use]
    pub fn entry(&self) -> [u8; ENTRY_LEN] {
        entry_of(&self.digest())
    }

    /// RFC 6962 leaf hash of the log entry.
    #[must_use]
    pub fn leaf_hash(&self) -> B256 {
        merkle::leaf_hash(&self.entry())
    }
}

/// The log entry of a receipt's digest.
#[must_use]
pub fn entry_of(digest: &B256) -> [u8; ENTRY_LEN] {
    let mut entry = [ENTRY_VERSION; ENTRY_LEN];
    let (_, tail) = entry.split_at_mut(1);
    tail.copy_from_slice(digest.as_slice());
    entry
}

struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (head, tail) = std::mem::take(&mut self.0).split_at_mut(bytes.len());
        head.copy_from_slice(bytes);
        self.0 = tail;
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, tail) =
            self.0.split_first_chunk().ok_or_else(|| Error::malformed("receipt", "too short"))?;
        self.0 = tail;
        Ok(*head)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A receipt whose fields all differ, so that a swapped pair shows.
    pub(crate) fn sample(seed: u8) -> Receipt {
        let hash = |n: u8| B256::repeat_byte(seed.wrapping_add(n));
        let address = |n: u8| Address::repeat_byte(seed.wrapping_add(n));
        Receipt {
            version: VERSION,
            domain: Domain { chain: 31337, settlement: address(1) },
            kind: Kind::Inference,
            status: Status::Complete,
            tier: Tier::Replayed,
            flags: flags::CALLERS_SEED,
            provider: address(2),
            agent: U256::from(7),
            payer: address(3),
            channel: hash(4),
            sequence: 5,
            request: hash(6),
            response: hash(7),
            tokens: hash(8),
            usage: Usage { input: 9, cached: 10, output: 11 },
            model: hash(12),
            sampling: hash(13),
            seed: hash(14),
            commitment: hash(15),
            terms: hash(16),
            charge: 17,
            cumulative: 18,
            asset: address(19),
            parent: hash(20),
            time: 21,
        }
    }

    /// They are in receipts' digests: a bit keeps its meaning.
    #[test]
    fn a_flag_is_one_of_four_bits() {
        use flags::{CACHED_ANSWER, CALLERS_SEED, NO_TOKEN_IDS, PROVIDERS_NONCE};
        assert_eq!([CACHED_ANSWER, CALLERS_SEED, PROVIDERS_NONCE, NO_TOKEN_IDS], [1, 2, 4, 8]);
        for bit in 0..16 {
            let receipt = Receipt { flags: 1 << bit, ..sample(1) };
            assert_eq!(Receipt::decode(&receipt.encode()).is_ok(), bit < 4, "bit {bit}");
        }
    }

    #[test]
    fn json_round_trips() {
        let receipt = sample(1);
        let json = serde_json::to_string(&receipt).unwrap();
        assert_eq!(serde_json::from_str::<Receipt>(&json).unwrap(), receipt);
    }

    proptest! {
        #[test]
        fn bytes_round_trip(seed: u8) {
            let receipt = sample(seed);
            prop_assert_eq!(Receipt::decode(&receipt.encode()).unwrap(), receipt);
        }

        /// Canonical: what decodes encodes to the very same bytes.
        #[test]
        fn what_decodes_is_canonical(at in 0..ENCODED_LEN, byte: u8) {
            let mut bytes = sample(1).encode();
            bytes[at] = byte;
            if let Ok(receipt) = Receipt::decode(&bytes) {
                prop_assert_eq!(receipt.encode(), bytes);
            }
        }

        #[test]
        fn every_byte_is_in_the_digest(at in 0..ENCODED_LEN, flip in 1u8..) {
            let mut bytes = sample(1).encode();
            let before = keccak256(bytes);
            bytes[at] ^= flip;
            prop_assert_ne!(before, keccak256(bytes));
        }
    }
}
