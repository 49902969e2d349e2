//! What a genesis holds and what is said when nothing is compiled.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

use alloy::primitives::{Address, B256, U256, address, b256, keccak256};
use vouch_contracts::{
    Deployment, Error, addresses, artefacts, bindings::BatchSettlement, collector_data,
    deposit_nonce, genesis_code, voucher_claim,
};
use vouch_core::{
    channel::{ChannelConfig, SignedVoucher, Voucher},
    signature::Signature,
};

/// EIP-170.
const CODE_SIZE_LIMIT_BYTES: usize = 24_576;

fn channel() -> ChannelConfig {
    ChannelConfig {
        payer: Address::repeat_byte(1),
        payer_authorizer: Address::repeat_byte(2),
        receiver: Address::repeat_byte(3),
        receiver_authorizer: Address::repeat_byte(4),
        token: addresses::TOKEN,
        withdraw_delay: 900,
        salt: B256::repeat_byte(5),
    }
}

#[test]
fn a_genesis_holds_every_contract_once() {
    let faucet = address!("0x00000000000000000000000000000000000000fa");
    let genesis = genesis_code(faucet).unwrap();
    let at = |address| genesis.iter().find(|contract| contract.address == address).unwrap();
    let deployment = Deployment::genesis(7);
    for address in [
        deployment.token,
        deployment.settlement,
        deployment.collector,
        deployment.anchor,
        addresses::MULTICALL3,
    ] {
        let size = at(address).code.len();
        assert!((500..=CODE_SIZE_LIMIT_BYTES).contains(&size), "{address} has {size} bytes");
    }
    // The code hash that explorers show for the proxy on public networks.
    assert_eq!(
        keccak256(&at(addresses::CREATE2_PROXY).code),
        b256!("2fa86add0aed31f33a762c9d88e807c475bd51d0f52bd0955754b2608f7e4989")
    );
    assert_eq!(genesis.len(), 6);
    let word = |address: Address| U256::from_be_bytes(address.into_word().0);
    assert_eq!(at(deployment.token).storage, [(U256::ZERO, word(faucet))]);
    assert_eq!(at(deployment.collector).storage, [(U256::ZERO, word(addresses::SETTLEMENT))]);
    assert!(
        at(deployment.settlement).storage.is_empty() && at(deployment.anchor).storage.is_empty()
    );
}

#[test]
fn init_code_carries_the_runtime_code() {
    let code = artefacts().unwrap();
    for code in [code.token, code.settlement, code.collector, code.anchor, code.multicall] {
        assert!(code.creation.ends_with(code.runtime), "no immutables are written into it");
    }
}

#[test]
fn missing_artefacts_are_one_sentence() {
    let message = Error::NotBuilt.to_string();
    assert!(message.ends_with("run `cargo xtask setup`"), "{message}");
    assert!(!message.contains(". ") && !message.contains('\n'), "{message}");
}

#[test]
fn deployments_survive_json_and_refuse_unknown_fields() {
    let deployment = Deployment::genesis(123);
    let json = serde_json::to_string(&deployment).unwrap();
    assert_eq!(serde_json::from_str::<Deployment>(&json).unwrap(), deployment);
    let more = json.replace('{', r#"{"upgrade":1,"#);
    assert!(serde_json::from_str::<Deployment>(&more).is_err());
}

#[test]
fn channels_survive_the_conversion() {
    let config = channel();
    let sol = BatchSettlement::ChannelConfig::from(&config);
    assert_eq!(ChannelConfig::from(&sol), config);

    let signature = Signature([9; 65]);
    let voucher = Voucher { channel_id: B256::ZERO, max_claimable_amount: 70 };
    let row = voucher_claim(&config, &SignedVoucher { voucher, signature }, 50);
    assert_eq!((row.voucher.channel, row.voucher.maxClaimableAmount), (sol, 70));
    assert_eq!((row.signature.as_ref(), row.totalClaimed), ([9; 65].as_slice(), 50));
}

/// The layout that the collector decodes, word by word.
#[test]
fn collector_data_is_four_words_and_a_signature() {
    let [after, before, salt] = [1, 2, 3].map(U256::from);
    let data = collector_data(after, before, salt, &Signature([9; 65]));
    let words: Vec<_> = data.chunks(32).map(U256::from_be_slice).collect();
    assert_eq!(words[..5], [after, before, salt, U256::from(128), U256::from(65)]);
    assert_eq!(data[160..225], [9; 65]);
    assert_eq!(data.len(), 160 + 96);

    let channel = B256::repeat_byte(7);
    let preimage = [channel.0, salt.to_be_bytes()].concat();
    assert_eq!(deposit_nonce(channel, salt), keccak256(preimage));
}
