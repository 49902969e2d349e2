//! Settlement against the embedded chain, the contracts and a store: all real.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

use std::sync::Arc;

use alloy::{
    eips::BlockId,
    network::EthereumWallet,
    primitives::{Address, B256, Bytes, U256},
    providers::{DynProvider, Provider, ProviderBuilder},
    sol_types::{SolStruct, eip712_domain},
};
use ed25519_dalek::SigningKey;
use vouch_chain::{Chain, Genesis, GenesisAccount, Options, SystemClock, random_chain_id};
use vouch_contracts::{
    Deployment, Governance,
    bindings::{
        BatchSettlement::BatchSettlementInstance,
        Faults::{self, Evidence, FaultsInstance, Promise},
        ReceiveWithAuthorization,
        TestDollar::TestDollarInstance,
    },
    deploy_economy, deposit_nonce, genesis_code, signing,
};
use vouch_core::{
    channel::{ChannelConfig, Freeze, Mode, SignedVoucher, Voucher},
    domain::Domain,
    log::note,
    money::Usage,
    receipt::{Kind, Receipt, Status, Tier, VERSION},
};
use vouch_settle::{Deposit, Error, Schedule, Settler};
use vouch_store::{Begun, Call, Config, EmbeddedStore, Store};
use vouch_wallet::Wallet;

const DELAY_S: u64 = 900;
const ORIGIN: &str = "vouch.test/log";

struct World {
    chain: Chain,
    settler: Settler,
    store: Arc<EmbeddedStore>,
    provider: Arc<Wallet>,
    payer: Wallet,
    domain: Domain,
    /// Of channels that are opened.
    mode: Mode,
    _directory: tempfile::TempDir,
}

fn clock() -> u64 {
    1_800_000_000_000
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let provider = Arc::new(Wallet::random().unwrap());
        let payer = Wallet::random().unwrap();
        let mut genesis = Genesis::development(random_chain_id().unwrap(), 1_700_000_000)
            .with_account(provider.address(), GenesisAccount::funded(U256::from(10u64.pow(19))));
        for contract in genesis_code(provider.address()).unwrap() {
            let account = GenesisAccount {
                storage: contract.storage,
                ..GenesisAccount::contract(contract.code)
            };
            genesis = genesis.with_account(contract.address, account);
        }
        let chain =
            Chain::open(&directory.path().join("chain"), Options::new(genesis, SystemClock))
                .unwrap();
        let deployment = Deployment::genesis(chain.chain_id());
        let domain = Domain { chain: chain.chain_id(), settlement: deployment.settlement };
        let store = Arc::new(open_store(&directory, domain, &provider));
        let settler =
            Settler::new(chain.provider(), &provider, deployment, store.clone(), 0).unwrap();
        settler.faucet(payer.address()).await.unwrap();
        let (mode, _directory) = (Mode::Session, directory);
        Self { chain, settler, store, provider, payer, domain, mode, _directory }
    }

    fn config(&self) -> ChannelConfig {
        ChannelConfig {
            payer: self.payer.address(),
            payer_authorizer: self.payer.address(),
            receiver: self.provider.address(),
            receiver_authorizer: self.provider.address(),
            token: self.settler.deployment().token,
            withdraw_delay: DELAY_S,
            salt: B256::repeat_byte(7),
        }
    }

    fn deposit(&self, config: &ChannelConfig, amount: u128, salt: u64) -> Deposit {
        let (valid_after, valid_before) = (U256::ZERO, U256::from(u64::MAX));
        let message = ReceiveWithAuthorization {
            from: config.payer,
            to: self.settler.deployment().collector,
            value: U256::from(amount),
            validAfter: valid_after,
            validBefore: valid_before,
            nonce: deposit_nonce(config.id(&self.domain), U256::from(salt)),
        };
        let domain = eip712_domain! {
            name: "Vouch Test Dollar",
            version: "1",
            chain_id: self.domain.chain,
            verifying_contract: self.settler.deployment().token,
        };
        let signature = self.payer.sign(message.eip712_signing_hash(&domain));
        Deposit { amount, valid_after, valid_before, salt: U256::from(salt), signature }
    }

    async fn open(&self, amount: u128) -> ChannelConfig {
        self.open_as(self.config(), amount).await
    }

    async fn open_as(&self, config: ChannelConfig, amount: u128) -> ChannelConfig {
        let (_, seen) =
            self.settler.deposit(&config, &self.deposit(&config, amount, 1)).await.unwrap();
        assert_eq!(seen.balance, amount);
        self.store.open_channel(config, self.mode, seen).await.unwrap();
        config
    }

    /// One call on the channel, paid by a voucher for exactly its total.
    async fn charge(&self, config: &ChannelConfig, charge: u128, total: u128) {
        let channel = config.id(&self.domain);
        let voucher = Voucher { channel_id: channel, max_claimable_amount: total };
        let signature = self.payer.sign(voucher.digest(&self.domain));
        self.charge_with(config, charge, SignedVoucher { voucher, signature }).await;
    }

    /// As [`Self::charge`], with a voucher whose signature nobody has checked.
    async fn charge_with(&self, config: &ChannelConfig, charge: u128, voucher: SignedVoucher) {
        let channel = config.id(&self.domain);
        let request = B256::from(U256::from(voucher.voucher.max_claimable_amount));
        let call = Call { channel, request, amount: charge, voucher: Some(voucher) };
        let Begun::New(hold) = self.store.reserve(&call).unwrap() else { panic!("a new call") };
        let receipt = self.receipt(config, request, charge);
        self.store.commit(hold, receipt, b"answer".to_vec()).await.unwrap();
    }

    fn receipt(&self, config: &ChannelConfig, request: B256, charge: u128) -> Receipt {
        let zero = B256::ZERO;
        Receipt {
            version: VERSION,
            domain: self.domain,
            kind: Kind::Inference,
            status: Status::Complete,
            tier: Tier::Signed,
            flags: 0,
            provider: self.provider.address(),
            agent: U256::ZERO,
            payer: config.payer,
            channel: config.id(&self.domain),
            sequence: 0,
            request,
            response: zero,
            tokens: zero,
            usage: Usage::default(),
            model: zero,
            sampling: zero,
            seed: zero,
            commitment: zero,
            terms: zero,
            charge,
            cumulative: 0,
            asset: config.token,
            parent: zero,
            time: clock(),
        }
    }

    async fn balance(&self, of: Address) -> u128 {
        let token = TestDollarInstance::new(self.settler.deployment().token, self.chain.provider());
        token.balanceOf(of).call().await.unwrap().to()
    }

    /// The payer demands the receipt behind what was claimed: how much, and of whom.
    async fn demand(&self, faults: Address, config: &ChannelConfig) -> (u128, Address) {
        let chain = self.payers().provider().clone();
        let token = TestDollarInstance::new(config.token, &chain);
        let approval = token.approve(faults, U256::MAX).send().await.unwrap();
        assert!(approval.get_receipt().await.unwrap().status());
        let contract = FaultsInstance::new(faults, chain);
        let of = Faults::ChannelConfig {
            payer: config.payer,
            payerAuthorizer: config.payer_authorizer,
            receiver: config.receiver,
            receiverAuthorizer: config.receiver_authorizer,
            token: config.token,
            withdrawDelay: config.withdraw_delay.try_into().unwrap(),
            salt: config.salt,
        };
        // The receiver is the provider: nothing else must be shown.
        let evidence = Evidence {
            receipt: Bytes::new(),
            promised: Promise {
                root: B256::ZERO,
                first: 0,
                count: 0,
                notBefore: B256::ZERO,
                mergeBy: 0,
            },
            signature: Bytes::new(),
            index: 0,
            path: Vec::new(),
        };
        let sent = contract.demand(of, evidence).send().await.unwrap();
        assert!(sent.get_receipt().await.unwrap().status());
        let demand = contract.demands(config.id(&self.domain)).call().await.unwrap();
        (demand.claimed, demand.provider)
    }

    /// The payer's own hand on the chain, for what it can do without the provider.
    fn payers(&self) -> BatchSettlementInstance<DynProvider> {
        let wallet = EthereumWallet::from(self.payer.signer().unwrap());
        let provider =
            ProviderBuilder::new().wallet(wallet).connect_provider(self.chain.provider()).erased();
        BatchSettlementInstance::new(self.settler.deployment().settlement, provider)
    }
}

fn open_store(
    directory: &tempfile::TempDir,
    domain: Domain,
    provider: &Arc<Wallet>,
) -> EmbeddedStore {
    let (promises, checkpoints) = (provider.clone(), provider.clone());
    let log_key = SigningKey::from_bytes(&[5; 32]);
    let config = Config::new(
        domain,
        ORIGIN.into(),
        Arc::new(clock),
        Arc::new(move |promise| Ok(promises.sign(promise.digest(&domain)))),
        Arc::new(move |checkpoint| {
            let signature = checkpoints.sign(checkpoint.digest());
            Ok(vec![
                note::sign_ed25519(ORIGIN, &log_key, &checkpoint.text()),
                note::sign_eip712(ORIGIN, checkpoints.address(), &signature),
            ])
        }),
    );
    EmbeddedStore::open(&directory.path().join("store"), config).unwrap().0
}

#[tokio::test]
async fn a_deposit_is_charged_claimed_and_closed() {
    let world = World::new().await;
    let before = world.balance(world.payer.address()).await;
    let config = world.open(1_000).await;
    world.charge(&config, 300, 300).await;
    assert_eq!(world.settler.claim(|_| true).await.unwrap(), 300);
    assert_eq!(world.balance(world.provider.address()).await, 300);
    assert_eq!(world.settler.claim(|_| true).await.unwrap(), 0, "nothing new was charged");

    world.charge(&config, 50, 350).await;
    let channel = config.id(&world.domain);
    world.settler.close(channel).await.unwrap();
    assert_eq!(world.balance(world.provider.address()).await, 350);
    assert_eq!(world.balance(world.payer.address()).await, before - 350);
    let view = world.store.channel(&channel).unwrap();
    assert_eq!(view.frozen, Some(Freeze::Closing));
    assert_eq!((view.on_chain.balance, view.on_chain.claimed), (350, 350));
    // Closing what is closed changes nothing.
    world.settler.close(channel).await.unwrap();
    assert_eq!(world.balance(world.provider.address()).await, 350);
}

#[tokio::test]
async fn a_deposit_sent_twice_counts_once() {
    let world = World::new().await;
    let config = world.config();
    let deposit = world.deposit(&config, 1_000, 1);
    for _ in 0..2 {
        assert_eq!(world.settler.deposit(&config, &deposit).await.unwrap().1.balance, 1_000);
    }
    let more = world.deposit(&config, 500, 2);
    assert_eq!(world.settler.deposit(&config, &more).await.unwrap().1.balance, 1_500);
}

#[tokio::test]
async fn a_bad_deposit_is_refused_before_it_is_sent() {
    let world = World::new().await;
    let config = world.config();
    let mut forged = world.deposit(&config, 1_000, 1);
    forged.amount = 2_000;
    let refused = world.settler.deposit(&config, &forged).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    let foreign = ChannelConfig { receiver: Address::repeat_byte(9), ..config };
    let refused =
        world.settler.deposit(&foreign, &world.deposit(&foreign, 1, 1)).await.unwrap_err();
    assert!(matches!(refused, Error::Deposit(_)), "{refused}");
    assert_eq!(world.balance(world.provider.address()).await, 0);
}

#[tokio::test]
async fn a_withdrawal_freezes_the_channel_and_is_claimed_against() {
    let world = World::new().await;
    let config = world.open(1_000).await;
    world.charge(&config, 400, 400).await;
    let channel = config.id(&world.domain);
    let payers = world.payers();
    let notice = payers.initiateWithdraw((&config).into(), 1_000).send().await.unwrap();
    assert!(notice.get_receipt().await.unwrap().status());

    let seen = world.settler.observe(channel).await.unwrap();
    assert_eq!(seen.withdrawing, 1_000);
    assert!(world.store.observe(channel, seen).await.unwrap().froze);
    assert_eq!(world.settler.claim(|view| view.frozen.is_some()).await.unwrap(), 400);

    let early = payers.finalizeWithdraw((&config).into()).send().await;
    assert!(early.is_err(), "the delay has not passed");
    let provider = world.chain.provider();
    let _offset: serde_json::Value =
        provider.raw_request("evm_increaseTime".into(), [DELAY_S + 1]).await.unwrap();
    // A hand that has sent nothing yet: the refused attempt may have taken a nonce of its own count.
    let last = world.payers().finalizeWithdraw((&config).into()).send().await.unwrap();
    assert!(last.get_receipt().await.unwrap().status());
    let seen = world.settler.observe(channel).await.unwrap();
    assert_eq!((seen.balance, seen.claimed, seen.withdrawing), (400, 400, 0));
    assert_eq!(world.balance(world.provider.address()).await, 400);
}

#[tokio::test]
async fn checkpoints_are_anchored_as_they_grow() {
    let world = World::new().await;
    let config = world.open(1_000).await;
    assert_eq!(world.settler.anchored(ORIGIN).await.unwrap(), None);
    world.charge(&config, 1, 1).await;
    let first = world.store.publish_checkpoint().await.unwrap();
    assert!(world.settler.anchor(&first).await.unwrap());
    assert!(!world.settler.anchor(&first).await.unwrap(), "it is anchored already");
    world.charge(&config, 1, 2).await;
    let second = world.store.publish_checkpoint().await.unwrap();
    assert!(world.settler.anchor(&second).await.unwrap());
    let anchored = world.settler.anchored(ORIGIN).await.unwrap();
    assert_eq!(anchored, Some((2, second.checkpoint.root)));
    world.store.check_extends(2, second.checkpoint.root).unwrap();
    let block = world.chain.provider().get_block(BlockId::latest()).await.unwrap().unwrap();
    assert!(block.header.number > 0);
}

#[tokio::test]
async fn a_voucher_that_the_chain_refuses_holds_up_no_other() {
    let world = World::new().await;
    let good = world.open(1_000).await;
    world.charge(&good, 300, 300).await;
    let salt = B256::repeat_byte(8);
    let bad = world.open_as(ChannelConfig { salt, ..world.config() }, 1_000).await;
    let voucher = Voucher { channel_id: bad.id(&world.domain), max_claimable_amount: 200 };
    let signature = Wallet::random().unwrap().sign(voucher.digest(&world.domain));
    world.charge_with(&bad, 200, SignedVoucher { voucher, signature }).await;
    let refused = world.settler.claim(|_| true).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    assert_eq!(world.balance(world.provider.address()).await, 300);
}

#[tokio::test]
async fn a_channel_that_froze_before_a_restart_is_claimed_at_once() {
    let world = World::new().await;
    let config = world.open(1_000).await;
    world.charge(&config, 400, 400).await;
    let channel = config.id(&world.domain);
    let notice = world.payers().initiateWithdraw((&config).into(), 1_000).send().await.unwrap();
    assert!(notice.get_receipt().await.unwrap().status());
    // The store knows, and the process ends before the claim is sent.
    let seen = world.settler.observe(channel).await.unwrap();
    assert!(world.store.observe(channel, seen).await.unwrap().froze);
    let World { chain, settler, store, provider, payer, domain, mode, _directory } = world;
    let deployment = *settler.deployment();
    drop((settler, store));
    let store = Arc::new(open_store(&_directory, domain, &provider));
    assert!(store.channel(&channel).unwrap().frozen.is_some());
    let settler = Settler::new(chain.provider(), &provider, deployment, store.clone(), 0).unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let hour = std::time::Duration::from_secs(3600);
    let schedule = Schedule { claim: hour, anchor: hour, ..Schedule::default() };
    let watching = async {
        while store.channel(&channel).unwrap().on_chain.claimed == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        stop.send(true).unwrap();
    };
    let both = async { tokio::join!(settler.follow(schedule, stopped), watching) };
    tokio::time::timeout(std::time::Duration::from_secs(20), both).await.unwrap();
    let world = World { chain, settler, store, provider, payer, domain, mode, _directory };
    assert_eq!(world.balance(world.provider.address()).await, 400);
}

#[tokio::test]
async fn a_claim_on_a_stock_channel_notes_that_its_voucher_is_public() {
    let world = World { mode: Mode::Stock, ..World::new().await };
    let config = world.open(1_000).await;
    let channel = config.id(&world.domain);
    world.charge(&config, 300, 300).await;
    assert_eq!(world.store.channel(&channel).unwrap().published, []);
    // A call of at most 500 that cost 100.
    let voucher = Voucher { channel_id: channel, max_claimable_amount: 800 };
    let signature = world.payer.sign(voucher.digest(&world.domain));
    let request = B256::repeat_byte(5);
    let voucher = Some(SignedVoucher { voucher, signature });
    let call = Call { channel, request, amount: 500, voucher };
    let Begun::New(hold) = world.store.reserve(&call).unwrap() else { panic!("a new call") };
    let receipt = world.receipt(&config, request, 100);
    world.store.commit(hold, receipt, b"answer".to_vec()).await.unwrap();
    assert_eq!(world.settler.claim(|_| true).await.unwrap(), 400);
    assert_eq!(world.store.channel(&channel).unwrap().published, [800]);
    // 400 more would be covered by what everyone has seen.
    let again = Call { request: B256::repeat_byte(6), amount: 400, ..call };
    assert!(world.store.reserve(&again).is_err());
}

/// A vault as receiver: the provider's key claims, the vault is paid, a close refunds the rest.
#[tokio::test]
async fn a_channel_may_pay_a_vault_that_the_provider_claims_for() {
    let vault = Address::repeat_byte(0x55);
    let mut world = World::new().await;
    let mut config = world.config();
    config.receiver = vault;
    let foreign = world.settler.deposit(&config, &world.deposit(&config, 1_000, 1)).await;
    assert!(matches!(foreign, Err(Error::Deposit(_))), "{foreign:?}");
    world.settler = world.settler.paying(vault);
    let config = world.open_as(config, 1_000).await;
    world.charge(&config, 300, 300).await;
    assert_eq!(world.settler.claim(|_| true).await.unwrap(), 300);
    assert_eq!(
        (world.balance(vault).await, world.balance(world.provider.address()).await),
        (300, 0)
    );
    let before = world.balance(world.payer.address()).await;
    world.settler.close(config.id(&world.domain)).await.unwrap();
    assert_eq!(world.balance(world.payer.address()).await - before, 700);
}

/// Whoever doubts a claim demands the receipt behind it. The provider answers from its store by
/// itself, so that the demander's bond is its own; and says so if it cannot.
#[tokio::test]
async fn a_demand_for_a_receipt_is_answered_from_the_store() {
    let mut world = World::new().await;
    let governance = Governance::development(world.provider.address());
    let own = EthereumWallet::from(world.provider.signer().unwrap());
    let economy = deploy_economy(
        &signing(&world.chain.provider(), own),
        world.provider.address(),
        &governance,
    )
    .await
    .unwrap();
    world.settler = world.settler.answering(economy.faults);
    let config = world.open(1_000).await;
    let channel = config.id(&world.domain);
    world.charge(&config, 300, 300).await;
    world.settler.claim(|_| true).await.unwrap();
    assert_eq!(world.settler.answer_demands().await.unwrap(), 0);

    let demand = world.demand(economy.faults, &config).await;
    assert_eq!(demand, (300, world.provider.address()));
    assert_eq!(world.settler.answer_demands().await.unwrap(), 1);
    let contract = FaultsInstance::new(economy.faults, world.chain.provider());
    assert_eq!(contract.demands(channel).call().await.unwrap().deadline, 0);
    let bond = contract.credits(world.provider.address()).call().await.unwrap();
    assert_eq!(bond, U256::from(contract.DEMAND_BOND().call().await.unwrap()));

    // A claim beyond what the store knows: it was restored from an older copy, or is at fault.
    world.charge(&config, 100, 400).await;
    world.settler.claim(|_| true).await.unwrap();
    world.settler.faucet(world.payer.address()).await.unwrap();
    world.demand(economy.faults, &config).await;
    let older = tempfile::tempdir().unwrap();
    let store = Arc::new(open_store(&older, world.domain, &world.provider));
    let deployment = *world.settler.deployment();
    let settler = Settler::new(world.chain.provider(), &world.provider, deployment, store, 0);
    let unanswered = settler.unwrap().answering(economy.faults).answer_demands().await.unwrap_err();
    assert!(matches!(unanswered, Error::UnknownChannel(id) if id == channel), "{unanswered}");
    assert_ne!(contract.demands(channel).call().await.unwrap().deadline, 0);
}
