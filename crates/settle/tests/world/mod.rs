//! A provider, a payer and a chain: all real.
#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy::{
    network::EthereumWallet,
    primitives::{Address, B256, U256},
    providers::{DynProvider, Provider, ProviderBuilder},
    sol_types::{SolStruct, eip712_domain},
};
use ed25519_dalek::SigningKey;
use vouch_chain::{Chain, Genesis, GenesisAccount, Options, SystemClock, random_chain_id};
use vouch_contracts::{
    Deployment,
    bindings::{
        BatchSettlement::BatchSettlementInstance, ReceiveWithAuthorization,
        TestDollar::TestDollarInstance,
    },
    deposit_nonce, genesis_code,
};
use vouch_core::{
    channel::{ChannelConfig, Mode, SignedVoucher, Voucher},
    domain::Domain,
    log::note,
    money::Usage,
    receipt::{Kind, Receipt, Status, Tier, VERSION},
};
use vouch_settle::{Deposit, Endpoints, Finality, Sending, Settler};
use vouch_store::{Begun, Call, Config, Database, EmbeddedStore, FileTiles, PostgresStore, Store};
use vouch_wallet::Wallet;

pub(crate) const DELAY_S: u64 = 900;
pub(crate) const ORIGIN: &str = "vouch.test/log";

pub(crate) struct World {
    pub(crate) settler: Settler,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) provider: Arc<Wallet>,
    pub(crate) payer: Wallet,
    pub(crate) domain: Domain,
    /// Of channels that are opened.
    pub(crate) mode: Mode,
    /// Reads the chain.
    pub(crate) reader: DynProvider,
    setting: Setting,
    /// Where the chain is ours.
    _chain: Option<Chain>,
    directory: tempfile::TempDir,
}

/// What a restart keeps.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) endpoints: Endpoints,
    pub(crate) deployment: Deployment,
    pub(crate) finality: Finality,
    pub(crate) sending: Sending,
    /// A database that is shared, and the directory of its log.
    pub(crate) shared: Option<(Database, PathBuf)>,
}

pub(crate) fn clock() -> u64 {
    1_800_000_000_000
}

impl World {
    /// On an embedded chain.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let provider = Arc::new(Wallet::random().unwrap());
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
        let setting = Setting {
            endpoints: Endpoints::one(chain.provider()),
            deployment: Deployment::genesis(chain.chain_id()),
            finality: Finality::Blocks(0),
            sending: Sending::default(),
            shared: None,
        };
        let world = Self::open(directory, Some(chain), provider, setting);
        world.settler.faucet(world.payer.address()).await.unwrap();
        world
    }

    /// On somebody's chain, whose token the provider may mint.
    pub(crate) fn on(provider: Arc<Wallet>, setting: Setting) -> Self {
        Self::open(tempfile::tempdir().unwrap(), None, provider, setting)
    }

    fn open(
        directory: tempfile::TempDir,
        chain: Option<Chain>,
        provider: Arc<Wallet>,
        setting: Setting,
    ) -> Self {
        let Setting { endpoints, deployment, .. } = &setting;
        let domain = Domain { chain: deployment.chain_id, settlement: deployment.settlement };
        let (store, settler) = begin(directory.path(), &provider, domain, &setting);
        Self {
            settler,
            store,
            provider,
            payer: Wallet::random().unwrap(),
            domain,
            mode: Mode::Session,
            reader: endpoints.provider(),
            setting,
            _chain: chain,
            directory,
        }
    }

    /// The process ends and starts again.
    pub(crate) fn restarted(self) -> Self {
        let Self { settler, store, provider, payer, domain, mode, reader, setting, .. } = self;
        let (_chain, directory) = (self._chain, self.directory);
        drop((settler, store));
        let (store, settler) = begin(directory.path(), &provider, domain, &setting);
        Self { settler, store, provider, payer, domain, mode, reader, setting, _chain, directory }
    }

    /// The process starts again on a directory that knows nothing.
    pub(crate) fn emptied(self) -> Self {
        let Self { settler, store, provider, payer, domain, mode, reader, setting, .. } = self;
        let _chain = self._chain;
        drop((settler, store));
        let directory = tempfile::tempdir().unwrap();
        let (store, settler) = begin(directory.path(), &provider, domain, &setting);
        Self { settler, store, provider, payer, domain, mode, reader, setting, _chain, directory }
    }

    pub(crate) fn config(&self) -> ChannelConfig {
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

    pub(crate) fn deposit(&self, config: &ChannelConfig, amount: u128, salt: u64) -> Deposit {
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

    pub(crate) async fn open_channel(&self, amount: u128) -> ChannelConfig {
        self.open_as(self.config(), amount).await
    }

    pub(crate) async fn open_as(&self, config: ChannelConfig, amount: u128) -> ChannelConfig {
        let (_, seen) =
            self.settler.deposit(&config, &self.deposit(&config, amount, 1)).await.unwrap();
        assert_eq!(seen.balance, amount);
        self.store.open_channel(config, self.mode, seen).await.unwrap();
        config
    }

    /// One call on the channel, paid by a voucher for exactly its total.
    pub(crate) async fn charge(&self, config: &ChannelConfig, charge: u128, total: u128) {
        let channel = config.id(&self.domain);
        let voucher = Voucher { channel_id: channel, max_claimable_amount: total };
        let signature = self.payer.sign(voucher.digest(&self.domain));
        self.charge_with(config, charge, SignedVoucher { voucher, signature }).await;
    }

    /// As [`Self::charge`], with a voucher whose signature nobody has checked.
    pub(crate) async fn charge_with(
        &self,
        config: &ChannelConfig,
        charge: u128,
        voucher: SignedVoucher,
    ) {
        let channel = config.id(&self.domain);
        let request = B256::from(U256::from(voucher.voucher.max_claimable_amount));
        let call = Call { channel, request, amount: charge, voucher: Some(voucher) };
        let Begun::New(hold) = self.store.reserve(&call).unwrap() else { panic!("a new call") };
        let receipt = self.receipt(config, request, charge);
        self.store.commit(hold, receipt, b"answer".to_vec()).await.unwrap();
    }

    pub(crate) fn receipt(&self, config: &ChannelConfig, request: B256, charge: u128) -> Receipt {
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

    pub(crate) async fn balance(&self, of: Address) -> u128 {
        let token = TestDollarInstance::new(self.settler.deployment().token, self.reader.clone());
        token.balanceOf(of).call().await.unwrap().to()
    }

    /// The payer's own hand on the chain, for what it can do without the provider.
    pub(crate) fn payers(&self) -> BatchSettlementInstance<DynProvider> {
        let wallet = EthereumWallet::from(self.payer.signer().unwrap());
        let provider =
            ProviderBuilder::new().wallet(wallet).connect_provider(self.reader.clone()).erased();
        BatchSettlementInstance::new(self.settler.deployment().settlement, provider)
    }
}

fn begin(
    directory: &Path,
    provider: &Arc<Wallet>,
    domain: Domain,
    setting: &Setting,
) -> (Arc<dyn Store>, Settler) {
    let config = config(domain, provider);
    let Setting { endpoints, deployment, finality, sending, shared } = setting.clone();
    let store: Arc<dyn Store> = match shared {
        Some((database, log)) => {
            let tiles = Arc::new(FileTiles::open(&log).unwrap());
            Arc::new(PostgresStore::open(database, tiles, config).unwrap())
        }
        None => Arc::new(EmbeddedStore::open(&directory.join("store"), config).unwrap().0),
    };
    let settler = Settler::new(endpoints, provider, deployment, store.clone(), finality).unwrap();
    let settler = settler.sending(sending).remembering(&directory.join("outbox")).unwrap();
    (store, settler)
}

fn config(domain: Domain, provider: &Arc<Wallet>) -> Config {
    let (promises, checkpoints) = (provider.clone(), provider.clone());
    let log_key = SigningKey::from_bytes(&[5; 32]);
    Config::new(
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
    )
}
