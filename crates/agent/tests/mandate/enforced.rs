//! What the chain allows a holder of the agent's key, and what it does not, without any signer.

use alloy::{
    primitives::{Address, Bytes, U256, aliases::U24},
    sol_types::SolCall,
};
use vouch_agent::mandate::{Grant, Part, Permission, Use, redeem, redeem_all, revoke, status};
use vouch_contracts::bindings::{
    DelegationManager, Erc20, NonfungiblePositionManager as Positions, SwapRouter02,
    UniswapV2Router02,
};

use crate::world::{CAP, DOLLAR, FEE, HALVING_TOKEN, OTHER_CAP, PERIOD_S, START, World};

const DEADLINE: u64 = START * 2;

fn transfer(to: Address, amount: u128) -> Bytes {
    Erc20::transferCall { to, value: U256::from(amount) }.abi_encode().into()
}

impl World {
    /// Redeems the chain of a use for any call; whether it went through.
    async fn redeems(
        &self,
        grant: &Grant,
        (permission, usage): (usize, Use),
        target: Address,
        data: &[u8],
    ) -> bool {
        let chain = grant.compiled().unwrap().chain(permission, usage).unwrap();
        let manager = self.economy.delegation_manager;
        self.send(&self.agent, manager, redeem(&chain, target, data)).await.status()
    }

    async fn pays(&self, grant: &Grant, payee: usize, to: Address, amount: u128) -> bool {
        let data = transfer(to, amount);
        self.redeems(grant, (0, Use::Transfer(payee)), self.dollar, &data).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_are_the_managers() {
    let world = World::start().await;
    let grant = world.granted(|_| {}).await;
    let compiled = grant.compiled().unwrap();
    let manager = DelegationManager::new(world.economy.delegation_manager, &world.provider);
    for delegation in compiled.chain(1, Use::Swap).unwrap() {
        let theirs = manager.getDelegationHash(delegation.clone()).call().await.unwrap();
        assert_eq!(theirs, vouch_agent::mandate::hash_of(&delegation));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_reach_their_payee_alone_and_share_one_cap() {
    let world = World::start().await;
    let grant = world.granted(|_| {}).await;
    let [first, second] = world.payees;
    let stranger = Address::repeat_byte(0xee);
    assert!(world.pays(&grant, 0, first, CAP / 2).await);
    assert!(!world.pays(&grant, 0, stranger, 1).await, "another payee");
    assert!(!world.pays(&grant, 0, second, 1).await, "the other payee has a leaf of its own");
    assert!(!world.pays(&grant, 1, second, CAP / 2 + 1).await, "the cap is shared");
    assert!(world.pays(&grant, 1, second, CAP / 2).await);
    assert!(!world.pays(&grant, 0, first, 1).await, "nothing is left");
    let left = status(&world.provider, &grant).await.unwrap();
    assert_eq!((left.caps[0].left, left.caps[1].left), (0, OTHER_CAP));
    assert_eq!((left.calls_left, left.installed, left.revoked), (1_000_000 - 2, true, false));
    world.clock.set(START + PERIOD_S);
    assert!(world.pays(&grant, 0, first, CAP).await, "a new period");
    assert_eq!(world.balance(world.dollar, first).await, CAP / 2 + CAP);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_targets_and_keys_are_refused() {
    let world = World::start().await;
    let grant = world.granted(|_| {}).await;
    let dollar = world.dollar;
    let first = (0, Use::Transfer(0));
    let approve = Erc20::approveCall { spender: world.payees[0], value: U256::MAX }.abi_encode();
    assert!(!world.redeems(&grant, first, dollar, &approve).await, "another method");
    let data = transfer(world.payees[0], 1);
    assert!(!world.redeems(&grant, first, world.other, &data).await, "another token");
    let chain = grant.compiled().unwrap().chain(0, Use::Transfer(0)).unwrap();
    let manager = world.economy.delegation_manager;
    let thief = vouch_wallet::Wallet::random().unwrap();
    let gas = alloy::rpc::types::TransactionRequest::default()
        .from(world.deployer)
        .to(thief.address())
        .value(U256::from(10_u128.pow(18)));
    use alloy::providers::Provider;
    world.rich.send_transaction(gas).await.unwrap().get_receipt().await.unwrap();
    let stolen = world.send(&thief, manager, redeem(&chain, dollar, &data)).await;
    assert!(!stolen.status(), "another key");
    for tampered in 0..chain.len() {
        let mut chain = chain.clone();
        chain[tampered].caveats.pop();
        let sent = world.send(&world.agent, manager, redeem(&chain, dollar, &data)).await;
        assert!(!sent.status(), "a caveat is gone from link {tampered}");
    }
    let alone = world.send(&world.agent, manager, redeem(&chain[..1], dollar, &data)).await;
    assert!(!alone.status(), "a leaf without the frame");
    let frame = world.send(&world.agent, manager, redeem(&chain[1..], dollar, &data)).await;
    assert!(!frame.status(), "the frame is the owner's alone");
    assert_eq!(world.balance(dollar, world.payees[0]).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_pay_the_owner_within_the_cap() {
    let world = World::start().await;
    let grant = world.granted(|_| {}).await;
    let (owner, thief) = (world.owner.address(), Address::repeat_byte(0xee));
    let v2 = |amount: u128, path: Vec<Address>, to| {
        let call = UniswapV2Router02::swapExactTokensForTokensCall {
            amountIn: U256::from(amount),
            amountOutMin: U256::ZERO,
            path,
            to,
            deadline: U256::from(DEADLINE),
        };
        call.abi_encode()
    };
    let (there, back) = (vec![world.dollar, world.other], vec![world.other, world.dollar]);
    let router = world.uniswap.v2_router;
    let leaf = (1, Use::Swap);
    assert!(!world.redeems(&grant, leaf, router, &v2(CAP, there.clone(), thief)).await);
    assert!(!world.redeems(&grant, leaf, router, &v2(CAP, back.clone(), owner)).await);
    let detour = vec![world.dollar, world.uniswap.weth, world.other];
    assert!(!world.redeems(&grant, leaf, router, &v2(CAP, detour, owner)).await);
    assert!(!world.redeems(&grant, leaf, router, &v2(CAP + 1, there.clone(), owner)).await);
    let before = world.balance(world.other, owner).await;
    assert!(world.redeems(&grant, leaf, router, &v2(CAP, there.clone(), owner)).await);
    assert!(world.balance(world.other, owner).await > before + CAP * 99 / 100);
    assert!(!world.redeems(&grant, leaf, router, &v2(1, there, owner)).await);

    let v3 = |amount: u128, recipient| {
        let params = SwapRouter02::ExactInputSingleParams {
            tokenIn: world.other,
            tokenOut: world.dollar,
            fee: U24::from(FEE),
            recipient,
            amountIn: U256::from(amount),
            amountOutMinimum: U256::ZERO,
            sqrtPriceLimitX96: Default::default(),
        };
        SwapRouter02::exactInputSingleCall { params }.abi_encode()
    };
    let (leaf, router) = ((2, Use::Swap), world.uniswap.router);
    assert!(!world.redeems(&grant, leaf, router, &v3(OTHER_CAP, thief)).await);
    assert!(!world.redeems(&grant, leaf, router, &v3(OTHER_CAP + 1, owner)).await);
    assert!(world.redeems(&grant, leaf, router, &v3(OTHER_CAP, owner)).await);
    assert!(!world.redeems(&grant, leaf, router, &v3(1, owner)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn liquidity_comes_back_to_the_owner() {
    let world = World::start().await;
    let grant = world.granted(|_| {}).await;
    let (owner, thief) = (world.owner.address(), Address::repeat_byte(0xee));
    let [token0, token1] = world.sorted();
    let manager = world.uniswap.positions;
    let mint = |recipient| {
        let params = Positions::MintParams {
            token0,
            token1,
            fee: U24::from(FEE),
            tickLower: (-600).try_into().unwrap(),
            tickUpper: 600.try_into().unwrap(),
            amount0Desired: U256::from(100 * DOLLAR),
            amount1Desired: U256::from(100 * DOLLAR),
            amount0Min: U256::ZERO,
            amount1Min: U256::ZERO,
            recipient,
            deadline: U256::from(DEADLINE),
        };
        Positions::mintCall { params }.abi_encode()
    };
    let add = (3, Use::AddLiquidity);
    assert!(!world.redeems(&grant, add, manager, &mint(thief)).await);
    assert!(world.redeems(&grant, add, manager, &mint(owner)).await);
    let id = U256::from(2);
    let positions = Positions::new(manager, &world.provider);
    let liquidity = positions.positions(id).call().await.unwrap().liquidity;
    let params = Positions::DecreaseLiquidityParams {
        tokenId: id,
        liquidity,
        amount0Min: U256::ZERO,
        amount1Min: U256::ZERO,
        deadline: U256::from(DEADLINE),
    };
    let decrease = Positions::decreaseLiquidityCall { params }.abi_encode();
    assert!(world.redeems(&grant, (3, Use::RemoveLiquidity), manager, &decrease).await);
    let collect = |recipient| {
        let params = Positions::CollectParams {
            tokenId: id,
            recipient,
            amount0Max: u128::MAX,
            amount1Max: u128::MAX,
        };
        Positions::collectCall { params }.abi_encode()
    };
    let leaf = (3, Use::Collect);
    assert!(!world.redeems(&grant, leaf, manager, &collect(thief)).await);
    let before = world.balance(token0, owner).await;
    assert!(world.redeems(&grant, leaf, manager, &collect(owner)).await);
    assert!(world.balance(token0, owner).await >= before + 100 * DOLLAR - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_by_time_by_count_and_at_once_by_the_owner() {
    let world = World::start().await;
    let payee = world.payees[0];
    let few = world.granted(|mandate| mandate.calls = 2).await;
    assert!(world.pays(&few, 0, payee, 1).await);
    assert!(world.pays(&few, 0, payee, 1).await);
    assert!(!world.pays(&few, 0, payee, 1).await, "two calls were allowed");
    let data = transfer(world.payees[1], 1);
    assert!(!world.redeems(&few, (0, Use::Transfer(1)), world.dollar, &data).await, "in all");

    let grant = world.granted(|_| {}).await;
    assert!(world.pays(&grant, 0, payee, 1).await);
    revoke(&world.provider, &world.owner, &grant).await.unwrap();
    assert!(!world.pays(&grant, 0, payee, 1).await, "revoked");
    let left = status(&world.provider, &grant).await.unwrap();
    assert!(left.revoked);
    let dollar = Erc20::new(world.dollar, &world.provider);
    let allowance = dollar.allowance(world.owner.address(), world.uniswap.v2_router);
    assert_eq!(allowance.call().await.unwrap(), U256::ZERO);

    let short = world.granted(|mandate| mandate.expiry = START + 1_000).await;
    assert!(world.pays(&short, 0, payee, 1).await);
    world.clock.set(START + 1_000);
    assert!(!world.pays(&short, 0, payee, 1).await, "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_takes_more_than_it_was_told_meets_the_cap() {
    let world = World::start().await;
    let liar = world.place(&HALVING_TOKEN, 100 * DOLLAR).await;
    let grant = world
        .granted(|mandate| {
            mandate.caps[0] = vouch_agent::mandate::Cap { token: liar, ..mandate.caps[0] };
            mandate.caps[0].amount = 49 * DOLLAR;
            let payees = world.payees.to_vec();
            mandate.permissions = vec![Permission::Transfer { token: liar, payees }];
        })
        .await;
    let data = transfer(world.payees[0], 1);
    assert!(!world.redeems(&grant, (0, Use::Transfer(0)), liar, &data).await);
    assert_eq!(world.balance(liar, world.owner.address()).await, 100 * DOLLAR);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_agent_stays_below_its_own_limit_and_its_parents() {
    let world = World::start().await;
    let sub = vouch_wallet::Wallet::random().unwrap();
    let gas = alloy::rpc::types::TransactionRequest::default()
        .from(world.deployer)
        .to(sub.address())
        .value(U256::from(10_u128.pow(18)));
    use alloy::providers::Provider;
    world.rich.send_transaction(gas).await.unwrap().get_receipt().await.unwrap();
    let grant = world
        .granted(|mandate| {
            let (to, token) = (sub.address(), world.dollar);
            let delegate = Permission::Delegate {
                to,
                token,
                limit: 2 * CAP,
                permissions: vec![0],
                dollars: 0,
            };
            mandate.permissions.push(delegate);
        })
        .await;
    let part = |limit| Part { before: 0, limit, dollars: 0 };
    assert!(grant.hand_on(7, part(2 * CAP + 1), &world.agent).is_err());
    let handed = grant.hand_on(7, part(CAP / 4), &world.agent).unwrap();
    assert!(handed.hand_on(7, part(1), &sub).is_err(), "a sub-agent hands on nothing");
    let (_, _, chain) = handed.chains().unwrap().into_iter().next().unwrap();
    assert_eq!(chain.len(), 3);
    let manager = world.economy.delegation_manager;
    let pay = async |amount| {
        let data = transfer(world.payees[0], amount);
        world.send(&sub, manager, redeem(&chain, world.dollar, &data)).await.status()
    };
    assert!(!pay(CAP / 4 + 1).await, "above its own limit");
    assert!(pay(CAP / 8).await);
    assert!(world.pays(&grant, 0, world.payees[0], CAP - CAP / 8 - CAP / 16).await);
    assert!(!pay(CAP / 8).await, "above what the parent has left in this period");
    assert!(pay(CAP / 16).await);
    world.clock.set(START + PERIOD_S);
    assert!(!pay(CAP / 8).await, "its own limit does not renew");
    assert!(pay(CAP / 16).await);
    assert!(!pay(1).await);
}

/// What one call of a redemption brings in must not pay for what another sends away.
#[tokio::test(flavor = "multi_thread")]
async fn liquidity_that_comes_back_is_no_allowance() {
    let world = World::start().await;
    let grant = world.granted(|_| {}).await;
    let (owner, manager) = (world.owner.address(), world.uniswap.positions);
    let [token0, token1] = world.sorted();
    let amount = U256::from(400 * DOLLAR);
    let params = Positions::MintParams {
        token0,
        token1,
        fee: U24::from(FEE),
        tickLower: (-600).try_into().unwrap(),
        tickUpper: 600.try_into().unwrap(),
        amount0Desired: amount,
        amount1Desired: amount,
        amount0Min: U256::ZERO,
        amount1Min: U256::ZERO,
        recipient: owner,
        deadline: U256::from(DEADLINE),
    };
    let mint = Positions::mintCall { params }.abi_encode();
    assert!(world.redeems(&grant, (3, Use::AddLiquidity), manager, &mint).await);
    world.clock.set(START + 2 * PERIOD_S);
    let id = U256::from(2);
    let positions = Positions::new(manager, &world.provider);
    let params = Positions::DecreaseLiquidityParams {
        tokenId: id,
        liquidity: positions.positions(id).call().await.unwrap().liquidity,
        amount0Min: U256::ZERO,
        amount1Min: U256::ZERO,
        deadline: U256::from(DEADLINE),
    };
    let decrease = Positions::decreaseLiquidityCall { params }.abi_encode();
    let params = Positions::CollectParams {
        tokenId: id,
        recipient: owner,
        amount0Max: u128::MAX,
        amount1Max: u128::MAX,
    };
    let collect = Positions::collectCall { params }.abi_encode();
    let compiled = grant.compiled().unwrap();
    let chain = |permission, usage| compiled.chain(permission, usage).unwrap();
    let (remove, take) = (chain(3, Use::RemoveLiquidity), chain(3, Use::Collect));
    let (first, second) = (chain(0, Use::Transfer(0)), chain(0, Use::Transfer(1)));
    let redeem = |amount: u128| {
        let (one, other) = (transfer(world.payees[0], CAP), transfer(world.payees[1], amount));
        redeem_all(&[
            (&remove, manager, &decrease),
            (&take, manager, &collect),
            (&first, world.dollar, &one),
            (&second, world.dollar, &other),
        ])
    };
    let delegations = world.economy.delegation_manager;
    let greedy = world.send(&world.agent, delegations, redeem(1)).await;
    assert!(!greedy.status(), "more than the cap left in one redemption");
    assert_eq!(world.balance(world.dollar, world.payees[0]).await, 0);
    let within = redeem_all(&[
        (&remove, manager, &decrease),
        (&take, manager, &collect),
        (&first, world.dollar, &transfer(world.payees[0], CAP)),
    ]);
    assert!(world.send(&world.agent, delegations, within).await.status());
    assert!(!world.pays(&grant, 1, world.payees[1], 1).await, "the cap is used up");
}
