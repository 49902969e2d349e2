//! Pays in session mode: one channel, one voucher that runs ahead of all charges, and a signed
//! request for each call. That is what most calls cost a gateway: one signature recovery.

use std::{
    borrow::Cow,
    time::{SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct};
use hyper::{Method, StatusCode, header::HeaderValue};
use secp256k1::SecretKey;
use vouch_contracts::{bindings::ReceiveWithAuthorization, deposit_nonce};
use vouch_core::{
    bundle::Authorization,
    channel::{ChannelConfig, SignedVoucher, Voucher},
    commitment,
    request::Request,
    signature::{Signature, address_of},
};
use vouch_wire::{
    vouch::SessionInfo,
    x402::{
        Authorization3009, Batch, BatchType, Deposit, DepositAuthorization, Extensions,
        PAYMENT_SIGNATURE, PaymentPayload, VERSION, encode,
    },
};

use crate::{
    load::{self, Call},
    market::{BODY, CHAT, Market},
    vouch::faucet,
};

/// What each channel holds, in millionths of a test dollar: some 100,000 calls.
const DEPOSIT: u128 = 1_000_000;
/// The most that a call may cost.
const MAX_CHARGE: u128 = 1_000;
/// Calls are signed at most a round ahead.
const LIFE_S: u64 = 30 * 60;

/// Somebody who pays, with one channel.
#[derive(Debug)]
pub struct Payer {
    key: SecretKey,
    config: ChannelConfig,
    id: B256,
    voucher: SignedVoucher,
    signed: u64,
}

impl Payer {
    /// The payer of this number, with money and an open channel. The deposit comes with a first
    /// call, whose acknowledgement is returned with it.
    ///
    /// # Errors
    /// If the gateway refuses.
    pub async fn open(market: &Market, number: u8) -> anyhow::Result<(Self, HeaderValue)> {
        let mut payer = Self::new(market, number)?;
        faucet(market.address, payer.config.payer).await?;
        let deposit = payer.deposit(market);
        let call = payer.call(market, Some(deposit))?;
        let (mut parts, body) = load::exchange(market.address, call).await?;
        let body = String::from_utf8_lossy(&body);
        match parts.headers.remove(vouch_wire::x402::PAYMENT_RESPONSE) {
            Some(payment) if parts.status == StatusCode::OK => Ok((payer, payment)),
            _ => anyhow::bail!("the first call got {}: {body}", parts.status),
        }
    }

    fn new(market: &Market, number: u8) -> anyhow::Result<Self> {
        let key = SecretKey::from_byte_array(keccak256([b'p', number]).0)?;
        let payer: Address = address_of(&key);
        let config = ChannelConfig {
            payer,
            payer_authorizer: payer,
            receiver: market.document.provider,
            receiver_authorizer: market.offer.extra.receiver_authorizer,
            token: market.offer.asset,
            withdraw_delay: market.offer.extra.withdraw_delay,
            salt: B256::ZERO,
        };
        let id = config.id(&market.domain);
        let voucher = Voucher { channel_id: id, max_claimable_amount: DEPOSIT };
        let signature = Signature::sign(voucher.digest(&market.domain), &key);
        let voucher = SignedVoucher { voucher, signature };
        Ok(Self { key, config, id, voucher, signed: 0 })
    }

    /// The channel.
    #[must_use]
    pub fn id(&self) -> B256 {
        self.id
    }

    /// The next calls, signed and encoded.
    ///
    /// # Errors
    /// Never, for a gateway that was visited.
    pub fn calls(&mut self, market: &Market, count: usize) -> anyhow::Result<Vec<Call>> {
        (0..count).map(|_| self.call(market, None)).collect()
    }

    fn call(&mut self, market: &Market, deposit: Option<Deposit>) -> anyhow::Result<Call> {
        self.signed += 1;
        let nonce = keccak256([self.id.0.as_slice(), &self.signed.to_be_bytes()].concat());
        let resource = format!("POST {CHAT}");
        let request = Request {
            channel: self.id,
            request: commitment::request(&nonce, &resource, BODY.as_bytes()),
            terms: market.terms,
            max_charge: MAX_CHARGE,
            expiry: now_s() + LIFE_S,
        };
        let signature = Signature::sign(request.digest(&market.domain), &self.key);
        let authorization = Authorization { request, signature };
        let payment = PaymentPayload {
            x402_version: VERSION,
            resource: None,
            accepted: market.offer.clone(),
            payload: Batch {
                r#type: if deposit.is_some() { BatchType::Deposit } else { BatchType::Voucher },
                channel_config: self.config,
                voucher: self.voucher.into(),
                deposit,
                amount: None,
            },
            extensions: Some(Extensions::vouch(SessionInfo {
                nonce: Some(nonce),
                authorization: Some(authorization),
            })),
        };
        let mut call = load::call(market.address, Method::POST, CHAT, BODY)?;
        call.headers_mut().insert(PAYMENT_SIGNATURE, HeaderValue::try_from(encode(&payment)?)?);
        Ok(call)
    }

    /// An EIP-3009 authorization that funds the channel.
    fn deposit(&self, market: &Market) -> Deposit {
        let (salt, valid_before) = (B256::ZERO, now_s() + 300);
        let message = ReceiveWithAuthorization {
            from: self.config.payer,
            to: market.document.collector,
            value: U256::from(DEPOSIT),
            validAfter: U256::ZERO,
            validBefore: U256::from(valid_before),
            nonce: deposit_nonce(self.id, salt.into()),
        };
        let domain = Eip712Domain::new(
            Some(Cow::Owned(market.offer.extra.name.clone())),
            Some(Cow::Owned(market.offer.extra.version.clone())),
            Some(U256::from(market.domain.chain)),
            Some(market.offer.asset),
            None,
        );
        let signature = Signature::sign(message.eip712_signing_hash(&domain), &self.key);
        let authorization = Authorization3009 {
            valid_after: 0,
            valid_before: valid_before.into(),
            salt,
            signature: Bytes::copy_from_slice(&signature.0),
        };
        Deposit {
            amount: DEPOSIT,
            authorization: DepositAuthorization { erc3009: Some(authorization) },
        }
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
