//! Money: channels, deposits and vouchers. Whatever is signed here is durable before it is sent.

use std::borrow::Cow;

use alloy_primitives::U256;
use alloy_sol_types::{Eip712Domain, SolStruct};
use tokio::{sync::MutexGuard, time::timeout};
use vouch_contracts::{bindings::ReceiveWithAuthorization, deposit_nonce};
use vouch_core::{
    B256,
    channel::{ChannelConfig, SignedVoucher, Voucher},
    domain::Domain,
};
use vouch_wire::{
    vouch::OfferInfo,
    x402::{self, Offer, PaymentRequired},
};

use crate::{
    Buyer, Error, chain,
    seller::{self, Seller},
    state::{Call, Deposit, Opened, Phase, Raise, RaiseError, Record},
};

/// A deposit is not given up before its authorization has been dead for this long: clocks differ.
const EXPIRY_SLACK_S: u64 = 120;

/// A deposit to send with a call, and the right to send it.
pub(crate) struct Funding<'a> {
    pub(crate) deposit: Deposit,
    _paying: MutexGuard<'a, ()>,
}

impl Buyer {
    /// The channel that pays this provider; a new one if none is open. Not funded yet.
    pub(crate) async fn channel_for(
        &self,
        seller: &Seller,
        path: &str,
        body: &str,
    ) -> Result<B256, Error> {
        let token = seller.document.asset.address;
        let open = || self.state().ledger.open_channel(&seller.url, &seller.document);
        if let Some(channel) = open() {
            return Ok(channel);
        }
        let _paying = seller.paying.lock().await;
        if let Some(channel) = open() {
            return Ok(channel);
        }
        let offer = timeout(self.policy().idle_timeout, self.offer(seller, path, body));
        let offer = offer.await.map_err(|_elapsed| seller.silent())??;
        let config = ChannelConfig {
            payer: self.address(),
            payer_authorizer: self.address(),
            receiver: seller.document.pay_to(),
            receiver_authorizer: offer.extra.receiver_authorizer,
            token,
            withdraw_delay: offer.extra.withdraw_delay,
            salt: random()?,
        };
        let domain = seller.domain();
        let provider = Some(seller.provider());
        let opened = Opened { url: seller.url.clone(), provider, config, domain, offer };
        self.state().commit([Record::Channel(Box::new(opened))])?;
        Ok(config.id(&domain))
    }

    /// What the provider asks for, checked: who is paid, in what, and how a channel ends.
    async fn offer(&self, seller: &Seller, path: &str, body: &str) -> Result<Offer, Error> {
        let url = &seller.url;
        let request = seller.http().post(format!("{url}{path}"));
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let response = request.send().await.map_err(|error| seller::unreachable(url, &error))?;
        let status = response.status();
        if status.as_u16() != 402 {
            return Err(match seller::refusal(url, response).await? {
                Some(body) => seller::refused(status, body),
                None => Error::protocol(url, format!("an unpaid call got {status}, not 402")),
            });
        }
        let header = response.headers().get(x402::PAYMENT_REQUIRED);
        let header = header.ok_or_else(|| Error::protocol(url, "a 402 has no PAYMENT-REQUIRED"))?;
        let required: PaymentRequired<OfferInfo> =
            x402::decode("PAYMENT-REQUIRED", header.as_bytes())
                .map_err(|error| Error::protocol(url, error))?;
        let offer = required.accepts.into_iter().find(|offer| offer.scheme == x402::SCHEME);
        let offer = offer.ok_or_else(|| Error::protocol(url, "no offer is batch-settlement"))?;
        self.check_offer(seller, &offer)?;
        Ok(offer)
    }

    fn check_offer(&self, seller: &Seller, offer: &Offer) -> Result<(), Error> {
        let document = &seller.document;
        let refuse =
            |why: &str| Err(Error::Policy { url: seller.url.clone(), why: why.to_owned() });
        let agrees = offer.network == document.network
            && offer.asset == document.asset.address
            && offer.pay_to == document.pay_to()
            && offer.extra.name == document.asset.name
            && offer.extra.version == document.asset.version;
        if !agrees {
            return refuse("its offer contradicts its document");
        }
        let method = offer.extra.asset_transfer_method.as_deref();
        if method.is_some_and(|method| method != "eip3009") {
            return refuse("it takes no EIP-3009 deposits");
        }
        if offer.extra.receiver_authorizer.is_zero() {
            return refuse("its offer names no receiver authorizer");
        }
        if offer.extra.withdraw_delay > self.policy().max_withdraw_delay_s {
            return refuse("its withdrawal delay is above your limit");
        }
        if offer.extra.min_deposit.is_some_and(|least| least > self.policy().max_deposit) {
            return refuse(
                "it wants a larger deposit than your limit: raise the limit to accept it",
            );
        }
        Ok(())
    }

    /// The deposit that the calls in flight want, if any: a pending one again, else a new one. A
    /// channel that cannot be topped up goes on with what it has.
    pub(crate) async fn fund<'a>(
        &self,
        seller: &'a Seller,
        channel: B256,
    ) -> Result<Option<Funding<'a>>, Error> {
        let _paying = seller.paying.lock().await;
        self.reconcile(seller, channel).await?;
        let (pending, wanted, covers, bound) = {
            let state = self.state();
            let ledger = &state.ledger;
            let view = ledger.channels.get(&channel).filter(|c| c.phase == Phase::Open);
            let view = view.ok_or(Error::NotFound { what: "open channel", id: channel })?;
            (view.pending, ledger.wants_deposit(&channel), view.covers(), ledger.bound(&channel))
        };
        if let Some(deposit) = pending {
            return Ok(Some(Funding { deposit, _paying }));
        }
        let Some(total) = wanted else { return Ok(None) };
        match self.sign_deposit(seller, channel, total.saturating_sub(covers)).await {
            Ok(deposit) => Ok(Some(Funding { deposit, _paying })),
            Err(error) if covers >= bound => {
                tracing::warn!(%error, "the channel is not topped up");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Signs a deposit of at least `least`.
    async fn sign_deposit(
        &self,
        seller: &Seller,
        channel: B256,
        least: u128,
    ) -> Result<Deposit, Error> {
        let policy = self.policy();
        let offer = self.opened(channel)?.offer;
        let least = least.max(offer.extra.min_deposit.unwrap_or(0));
        let wanted = least.max(policy.deposit);
        let amount = self.affordable(seller, least, wanted).await?;
        if amount > policy.max_deposit {
            let why =
                format!("a deposit of {amount} is above your limit of {}", policy.max_deposit);
            return Err(Error::Policy { url: seller.url.clone(), why });
        }
        let salt = random()?;
        let valid_before = self.now_s().saturating_add(offer.max_timeout_seconds.clamp(60, 3600));
        let message = ReceiveWithAuthorization {
            from: self.address(),
            to: seller.document.collector,
            value: U256::from(amount),
            validAfter: U256::ZERO,
            validBefore: U256::from(valid_before),
            nonce: deposit_nonce(channel, salt.into()),
        };
        let domain = Eip712Domain::new(
            Some(Cow::Owned(offer.extra.name)),
            Some(Cow::Owned(offer.extra.version)),
            Some(U256::from(seller.chain)),
            Some(offer.asset),
            None,
        );
        let signature = self.inner.wallet.sign(message.eip712_signing_hash(&domain));
        let deposit = Deposit { channel, amount, salt, valid_before, signature };
        self.state().commit([Record::Deposit(deposit)])?;
        tracing::info!(%channel, amount, "a deposit is signed");
        Ok(deposit)
    }

    /// `wanted`, or what the wallet has if that is at least `least`. On a test network with a
    /// faucet, asks for money first.
    async fn affordable(&self, seller: &Seller, least: u128, wanted: u128) -> Result<u128, Error> {
        let address = self.address();
        let token = seller.document.asset.address;
        let rpc = chain::rpc_of(self.policy(), seller);
        let balance = async || match &rpc {
            Some(rpc) => chain::balance(self.chain_http(), rpc, token, address).await.map(Some),
            None => Ok(None),
        };
        let mut have = balance().await?;
        let never_funded = self.state().ledger.channels.values().all(|c| c.covers() == 0);
        if seller.document.faucet && have.map_or(never_funded, |have| have < least) {
            tracing::info!(%address, "asking the provider's faucet for test money (development only)");
            seller.faucet(address).await?;
            have = balance().await?;
        }
        match have {
            Some(have) if have < least => Err(Error::Funds { address, have, need: least }),
            Some(have) => Ok(wanted.min(have)),
            // Nobody to ask: the deposit itself will tell.
            None => Ok(wanted),
        }
    }

    /// Learns whether a pending deposit settled: from the policy's chain where there is one, else
    /// from the provider. One that lies about it gains nothing: its vouchers are worth what the
    /// chain covers.
    pub(crate) async fn reconcile(&self, seller: &Seller, channel: B256) -> Result<(), Error> {
        let pending =
            self.state().ledger.channels.get(&channel).and_then(|c| Some((c.pending?, c.funded)));
        let Some((deposit, funded)) = pending else { return Ok(()) };
        let settled = self.balance(seller, channel).await? >= funded.saturating_add(deposit.amount);
        if settled || self.is_dead(&deposit) {
            self.state().commit([Record::DepositEnded { channel, settled }])?;
        }
        Ok(())
    }

    /// Whether a deposit that has not settled never will.
    pub(crate) fn is_dead(&self, deposit: &Deposit) -> bool {
        self.now_s() > deposit.valid_before.saturating_add(EXPIRY_SLACK_S)
    }

    async fn balance(&self, seller: &Seller, channel: B256) -> Result<u128, Error> {
        if let Some(rpc) = &self.policy().rpc {
            let settlement = seller.document.settlement;
            let settled = chain::settled(self.chain_http(), rpc, settlement, channel).await?;
            return Ok(settled.balance);
        }
        match seller.channel(channel).await {
            Ok(view) => Ok(view.on_chain.balance),
            Err(Error::Refused { status: 404, .. }) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Signs as far as bound, budget and deposit allow, and at least `required`.
    pub(crate) fn voucher(&self, channel: B256, required: u128) -> Result<SignedVoucher, Error> {
        let mut state = self.state();
        let voucher = match state.ledger.raise(&channel, required) {
            Ok(Raise::Enough(voucher)) => return Ok(voucher),
            Ok(Raise::Sign(voucher)) => voucher,
            Err(RaiseError::Budget(error)) => return Err(Error::Budget(error)),
            Err(RaiseError::Distrusted { provider, why }) => {
                return Err(Error::Distrusted { provider, why });
            }
            Err(error) => return Err(Error::Voucher(error.to_string())),
        };
        let domain = state.ledger.channels.get(&channel).map(|channel| channel.opened.domain);
        let domain = domain.ok_or(Error::NotFound { what: "channel", id: channel })?;
        let voucher = self.sign_voucher(voucher, &domain);
        state.commit([Record::Voucher(voucher)])?;
        Ok(voucher)
    }

    /// Not to leave the machine before it is in the journal.
    pub(crate) fn sign_voucher(&self, voucher: Voucher, domain: &Domain) -> SignedVoucher {
        let signature = self.inner.wallet.sign(voucher.digest(domain));
        SignedVoucher { voucher, signature }
    }

    /// Ends a deposit that was sent with a call which was then served.
    pub(crate) fn deposit_settled(&self, channel: B256) -> Result<(), Error> {
        self.state().commit([Record::DepositEnded { channel, settled: true }])
    }

    pub(crate) fn opened(&self, channel: B256) -> Result<Opened, Error> {
        let state = self.state();
        let found = state.ledger.channels.get(&channel);
        found.map(|c| c.opened.clone()).ok_or(Error::NotFound { what: "channel", id: channel })
    }

    /// Changes what may be signed for a call in flight.
    pub(crate) fn allow(&self, call: &Call, allowance: u128) {
        if let Some(call) = self.state().ledger.calls.get_mut(&call.nonce) {
            call.allowance = Some(allowance);
        }
    }
}

/// 32 random bytes.
pub(crate) fn random() -> Result<B256, Error> {
    let mut bytes = B256::ZERO;
    getrandom::fill(bytes.as_mut_slice()).map_err(|error| Error::Random(error.to_string()))?;
    Ok(bytes)
}
