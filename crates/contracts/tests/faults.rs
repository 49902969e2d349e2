//! Faults on a real chain: what a provider signs in Rust is punished by the contract.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

#[allow(dead_code, reason = "shared with the tests of the economy")]
mod world;

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256, keccak256},
    providers::{DynProvider, Provider},
    rpc::types::TransactionRequest,
    signers::local::PrivateKeySigner,
    sol_types::{SolCall, SolEvent, SolValue},
};
use vouch_contracts::{
    Economy, addresses,
    bindings::{BondVault, Erc20, Faults, KeyRegistry, ProtocolParameters},
    fault_evidence,
};
use vouch_core::{
    domain::Domain,
    log::merkle,
    money::Usage,
    promise::{Promise, SignedPromise},
    receipt::{Kind, Receipt, Status, Tier, VERSION},
    signature::Signature,
};
use world::{World, mined};

const STAKE: u128 = 1_000_000_000;

/// A receipt of `provider`, alone in its batch, promised by `signer`.
fn statement(
    world: &World,
    provider: Address,
    signer: &PrivateKeySigner,
    answer: u8,
) -> Faults::Evidence {
    let domain = Domain { chain: world.chain.chain_id(), settlement: addresses::SETTLEMENT };
    let receipt = Receipt {
        version: VERSION,
        domain,
        kind: Kind::Inference,
        status: Status::Complete,
        tier: Tier::Signed,
        flags: 0,
        provider,
        agent: U256::ZERO,
        payer: Address::repeat_byte(1),
        channel: B256::repeat_byte(2),
        sequence: 3,
        request: B256::repeat_byte(4),
        response: B256::repeat_byte(answer),
        tokens: B256::ZERO,
        usage: Usage::default(),
        model: B256::ZERO,
        sampling: B256::ZERO,
        seed: B256::ZERO,
        commitment: B256::ZERO,
        terms: B256::ZERO,
        charge: 0,
        cumulative: 0,
        asset: addresses::TOKEN,
        parent: B256::ZERO,
        time: world.now() * 1000,
    };
    let promise = Promise {
        root: merkle::root(&[receipt.leaf_hash()]),
        first: u64::from(answer),
        count: 1,
        not_before: B256::ZERO,
        merge_by: world.now() + 60,
    };
    let bytes = world.sign(signer, promise.digest(&domain));
    let signature = Signature(bytes.as_ref().try_into().unwrap());
    let index = promise.first;
    fault_evidence(&receipt, &SignedPromise { promise, signature, index, path: Vec::new() })
}

/// Commits to a report and sends it a block later; the fault's id if it is one.
async fn report(
    reporter: &DynProvider,
    from: Address,
    faults: Address,
    call: &impl SolCall,
) -> Option<B256> {
    let data = Bytes::from(call.abi_encode());
    let commitment = keccak256((from, data.clone()).abi_encode_params());
    mined(Faults::new(faults, reporter).commit(commitment).send().await).await;
    let request = TransactionRequest::default().with_to(faults).with_input(data);
    let sent = reporter.send_transaction(request.with_gas_limit(1_000_000)).await.unwrap();
    let receipt = sent.get_receipt().await.unwrap();
    let proven = receipt.logs().iter().find_map(|log| Faults::Proven::decode_log(&log.inner).ok());
    assert_eq!(proven.is_some(), receipt.status());
    proven.map(|event| event.fault)
}

async fn bonded(world: &World, economy: &Economy, provider: &PrivateKeySigner) {
    world.mint(provider.address(), u64::try_from(STAKE).unwrap()).await;
    let signing = world.provider_of(provider);
    let dollar = Erc20::new(addresses::TOKEN, &signing);
    mined(dollar.approve(economy.bonds, U256::from(STAKE)).send().await).await;
    let vault = BondVault::new(economy.bonds, &signing);
    mined(vault.deposit(provider.address(), STAKE).send().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_contradicts_itself_pays_the_one_who_shows_it() {
    let world = World::new().await;
    let economy = world.deploy().await;
    let (provider, reporter) = (world.funded_signer().await, world.funded_signer().await);
    bonded(&world, &economy, &provider).await;
    let reporters = world.provider_of(&reporter);

    let say = |signer, answer| statement(&world, provider.address(), signer, answer);
    let call = |first, second, salt| Faults::reportDoubleSequenceCall {
        first,
        second,
        _2: B256::repeat_byte(salt),
    };
    let sends = async |call| report(&reporters, reporter.address(), economy.faults, &call).await;
    // The same receipt twice, and one by somebody else, are no faults.
    assert_eq!(sends(call(say(&provider, 1), say(&provider, 1), 1)).await, None);
    assert_eq!(sends(call(say(&provider, 1), say(&reporter, 2), 2)).await, None);
    let fault = sends(call(say(&provider, 1), say(&provider, 2), 3)).await.unwrap();

    let vault = BondVault::new(economy.bonds, &reporters);
    assert!(vault.slashed(fault).call().await.unwrap());
    assert_eq!(vault.bonds(provider.address()).call().await.unwrap().stake, STAKE / 10 * 9);
    mined(vault.withdrawReward().send().await).await;
    assert_eq!(world.balance(addresses::TOKEN, reporter.address()).await, STAKE / 20);
    mined(vault.burn().send().await).await;
    assert_eq!(world.balance(addresses::TOKEN, addresses::NOBODY).await, STAKE / 20);
    assert_eq!(world.balance(addresses::TOKEN, economy.bonds).await, STAKE / 10 * 9);
    // Once, whichever statement comes first.
    assert_eq!(sends(call(say(&provider, 2), say(&provider, 1), 4)).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contracts_know_each_other() {
    let world = World::new().await;
    let economy = world.deploy().await;
    let faults = Faults::new(economy.faults, &world.provider);
    assert_eq!(faults.keys().call().await.unwrap(), economy.keys);
    assert_eq!(faults.vault().call().await.unwrap(), economy.bonds);
    assert_eq!(faults.settlement().call().await.unwrap(), addresses::SETTLEMENT);
    let vault = BondVault::new(economy.bonds, &world.provider);
    assert_eq!(vault.faults().call().await.unwrap(), economy.faults);
    assert_eq!(vault.token().call().await.unwrap(), addresses::TOKEN);
    assert_eq!(vault.parameters().call().await.unwrap(), economy.parameters);
    assert!(!vault.isBonded(world.operator).call().await.unwrap());

    // Nobody has voted on the share.
    let parameters = ProtocolParameters::new(economy.parameters, &world.provider);
    assert_eq!(parameters.slashingShareBps().call().await.unwrap(), 0);
    assert_eq!(vault.shareBps().call().await.unwrap(), U256::from(1000));

    let keys = KeyRegistry::new(economy.keys, &world.provider);
    let receipts = KeyRegistry::Role::Receipts;
    assert_eq!(keys.keyOf(world.operator, receipts).call().await.unwrap(), world.operator);
    mined(keys.rotate(receipts, world.owner.address()).send().await).await;
    assert_eq!(keys.keyOf(world.operator, receipts).call().await.unwrap(), world.owner.address());
}
