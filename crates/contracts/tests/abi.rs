//! The bindings against the compiled contracts, and against x402's own package.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use alloy::{
    json_abi::JsonAbi,
    primitives::{B256, b256, hex},
    sol_types::{SolCall, SolEvent, SolStruct},
};
use vouch_contracts::bindings::{
    BatchSettlement as batch, BondVault, CheckpointAnchor, ClaimBatch, ConsentRegistry,
    ContributionRoot, DelegationManager, EIP7702StatelessDeleGator, ERC20PeriodTransferEnforcer,
    ERC3009DepositCollector, Erc20, Faults, KeyRegistry, LimitedCallsEnforcer, LineageRegistry,
    NonfungiblePositionManager, ProtocolParameters, QuoterV2, ReceiveWithAuthorization, Refund,
    RoyaltyVault, SpendPerPeriodEnforcer, SwapRouter02, TestDollar, TimelockController,
    UniswapV2Factory, UniswapV2Pair, UniswapV2Router02, UniswapV3Factory, UniswapV3Pool,
    VouchGovernor, VouchVotes, WETH9, delegation::typed,
};

/// The ABI that the compiler wrote for a contract.
fn compiled(contract: &str) -> JsonAbi {
    artefact(&format!("out/{contract}.sol/{contract}.json"))
}

/// The ABI of a compiled contract below `contracts`.
fn artefact(path: &str) -> JsonAbi {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts").join(path);
    let text = fs::read(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask setup`", path.display()));
    let mut artefact: serde_json::Value =
        serde_json::from_slice(&text).expect("an artefact is JSON");
    serde_json::from_value(artefact["abi"].take()).expect("an artefact has an ABI")
}

/// Everything a caller relies on: names, types, returns, mutability, which event fields are indexed.
fn signatures(abi: &JsonAbi) -> BTreeSet<String> {
    let functions =
        abi.functions().map(|f| format!("{} {:?}", f.full_signature(), f.state_mutability));
    let events = abi.events().map(|e| e.full_signature());
    let errors = abi.errors().map(|e| format!("error {}", e.signature()));
    functions.chain(events).chain(errors).collect()
}

#[test]
fn bindings_equal_the_compiled_contracts() {
    for (contract, bound) in [
        ("BatchSettlement", batch::abi::contract()),
        ("ERC3009DepositCollector", ERC3009DepositCollector::abi::contract()),
        ("TestDollar", TestDollar::abi::contract()),
        ("CheckpointAnchor", CheckpointAnchor::abi::contract()),
        ("ConsentRegistry", ConsentRegistry::abi::contract()),
        ("LineageRegistry", LineageRegistry::abi::contract()),
        ("RoyaltyVault", RoyaltyVault::abi::contract()),
        ("ContributionRoot", ContributionRoot::abi::contract()),
        ("ProtocolParameters", ProtocolParameters::abi::contract()),
        ("VouchVotes", VouchVotes::abi::contract()),
        ("VouchGovernor", VouchGovernor::abi::contract()),
        ("TimelockController", TimelockController::abi::contract()),
        ("KeyRegistry", KeyRegistry::abi::contract()),
        ("BondVault", BondVault::abi::contract()),
        ("Faults", Faults::abi::contract()),
        ("SpendPerPeriodEnforcer", SpendPerPeriodEnforcer::abi::contract()),
        ("ERC20", Erc20::abi::contract()),
    ] {
        require_subset(contract, &bound, &compiled(contract));
    }
}

#[test]
fn bindings_equal_uniswaps_artefacts() {
    let v3 = |package: &str, directory: &str, contract: &str| {
        format!("{package}/artifacts/contracts/{directory}{contract}.sol/{contract}.json")
    };
    for (path, bound) in [
        ("v2-core/build/UniswapV2Factory.json".to_owned(), UniswapV2Factory::abi::contract()),
        ("v2-core/build/UniswapV2Pair.json".to_owned(), UniswapV2Pair::abi::contract()),
        (
            "v2-periphery/build/UniswapV2Router02.json".to_owned(),
            UniswapV2Router02::abi::contract(),
        ),
        ("v2-periphery/build/WETH9.json".to_owned(), WETH9::abi::contract()),
        (v3("v3-core", "", "UniswapV3Factory"), UniswapV3Factory::abi::contract()),
        (v3("v3-core", "", "UniswapV3Pool"), UniswapV3Pool::abi::contract()),
        (
            v3("v3-periphery", "", "NonfungiblePositionManager"),
            NonfungiblePositionManager::abi::contract(),
        ),
        (v3("v3-periphery", "lens/", "QuoterV2"), QuoterV2::abi::contract()),
        (v3("swap-router-contracts", "", "SwapRouter02"), SwapRouter02::abi::contract()),
    ] {
        let theirs = artefact(&format!("node_modules/@uniswap/{path}"));
        require_subset(&path, &bound, &theirs);
    }
}

/// MetaMask's package has its ABIs as scripts, one JSON-like array each; Node reads them.
#[test]
fn bindings_equal_metamasks_package() {
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts");
    for (contract, bound) in [
        ("DelegationManager", DelegationManager::abi::contract()),
        ("EIP7702StatelessDeleGator", EIP7702StatelessDeleGator::abi::contract()),
        ("LimitedCallsEnforcer", LimitedCallsEnforcer::abi::contract()),
        ("ERC20PeriodTransferEnforcer", ERC20PeriodTransferEnforcer::abi::contract()),
    ] {
        let script = format!(
            "process.stdout.write(JSON.stringify(require('@metamask/delegation-abis').{contract}))"
        );
        let output =
            Command::new("node").args(["-e", &script]).current_dir(&contracts).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        require_subset(contract, &bound, &serde_json::from_slice(&output.stdout).unwrap());
    }
}

/// Everything bound is there as it is bound, but for underscores around parameters' names.
fn require_subset(contract: &str, bound: &JsonAbi, theirs: &JsonAbi) {
    let named = |abi| -> BTreeSet<String> {
        let plain = |text: String| text.replace(" _", " ").replace("_,", ",").replace("_)", ")");
        signatures(abi).into_iter().map(plain).collect()
    };
    let (bound, theirs) = (named(bound), named(theirs));
    assert!(!bound.is_empty(), "{contract} is bound");
    let unknown: Vec<_> = bound.difference(&theirs).collect();
    assert!(unknown.is_empty(), "{contract} has no {unknown:#?}; it has {theirs:#?}");
}

/// keccak256 of the strings in MetaMask's `Constants.sol`.
#[test]
fn delegations_hash_as_the_manager_hashes_them() {
    assert_eq!(
        typed::Delegation::eip712_encode_type(),
        "Delegation(address delegate,address delegator,bytes32 authority,Caveat[] caveats,uint256 salt)\
         Caveat(address enforcer,bytes terms)"
    );
    assert_eq!(
        ConsentRegistry::Grant::eip712_encode_type(),
        "Grant(address owner,bytes32 dataset,address grantee,bytes32 purpose,bytes32 service,\
         uint128 price,uint16 shareBps,uint64 start,uint64 end,uint256 nonce)"
    );
}

/// Computed with another keccak from the ABI in npm's `@x402/evm` 2.27.0.
#[test]
fn selectors_are_x402s() {
    let ours = [
        batch::multicallCall::SELECTOR,
        batch::depositCall::SELECTOR,
        batch::claimCall::SELECTOR,
        batch::claimWithSignatureCall::SELECTOR,
        batch::settleCall::SELECTOR,
        batch::initiateWithdrawCall::SELECTOR,
        batch::finalizeWithdrawCall::SELECTOR,
        batch::refundCall::SELECTOR,
        batch::refundWithSignatureCall::SELECTOR,
        batch::getChannelIdCall::SELECTOR,
        batch::CHANNEL_CONFIG_TYPEHASHCall::SELECTOR,
        batch::channelsCall::SELECTOR,
        batch::pendingWithdrawalsCall::SELECTOR,
        batch::receiversCall::SELECTOR,
        batch::getVoucherDigestCall::SELECTOR,
        batch::getRefundDigestCall::SELECTOR,
        batch::refundNonceCall::SELECTOR,
        batch::getClaimBatchDigestCall::SELECTOR,
    ];
    let theirs = hex!(
        "ac9650d8 140f1e75 29237b0c e43ce1f2 9db32a8f cf5cf3dc e88377b1 dce4bfae b77433e9"
        "5e5e0b87 8e4a68ac 7a7ebd7b b7f06ebe 21ff6389 862bb199 e25cf189 f0dc792e 488ccc3b"
    );
    assert_eq!(hex::encode(ours.concat()), hex::encode(theirs));
    assert_eq!(
        batch::Settled::SIGNATURE_HASH,
        b256!("7337b4386b690fdb8ba66905b92b9d45d33bc6626ee2620c905fb150ec0cc47d")
    );
}

#[test]
fn typehashes_are_x402s() {
    fn typehash<T: SolStruct + Default>() -> B256 {
        T::default().eip712_type_hash()
    }
    for (ours, theirs) in [
        (
            typehash::<batch::ChannelConfig>(),
            b256!("1c9a06ceab9b0ebbd3301dc56c9111bb6d9af421356dc9ccb3b7084c755db308"),
        ),
        (
            typehash::<Refund>(),
            b256!("be23ad087435072cd69b49cc5b92de10ee610fce7ae0ab428307972d764bb216"),
        ),
        (
            typehash::<ClaimBatch>(),
            b256!("42bd57c010b870c2e96203c66341f28a6a19b4d56a74533a8eb5f706b9fd6d57"),
        ),
        (
            typehash::<ReceiveWithAuthorization>(),
            b256!("d099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8"),
        ),
    ] {
        assert_eq!(ours, theirs);
    }
}
