//! Snapshots from a chain: every read of one is at one block, batched by Multicall3.

use alloy::{
    eips::BlockId,
    providers::{DynProvider, MULTICALL3_ADDRESS, Provider},
    rpc::types::TransactionRequest,
    sol_types::SolCall,
};
use alloy_primitives::{Address, Bytes, U256, aliases::I24};
use vouch_contracts::bindings::{
    Erc20, NonfungiblePositionManager as Positions, UniswapV2Pair, UniswapV3Pool,
};

use super::{
    Error, Pool, Position, Result, Snapshot,
    tick::{MAX_TICK, MIN_TICK},
    v2, v3,
};
use crate::mandate::abi::Multicall;

/// Bitmap words that are read at each side of a v3 price: 256 spacings each.
const WORDS_EACH_SIDE: i32 = 4;
/// Calls in one batch; gas of `eth_call` is bounded on public nodes.
const BATCH: usize = 250;
/// An account's v3 positions that are looked at.
const MAX_POSITIONS: u64 = 64;

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// Whose balances and positions.
    pub account: Address,
    /// Tokens.
    pub tokens: Vec<Address>,
    /// Pools of v2.
    pub pairs: Vec<Address>,
    /// Pools of v3.
    pub pools: Vec<Address>,
    /// The v3 position manager, if positions are watched.
    pub positions: Option<Address>,
}

/// Reads snapshots.
#[derive(Debug, Clone)]
pub struct Chain {
    provider: DynProvider,
    multicall: Address,
}

/// Calls for one batch and where they go.
#[derive(Default)]
struct Calls(Vec<Multicall::Call3>);

impl Calls {
    fn push<C: SolCall>(&mut self, target: Address, call: &C) {
        let call_data = call.abi_encode().into();
        self.0.push(Multicall::Call3 { target, allowFailure: true, callData: call_data });
    }
}

/// Answers of a batch, taken in order.
struct Answers(std::vec::IntoIter<(Address, Option<Bytes>)>);

impl Answers {
    fn take<C: SolCall>(&mut self, expected: &'static str) -> Result<C::Return> {
        let none = Error::NotA { address: Address::ZERO, expected };
        let (address, bytes) = self.0.next().ok_or(none)?;
        let decoded = bytes.and_then(|bytes| C::abi_decode_returns(&bytes).ok());
        decoded.ok_or(Error::NotA { address, expected })
    }
}

impl Chain {
    /// Reads over `provider`, through the Multicall3 at its usual address.
    #[must_use]
    pub fn new(provider: DynProvider) -> Self {
        Self { provider, multicall: MULTICALL3_ADDRESS }
    }

    /// The provider.
    #[must_use]
    pub fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// The newest block's number.
    ///
    /// # Errors
    /// [`Error::Rpc`].
    pub async fn head(&self) -> Result<u64> {
        self.provider.get_block_number().await.map_err(Error::rpc("for its newest block"))
    }

    /// What is watched, as of the newest block.
    ///
    /// # Errors
    /// [`Error::Rpc`], and [`Error::NotA`] if an address holds something else than was said.
    pub async fn snapshot(&self, watch: &Watch) -> Result<Snapshot> {
        let block = self.provider.get_block(BlockId::latest()).await;
        let block = block.map_err(Error::rpc("for its newest block"))?;
        let none = Error::NotA { address: Address::ZERO, expected: "a chain with blocks" };
        let header = block.ok_or(none)?.header;
        let at = BlockId::hash(header.hash);
        let mut pools = Vec::with_capacity(watch.pairs.len() + watch.pools.len());
        let mut calls = Calls::default();
        for token in &watch.tokens {
            calls.push(*token, &Erc20::balanceOfCall { account: watch.account });
        }
        for pair in &watch.pairs {
            ask_pair(&mut calls, *pair, watch.account);
        }
        for pool in &watch.pools {
            ask_pool(&mut calls, *pool);
        }
        let mut answers = self.batch(calls, at).await?;
        let mut balances = std::collections::BTreeMap::new();
        for token in &watch.tokens {
            balances.insert(*token, answers.take::<Erc20::balanceOfCall>("a token")?);
        }
        let mut positions = Vec::new();
        for pair in &watch.pairs {
            let (pair, shares) = take_pair(&mut answers, *pair)?;
            if !shares.is_zero() {
                positions.push(shares_of(&pair, shares)?);
            }
            pools.push(Pool::V2(pair));
        }
        for pool in &watch.pools {
            let bare = take_pool(&mut answers, *pool)?;
            pools.push(Pool::V3(self.with_ticks(bare, at).await?));
        }
        if let Some(manager) = watch.positions {
            positions.extend(self.positions(manager, watch.account, &pools, at).await?);
        }
        let ether = self.provider.get_balance(watch.account).block_id(at).await;
        Ok(Snapshot {
            number: header.number,
            hash: header.hash,
            time: header.timestamp,
            gas_price: header.base_fee_per_gas.map_or(0, u128::from),
            ether: ether.map_err(Error::rpc("for a balance"))?,
            balances,
            pools,
            positions,
        })
    }

    async fn batch(&self, calls: Calls, at: BlockId) -> Result<Answers> {
        let contract = Multicall::new(self.multicall, &self.provider);
        let mut answers = Vec::with_capacity(calls.0.len());
        for part in calls.0.chunks(BATCH) {
            let results = contract.aggregate3(part.to_vec()).block(at).call().await;
            let results = results.map_err(Error::rpc("a batch of reads (Multicall3)"))?;
            let results = part
                .iter()
                .zip(results)
                .map(|(call, result)| (call.target, result.success.then_some(result.returnData)));
            answers.extend(results);
        }
        Ok(Answers(answers.into_iter()))
    }

    /// Reads the bitmap around the price, then the ticks that it names.
    async fn with_ticks(&self, mut pool: v3::Pool, at: BlockId) -> Result<v3::Pool> {
        let expected = "a Uniswap v3 pool";
        let centre = v3::word_of(pool.tick, pool.spacing);
        let first = (centre - WORDS_EACH_SIDE).max(v3::word_of(MIN_TICK, pool.spacing));
        let last = (centre + WORDS_EACH_SIDE).min(v3::word_of(MAX_TICK, pool.spacing));
        let mut calls = Calls::default();
        for word in first..=last {
            let word =
                i16::try_from(word).map_err(|_| Error::NotA { address: pool.address, expected })?;
            calls.push(pool.address, &UniswapV3Pool::tickBitmapCall(word));
        }
        let mut answers = self.batch(calls, at).await?;
        let mut indices = Vec::new();
        for word in first..=last {
            let bits: U256 = answers.take::<UniswapV3Pool::tickBitmapCall>(expected)?;
            let set = (0..256usize).filter(|bit| bits.bit(*bit));
            indices.extend(set.map(|bit| ((word << 8) + bit as i32) * pool.spacing));
        }
        let mut calls = Calls::default();
        for index in &indices {
            let tick = I24::try_from(*index)
                .map_err(|_| Error::NotA { address: pool.address, expected })?;
            calls.push(pool.address, &UniswapV3Pool::ticksCall(tick));
        }
        let mut answers = self.batch(calls, at).await?;
        for index in indices {
            let tick = answers.take::<UniswapV3Pool::ticksCall>(expected)?;
            pool.ticks.push(v3::Tick { index, net: tick.liquidityNet });
        }
        pool.words = (first, last);
        Ok(pool)
    }

    /// The account's positions in `pools`. What could be collected is what `collect` would give.
    async fn positions(
        &self,
        manager: Address,
        account: Address,
        pools: &[Pool],
        at: BlockId,
    ) -> Result<Vec<Position>> {
        let expected = "a Uniswap v3 position manager";
        let contract = Positions::new(manager, &self.provider);
        let count = contract.balanceOf(account).block(at).call().await;
        let count = count.map_err(|_| Error::NotA { address: manager, expected })?;
        let count = u64::try_from(count).unwrap_or(u64::MAX).min(MAX_POSITIONS);
        let mut calls = Calls::default();
        for index in 0..count {
            let call =
                Positions::tokenOfOwnerByIndexCall { owner: account, index: U256::from(index) };
            calls.push(manager, &call);
        }
        let mut answers = self.batch(calls, at).await?;
        let mut ids = Vec::new();
        let mut calls = Calls::default();
        for _ in 0..count {
            let id = answers.take::<Positions::tokenOfOwnerByIndexCall>(expected)?;
            calls.push(manager, &Positions::positionsCall { tokenId: id });
            ids.push(id);
        }
        let mut answers = self.batch(calls, at).await?;
        let mut found = Vec::new();
        for id in ids {
            let position = answers.take::<Positions::positionsCall>(expected)?;
            let pool = pools.iter().find(|pool| {
                matches!(pool, Pool::V3(pool) if pool.fee == position.fee.to::<u32>())
                    && pool.tokens() == (position.token0, position.token1)
            });
            let Some(pool) = pool else { continue };
            let (owed0, owed1) = match self.collectable(manager, account, id, at).await? {
                Some(owed) => owed,
                None => (U256::from(position.tokensOwed0), U256::from(position.tokensOwed1)),
            };
            if position.liquidity == 0 && owed0.is_zero() && owed1.is_zero() {
                continue;
            }
            found.push(Position {
                pool: pool.address(),
                id,
                lower: position.tickLower.as_i32(),
                upper: position.tickUpper.as_i32(),
                liquidity: position.liquidity,
                owed0,
                owed1,
            });
        }
        Ok(found)
    }

    async fn collectable(
        &self,
        manager: Address,
        account: Address,
        id: U256,
        at: BlockId,
    ) -> Result<Option<(U256, U256)>> {
        let call = Positions::collectCall {
            params: Positions::CollectParams {
                tokenId: id,
                recipient: account,
                amount0Max: u128::MAX,
                amount1Max: u128::MAX,
            },
        };
        let request = TransactionRequest::default()
            .from(account)
            .to(manager)
            .input(alloy::primitives::Bytes::from(call.abi_encode()).into());
        match self.provider.call(request).block(at).await {
            Ok(bytes) => {
                let owed = Positions::collectCall::abi_decode_returns(&bytes).ok();
                Ok(owed.map(|owed| (owed.amount0, owed.amount1)))
            }
            // A node that answers with a revert has nothing to collect.
            Err(error) if error.as_error_resp().is_some() => Ok(None),
            Err(error) => Err(Error::rpc("for a position's fees")(error)),
        }
    }
}

fn ask_pair(calls: &mut Calls, pair: Address, account: Address) {
    calls.push(pair, &UniswapV2Pair::token0Call {});
    calls.push(pair, &UniswapV2Pair::token1Call {});
    calls.push(pair, &UniswapV2Pair::getReservesCall {});
    calls.push(pair, &UniswapV2Pair::totalSupplyCall {});
    calls.push(pair, &UniswapV2Pair::balanceOfCall(account));
}

fn take_pair(answers: &mut Answers, address: Address) -> Result<(v2::Pair, U256)> {
    let expected = "a Uniswap v2 pair";
    let token0 = answers.take::<UniswapV2Pair::token0Call>(expected)?;
    let token1 = answers.take::<UniswapV2Pair::token1Call>(expected)?;
    let reserves = answers.take::<UniswapV2Pair::getReservesCall>(expected)?;
    let supply = answers.take::<UniswapV2Pair::totalSupplyCall>(expected)?;
    let shares = answers.take::<UniswapV2Pair::balanceOfCall>(expected)?;
    let (reserve0, reserve1) = (U256::from(reserves.reserve0), U256::from(reserves.reserve1));
    Ok((v2::Pair { address, token0, token1, reserve0, reserve1, supply }, shares))
}

fn shares_of(pair: &v2::Pair, shares: U256) -> Result<Position> {
    let liquidity = u128::try_from(shares).map_err(|_| Error::Overflow { pool: pair.address })?;
    Ok(Position {
        pool: pair.address,
        id: U256::ZERO,
        lower: 0,
        upper: 0,
        liquidity,
        owed0: U256::ZERO,
        owed1: U256::ZERO,
    })
}

fn ask_pool(calls: &mut Calls, pool: Address) {
    calls.push(pool, &UniswapV3Pool::token0Call {});
    calls.push(pool, &UniswapV3Pool::token1Call {});
    calls.push(pool, &UniswapV3Pool::feeCall {});
    calls.push(pool, &UniswapV3Pool::tickSpacingCall {});
    calls.push(pool, &UniswapV3Pool::slot0Call {});
    calls.push(pool, &UniswapV3Pool::liquidityCall {});
}

fn take_pool(answers: &mut Answers, address: Address) -> Result<v3::Pool> {
    let expected = "a Uniswap v3 pool";
    let token0 = answers.take::<UniswapV3Pool::token0Call>(expected)?;
    let token1 = answers.take::<UniswapV3Pool::token1Call>(expected)?;
    let fee = answers.take::<UniswapV3Pool::feeCall>(expected)?.to::<u32>();
    let spacing = answers.take::<UniswapV3Pool::tickSpacingCall>(expected)?.as_i32();
    let slot = answers.take::<UniswapV3Pool::slot0Call>(expected)?;
    let liquidity = answers.take::<UniswapV3Pool::liquidityCall>(expected)?;
    let tick = slot.tick.as_i32();
    // What a stranger's contract says must not reach arithmetic that trusts it.
    let sane = spacing > 0 && fee < v3::PIPS && (MIN_TICK..=MAX_TICK).contains(&tick);
    if !sane || slot.sqrtPriceX96.is_zero() {
        return Err(Error::NotA { address, expected });
    }
    Ok(v3::Pool {
        address,
        token0,
        token1,
        fee,
        spacing,
        sqrt_price: U256::from(slot.sqrtPriceX96),
        tick,
        liquidity,
        words: (0, 0),
        ticks: Vec::new(),
    })
}
