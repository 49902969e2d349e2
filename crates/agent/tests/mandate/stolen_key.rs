//! The agent's key in the hands of an adversary, who sends what it likes straight to the chain.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, Bytes, U256, aliases::U24},
    providers::Provider,
    sol_types::{SolCall, SolValue},
};
use vouch_agent::mandate::{Cap, Delegation, Permission, Use, hash_of, redeem_all, signed};
use vouch_contracts::bindings::{
    DelegationManager, Erc20, NonfungiblePositionManager as Positions, SwapRouter02,
    UniswapV2Router02, VouchGovernor,
};

use crate::{
    random::{Random, seed, steps},
    world::{CAP, DOLLAR, FEE, OTHER_CAP, PERIOD_S, START, World},
};

type Chain = (usize, Use, Vec<Delegation>);

/// What an adversary may think of.
struct Adversary<'a> {
    world: &'a World,
    chains: Vec<Chain>,
    now: u64,
}

impl Adversary<'_> {
    fn account(&self, random: &mut Random) -> Address {
        let world = self.world;
        let (owner, agent) = (world.owner.address(), world.agent.address());
        let known = [owner, agent, world.payees[0], world.payees[1], world.uniswap.v2_router];
        if random.one_in(2) { owner } else { *random.pick(&known) }
    }

    fn token(&self, random: &mut Random) -> Address {
        *random.pick(&[self.world.dollar, self.world.other])
    }

    /// The call that a leaf is for, with arguments that are right more often than not.
    fn call(&self, random: &mut Random, usage: Use, permission: usize) -> (Address, Vec<u8>) {
        let world = self.world;
        let amount = U256::from(random.amount(CAP.min(OTHER_CAP)));
        let deadline = U256::from(self.now + 1_000);
        let [token0, token1] = world.sorted();
        let to = match random.one_in(5) {
            true => self.account(random),
            false => world.owner.address(),
        };
        let zero = U256::ZERO;
        match (usage, permission) {
            (Use::Transfer(index), _) => {
                let to = if random.one_in(5) { self.account(random) } else { world.payees[index] };
                (world.dollar, Erc20::transferCall { to, value: amount }.abi_encode())
            }
            (Use::Swap, 1) => {
                let mut path = vec![world.dollar, world.other];
                if random.one_in(5) {
                    path.reverse();
                }
                let call = UniswapV2Router02::swapExactTokensForTokensCall {
                    amountIn: amount,
                    amountOutMin: zero,
                    path,
                    to,
                    deadline,
                };
                (world.uniswap.v2_router, call.abi_encode())
            }
            (Use::Swap, _) => {
                let params = SwapRouter02::ExactInputSingleParams {
                    tokenIn: world.other,
                    tokenOut: world.dollar,
                    fee: U24::from(FEE),
                    recipient: to,
                    amountIn: amount,
                    amountOutMinimum: zero,
                    sqrtPriceLimitX96: Default::default(),
                };
                let data = SwapRouter02::exactInputSingleCall { params }.abi_encode();
                (world.uniswap.router, data)
            }
            (Use::AddLiquidity, 3) => {
                let params = Positions::MintParams {
                    token0,
                    token1,
                    fee: U24::from(FEE),
                    tickLower: (-6_000).try_into().unwrap(),
                    tickUpper: 6_000.try_into().unwrap(),
                    amount0Desired: amount,
                    amount1Desired: amount,
                    amount0Min: zero,
                    amount1Min: zero,
                    recipient: to,
                    deadline,
                };
                (world.uniswap.positions, Positions::mintCall { params }.abi_encode())
            }
            (Use::RemoveLiquidity, 3) => {
                let params = Positions::DecreaseLiquidityParams {
                    tokenId: U256::from(1 + random.below(20)),
                    liquidity: random.amount(CAP),
                    amount0Min: zero,
                    amount1Min: zero,
                    deadline,
                };
                (world.uniswap.positions, Positions::decreaseLiquidityCall { params }.abi_encode())
            }
            (Use::Collect, _) => {
                let params = Positions::CollectParams {
                    tokenId: U256::from(1 + random.below(20)),
                    recipient: to,
                    amount0Max: u128::MAX,
                    amount1Max: u128::MAX,
                };
                (world.uniswap.positions, Positions::collectCall { params }.abi_encode())
            }
            (Use::AddLiquidity, _) => {
                let call = UniswapV2Router02::addLiquidityCall {
                    tokenA: token0,
                    tokenB: token1,
                    amountADesired: amount,
                    amountBDesired: amount,
                    amountAMin: zero,
                    amountBMin: zero,
                    to,
                    deadline,
                };
                (world.uniswap.v2_router, call.abi_encode())
            }
            (Use::RemoveLiquidity, _) => {
                let call = UniswapV2Router02::removeLiquidityCall {
                    tokenA: token0,
                    tokenB: token1,
                    liquidity: amount,
                    amountAMin: zero,
                    amountBMin: zero,
                    to,
                    deadline,
                };
                (world.uniswap.v2_router, call.abi_encode())
            }
            (Use::Vote, _) => {
                let call = VouchGovernor::castVoteWithReasonCall {
                    proposalId: amount,
                    support: 1,
                    reason: "because".into(),
                };
                (world.economy.governor, call.abi_encode())
            }
        }
    }

    /// A call that no leaf is for.
    fn other_call(&self, random: &mut Random) -> (Address, Vec<u8>) {
        let (owner, thief) = (self.world.owner.address(), self.world.agent.address());
        let amount = U256::from(random.amount(CAP));
        let target = self.token(random);
        match random.below(5) {
            0 => (target, Erc20::approveCall { spender: thief, value: U256::MAX }.abi_encode()),
            1 => {
                let call = Erc20::transferFromCall { from: owner, to: thief, value: amount };
                (target, call.abi_encode())
            }
            2 => (target, Erc20::transferCall { to: thief, value: amount }.abi_encode()),
            3 => {
                let data = Erc20::approveCall { spender: thief, value: amount }.abi_encode();
                let packed = [target.as_slice(), &[0; 32], &data].concat();
                let execute =
                    vouch_contracts::bindings::EIP7702StatelessDeleGator::executeFromExecutorCall {
                        mode: B256::ZERO,
                        executionCalldata: packed.into(),
                    };
                (owner, execute.abi_encode())
            }
            _ => (owner, random.next().to_be_bytes().to_vec()),
        }
    }

    /// One link of a chain is bent.
    fn tamper(&self, random: &mut Random, chain: &mut Vec<Delegation>) {
        let link = random.below(chain.len());
        match random.below(9) {
            0 => drop(chain[link].caveats.pop()),
            1 => chain[link].caveats.clear(),
            2 => drop(chain.remove(link)),
            3 => chain[link].delegate = self.world.agent.address(),
            4 => chain[link].authority = B256::repeat_byte(0xff),
            5 => chain[link].salt += U256::from(1),
            6 => {
                let count = chain[link].caveats.len();
                let terms = chain[link].caveats[random.below(count)].terms.to_vec();
                let mut terms = terms;
                if let Some(last) = terms.last_mut() {
                    *last ^= 1;
                }
                chain[link].caveats[0].terms = terms.into();
            }
            7 => chain.swap(0, link),
            _ => {
                // A link of its own on top, as if handed on to itself without any caveat.
                let own = Delegation {
                    delegate: self.world.agent.address(),
                    delegator: self.world.agent.address(),
                    authority: hash_of(&chain[0]),
                    caveats: Vec::new(),
                    salt: U256::from(random.next()),
                    signature: Bytes::new(),
                };
                let own = signed(own, &self.world.contracts(), &self.world.agent).unwrap();
                chain.insert(0, own);
            }
        }
    }

    /// Where to, and the calldata.
    fn attack(&self, random: &mut Random) -> (Address, Bytes) {
        let manager = self.world.economy.delegation_manager;
        if random.one_in(30) {
            let (target, data) = self.other_call(random);
            return (target, data.into());
        }
        let count = if random.one_in(4) { 1 + random.below(4) } else { 1 };
        let mut calls = Vec::new();
        for _ in 0..count {
            let (permission, usage, mut chain) = random.pick(&self.chains).clone();
            let (mut target, mut data) = match random.one_in(12) {
                true => self.other_call(random),
                false => self.call(random, usage, permission),
            };
            if random.one_in(8) {
                self.tamper(random, &mut chain);
            }
            if random.one_in(15) && !data.is_empty() {
                let at = random.below(data.len());
                data[at] ^= 1 << random.below(8);
            }
            if random.one_in(30) {
                data.extend(random.next().to_be_bytes());
            }
            if random.one_in(30) {
                target = self.token(random);
            }
            calls.push((chain, target, data));
        }
        let borrowed: Vec<_> =
            calls.iter().map(|(c, t, d)| (c.as_slice(), *t, d.as_slice())).collect();
        let redemption = redeem_all(&borrowed);
        if !random.one_in(10) {
            return (manager, redemption);
        }
        // Other execution modes: batches, tries, and nonsense.
        let mut call = DelegationManager::redeemDelegationsCall::abi_decode(&redemption).unwrap();
        for mode in &mut call.modes {
            mode[0] = *random.pick(&[0, 1, 1, 0xff, 0x02]);
            mode[1] = *random.pick(&[0, 1]);
        }
        for (execution, (_, target, data)) in call.executionCallDatas.iter_mut().zip(&calls) {
            if random.one_in(2) {
                let twice = vec![(*target, U256::ZERO, Bytes::from(data.clone())); 2];
                *execution = twice.abi_encode().into();
            } else if random.one_in(3) {
                let value = U256::from(random.next()).to_be_bytes::<32>();
                *execution = [target.as_slice(), &value, data].concat().into();
            }
        }
        (manager, call.abi_encode().into())
    }
}

/// What the owner had before, and what each period has seen leave.
struct Watch {
    tokens: Vec<(Address, Cap)>,
    before: Vec<u128>,
    fallen: BTreeMap<(Address, u64), u128>,
    payees: [u128; 2],
    paid: BTreeMap<(Address, u64), u128>,
    coin: U256,
}

impl Watch {
    async fn balances(world: &World, tokens: &[(Address, Cap)]) -> Vec<u128> {
        let mut balances = Vec::new();
        for (token, _) in tokens {
            balances.push(world.balance(*token, world.owner.address()).await);
        }
        balances
    }

    async fn check(&mut self, world: &World, now: u64, step: usize) {
        let after = Self::balances(world, &self.tokens).await;
        for (index, (token, cap)) in self.tokens.iter().enumerate() {
            let fall = self.before[index].saturating_sub(after[index]);
            let sum = self.fallen.entry((*token, (now - START) / cap.period_s)).or_default();
            *sum += fall;
            assert!(*sum <= cap.amount, "step {step}: {sum} of {token} left in one period");
        }
        self.before = after;
        for (payee, before) in world.payees.into_iter().zip(&mut self.payees) {
            let after = world.balance(world.dollar, payee).await;
            let sum = self.paid.entry((payee, (now - START) / PERIOD_S)).or_default();
            *sum += after - std::mem::replace(before, after);
            assert!(*sum <= CAP, "step {step}: {payee} got {sum} in one period");
        }
        let owner = world.owner.address();
        let coin = world.provider.get_balance(owner).await.unwrap();
        assert_eq!(coin, self.coin, "step {step}: the owner's coin changed");
    }
}

async fn run(count: usize) {
    let world = World::start().await;
    let grant = world.granted(|mandate| mandate.expiry = START + 4_000 * PERIOD_S).await;
    let owner = world.owner.address();
    let chains = grant.chains().unwrap();
    let tokens: Vec<_> = grant.mandate.caps.iter().map(|cap| (cap.token, *cap)).collect();
    let before = Watch::balances(&world, &tokens).await;
    let coin = world.provider.get_balance(owner).await.unwrap();
    let mut watch = Watch {
        tokens,
        before,
        fallen: BTreeMap::new(),
        payees: [0; 2],
        paid: BTreeMap::new(),
        coin,
    };
    let mut adversary = Adversary { world: &world, chains, now: START + 100 };
    let mut random = Random(seed());
    let (mut through, began) = (0_usize, std::time::Instant::now());
    let worst = DOLLAR;
    for step in 0..count {
        if random.one_in(20) {
            adversary.now += random.next() % (PERIOD_S / 2);
            adversary.now = adversary.now.min(grant.mandate.expiry - 1);
            world.clock.set(adversary.now);
        }
        let (to, data) = adversary.attack(&mut random);
        through += usize::from(world.send(&world.agent, to, data).await.status());
        watch.check(&world, adversary.now, step).await;
    }
    for (token, _) in &watch.tokens {
        let allowed = Erc20::new(*token, &world.provider);
        let allowed = allowed.allowance(owner, world.agent.address()).call().await.unwrap();
        assert_eq!(allowed, U256::ZERO, "the thief has an allowance");
    }
    assert!(through > count / 20, "only {through} of {count} went through: too tame");
    assert!(watch.fallen.values().any(|sum| *sum > worst), "nothing was ever spent");
    let used: Vec<_> = watch.fallen.values().filter(|sum| **sum > 0).collect();
    eprintln!(
        "{count} transactions in {:?}: {through} went through, {} periods with spending, most {:?}",
        began.elapsed(),
        used.len(),
        used.iter().max()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_transactions_take_no_more_than_the_mandate_allows() {
    run(steps(2_000)).await;
}

#[tokio::test]
async fn permissions_stand_where_the_adversary_expects_them() {
    let world = World::start().await;
    let mandate = world.mandate();
    assert!(
        matches!(mandate.permissions[1], Permission::Swap { sell, .. } if sell == world.dollar)
    );
    assert!(matches!(mandate.permissions[3], Permission::Liquidity { manager, .. }
        if manager == world.uniswap.positions));
}
