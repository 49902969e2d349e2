//! A chain in this process with the real contracts, and an embedder of words.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use alloy::{
    network::EthereumWallet,
    primitives::{Address, B256, U256, keccak256},
    providers::{DynProvider, Provider, ProviderBuilder},
};
use vouch_chain::{Chain, Genesis, GenesisAccount, Options, SystemClock, random_chain_id};
use vouch_contracts::{
    bindings::TestDollar::TestDollarInstance,
    economy::{Economy, Governance, deploy_economy},
    genesis_code,
};
use vouch_data::{
    Embed, EmbedError,
    consent::{Clock, Grant, Purpose, Use},
    dataset::{Document, MediaType},
};
use vouch_wallet::Wallet;

pub(crate) const SECOND: u64 = 1_000;

/// Hashes words into a few dozen directions: not a model, but texts that share words are near.
pub(crate) struct Words;

pub(crate) const DIMENSIONS: usize = 64;

impl Embed for Words {
    fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(texts.iter().map(|text| vector(text)).collect())
    }
}

pub(crate) fn vector(text: &str) -> Vec<f32> {
    let mut vector = vec![0.001f32; DIMENSIONS];
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| w.len() > 2) {
        let hash = keccak256(word);
        vector[usize::from(hash[0]) % DIMENSIONS] += 1.0;
        vector[usize::from(hash[1]) % DIMENSIONS] += 0.5;
    }
    vector
}

pub(crate) fn document(path: &str, content: &str) -> Document {
    let media = if path.contains(".json") { MediaType::Json } else { MediaType::Text };
    Document { path: path.into(), media, content: content.into() }
}

pub(crate) struct World {
    pub(crate) chain: Chain,
    pub(crate) provider: DynProvider,
    pub(crate) economy: Economy,
    pub(crate) owner: Wallet,
    pub(crate) grantee: Wallet,
    pub(crate) time: Arc<AtomicU64>,
    _directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (owner, grantee) = (Wallet::random().unwrap(), Wallet::random().unwrap());
        let ether = || GenesisAccount::funded(U256::from(10u64.pow(19)));
        let mut genesis = Genesis::development(random_chain_id().unwrap(), 1_700_000_000)
            .with_account(owner.address(), ether())
            .with_account(grantee.address(), ether());
        for contract in genesis_code(grantee.address()).unwrap() {
            let code = GenesisAccount::contract(contract.code);
            let account = GenesisAccount { storage: contract.storage, ..code };
            genesis = genesis.with_account(contract.address, account);
        }
        let options = Options::new(genesis, SystemClock);
        let chain = Chain::open(&directory.path().join("chain"), options).unwrap();
        let provider = chain.provider();
        let signing = signing(&provider, &grantee);
        let governance = Governance::development(owner.address());
        let economy = deploy_economy(&signing, grantee.address(), &governance).await.unwrap();
        let time = Arc::new(AtomicU64::new(1_800_000_000 * SECOND));
        Self { chain, provider, economy, owner, grantee, time, _directory: directory }
    }

    pub(crate) fn clock(&self) -> Clock {
        let time = self.time.clone();
        Arc::new(move || time.load(Ordering::Relaxed))
    }

    /// Seconds by the chain's clock: grants in tests run around it.
    pub(crate) async fn now(&self) -> u64 {
        self.provider.get_block(Default::default()).await.unwrap().unwrap().header.timestamp
    }

    pub(crate) async fn grant(&self, dataset: B256) -> Grant {
        let now = self.now().await;
        Grant {
            owner: self.owner.address(),
            dataset,
            grantee: self.grantee.address(),
            purpose: Purpose::search(),
            service: B256::ZERO,
            price: 100,
            share_bps: 0,
            start: now - 10,
            end: now + 1_000,
            nonce: U256::from(1),
        }
    }

    pub(crate) async fn wanted(&self) -> Use {
        Use {
            grantee: self.grantee.address(),
            purpose: Purpose::search(),
            service: B256::ZERO,
            at: self.now().await,
        }
    }

    pub(crate) async fn mint(&self, to: Address, amount: u128) {
        let signing = signing(&self.provider, &self.grantee);
        let token = TestDollarInstance::new(vouch_contracts::addresses::TOKEN, signing);
        let from = self.grantee.address();
        let sent = token.mint(to, U256::from(amount)).from(from).send().await.unwrap();
        assert!(sent.get_receipt().await.unwrap().status());
    }
}

pub(crate) fn signing(provider: &DynProvider, wallet: &Wallet) -> DynProvider {
    let signer = EthereumWallet::from(wallet.signer().unwrap());
    let filled = ProviderBuilder::default()
        .with_simple_nonce_management()
        .with_gas_estimation()
        .fetch_chain_id()
        .wallet(signer);
    filled.connect_provider(provider.clone()).erased()
}
