//! What rows say, and rows of what is to be said.

use alloy_primitives::B256;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use vouch_core::channel::{Channel, Mode, OnChain, SignedVoucher, Voucher};
use vouch_core::domain::Domain;
use vouch_core::signature::Signature;

use crate::api::{ChannelView, Claim};
use crate::error::{Error, Result};
use crate::record;
use crate::state::Account;

/// A channel's columns, in the order of [`account`]. Amounts of 128 bits travel as decimals.
macro_rules! channel_columns {
    () => {
        "id, config, session, balance::text, claimed::text, withdrawing::text, block, \
         accepted::text, signature, charged::text, reserved::text, sequence, closing, \
         claim_total::text, claim_transaction, published"
    };
}
pub(super) use channel_columns;

pub(super) fn broken(why: &'static str) -> Error {
    Error::Row(why)
}

pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T> {
    row.try_get(column).map_err(|_| broken("a column has another type"))
}

pub(super) fn hash(row: &Row, column: usize) -> Result<B256> {
    B256::try_from(get::<&[u8]>(row, column)?).map_err(|_| broken("a hash has not 32 bytes"))
}

pub(super) fn amount(row: &Row, column: usize) -> Result<u128> {
    parse(get(row, column)?)
}

fn parse(decimal: &str) -> Result<u128> {
    decimal.parse().map_err(|_| broken("an amount does not fit 128 bits"))
}

pub(super) fn number(row: &Row, column: usize) -> Result<u64> {
    u64::try_from(get::<i64>(row, column)?).map_err(|_| broken("a number is negative"))
}

pub(super) fn signature(row: &Row, column: usize) -> Result<Option<Signature>> {
    let Some(bytes) = get::<Option<&[u8]>>(row, column)? else { return Ok(None) };
    let bytes = bytes.try_into().map_err(|_| broken("a signature has not 65 bytes"))?;
    Ok(Some(Signature(bytes)))
}

/// As the database counts; what does not fit is further than any log or clock will come.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A channel of [`channel_columns`], nothing set aside, and what is.
pub(super) fn account(row: &Row, domain: &Domain) -> Result<(Account, u128)> {
    let id = hash(row, 0)?;
    let config = record::read_config(get(row, 1)?);
    let config = config.ok_or_else(|| broken("a channel's configuration is malformed"))?;
    let mode = if get(row, 2)? { Mode::Session } else { Mode::Stock };
    let on_chain = OnChain {
        balance: amount(row, 3)?,
        claimed: amount(row, 4)?,
        withdrawing: amount(row, 5)?,
        block: number(row, 6)?,
    };
    let voucher = Voucher { channel_id: id, max_claimable_amount: amount(row, 7)? };
    let best = signature(row, 8)?.map(|signature| SignedVoucher { voucher, signature });
    let channel = Channel::new(config, domain, mode, on_chain);
    if channel.id() != id {
        return Err(broken("a channel's configuration is not that of its id"));
    }
    let mut channel = channel.restore(best, amount(row, 9)?, number(row, 11)?);
    if get(row, 12)? {
        channel.close();
    }
    let mut account = Account::new(channel);
    let total = get::<Option<&str>>(row, 13)?.map(parse).transpose()?;
    if let Some(total) = total {
        account.claim = Some(Claim { channel: id, total, transaction: hash(row, 14)? });
    }
    for amount in get::<&str>(row, 15)?.split(',').filter(|amount| !amount.is_empty()) {
        account.publish(parse(amount)?);
    }
    Ok((account, amount(row, 10)?))
}

/// A channel of [`channel_columns`] as everyone may see it.
pub(super) fn view(row: &Row, domain: &Domain) -> Result<ChannelView> {
    let (account, reserved) = account(row, domain)?;
    Ok(ChannelView { reserved, ..account.view() })
}
