//! A chain with the genesis contracts, an operator who deploys and mints, and an owner.

use std::sync::Arc;

use alloy::{
    contract::Error as CallError,
    eips::eip7702::Authorization,
    network::{Ethereum, TransactionBuilder},
    primitives::{Address, B256, Bytes, U256},
    providers::{DynProvider, PendingTransactionBuilder, Provider, ProviderBuilder},
    rpc::types::{TransactionReceipt, TransactionRequest},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolEvent, SolStruct, eip712_domain},
};
use vouch_chain::{Chain, Genesis, GenesisAccount, ManualClock, Options};
use vouch_contracts::{
    Economy, Governance, addresses,
    bindings::{BatchSettlement, Erc20, LineageRegistry, ReceiveWithAuthorization, TestDollar},
    collector_data, deploy_economy, deposit_nonce, genesis_code,
};
use vouch_core::{channel::ChannelConfig, domain::Domain, signature::Signature};

const CHAIN_ID: u64 = 0x7e57_0001;
const GENESIS_TIME: u64 = 1_800_000_000;
const ETHER: u128 = 1_000_000_000_000_000_000;

pub(crate) struct World {
    pub(crate) chain: Chain,
    clock: Arc<ManualClock>,
    /// Deploys, mints, holds all votes.
    pub(crate) operator: Address,
    /// Signs for the operator.
    pub(crate) provider: DynProvider,
    /// Has ether and nothing else.
    pub(crate) owner: PrivateKeySigner,
    _directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::without(Address::ZERO).await
    }

    /// Leaves one contract of the genesis out.
    pub(crate) async fn without(missing: Address) -> Self {
        let (operator, owner) = (PrivateKeySigner::random(), PrivateKeySigner::random());
        let purse = GenesisAccount::funded(U256::from(1000 * ETHER));
        let mut genesis = Genesis::development(CHAIN_ID, GENESIS_TIME)
            .with_account(operator.address(), purse.clone())
            .with_account(owner.address(), purse);
        for contract in genesis_code(operator.address()).unwrap() {
            let account = GenesisAccount {
                storage: contract.storage,
                ..GenesisAccount::contract(contract.code)
            };
            if contract.address != missing {
                genesis = genesis.with_account(contract.address, account);
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(GENESIS_TIME + 100));
        let chain = Chain::open(directory.path(), Options::new(genesis, clock.clone())).unwrap();
        let provider = signing(&chain, &operator);
        let operator = operator.address();
        Self { chain, clock, operator, provider, owner, _directory: directory }
    }

    pub(crate) fn governance(&self) -> Governance {
        Governance::development(self.operator)
    }

    pub(crate) async fn deploy(&self) -> Economy {
        deploy_economy(&self.provider, self.operator, &self.governance()).await.unwrap()
    }

    pub(crate) fn now(&self) -> u64 {
        use vouch_chain::Clock;
        self.clock.unix_seconds()
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.set(self.now() + seconds);
    }

    pub(crate) fn provider_of(&self, signer: &PrivateKeySigner) -> DynProvider {
        signing(&self.chain, signer)
    }

    pub(crate) fn sign(&self, signer: &PrivateKeySigner, digest: B256) -> Bytes {
        signer.sign_hash_sync(&digest).unwrap().as_bytes().into()
    }

    /// A key with ten ether.
    pub(crate) async fn funded_signer(&self) -> PrivateKeySigner {
        let signer = PrivateKeySigner::random();
        let request = TransactionRequest::default()
            .with_to(signer.address())
            .with_value(U256::from(10 * ETHER));
        let sent = self.provider.send_transaction(request).await.unwrap();
        assert!(sent.get_receipt().await.unwrap().status());
        signer
    }

    pub(crate) async fn mint(&self, to: Address, amount: u64) {
        let dollar = TestDollar::new(addresses::TOKEN, &self.provider);
        mined(dollar.mint(to, U256::from(amount)).send().await).await;
    }

    pub(crate) async fn balance(&self, token: Address, of: Address) -> u128 {
        Erc20::new(token, &self.provider).balanceOf(of).call().await.unwrap().to()
    }

    /// Lets an account of a key run `code` (EIP-7702); the operator pays for it.
    pub(crate) async fn delegate_code(&self, account: &PrivateKeySigner, code: Address) {
        let nonce = self.provider.get_transaction_count(account.address()).await.unwrap();
        let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: code, nonce };
        let signature = account.sign_hash_sync(&authorization.signature_hash()).unwrap();
        let mut request =
            TransactionRequest::default().with_to(Address::ZERO).with_gas_limit(100_000);
        request.authorization_list = Some(vec![authorization.into_signed(signature)]);
        let sent = self.provider.send_transaction(request).await.unwrap();
        assert!(sent.get_receipt().await.unwrap().status());
        let code_now = self.provider.get_code_at(account.address()).await.unwrap();
        assert_eq!(code_now, Bytes::from([&[0xef, 1, 0], code.as_slice()].concat()));
    }

    pub(crate) async fn register(
        &self,
        economy: &Economy,
        owner: &PrivateKeySigner,
        kind: u8,
        parents: &[(B256, u16)],
    ) -> B256 {
        let lineage = LineageRegistry::new(economy.lineage, self.provider_of(owner));
        let (parents, shares) = parents.iter().copied().unzip();
        let content = B256::repeat_byte(kind);
        let receipt = mined(lineage.register(kind, content, parents, shares).send().await).await;
        let registered = |log: &alloy::rpc::types::Log| {
            LineageRegistry::Registered::decode_log(&log.inner).ok().map(|event| event.node)
        };
        receipt.logs().iter().find_map(registered).unwrap()
    }

    pub(crate) async fn deposit(
        &self,
        payer: &PrivateKeySigner,
        config: &ChannelConfig,
        domain: &Domain,
        amount: u128,
    ) {
        let (after, before, salt) = (U256::ZERO, U256::from(u64::MAX), U256::from(1));
        let message = ReceiveWithAuthorization {
            from: config.payer,
            to: addresses::COLLECTOR,
            value: U256::from(amount),
            validAfter: after,
            validBefore: before,
            nonce: deposit_nonce(config.id(domain), salt),
        };
        let dollars = eip712_domain! {
            name: "Vouch Test Dollar",
            version: "1",
            chain_id: CHAIN_ID,
            verifying_contract: addresses::TOKEN,
        };
        let bytes = self.sign(payer, message.eip712_signing_hash(&dollars));
        let signature = Signature(bytes.as_ref().try_into().unwrap());
        let data = collector_data(after, before, salt, &signature);
        let settlement = BatchSettlement::new(addresses::SETTLEMENT, &self.provider);
        let deposit = settlement.deposit(config.into(), amount, addresses::COLLECTOR, data);
        mined(deposit.send().await).await;
    }
}

fn signing(chain: &Chain, signer: &PrivateKeySigner) -> DynProvider {
    ProviderBuilder::new().wallet(signer.clone()).connect_provider(chain.provider()).erased()
}

type Sent = Result<PendingTransactionBuilder<Ethereum>, CallError>;

/// The receipt of a transaction that has to succeed.
pub(crate) async fn mined(sent: Sent) -> TransactionReceipt {
    let receipt = sent.unwrap().get_receipt().await.unwrap();
    assert!(receipt.status(), "{} failed", receipt.transaction_hash);
    receipt
}

/// A transaction that is mined and has to fail; its gas was given, so it was not estimated.
pub(crate) async fn failed(sent: Sent) {
    let receipt = sent.unwrap().get_receipt().await.unwrap();
    assert!(!receipt.status(), "{} succeeded", receipt.transaction_hash);
}
