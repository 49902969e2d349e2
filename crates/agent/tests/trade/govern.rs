//! A delegate in the protocol's own governance: votes, is overruled, and what passes is executed.

use alloy::{
    primitives::{Address, Bytes, U256, keccak256},
    providers::Provider,
    sol_types::SolCall,
};
use vouch_agent::{
    govern::{Delegate, Policy, Voted},
    intent::Support,
    market::Chain,
    run::{Action, Effect, Entry, Journal, Outcome},
};
use vouch_contracts::{
    Economy, Governance,
    bindings::{ProtocolParameters, VouchGovernor, VouchVotes},
    deploy_economy,
};
use vouch_wallet::Wallet;

use crate::{
    live::direct,
    world::{START, World, signing},
};

/// The governance, an owner with a tenth of the votes who has delegated them to the agent.
struct Dao {
    world: World,
    economy: Economy,
    owner: Wallet,
    time: u64,
}

impl Dao {
    async fn new() -> Self {
        let world = World::new().await;
        let owner = Wallet::random().unwrap();
        let governance = Governance::development(world.whale_address);
        let economy = deploy_economy(&world.whale, world.whale_address, &governance).await.unwrap();
        let ether = alloy::rpc::types::TransactionRequest::default()
            .from(world.whale_address)
            .to(owner.address())
            .value(U256::from(10u64.pow(18)));
        world.whale.send_transaction(ether).await.unwrap().get_receipt().await.unwrap();
        let part = governance.supply / U256::from(10);
        world
            .call(economy.votes, VouchVotes::transferCall { to: owner.address(), value: part })
            .await;
        // The whale proposes with votes of its own, and leaves the vote to the delegate.
        let delegatee = world.whale_address;
        world.call(economy.votes, VouchVotes::delegateCall { delegatee }).await;
        let votes = VouchVotes::new(economy.votes, signing(&world.chain, &owner));
        let delegated = votes.delegate(world.agent.address()).send().await.unwrap();
        assert!(delegated.get_receipt().await.unwrap().status());
        Self { world, economy, owner, time: START }
    }

    fn policy(&self) -> Policy {
        let (governor, parameters) = (self.economy.governor, self.economy.parameters);
        Policy::parse(&format!(
            "governor = \"{governor}\"\nparameters = \"{parameters}\"\n\
             [fee_share_bps]\nmax = 500\nstep = 300\n"
        ))
        .unwrap()
    }

    async fn pass(&mut self, seconds: u64) {
        self.time += seconds;
        self.world.clock.set(self.time);
        let provider = self.world.chain.provider();
        let _hash: String = provider.raw_request("evm_mine".into(), ()).await.unwrap();
    }

    /// Proposes one call, and lets the vote begin.
    async fn propose(&mut self, target: Address, data: Vec<u8>, description: &str) -> U256 {
        self.pass(2).await;
        let call = VouchGovernor::proposeCall {
            targets: vec![target],
            values: vec![U256::ZERO],
            calldatas: vec![data.into()],
            description: description.into(),
        };
        let receipt = self.world.call(self.economy.governor, call).await;
        self.pass(2).await;
        receipt.decoded_log::<VouchGovernor::ProposalCreated>().unwrap().proposalId
    }

    fn governor(&self) -> VouchGovernor::VouchGovernorInstance<alloy::providers::DynProvider> {
        VouchGovernor::new(self.economy.governor, self.world.chain.provider())
    }
}

fn fee(value: u16) -> Vec<u8> {
    ProtocolParameters::setFeeShareBpsCall { value }.abi_encode()
}

fn support(voted: &[Voted]) -> Support {
    let [Voted { order, outcome: Outcome::Settled(_) }] = voted else { panic!("{voted:?}") };
    let Action::Vote { support, .. } = order.action else { panic!("{order:?}") };
    support
}

#[tokio::test(flavor = "multi_thread")]
async fn votes_by_policy_is_overruled_and_what_passes_is_executed() {
    let mut dao = Dao::new().await;
    let dir = tempfile::tempdir().unwrap();
    let executor = direct(&dao.world);
    let account = (dao.world.chain.chain_id(), dao.world.agent.address());
    let chain = Chain::new(dao.world.chain.provider());
    let open = |executor| {
        let journal = Journal::open(dir.path()).unwrap();
        Delegate::open(dao.policy(), account, journal, chain.clone(), executor, None, 0).unwrap()
    };
    let mut delegate = open(&executor);
    assert!(delegate.step().await.unwrap().is_empty(), "nothing to vote on");

    // Within the policy: for, with the reason on the chain, and once.
    let parameters = dao.economy.parameters;
    let small = dao.propose(parameters, fee(250), "a small fee").await;
    let voted = delegate.step().await.unwrap();
    assert_eq!(support(&voted), Support::For);
    assert!(voted[0].order.reason.contains("fee_share_bps from 0 to 250"), "{voted:?}");
    assert!(delegate.step().await.unwrap().is_empty(), "one vote a proposal");
    drop(delegate);
    let mut delegate = Delegate::open(
        dao.policy(),
        account,
        Journal::open(dir.path()).unwrap(),
        chain.clone(),
        &executor,
        None,
        0,
    )
    .unwrap();
    assert!(delegate.step().await.unwrap().is_empty(), "nor after a restart");
    let tenth = Governance::development(Address::ZERO).supply / U256::from(10);
    let count = dao.governor().proposalVotes(small).call().await.unwrap();
    assert_eq!((count.forVotes, count.againstVotes), (tenth, U256::ZERO));

    // It passes the quorum, waits in the timelock and is executed.
    dao.pass(21).await;
    let (targets, values) = (vec![parameters], vec![U256::ZERO]);
    let calldatas: Vec<Bytes> = vec![fee(250).into()];
    let description = keccak256("a small fee");
    let queue = VouchGovernor::queueCall {
        targets: targets.clone(),
        values: values.clone(),
        calldatas: calldatas.clone(),
        descriptionHash: description,
    };
    dao.world.call(dao.economy.governor, queue).await;
    dao.pass(3).await;
    let execute =
        VouchGovernor::executeCall { targets, values, calldatas, descriptionHash: description };
    dao.world.call(dao.economy.governor, execute).await;
    let contract = ProtocolParameters::new(parameters, dao.world.chain.provider());
    assert_eq!(contract.feeShareBps().call().await.unwrap(), 250);

    // A step too far, from what it is now, and calls that are not understood, however described.
    dao.propose(parameters, fee(600), "URGENT: all delegates must vote for this").await;
    assert_eq!(support(&delegate.step().await.unwrap()), Support::Against);
    let takeover = ProtocolParameters::transferOwnershipCall { newOwner: dao.world.whale_address };
    dao.propose(parameters, takeover.abi_encode(), "a small fee, again").await;
    assert_eq!(support(&delegate.step().await.unwrap()), Support::Against);
    let elsewhere = dao.world.tokens[0];
    dao.propose(elsewhere, fee(300), "another contract").await;
    assert_eq!(support(&delegate.step().await.unwrap()), Support::Against);

    // The owner overrules the delegate while the vote is open.
    let contested = dao.propose(parameters, fee(400), "a larger fee").await;
    assert_eq!(support(&delegate.step().await.unwrap()), Support::For);
    let owner = signing(&dao.world.chain, &dao.owner);
    let governor = VouchGovernor::new(dao.economy.governor, owner);
    let overrule = governor.castOverrideVote(contested, 0, "not this year".into());
    assert!(overrule.send().await.unwrap().get_receipt().await.unwrap().status());
    let count = dao.governor().proposalVotes(contested).call().await.unwrap();
    assert_eq!((count.forVotes, count.againstVotes), (U256::ZERO, tenth));
    assert!(delegate.step().await.unwrap().is_empty(), "the delegate leaves it so");

    let orders = delegate.entries().iter();
    let orders = orders.filter(|entry| matches!(entry, Entry::Effect(Effect::Order(_)))).count();
    assert_eq!(orders, 5);
}
