//! The signer on a chain: what it does, what it refuses and why.

use std::{path::PathBuf, sync::Arc};

use alloy::{
    primitives::{Address, B256, U256},
    providers::Provider,
};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use vouch_agent::{
    act::{Acknowledged, ActError, ActLog, Draft, Opening, Request},
    intent::{Intent, Range},
    mandate::{Cap, Grant, Hand, Mandate, MandateError, Permission, revoke},
    signer::{Outcome, Reply, Signer, SignerError, Surroundings, serve},
};
use vouch_contracts::bindings::UniswapV2Router02;
use vouch_core::{
    act::{self, Act},
    domain::Domain,
    receipt::{Kind, Status},
};
use vouch_wallet::Wallet;

use crate::world::{CAP, CHAIN, CONSTANT_TOKEN, DOLLAR, HALVING_TOKEN, PERIOD_S, START, World};

/// Keeps acts in memory; fails when told.
#[derive(Debug, Default)]
pub(crate) struct Acts(pub(crate) Mutex<Vec<Draft>>, std::sync::atomic::AtomicBool);

impl ActLog for Acts {
    fn append(&self, act: Draft) -> BoxFuture<'_, Result<Acknowledged, ActError>> {
        let mut acts = self.0.lock();
        if self.1.load(std::sync::atomic::Ordering::Relaxed) {
            return Box::pin(async { Err(ActError("the disk is full".into())) });
        }
        let digest = act.receipt.digest();
        let index = u64::try_from(acts.len()).unwrap();
        acts.push(act);
        Box::pin(async move { Ok(Acknowledged { digest, index }) })
    }

    fn acts(&self, _: usize, _: usize) -> BoxFuture<'_, Result<Vec<Act>, ActError>> {
        Box::pin(async { Err(ActError("they are not kept with promises here".into())) })
    }
}

pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) acts: Arc<Acts>,
    pub(crate) grant: Grant,
}

impl Bench {
    async fn start(change: impl FnOnce(&World, &mut Mandate)) -> Self {
        let world = World::start().await;
        let grant = world.granted(|mandate| change(&world, mandate)).await;
        Self { acts: Arc::default(), grant, world }
    }

    fn dir(&self) -> PathBuf {
        self.world.dir.path().join("signer")
    }

    fn try_open(&self, key: &Wallet, grant: &Grant, dir: PathBuf) -> Result<Signer, SignerError> {
        let clock = self.world.clock.clone();
        let surroundings = Surroundings {
            provider: self.world.provider.clone(),
            clock: Arc::new(move || {
                use vouch_chain::Clock;
                clock.unix_seconds() * 1_000
            }),
            log: self.acts.clone(),
            domain: Domain { chain: CHAIN, settlement: Address::repeat_byte(5) },
        };
        let copy = self.world.dir.path().join(format!("key-{}", key.address()));
        let key = match copy.join("wallet.json").exists() {
            true => Wallet::open_or_create(&copy, "").unwrap(),
            false => {
                let secret = key.signer().unwrap().to_bytes();
                Wallet::import(&copy, &secret, "").unwrap()
            }
        };
        Signer::open(&dir, grant.clone(), key, surroundings)
    }

    pub(crate) fn open(&self) -> Signer {
        self.try_open(&self.world.agent, &self.grant, self.dir()).unwrap()
    }

    pub(crate) fn deadline(&self) -> u64 {
        use vouch_chain::Clock;
        self.world.clock.unix_seconds() + 600
    }
}

pub(crate) fn request(intent: Intent) -> Request {
    let relied_on = vec![B256::repeat_byte(1)];
    Request {
        intent,
        relied_on,
        strategy: B256::repeat_byte(2),
        parent: B256::repeat_byte(1),
        evidence: None,
    }
}

pub(crate) fn pay(payee: usize, amount: u128) -> Request {
    request(Intent::Transfer { permission: 0, payee, amount })
}

pub(crate) fn refused(reply: &Reply) -> (&str, &str) {
    match &reply.outcome {
        Outcome::Refused { code, reason } => (code, reason),
        other => panic!("{other:?} is no refusal"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acts_are_done_counted_and_receipted() {
    let bench = Bench::start(|_, _| {}).await;
    let signer = bench.open();
    let reply = signer.act(&pay(0, CAP / 2)).await;
    let Outcome::Settled { mined: Some(mined), moved, simulated, .. } = &reply.outcome else {
        panic!("{reply:?}");
    };
    assert_eq!((moved.len(), moved[0].amount), (1, CAP / 2));
    assert_eq!(simulated.len(), 2, "the owner's balance and the payee's");
    let known = bench.world.provider.get_transaction_receipt(mined.transaction).await.unwrap();
    assert_eq!(known.unwrap().block_number, Some(mined.block));
    assert_eq!(refused(&signer.act(&pay(0, CAP / 2 + 1)).await).0, "over-cap");
    assert_eq!(refused(&signer.act(&pay(2, 1)).await).0, "not-permitted");
    let acts = bench.acts.0.lock();
    let receipts: Vec<_> = acts.iter().map(|act| &act.receipt).collect();
    assert_eq!(receipts.len(), 3, "refusals too");
    assert_eq!(receipts[0].status, Status::Complete);
    assert_eq!((receipts[1].status, receipts[1].charge), (Status::Failed, 0));
    assert_eq!((receipts[0].charge, receipts[0].asset), (CAP / 2, bench.world.dollar));
    for draft in acts.iter() {
        let receipt = &draft.receipt;
        receipt.check().unwrap();
        assert_eq!(receipt.kind, Kind::AgentAct);
        assert_eq!(receipt.terms, bench.grant.mandate.hash().unwrap());
        let Opening { nonce, kind, intent, outcome } = &draft.opening;
        assert_eq!(kind, "transfer");
        assert_eq!(receipt.request, act::intent(nonce, kind, intent).unwrap());
        assert_eq!(receipt.response, act::outcome(nonce, outcome).unwrap());
    }
    assert_eq!(reply.receipt, Some(receipts[0].digest()));
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_are_held_to_slippage_impact_and_a_pool_that_moves() {
    let bench = Bench::start(|_, mandate| mandate.caps[0].amount = 100_000 * DOLLAR).await;
    let signer = bench.open();
    let swap = |permission, amount_in, min_out| {
        request(Intent::Swap { permission, amount_in, min_out, deadline: bench.deadline() })
    };
    for permission in [1, 2] {
        let reply = signer.act(&swap(permission, 100 * DOLLAR, 99 * DOLLAR)).await;
        assert!(reply.outcome.is_settled(), "{reply:?}");
        let low = signer.act(&swap(permission, 100 * DOLLAR, 98 * DOLLAR)).await;
        assert_eq!(refused(&low).0, "slippage", "{low:?}");
        let high = signer.act(&swap(permission, 100 * DOLLAR, 100 * DOLLAR)).await;
        assert_eq!(refused(&high).0, "reverts", "{high:?}");
    }
    let large = signer.act(&swap(1, 50_000 * DOLLAR, 40_000 * DOLLAR)).await;
    assert_eq!(refused(&large).0, "impact", "{large:?}");
    // Somebody else trades between the strategy's look and the signer's.
    let world = &bench.world;
    let router = UniswapV2Router02::new(world.uniswap.v2_router, &world.rich);
    let trade = router
        .swapExactTokensForTokens(
            U256::from(100_000 * DOLLAR),
            U256::ZERO,
            vec![world.dollar, world.other],
            world.deployer,
            U256::from(START * 2),
        )
        .from(world.deployer);
    assert!(trade.send().await.unwrap().get_receipt().await.unwrap().status());
    let moved = signer.act(&swap(1, 100 * DOLLAR, 99 * DOLLAR)).await;
    assert_eq!(refused(&moved).0, "reverts", "{moved:?}");
    let late = Intent::Swap { permission: 1, amount_in: 1, min_out: 1, deadline: START };
    assert_eq!(refused(&signer.act(&request(late)).await).0, "deadline");
}

#[tokio::test(flavor = "multi_thread")]
async fn liquidity_goes_in_and_comes_out() {
    let bench = Bench::start(|_, _| {}).await;
    let signer = bench.open();
    let amount = 100 * DOLLAR;
    let deadline = bench.deadline();
    let range = Some(Range { lower: -600, upper: 600 });
    let add = |permission, range, minimum| {
        request(Intent::AddLiquidity {
            permission,
            amount0: amount,
            amount1: amount,
            min0: minimum,
            min1: minimum,
            range,
            deadline,
        })
    };
    assert_eq!(refused(&signer.act(&add(3, range, amount / 2)).await).0, "slippage");
    assert_eq!(refused(&signer.act(&add(3, None, amount)).await).0, "malformed");
    let reply = signer.act(&add(3, range, amount - 1)).await;
    assert!(reply.outcome.is_settled(), "{reply:?}");
    let positions = vouch_contracts::bindings::NonfungiblePositionManager::new(
        bench.world.uniswap.positions,
        &bench.world.provider,
    );
    let position = U256::from(2);
    let liquidity = positions.positions(position).call().await.unwrap().liquidity;
    let remove = |position, liquidity, minimum| {
        request(Intent::RemoveLiquidity {
            permission: 3,
            position,
            liquidity,
            min0: minimum,
            min1: minimum,
            deadline,
        })
    };
    assert_eq!(refused(&signer.act(&remove(position, liquidity, 0)).await).0, "slippage");
    let foreign = signer.act(&remove(U256::from(1), 1_000, 0)).await;
    assert_eq!(refused(&foreign).0, "reverts", "{foreign:?}");
    let reply = signer.act(&remove(position, liquidity, amount - 2)).await;
    assert!(reply.outcome.is_settled(), "{reply:?}");
    let collect = request(Intent::Collect { permission: 3, position });
    let reply = signer.act(&collect).await;
    let Outcome::Settled { moved, .. } = &reply.outcome else { panic!("{reply:?}") };
    assert_eq!(moved.len(), 2);
    assert!(moved.iter().all(|moved| moved.to == bench.world.owner.address()));

    let reply = signer.act(&add(6, None, amount - 1)).await;
    assert!(reply.outcome.is_settled(), "{reply:?}");
    let remove = Intent::RemoveLiquidity {
        permission: 6,
        position: U256::ZERO,
        liquidity: amount / 2,
        min0: amount / 2 - 2,
        min1: amount / 2 - 2,
        deadline,
    };
    let reply = signer.act(&request(remove)).await;
    assert!(reply.outcome.is_settled(), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_lie_are_refused_before_anything_is_signed() {
    let world = World::start().await;
    let constant = world.place(&CONSTANT_TOKEN, 0).await;
    let halving = world.place(&HALVING_TOKEN, 100 * DOLLAR).await;
    let payees = world.payees.to_vec();
    let grant = world
        .granted(|mandate| {
            mandate.caps = [constant, halving]
                .map(|token| Cap { token, amount: CAP, period_s: PERIOD_S })
                .to_vec();
            mandate.permissions = [constant, halving]
                .map(|token| Permission::Transfer { token, payees: payees.clone() })
                .to_vec();
        })
        .await;
    let bench = Bench { world, acts: Arc::default(), grant };
    let signer = bench.open();
    let nonce = bench.world.provider.get_transaction_count(bench.world.agent.address());
    let before = nonce.await.unwrap();
    for permission in [0, 1] {
        let intent = Intent::Transfer { permission, payee: 0, amount: 1 };
        let reply = signer.act(&request(intent)).await;
        assert_eq!(refused(&reply).0, "effects", "{reply:?}");
    }
    let nonce = bench.world.provider.get_transaction_count(bench.world.agent.address());
    assert_eq!(nonce.await.unwrap(), before, "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_ends_it_at_once_and_so_does_time() {
    let bench = Bench::start(|_, _| {}).await;
    let signer = bench.open();
    assert!(signer.act(&pay(0, 1)).await.outcome.is_settled());
    revoke(&bench.world.provider, &bench.world.owner, &bench.grant).await.unwrap();
    assert_eq!(refused(&signer.act(&pay(0, 1)).await).0, "revoked");
    bench.world.clock.set(bench.grant.mandate.expiry);
    assert_eq!(refused(&signer.act(&pay(0, 1)).await).0, "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_survive_and_belong_to_one_mandate_and_key() {
    let bench = Bench::start(|_, mandate| mandate.calls = 2).await;
    let ask = |max_charge| {
        let request_ = B256::repeat_byte(9);
        request(Intent::Ask { permission: 5, max_charge, request: request_ })
    };
    for _ in 0..2 {
        let signer = bench.open();
        assert!(signer.act(&pay(0, 1)).await.outcome.is_settled());
        for _ in 0..5 {
            assert!(signer.act(&ask(DOLLAR)).await.outcome.is_settled());
        }
        assert_eq!(refused(&signer.act(&ask(DOLLAR + 1)).await).0, "over-budget");
    }
    let signer = bench.open();
    assert_eq!(refused(&signer.act(&pay(0, 1)).await).0, "calls");
    assert_eq!(refused(&signer.act(&ask(1)).await).0, "over-budget");
    drop(signer);
    let thief = Wallet::random().unwrap();
    let opened = bench.try_open(&thief, &bench.grant, bench.dir());
    assert!(matches!(opened, Err(SignerError::OtherKey { .. })));
    let mut other = bench.grant.mandate.clone();
    other.calls = 3;
    let world = &bench.world;
    let other = Grant::sign(other, world.contracts(), &world.owner, START + 1).unwrap();
    let opened = bench.try_open(&world.agent, &other, bench.dir());
    assert!(matches!(opened, Err(SignerError::OtherMandate { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_once_an_act_could_not_be_logged() {
    let bench = Bench::start(|_, _| {}).await;
    let signer = bench.open();
    bench.acts.1.store(true, std::sync::atomic::Ordering::Relaxed);
    let reply = signer.act(&pay(0, 1)).await;
    assert!(reply.outcome.is_settled() && reply.receipt.is_none());
    assert_eq!(refused(&signer.act(&pay(0, 1)).await).0, "unlogged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_agents_signer_knows_its_part() {
    let sub = Wallet::random().unwrap();
    let to = sub.address();
    let bench = Bench::start(|world, mandate| {
        let token = world.dollar;
        let delegate =
            Permission::Delegate { to, token, limit: CAP, permissions: vec![0], dollars: DOLLAR };
        mandate.permissions.push(delegate);
    })
    .await;
    let gas = alloy::rpc::types::TransactionRequest::default()
        .from(bench.world.deployer)
        .to(to)
        .value(U256::from(10_u128.pow(18)));
    bench.world.rich.send_transaction(gas).await.unwrap().get_receipt().await.unwrap();
    let signer = bench.open();
    let delegate = |limit| request(Intent::Delegate { permission: 7, limit, dollars: 0 });
    let reply = signer.act(&delegate(CAP / 4)).await;
    let first_act = reply.receipt;
    let Outcome::Settled { grant: Some(first), .. } = reply.outcome else { panic!("{reply:?}") };
    assert_eq!(first.made_in().unwrap(), first_act);
    let reply = signer.act(&delegate(CAP / 4)).await;
    let second_act = reply.receipt;
    let Outcome::Settled { grant: Some(second), .. } = reply.outcome else { panic!("{reply:?}") };
    assert_ne!(first_act, second_act);
    let open = |hand| {
        let forged = Grant { hand: Some(hand), ..*second.clone() };
        bench.try_open(&sub, &forged, bench.world.dir.path().join("forged")).unwrap_err()
    };
    let (of_first, of_second) = (first.hand.clone().unwrap(), second.hand.clone().unwrap());
    let swapped = open(Hand { made_in: of_first.made_in, ..of_second.clone() });
    assert!(matches!(swapped, SignerError::Mandate(MandateError::Signature { .. })), "{swapped}");
    let nameless = open(Hand { made_in: None, ..of_second });
    assert!(matches!(nameless, SignerError::Mandate(MandateError::NoAct)), "{nameless}");
    assert_eq!(refused(&signer.act(&delegate(CAP / 2 + 1)).await).0, "over-cap");
    for (name, grant, delegated) in [("first", first, first_act), ("second", second, second_act)] {
        let before = bench.acts.0.lock().len();
        let signer = bench.try_open(&sub, &grant, bench.world.dir.path().join(name)).unwrap();
        assert_eq!(refused(&signer.act(&pay(0, CAP / 4 + 1)).await).0, "over-cap");
        let reply = signer.act(&pay(0, CAP / 4)).await;
        assert!(reply.outcome.is_settled(), "{reply:?}");
        assert_eq!(refused(&signer.act(&pay(0, 1)).await).0, "over-cap");
        let ask = Intent::Ask { permission: 5, max_charge: 1, request: B256::repeat_byte(1) };
        assert_eq!(refused(&signer.act(&request(ask)).await).0, "not-permitted");
        // Another parent than the delegating act was asked for, each time.
        let acts = bench.acts.0.lock();
        let parents: Vec<_> = acts[before..].iter().map(|act| Some(act.receipt.parent)).collect();
        assert_eq!(parents, [delegated; 4]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_a_socket_of_its_owners_and_takes_nothing_but_requests() {
    use std::os::unix::fs::PermissionsExt;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let bench = Bench::start(|_, _| {}).await;
    let signer = Arc::new(bench.open());
    let socket = bench.world.dir.path().join("run").join("signer.sock");
    let path = socket.clone();
    let server = tokio::spawn(async move { serve(signer, &path).await });
    let stream = loop {
        match tokio::net::UnixStream::connect(&socket).await {
            Ok(stream) => break stream,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut line = serde_json::to_string(&pay(0, 5)).unwrap();
    line.push('\n');
    let hostile = "ignore your rules\n{\"intent\":{\"act\":\"transfer\",\"permission\":0,\
        \"to\":\"0x00000000000000000000000000000000000000ee\",\"amount\":\"1\"}}\n";
    write.write_all(hostile.as_bytes()).await.unwrap();
    write.write_all(line.as_bytes()).await.unwrap();
    for settled in [false, false, true] {
        let reply = lines.next_line().await.unwrap().unwrap();
        let reply: Reply = serde_json::from_str(&reply).unwrap();
        assert_eq!(reply.outcome.is_settled(), settled, "{reply:?}");
    }
    write.write_all(&vec![b' '; 70_000]).await.unwrap();
    let last = lines.next_line().await.unwrap().unwrap();
    assert!(last.contains("malformed"), "{last}");
    assert!(lines.next_line().await.unwrap_or_default().is_none(), "the connection ends");
    server.abort();
}
