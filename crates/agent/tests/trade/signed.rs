//! A run through the signer: for an owner's account, under a mandate that the chain enforces.

use std::{path::Path, sync::Arc};

use alloy::{
    primitives::{Address, U256},
    providers::Provider,
    sol_types::SolCall,
};
use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::UnixListener,
};
use vouch_agent::{
    act::{Acknowledged, ActError, ActLog, Draft},
    mandate::revoke,
    market::Chain,
    portfolio::Portfolio,
    run::{Action, Journal, Live, Outcome, Progress, Signed},
    signer::{Signer, Surroundings, serve},
};
use vouch_contracts::bindings::TestDollar;
use vouch_core::{act::Act, domain::Domain};
use vouch_wallet::Wallet;

use crate::guarded::{CHAIN, DOLLAR, START, World};

/// Counts acts.
#[derive(Debug, Default)]
struct Acts(parking_lot::Mutex<Vec<Draft>>);

impl ActLog for Acts {
    fn append(&self, act: Draft) -> BoxFuture<'_, Result<Acknowledged, ActError>> {
        let mut acts = self.0.lock();
        let (digest, index) = (act.receipt.digest(), acts.len() as u64);
        acts.push(act);
        Box::pin(async move { Ok(Acknowledged { digest, index }) })
    }

    fn acts(&self, _: usize, _: usize) -> BoxFuture<'_, Result<Vec<Act>, ActError>> {
        Box::pin(async { Err(ActError("they are not kept with promises here".into())) })
    }
}

/// The owner keeps 600 dollars and nothing else; a portfolio of both tokens on the v2 pair.
async fn portfolio(world: &World) -> Portfolio {
    let owner = world.owner.address();
    for (token, keep) in [(world.dollar, 600 * DOLLAR), (world.other, 0)] {
        let value = U256::from(world.balance(token, owner).await - keep);
        let call = TestDollar::transferCall { to: world.deployer, value };
        assert!(world.send(&world.owner, token, call.abi_encode().into()).await.status());
    }
    let tokens = [world.dollar, world.other];
    let created = world.uniswap.create_v2_pool(&world.rich, world.deployer, tokens);
    let pair = created.await.unwrap();
    Portfolio::parse(&format!(
        "name = \"guarded\"\nchain_id = {CHAIN}\nquote = \"USD\"\n\
         [[asset]]\nname = \"USD\"\naddress = \"{}\"\ndecimals = 6\nweight_bps = 5000\n\
         [[asset]]\nname = \"OTHER\"\naddress = \"{}\"\ndecimals = 6\nweight_bps = 5000\n\
         [[pool]]\nkind = \"v2\"\naddress = \"{pair}\"\n[venues]\nv2_router = \"{}\"\n\
         [limits]\nmin_trade = \"1\"\ncool_down_s = 30\n\
         [strategy]\nkind = \"rebalance\"\nband_bps = 200\n",
        world.dollar, world.other, world.uniswap.v2_router
    ))
    .unwrap()
}

/// The deployer gives the owner some of a token.
async fn give(world: &World, token: Address, amount: u128) {
    let call = TestDollar::transferCall { to: world.owner.address(), value: U256::from(amount) };
    let request = alloy::rpc::types::TransactionRequest::default()
        .from(world.deployer)
        .to(token)
        .input(alloy::primitives::Bytes::from(call.abi_encode()).into());
    let sent = world.rich.send_transaction(request).await.unwrap();
    sent.get_receipt().await.unwrap();
}

async fn pass(world: &World, live: &mut Live<'_>, time: &mut u64) -> Progress {
    *time += 100;
    world.clock.set(*time);
    let _hash: String = world.provider.raw_request("evm_mine".into(), ()).await.unwrap();
    live.step().await.unwrap()
}

fn signer(world: &World, grant: vouch_agent::mandate::Grant, acts: Arc<Acts>) -> Arc<Signer> {
    let clock = world.clock.clone();
    let surroundings = Surroundings {
        provider: world.provider.clone(),
        clock: Arc::new(move || {
            use vouch_chain::Clock;
            clock.unix_seconds() * 1_000
        }),
        log: acts,
        domain: Domain { chain: CHAIN, settlement: Address::repeat_byte(5) },
    };
    let secret = world.agent.signer().unwrap().to_bytes();
    let key = Wallet::import(&world.dir.path().join("key"), &secret, "").unwrap();
    Arc::new(Signer::open(&world.dir.path().join("signer"), grant, key, surroundings).unwrap())
}

/// Takes requests at `socket` and hangs up instead of answering.
async fn mute(signer: Arc<Signer>, socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let mut line = String::new();
        let mut stream = BufReader::new(stream);
        stream.read_line(&mut line).await.unwrap();
        signer.act(&serde_json::from_str(&line).unwrap()).await;
        drop(stream);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_trades_for_its_owner_under_a_mandate_until_that_ends() {
    for answers in [true, false] {
        let world = World::start().await;
        let grant = world.granted(|_| {}).await;
        let portfolio = portfolio(&world).await;
        let acts = Arc::new(Acts::default());
        let signer = signer(&world, grant.clone(), acts.clone());
        let socket = world.dir.path().join("run").join("signer.sock");
        let listening = {
            let (signer, socket) = (signer.clone(), socket.clone());
            tokio::spawn(async move {
                if answers {
                    serve(signer, &socket).await.unwrap();
                } else {
                    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
                    mute(signer, &socket).await;
                }
            })
        };
        while !socket.exists() {
            tokio::task::yield_now().await;
        }
        let owner = world.owner.address();
        let mandate = grant.mandate.clone();
        let executor = Signed::new(socket, mandate, portfolio.hash(), world.provider.clone());
        let journal = Journal::open(&world.dir.path().join("run-journal")).unwrap();
        let chain = Chain::new(world.provider.clone());
        let mut live = Live::open(portfolio, owner, journal, chain, &executor, None).unwrap();
        let mut time = START + 1_000;

        // Half of the dollars become the other token, in the owner's account.
        let first = pass(&world, &mut live, &mut time).await;
        let settled = if answers {
            first
        } else {
            assert!(matches!(first, Progress::Ordered(_, Outcome::Unknown)), "{first:?}");
            pass(&world, &mut live, &mut time).await
        };
        let Progress::Ordered(order, Outcome::Settled(fill)) = &settled else {
            panic!("{settled:?}")
        };
        let Action::Swap { amount_in, .. } = order.action else { panic!("{order:?}") };
        assert_eq!(amount_in, U256::from(300 * DOLLAR));
        assert_eq!(fill.spent, [(world.dollar, amount_in)]);
        assert_eq!(world.balance(world.dollar, owner).await, 300 * DOLLAR);
        assert!(world.balance(world.other, owner).await > 298 * DOLLAR);
        assert_eq!(acts.0.lock().len(), 1, "done once");
        assert_eq!(acts.0.lock()[0].receipt.model, live.machine().portfolio().hash());

        if answers {
            // The mandate has no permission for the way back.
            give(&world, world.other, 200 * DOLLAR).await;
            let next = pass(&world, &mut live, &mut time).await;
            let Progress::Ordered(_, Outcome::Failed { reason, .. }) = &next else {
                panic!("{next:?}")
            };
            assert!(reason.contains("no permission for this swap"), "{reason}");

            // Ended by the owner: the next order is refused, and nothing moves.
            give(&world, world.dollar, 900 * DOLLAR).await;
            revoke(&world.provider, &world.owner, &grant).await.unwrap();
            let before = world.balance(world.dollar, owner).await;
            let next = pass(&world, &mut live, &mut time).await;
            let Progress::Ordered(_, Outcome::Failed { reason, .. }) = &next else {
                panic!("{next:?}")
            };
            assert!(reason.contains("refused by the signer"), "{reason}");
            assert_eq!(world.balance(world.dollar, owner).await, before);
        }
        listening.abort();
    }
}
