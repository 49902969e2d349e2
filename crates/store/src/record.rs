//! The store's journal records, and those of its snapshots. All integers are big-endian.
//!
//! ```text
//! record  = version u8, items         (version 2 where a receipt has children, else 1)
//! item    = tag u8 | length u32 | body
//! ```
//! A record is one commit: it is there whole or not at all. Bodies are fixed-width structs in the
//! order of their fields, a text or an answer last. A data-use receipt follows its parent, with
//! what opens it for its owner in place of an answer.

use alloy_primitives::{Address, B256};
use vouch_core::channel::{ChannelConfig, Mode, OnChain, SignedVoucher, Voucher};
use vouch_core::promise::Promise;
use vouch_core::receipt::ENCODED_LEN;
use vouch_core::signature::Signature;

use crate::api::Claim;
use crate::error::Error;

const VERSION: u8 = 1;
/// Of records in which receipts have children: an older program would take them for receipts of
/// channels that it does not know.
const VERSION_CHILDREN: u8 = 2;
/// Bytes before an item's body.
pub(crate) const ITEM_HEADER_BYTES: usize = 5;
/// Bytes of a receipt item before the receipt: header, time, checksum of the answer.
pub(crate) const RECEIPT_OFFSET: usize = ITEM_HEADER_BYTES + 12;
/// Bytes of a promise item.
pub(crate) const PROMISE_BYTES: usize = ITEM_HEADER_BYTES + 149;

mod tag {
    pub(super) const IDENTITY: u8 = 0;
    pub(super) const OPEN: u8 = 1;
    pub(super) const OBSERVE: u8 = 2;
    pub(super) const CLOSE: u8 = 3;
    pub(super) const VOUCHER: u8 = 4;
    pub(super) const CLAIM: u8 = 5;
    pub(super) const RECEIPT: u8 = 6;
    pub(super) const PROMISE: u8 = 7;
    pub(super) const CHECKPOINT: u8 = 8;
    pub(super) const PUBLISHED: u8 = 9;
    pub(super) const TOTALS: u8 = 10;
    pub(super) const STREAM: u8 = 11;
    pub(super) const INDEXED: u8 = 12;
    pub(super) const RUN: u8 = 13;
    pub(super) const MARK: u8 = 14;
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item<'a> {
    /// Whose data this is; first in the journal.
    Identity {
        chain: u64,
        settlement: Address,
        origin: &'a str,
    },
    Open {
        config: ChannelConfig,
        mode: Mode,
        on_chain: OnChain,
    },
    Observe {
        channel: B256,
        on_chain: OnChain,
    },
    Close {
        channel: B256,
    },
    Voucher(SignedVoucher),
    Claim(Claim),
    Receipt {
        committed_ms: u64,
        answer_crc: u32,
        receipt: &'a [u8],
        answer: &'a [u8],
    },
    /// Over all receipts of the record, after them.
    Promise(Promise, Signature),
    Checkpoint {
        size: u64,
        root: B256,
        note: &'a str,
    },
    /// The voucher of this amount is public: a claim was made with it.
    Published {
        channel: B256,
        amount: u128,
    },
    /// What a channel's receipts add up to. This and what follows is in snapshots alone.
    Totals {
        channel: B256,
        charged: u128,
        sequence: u64,
    },
    /// What a stream's receipts add up to.
    Stream {
        id: B256,
        cumulative: u128,
        sequence: u64,
    },
    /// How many entries the index has, their root, and the record that it was made up to.
    Indexed {
        size: u64,
        root: B256,
        last: u64,
    },
    /// A file of the index: of calls or else of receipts.
    Run {
        calls: bool,
        number: u32,
    },
    /// All entries before `size` were committed by `time_ms`.
    Mark {
        time_ms: u64,
        size: u64,
    },
}

/// A record being written.
#[derive(Debug)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![VERSION] }
    }

    /// Goes on with a record.
    pub(crate) fn of(record: &[u8]) -> Self {
        Self { bytes: record.to_vec() }
    }

    /// Says that a receipt in the record has children.
    pub(crate) fn has_children(&mut self) {
        if let Some(version) = self.bytes.first_mut() {
            *version = VERSION_CHILDREN;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == 1
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds an item; returns where it starts in the record.
    pub(crate) fn put(&mut self, item: &Item<'_>) -> u32 {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[item.tag(), 0, 0, 0, 0]);
        self.body(item);
        let body = start.saturating_add(ITEM_HEADER_BYTES);
        // A batch is bounded far below 4 GiB, see `committer`.
        let length = u32::try_from(self.bytes.len().saturating_sub(body)).unwrap_or(u32::MAX);
        if let Some(field) = self.bytes.get_mut(start.saturating_add(1)..body) {
            field.copy_from_slice(&length.to_be_bytes());
        }
        u32::try_from(start).unwrap_or(u32::MAX)
    }

    fn body(&mut self, item: &Item<'_>) {
        match item {
            Item::Identity { chain, settlement, origin } => {
                self.raw(&[&chain.to_be_bytes(), settlement.as_slice(), origin.as_bytes()]);
            }
            Item::Open { config, mode, on_chain } => {
                self.config(config);
                self.raw(&[&[matches!(mode, Mode::Session).into()]]);
                self.on_chain(on_chain);
            }
            Item::Observe { channel, on_chain } => {
                self.raw(&[channel.as_slice()]);
                self.on_chain(on_chain);
            }
            Item::Close { channel } => self.raw(&[channel.as_slice()]),
            Item::Voucher(SignedVoucher { voucher, signature }) => self.raw(&[
                voucher.channel_id.as_slice(),
                &voucher.max_claimable_amount.to_be_bytes(),
                &signature.0,
            ]),
            Item::Claim(claim) => self.raw(&[
                claim.channel.as_slice(),
                &claim.total.to_be_bytes(),
                claim.transaction.as_slice(),
            ]),
            Item::Receipt { committed_ms, answer_crc, receipt, answer } => {
                self.raw(&[
                    &committed_ms.to_be_bytes(),
                    &answer_crc.to_be_bytes(),
                    receipt,
                    answer,
                ]);
            }
            Item::Promise(promise, signature) => self.raw(&[
                promise.root.as_slice(),
                &promise.first.to_be_bytes(),
                &promise.count.to_be_bytes(),
                promise.not_before.as_slice(),
                &promise.merge_by.to_be_bytes(),
                &signature.0,
            ]),
            Item::Checkpoint { size, root, note } => {
                self.raw(&[&size.to_be_bytes(), root.as_slice(), note.as_bytes()]);
            }
            Item::Published { channel, amount } => {
                self.raw(&[channel.as_slice(), &amount.to_be_bytes()]);
            }
            Item::Totals { channel: id, charged: sum, sequence }
            | Item::Stream { id, cumulative: sum, sequence } => {
                self.raw(&[id.as_slice(), &sum.to_be_bytes(), &sequence.to_be_bytes()]);
            }
            Item::Indexed { size, root, last } => {
                self.raw(&[&size.to_be_bytes(), root.as_slice(), &last.to_be_bytes()]);
            }
            Item::Run { calls, number } => {
                self.raw(&[&[u8::from(*calls)], &number.to_be_bytes()]);
            }
            Item::Mark { time_ms, size } => {
                self.raw(&[&time_ms.to_be_bytes(), &size.to_be_bytes()]);
            }
        }
    }

    fn raw(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
    }

    fn config(&mut self, config: &ChannelConfig) {
        let ChannelConfig { payer, payer_authorizer, receiver, receiver_authorizer, token, .. } =
            config;
        for address in [payer, payer_authorizer, receiver, receiver_authorizer, token] {
            self.raw(&[address.as_slice()]);
        }
        self.raw(&[&config.withdraw_delay.to_be_bytes(), config.salt.as_slice()]);
    }

    fn on_chain(&mut self, seen: &OnChain) {
        for amount in [seen.balance, seen.claimed, seen.withdrawing] {
            self.raw(&[&amount.to_be_bytes()]);
        }
        self.raw(&[&seen.block.to_be_bytes()]);
    }
}

impl Item<'_> {
    fn tag(&self) -> u8 {
        match self {
            Self::Identity { .. } => tag::IDENTITY,
            Self::Open { .. } => tag::OPEN,
            Self::Observe { .. } => tag::OBSERVE,
            Self::Close { .. } => tag::CLOSE,
            Self::Voucher(_) => tag::VOUCHER,
            Self::Claim(_) => tag::CLAIM,
            Self::Receipt { .. } => tag::RECEIPT,
            Self::Promise(..) => tag::PROMISE,
            Self::Checkpoint { .. } => tag::CHECKPOINT,
            Self::Published { .. } => tag::PUBLISHED,
            Self::Totals { .. } => tag::TOTALS,
            Self::Stream { .. } => tag::STREAM,
            Self::Indexed { .. } => tag::INDEXED,
            Self::Run { .. } => tag::RUN,
            Self::Mark { .. } => tag::MARK,
        }
    }
}

/// Bytes that are read from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn slice(&mut self, size: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(head)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_be_bytes)
    }

    fn hash(&mut self) -> Option<B256> {
        self.take().map(B256::from)
    }

    fn address(&mut self) -> Option<Address> {
        self.take().map(Address::from)
    }

    fn config(&mut self) -> Option<ChannelConfig> {
        Some(ChannelConfig {
            payer: self.address()?,
            payer_authorizer: self.address()?,
            receiver: self.address()?,
            receiver_authorizer: self.address()?,
            token: self.address()?,
            withdraw_delay: self.u64()?,
            salt: self.hash()?,
        })
    }

    fn on_chain(&mut self) -> Option<OnChain> {
        Some(OnChain {
            balance: self.u128()?,
            claimed: self.u128()?,
            withdrawing: self.u128()?,
            block: self.u64()?,
        })
    }

    fn mode(&mut self) -> Option<Mode> {
        match self.take::<1>()? {
            [0] => Some(Mode::Stock),
            [1] => Some(Mode::Session),
            _ => None,
        }
    }

    fn item(&mut self) -> Option<Item<'a>> {
        let [tag] = self.take()?;
        let length = u32::from_be_bytes(self.take()?);
        let mut body = Reader(self.slice(usize::try_from(length).ok()?)?);
        let item = body.body(tag)?;
        body.0.is_empty().then_some(item)
    }

    fn body(&mut self, tag: u8) -> Option<Item<'a>> {
        Some(match tag {
            tag::IDENTITY => Item::Identity {
                chain: self.u64()?,
                settlement: self.address()?,
                origin: std::str::from_utf8(self.rest()).ok()?,
            },
            tag::OPEN => Item::Open {
                config: self.config()?,
                mode: self.mode()?,
                on_chain: self.on_chain()?,
            },
            tag::OBSERVE => Item::Observe { channel: self.hash()?, on_chain: self.on_chain()? },
            tag::CLOSE => Item::Close { channel: self.hash()? },
            tag::VOUCHER => Item::Voucher(SignedVoucher {
                voucher: Voucher { channel_id: self.hash()?, max_claimable_amount: self.u128()? },
                signature: Signature(self.take()?),
            }),
            tag::CLAIM => Item::Claim(Claim {
                channel: self.hash()?,
                total: self.u128()?,
                transaction: self.hash()?,
            }),
            tag::RECEIPT => Item::Receipt {
                committed_ms: self.u64()?,
                answer_crc: u32::from_be_bytes(self.take()?),
                receipt: self.slice(ENCODED_LEN)?,
                answer: self.rest(),
            },
            tag::PROMISE => Item::Promise(
                Promise {
                    root: self.hash()?,
                    first: self.u64()?,
                    count: u32::from_be_bytes(self.take()?),
                    not_before: self.hash()?,
                    merge_by: self.u64()?,
                },
                Signature(self.take()?),
            ),
            tag::CHECKPOINT => Item::Checkpoint {
                size: self.u64()?,
                root: self.hash()?,
                note: std::str::from_utf8(self.rest()).ok()?,
            },
            tag::PUBLISHED => Item::Published { channel: self.hash()?, amount: self.u128()? },
            tag::TOTALS => {
                Item::Totals { channel: self.hash()?, charged: self.u128()?, sequence: self.u64()? }
            }
            tag::STREAM => {
                Item::Stream { id: self.hash()?, cumulative: self.u128()?, sequence: self.u64()? }
            }
            tag::INDEXED => {
                Item::Indexed { size: self.u64()?, root: self.hash()?, last: self.u64()? }
            }
            tag::RUN => Item::Run {
                calls: match self.take::<1>()? {
                    [0] => false,
                    [1] => true,
                    _ => return None,
                },
                number: u32::from_be_bytes(self.take()?),
            },
            tag::MARK => Item::Mark { time_ms: self.u64()?, size: self.u64()? },
            _ => return None,
        })
    }
}

/// The items of a record, each with where it starts.
///
/// # Errors
/// [`Error::Newer`], or [`Error::Record`] if the bytes are not a record.
pub(crate) fn items(position: u64, record: &[u8]) -> Result<Vec<(u32, Item<'_>)>, Error> {
    let mut reader = Reader(record);
    match reader.take::<1>() {
        Some([VERSION | VERSION_CHILDREN]) => {}
        Some([version]) if version > VERSION_CHILDREN => return Err(Error::Newer(version)),
        _ => return Err(Error::Record { position, why: "it has no version" }),
    }
    let mut items = Vec::new();
    while !reader.0.is_empty() {
        let start = record.len().saturating_sub(reader.0.len());
        let item = reader.item().ok_or(Error::Record { position, why: "an item is malformed" })?;
        items.push((u32::try_from(start).unwrap_or(u32::MAX), item));
    }
    Ok(items)
}

/// A channel's configuration on its own.
#[cfg(feature = "postgres")]
pub(crate) fn config_bytes(config: &ChannelConfig) -> Vec<u8> {
    let mut writer = Writer { bytes: Vec::new() };
    writer.config(config);
    writer.bytes
}

/// As [`config_bytes`] wrote it.
#[cfg(feature = "postgres")]
pub(crate) fn read_config(bytes: &[u8]) -> Option<ChannelConfig> {
    let mut reader = Reader(bytes);
    let config = reader.config()?;
    reader.0.is_empty().then_some(config)
}

/// One item on its own, header included.
pub(crate) fn item(bytes: &[u8]) -> Option<Item<'_>> {
    Reader(bytes).item()
}

/// When a receipt item was committed, from its first 17 bytes.
pub(crate) fn committed_ms(head: &[u8]) -> Option<u64> {
    let mut reader = Reader(head.get(ITEM_HEADER_BYTES..)?);
    reader.u64()
}

/// The length of a receipt item's answer, from the item's first five bytes.
pub(crate) fn answer_length(header: &[u8]) -> Option<usize> {
    let mut reader = Reader(header);
    let [tag] = reader.take()?;
    let length = usize::try_from(u32::from_be_bytes(reader.take()?)).ok()?;
    length.checked_sub(ENCODED_LEN.saturating_add(12)).filter(|_| tag == tag::RECEIPT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(byte: u8, amount: u128, text: &str) -> Vec<Item<'_>> {
        let (hash, address, signature) =
            (B256::repeat_byte(byte), Address::repeat_byte(byte), Signature([byte; 65]));
        let on_chain = OnChain { balance: amount, claimed: 1, withdrawing: 2, block: 3 };
        let config = ChannelConfig {
            payer: address,
            payer_authorizer: Address::ZERO,
            receiver: address,
            receiver_authorizer: address,
            token: address,
            withdraw_delay: 900,
            salt: hash,
        };
        let promise = Promise { root: hash, first: 7, count: 3, not_before: hash, merge_by: 9 };
        let voucher = Voucher { channel_id: hash, max_claimable_amount: amount };
        vec![
            Item::Identity { chain: 5, settlement: address, origin: text },
            Item::Open { config, mode: Mode::Stock, on_chain },
            Item::Open { config, mode: Mode::Session, on_chain },
            Item::Observe { channel: hash, on_chain },
            Item::Close { channel: hash },
            Item::Voucher(SignedVoucher { voucher, signature }),
            Item::Claim(Claim { channel: hash, total: amount, transaction: hash }),
            Item::Receipt {
                committed_ms: 1,
                answer_crc: 2,
                receipt: &[7; ENCODED_LEN],
                answer: text.as_bytes(),
            },
            Item::Promise(promise, signature),
            Item::Checkpoint { size: 1, root: hash, note: text },
            Item::Published { channel: hash, amount },
            Item::Totals { channel: hash, charged: amount, sequence: 4 },
            Item::Stream { id: hash, cumulative: amount, sequence: 5 },
            Item::Indexed { size: 1, root: hash, last: 2 },
            Item::Run { calls: true, number: 3 },
            Item::Mark { time_ms: 4, size: 5 },
        ]
    }

    proptest! {
        #[test]
        fn records_round_trip(byte: u8, amount: u128, text in ".{0,40}") {
            let mut writer = Writer::new();
            let written: Vec<_> = all(byte, amount, &text)
                .into_iter()
                .map(|item| (writer.put(&item), item))
                .collect();
            prop_assert_eq!(items(0, writer.bytes()).unwrap(), written.clone());
            for (start, written) in written {
                prop_assert_eq!(item(&writer.bytes()[start as usize..]), Some(written));
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, at: prop::sample::Index, byte: u8) {
            let _strangers = items(0, &bytes);
            let mut writer = Writer::new();
            all(1, 2, "text").iter().for_each(|item| { writer.put(item); });
            let mut record = writer.bytes().to_vec();
            let at = at.index(record.len());
            record[at] = byte;
            let _changed = items(0, &record);
        }
    }

    #[test]
    fn a_newer_record_is_refused_by_name() {
        assert!(matches!(items(0, &[3, 9, 9]), Err(Error::Newer(3))));
        assert!(matches!(items(0, &[]), Err(Error::Record { .. })));
    }
}
