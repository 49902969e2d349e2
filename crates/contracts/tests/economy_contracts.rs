//! The economy on a real chain: MetaMask's delegations, Uniswap's pools, a vote, royalties.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod world;

use alloy::{
    primitives::{
        Address, B256, Bytes, U160, U256, address,
        aliases::{I24, U24},
        keccak256,
    },
    providers::Provider,
    sol_types::{SolCall, SolEvent, SolStruct, SolValue, eip712_domain},
};
use vouch_contracts::{
    Error, Governance, addresses,
    bindings::{
        BatchSettlement, ConsentRegistry, DelegationManager, Erc20, LineageRegistry,
        NonfungiblePositionManager, ProtocolParameters, QuoterV2, RoyaltyVault,
        SpendPerPeriodEnforcer, SwapRouter02, TimelockController, UniswapV2Router02, VouchGovernor,
        VouchVotes, delegation::typed,
    },
    deploy_economy, economy,
    uniswap::{self, Artefacts, sqrt_price_x96},
};
use vouch_core::{
    channel::{ChannelConfig, SignedVoucher, Voucher},
    domain::Domain,
    signature::Signature,
};
use world::{World, failed, mined};

const DAY_S: u64 = 86_400;

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_deployed_once_where_it_was_foretold() {
    let world = World::new().await;
    let governance = world.governance();
    let foretold = economy(&governance).unwrap();
    let before = world.provider.get_transaction_count(world.operator).await.unwrap();
    let deployed = deploy_economy(&world.provider, world.operator, &governance).await.unwrap();
    assert_eq!(deployed, foretold);
    let after = world.provider.get_transaction_count(world.operator).await.unwrap();
    assert_eq!(after - before, 24, "one transaction a contract");
    deploy_economy(&world.provider, world.operator, &governance).await.unwrap();
    let again = world.provider.get_transaction_count(world.operator).await.unwrap();
    assert_eq!(again, after, "nothing is sent for what stands");

    // Only the governance and what asks it for the fee depend on its settings.
    let other = economy(&Governance { quorum_percent: 5, ..governance }).unwrap();
    assert_eq!((other.consent, other.lineage), (deployed.consent, deployed.lineage));
    assert_eq!(other.delegator, deployed.delegator);
    assert_eq!(other.enforcers, deployed.enforcers);
    assert_ne!((other.governor, other.vault), (deployed.governor, deployed.vault));

    let json = serde_json::to_string(&deployed).unwrap();
    assert_eq!(serde_json::from_str::<vouch_contracts::Economy>(&json).unwrap(), deployed);

    let vault = RoyaltyVault::new(deployed.vault, &world.provider);
    assert_eq!(vault.registry().call().await.unwrap(), deployed.lineage);
    assert_eq!(vault.parameters().call().await.unwrap(), deployed.parameters);
    let manager = DelegationManager::new(deployed.delegation_manager, &world.provider);
    assert_eq!(manager.owner().call().await.unwrap(), addresses::NOBODY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_without_the_proxy_is_one_sentence() {
    let world = World::without(addresses::CREATE2_PROXY).await;
    let failure =
        deploy_economy(&world.provider, world.operator, &world.governance()).await.unwrap_err();
    assert!(matches!(failure, Error::NoProxy { .. }), "{failure}");
}

/// A delegation with four caveats: two targets, two methods, a hundred dollars a day, an expiry.
struct Mandate {
    delegation: DelegationManager::Delegation,
    terms: Bytes,
}

fn mandate(
    world: &World,
    economy: &vouch_contracts::Economy,
    agent: Address,
    targets: &[Address],
) -> Mandate {
    let dollar = addresses::TOKEN;
    let period = [100_000_000, DAY_S, world.now()].map(U256::from);
    let terms: Bytes = [
        world.owner.address().as_slice(),
        dollar.as_slice(),
        &period.map(|word| word.to_be_bytes::<32>()).concat(),
        B256::repeat_byte(9).as_slice(),
    ]
    .concat()
    .into();
    let methods =
        [Erc20::transferCall::SELECTOR, UniswapV2Router02::swapExactTokensForTokensCall::SELECTOR];
    let bounds = [0u128, u128::from(world.now() + 7 * DAY_S)].map(u128::to_be_bytes).concat();
    let caveat =
        |enforcer, terms: Bytes| DelegationManager::Caveat { enforcer, terms, args: Bytes::new() };
    let delegation = DelegationManager::Delegation {
        delegate: agent,
        delegator: world.owner.address(),
        authority: B256::repeat_byte(0xff),
        caveats: vec![
            caveat(economy.enforcers.allowed_targets, targets.concat().into()),
            caveat(economy.enforcers.allowed_methods, methods.concat().into()),
            caveat(economy.enforcers.spend_per_period, terms.clone()),
            caveat(economy.enforcers.timestamp, bounds.into()),
        ],
        salt: U256::from(1),
        signature: Bytes::new(),
    };
    let domain = eip712_domain! {
        name: "DelegationManager",
        version: "1",
        chain_id: world.chain.chain_id(),
        verifying_contract: economy.delegation_manager,
    };
    let hash = typed::Delegation::from(&delegation).eip712_signing_hash(&domain);
    let signature = world.sign(&world.owner, hash);
    let delegation = DelegationManager::Delegation { signature, ..delegation };
    Mandate { delegation, terms }
}

/// One execution under one delegation, as `redeemDelegations` takes it.
fn redemption(
    delegation: &DelegationManager::Delegation,
    target: Address,
    call: &[u8],
) -> DelegationManager::redeemDelegationsCall {
    let execution = [target.as_slice(), &U256::ZERO.to_be_bytes::<32>(), call].concat();
    DelegationManager::redeemDelegationsCall {
        permissionContexts: vec![vec![delegation.clone()].abi_encode().into()],
        modes: vec![B256::ZERO],
        executionCallDatas: vec![execution.into()],
    }
}

fn transfer(amount: u64) -> Vec<u8> {
    Erc20::transferCall { to: Address::repeat_byte(7), value: U256::from(amount) }.abi_encode()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_key_acts_for_its_owner_within_the_mandate() {
    let world = World::new().await;
    let economy = world.deploy().await;
    world.mint(world.owner.address(), 1_000_000_000).await;
    world.delegate_code(&world.owner, economy.delegator).await;
    let agent = world.funded_signer().await;
    let dollar = addresses::TOKEN;
    let mandate = mandate(&world, &economy, agent.address(), &[dollar]);
    let agents = world.provider_of(&agent);
    let manager = DelegationManager::new(economy.delegation_manager, &agents);
    let redeem = |delegation: &DelegationManager::Delegation, target, call: Vec<u8>| {
        let redemption = redemption(delegation, target, &call);
        manager
            .redeemDelegations(
                redemption.permissionContexts,
                redemption.modes,
                redemption.executionCallDatas,
            )
            .gas(1_000_000)
    };

    let receipt =
        mined(redeem(&mandate.delegation, dollar, transfer(60_000_000)).send().await).await;
    assert!(receipt.logs().iter().any(|log| {
        SpendPerPeriodEnforcer::Spent::decode_log(&log.inner)
            .is_ok_and(|spent| spent.sum == U256::from(60_000_000))
    }));
    assert_eq!(world.balance(dollar, Address::repeat_byte(7)).await, 60_000_000);
    let enforcer = SpendPerPeriodEnforcer::new(economy.enforcers.spend_per_period, &agents);
    let available = async || {
        let manager = economy.delegation_manager;
        let question = enforcer.available(manager, world.owner.address(), mandate.terms.clone());
        question.call().await.unwrap()
    };
    assert_eq!(available().await, U256::from(40_000_000));

    // Above the day's amount; another method; another target; another's delegation; a changed one.
    failed(redeem(&mandate.delegation, dollar, transfer(40_000_001)).send().await).await;
    let spender = Address::repeat_byte(8);
    let approve = Erc20::approveCall { spender, value: U256::MAX }.abi_encode();
    failed(redeem(&mandate.delegation, dollar, approve).send().await).await;
    failed(redeem(&mandate.delegation, economy.votes, transfer(0)).send().await).await;
    let stranger = world.provider_of(&world.funded_signer().await);
    let call = redemption(&mandate.delegation, dollar, &transfer(1));
    let strangers = DelegationManager::new(economy.delegation_manager, stranger);
    let theirs = strangers
        .redeemDelegations(call.permissionContexts, call.modes, call.executionCallDatas)
        .gas(1_000_000);
    failed(theirs.send().await).await;
    let mut wider = mandate.delegation.clone();
    wider.caveats.truncate(2);
    failed(redeem(&wider, dollar, transfer(1)).send().await).await;

    // A second delegation with the same terms has no allowance of its own.
    let mut twin = mandate.delegation.clone();
    twin.salt = U256::from(2);
    let domain = eip712_domain! {
        name: "DelegationManager",
        version: "1",
        chain_id: world.chain.chain_id(),
        verifying_contract: economy.delegation_manager,
    };
    let hash = typed::Delegation::from(&twin).eip712_signing_hash(&domain);
    twin.signature = world.sign(&world.owner, hash);
    failed(redeem(&twin, dollar, transfer(40_000_001)).send().await).await;
    mined(redeem(&twin, dollar, transfer(40_000_000)).send().await).await;
    assert_eq!(available().await, U256::ZERO);
    world.advance(DAY_S);
    mined(redeem(&mandate.delegation, dollar, transfer(100_000_000)).send().await).await;

    // The owner revokes from its own account, and the agent stops at once.
    let owners = world.provider_of(&world.owner);
    let account =
        vouch_contracts::bindings::EIP7702StatelessDeleGator::new(world.owner.address(), &owners);
    mined(account.disableDelegation(mandate.delegation.clone()).gas(500_000).send().await).await;
    world.advance(DAY_S);
    failed(redeem(&mandate.delegation, dollar, transfer(1)).send().await).await;
    mined(redeem(&twin, dollar, transfer(1)).send().await).await;
    world.advance(7 * DAY_S);
    failed(redeem(&twin, dollar, transfer(1)).send().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_of_both_versions_swap() {
    let world = World::new().await;
    let economy = world.deploy().await;
    let (provider, operator) = (&world.provider, world.operator);
    let node_modules = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/node_modules");
    let artefacts = Artefacts::read(node_modules.as_ref()).unwrap();
    let uniswap = uniswap::deploy(provider, operator, &artefacts).await.unwrap();
    assert_eq!(uniswap::deploy(provider, operator, &artefacts).await.unwrap(), uniswap);
    let (dollar, votes) = (addresses::TOKEN, economy.votes);
    let vote = U256::from(10u64.pow(18));
    world.mint(operator, 1_000_000_000_000).await;
    for spender in [uniswap.v2_router, uniswap.positions, uniswap.router] {
        for token in [dollar, votes] {
            let token = Erc20::new(token, provider);
            mined(token.approve(spender, U256::MAX).send().await).await;
        }
    }

    // Version 2: 100,000 dollars against 50,000 votes.
    let pool = uniswap.create_v2_pool(provider, operator, [dollar, votes]).await.unwrap();
    assert_eq!(uniswap.create_v2_pool(provider, operator, [votes, dollar]).await.unwrap(), pool);
    let router = UniswapV2Router02::new(uniswap.v2_router, provider);
    let (dollars, tokens) = (U256::from(100_000_000_000_u64), vote * U256::from(50_000));
    let far = U256::MAX;
    let add =
        router.addLiquidity(dollar, votes, dollars, tokens, U256::ZERO, U256::ZERO, operator, far);
    mined(add.send().await).await;
    let amount = U256::from(1_000_000_000);
    let buyer = Address::repeat_byte(3);
    let quoted = router.getAmountsOut(amount, vec![dollar, votes]).call().await.unwrap();
    let swap = router.swapExactTokensForTokens(amount, quoted[1], vec![dollar, votes], buyer, far);
    mined(swap.send().await).await;
    // x * y = k with 0.3 % of the input kept.
    let kept = amount * U256::from(997);
    let expected = kept * tokens / (dollars * U256::from(1000) + kept);
    assert_eq!(world.balance(votes, buyer).await, expected.to::<u128>());

    // Version 3: the same price, all of the range.
    let price = [2_000_000, 10u128.pow(18)];
    let pool =
        uniswap.create_v3_pool(provider, operator, [votes, dollar], 3000, price).await.unwrap();
    let turned = [price[1], price[0]];
    let same = uniswap.create_v3_pool(provider, operator, [dollar, votes], 3000, turned).await;
    assert_eq!(same.unwrap(), pool);
    let positions = NonfungiblePositionManager::new(uniswap.positions, provider);
    let ([token0, token1], [desired0, desired1]) = if dollar < votes {
        ([dollar, votes], [dollars, tokens])
    } else {
        ([votes, dollar], [tokens, dollars])
    };
    let edge = I24::try_from(887_220).unwrap();
    let mint = positions.mint(NonfungiblePositionManager::MintParams {
        token0,
        token1,
        fee: U24::from(3000),
        tickLower: -edge,
        tickUpper: edge,
        amount0Desired: desired0,
        amount1Desired: desired1,
        amount0Min: desired0 * U256::from(99) / U256::from(100),
        amount1Min: desired1 * U256::from(99) / U256::from(100),
        recipient: operator,
        deadline: far,
    });
    mined(mint.send().await).await;
    let quoter = QuoterV2::new(uniswap.quoter, provider);
    let quote = quoter.quoteExactInputSingle(QuoterV2::QuoteExactInputSingleParams {
        tokenIn: dollar,
        tokenOut: votes,
        amountIn: amount,
        fee: U24::from(3000),
        sqrtPriceLimitX96: U160::ZERO,
    });
    let quoted = quote.call().await.unwrap().amountOut;
    let router = SwapRouter02::new(uniswap.router, provider);
    let buyer = Address::repeat_byte(4);
    let swap = router.exactInputSingle(SwapRouter02::ExactInputSingleParams {
        tokenIn: dollar,
        tokenOut: votes,
        fee: U24::from(3000),
        recipient: buyer,
        amountIn: amount,
        amountOutMinimum: quoted,
        sqrtPriceLimitX96: U160::ZERO,
    });
    mined(swap.send().await).await;
    let got = world.balance(votes, buyer).await;
    assert_eq!(got, quoted.to::<u128>());
    // The whole range behaves as version 2, but for rounding.
    assert!(expected.to::<u128>().abs_diff(got) < expected.to::<u128>() / 1_000_000);
}

/// `TickMath` at tick 0, and both ends of what a pool holds.
#[test]
fn prices_become_what_pools_take() {
    assert_eq!(sqrt_price_x96(1, 1).unwrap(), U160::from(1) << 96);
    assert_eq!(sqrt_price_x96(4, 1).unwrap(), U160::from(2) << 96);
    assert_eq!(sqrt_price_x96(u128::MAX, u128::MAX).unwrap(), U160::from(1) << 96);
    // 1 / 2 * 2^192 has the root 2^95.5, rounded down.
    assert_eq!(
        sqrt_price_x96(1, 2).unwrap(),
        "56022770974786139918731938227".parse::<U160>().unwrap()
    );
    assert!(sqrt_price_x96(u128::MAX / 2, 1).is_ok() && sqrt_price_x96(1, u128::MAX / 2).is_ok());
    for (numerator, denominator) in [(0, 1), (1, 0), (1, u128::MAX), (u128::MAX, 1)] {
        let refused = sqrt_price_x96(numerator, denominator);
        assert!(matches!(refused, Err(Error::Price { .. })), "{numerator}/{denominator}");
    }
}

#[test]
fn a_missing_artefact_is_named() {
    let failure = Artefacts::read("/nowhere".as_ref()).unwrap_err().to_string();
    assert!(
        failure.starts_with("/nowhere/@uniswap/") && failure.contains("xtask setup"),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_passes_though_its_delegate_is_overruled() {
    let world = World::new().await;
    let economy = world.deploy().await;
    let provider = &world.provider;
    let delegate = world.funded_signer().await;
    let owner = world.funded_signer().await;
    let votes = VouchVotes::new(economy.votes, provider);
    let vote = U256::from(10u64.pow(18));
    let share = U256::from(30_000_000) * vote;
    mined(votes.transfer(owner.address(), share).send().await).await;
    mined(votes.delegate(world.operator).send().await).await;
    let owners = world.provider_of(&owner);
    let owners_votes = VouchVotes::new(economy.votes, &owners);
    mined(owners_votes.delegate(delegate.address()).send().await).await;
    world.advance(1);

    let governor = VouchGovernor::new(economy.governor, provider);
    let call = ProtocolParameters::setFeeShareBpsCall { value: 250 }.abi_encode();
    let (targets, values, calls) =
        (vec![economy.parameters], vec![U256::ZERO], vec![Bytes::from(call)]);
    let why = "A fee of 2.5 %".to_owned();
    let propose = governor.propose(targets.clone(), values.clone(), calls.clone(), why.clone());
    let receipt = mined(propose.send().await).await;
    let id = receipt
        .logs()
        .iter()
        .find_map(|log| VouchGovernor::ProposalCreated::decode_log(&log.inner).ok())
        .unwrap()
        .proposalId;
    world.advance(2);

    let delegates = VouchGovernor::new(economy.governor, world.provider_of(&delegate));
    mined(delegates.castVoteWithReason(id, 0, "policy".into()).send().await).await;
    mined(governor.castVote(id, 1).send().await).await;
    let overruling = VouchGovernor::new(economy.governor, &owners);
    mined(overruling.castOverrideVote(id, 1, "my own view".into()).send().await).await;
    let tally = governor.proposalVotes(id).call().await.unwrap();
    assert_eq!(tally.againstVotes, U256::ZERO, "the delegate's votes went back to their owner");
    assert_eq!(tally.forVotes, U256::from(100_000_000) * vote);

    world.advance(21);
    let hash = keccak256(why);
    mined(governor.queue(targets.clone(), values.clone(), calls.clone(), hash).send().await).await;
    failed(
        governor
            .execute(targets.clone(), values.clone(), calls.clone(), hash)
            .gas(500_000)
            .send()
            .await,
    )
    .await;
    world.advance(3);
    let anyone = VouchGovernor::new(economy.governor, world.provider_of(&delegate));
    mined(anyone.execute(targets, values, calls, hash).send().await).await;
    let parameters = ProtocolParameters::new(economy.parameters, provider);
    assert_eq!(parameters.feeShareBps().call().await.unwrap(), 250);
    assert_eq!(parameters.owner().call().await.unwrap(), economy.timelock);
    failed(parameters.setFeeShareBps(0).gas(100_000).send().await).await;
    let timelock = TimelockController::new(economy.timelock, provider);
    let admin = timelock.DEFAULT_ADMIN_ROLE().call().await.unwrap();
    assert!(!timelock.hasRole(admin, world.operator).call().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channels_claim_splits_up_the_lineage() {
    let world = World::new().await;
    let economy = world.deploy().await;
    let provider = &world.provider;
    let data_owner = world.funded_signer().await;
    let data = world.register(&economy, &data_owner, 1, &[]).await;
    let service = world.register(&economy, &world.owner, 4, &[(data, 3000)]).await;
    let vault = RoyaltyVault::new(economy.vault, provider);
    let receiver = vault.receiverOf(service).call().await.unwrap();

    // A channel whose receiver is the service's: the provider's key only authorizes claims.
    let payer = world.funded_signer().await;
    world.mint(payer.address(), 5_000_000).await;
    let config = ChannelConfig {
        payer: payer.address(),
        payer_authorizer: payer.address(),
        receiver,
        receiver_authorizer: world.operator,
        token: addresses::TOKEN,
        withdraw_delay: 900,
        salt: B256::repeat_byte(1),
    };
    let domain = Domain { chain: world.chain.chain_id(), settlement: addresses::SETTLEMENT };
    world.deposit(&payer, &config, &domain, 1_000_000).await;
    let voucher = Voucher { channel_id: config.id(&domain), max_claimable_amount: 700_001 };
    let bytes = world.sign(&payer, voucher.digest(&domain));
    let signature = Signature(bytes.as_ref().try_into().unwrap());
    let claim =
        vouch_contracts::voucher_claim(&config, &SignedVoucher { voucher, signature }, 700_001);
    let settlement = BatchSettlement::new(addresses::SETTLEMENT, provider);
    mined(settlement.claim(vec![claim]).send().await).await;
    mined(settlement.settle(receiver, addresses::TOKEN).send().await).await;
    assert_eq!(world.balance(addresses::TOKEN, receiver).await, 700_001);

    mined(vault.sweep(service, addresses::TOKEN).send().await).await;
    mined(vault.pull(service, U256::ZERO, addresses::TOKEN).send().await).await;
    mined(vault.withdraw(service, addresses::TOKEN).send().await).await;
    mined(vault.withdraw(data, addresses::TOKEN).send().await).await;
    assert_eq!(world.balance(addresses::TOKEN, data_owner.address()).await, 210_000);
    assert_eq!(world.balance(addresses::TOKEN, world.owner.address()).await, 490_001);
    assert_eq!(world.balance(addresses::TOKEN, economy.vault).await, 0);
    let lineage = LineageRegistry::new(economy.lineage, provider);
    assert_eq!(lineage.nodes(service).call().await.unwrap().passedBps, 3000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_signed_in_rust_and_ends_when_it_is_revoked() {
    let world = World::new().await;
    let economy = world.deploy().await;
    let owner = world.funded_signer().await;
    let owners = ConsentRegistry::new(economy.consent, world.provider_of(&owner));
    let anyone = ConsentRegistry::new(economy.consent, &world.provider);
    let (root, purpose) = (B256::repeat_byte(1), keccak256("search"));
    mined(owners.publish(root, B256::ZERO).send().await).await;
    let grant = ConsentRegistry::Grant {
        owner: owner.address(),
        dataset: keccak256((owner.address(), root).abi_encode_params()),
        grantee: address!("0x00000000000000000000000000000000000000aa"),
        purpose,
        service: B256::ZERO,
        price: 5,
        shareBps: 100,
        start: world.now(),
        end: world.now() + DAY_S,
        nonce: U256::from(1),
    };
    let domain = eip712_domain! {
        name: "Vouch Consent",
        version: "1",
        chain_id: world.chain.chain_id(),
        verifying_contract: economy.consent,
    };
    let signature = world.sign(&owner, grant.eip712_signing_hash(&domain));
    mined(anyone.grant(grant.clone(), signature).send().await).await;
    let id = grant.eip712_hash_struct();
    assert!(anyone.allows(id, purpose, B256::repeat_byte(4)).call().await.unwrap());
    assert_eq!(anyone.grants(id).call().await.unwrap().grantee, grant.grantee);
    mined(owners.revoke(id).send().await).await;
    assert!(!anyone.allows(id, purpose, B256::repeat_byte(4)).call().await.unwrap());
}
