//! `vouch govern`: an account with votes on the protocol's own parameters.

use std::path::Path;

use alloy::{
    providers::{DynProvider, Provider as _},
    rpc::types::Filter,
    sol_types::{SolCall, SolEvent},
};
use alloy_primitives::{Address, Bytes, U256, keccak256};
use anyhow::{Context, bail};
use serde_json::json;
use vouch_contracts::{
    Economy,
    bindings::{
        ProtocolParameters::{
            self, ProtocolParametersInstance, setFeeShareBpsCall, setMinimumStakeCall,
            setSlashingShareBpsCall,
        },
        VouchGovernor::{ProposalCreated, ProposalState, VouchGovernorInstance},
        VouchVotes::VouchVotesInstance,
    },
    economy,
};

use super::contracts::governance;
use crate::{
    arguments::{
        Economics,
        govern::{Govern, Parameter},
    },
    onchain::{self, mined},
    output::{Output, printable},
    provider::Keys,
};

pub(crate) async fn run(arguments: Govern, data_dir: &Path, output: Output) -> anyhow::Result<()> {
    match arguments {
        Govern::Show(on) => Seat::open(&on, data_dir)?.show(output).await,
        Govern::Delegate { to, on } => {
            let seat = Seat::open(&on, data_dir)?;
            let votes = VouchVotesInstance::new(seat.economy.votes, &seat.signing);
            let receipt = mined("the delegation", votes.delegate(to).send().await).await?;
            output
                .answer(&json!({ "delegate": to, "transaction": receipt.transaction_hash }), || {
                    format!("{to} votes with the votes of {}", seat.account)
                })
        }
        Govern::Propose { parameter, value, why, on } => {
            Seat::open(&on, data_dir)?.propose((parameter, value), why, output).await
        }
        Govern::Overrule(vote) => {
            let seat = Seat::open(&vote.on, data_dir)?;
            let reason = "overruled by the owner of the votes".to_owned();
            let governor = seat.governor();
            let call = governor.castOverrideVote(vote.proposal, vote.support as u8, reason);
            let receipt = mined("the vote", call.send().await).await?;
            let value = json!({ "proposal": vote.proposal.to_string(), "transaction": receipt.transaction_hash });
            output.answer(&value, || format!("overruled: {:?}", vote.support).to_lowercase())
        }
        Govern::Enact { proposal, on } => Seat::open(&on, data_dir)?.enact(proposal, output).await,
    }
}

/// An account at the governor.
struct Seat {
    economy: Economy,
    signing: DynProvider,
    account: Address,
}

impl Seat {
    fn open(on: &Economics, data_dir: &Path) -> anyhow::Result<Self> {
        let keys = Keys::open(data_dir)?;
        let account = keys.wallet.address();
        let reader = onchain::reader(on.chain.as_deref().unwrap_or(onchain::DEFAULT_CHAIN))?;
        let signing = onchain::signer(&reader, &keys.wallet)?;
        Ok(Self { economy: economy(&governance(on, account))?, signing, account })
    }

    fn governor(&self) -> VouchGovernorInstance<&DynProvider> {
        VouchGovernorInstance::new(self.economy.governor, &self.signing)
    }

    fn parameters(&self) -> ProtocolParametersInstance<&DynProvider> {
        ProtocolParameters::new(self.economy.parameters, &self.signing)
    }

    async fn show(&self, output: Output) -> anyhow::Result<()> {
        let parameters = self.parameters();
        let unanswered = "the chain has no such governance: vouch contracts deploy";
        let fee = parameters.feeShareBps().call().await.context(unanswered)?;
        let slashing = parameters.slashingShareBps().call().await.context(unanswered)?;
        let stake = parameters.minimumStake().call().await.context(unanswered)?;
        let mut proposals = Vec::new();
        for created in self.proposals().await? {
            let state = self.governor().state(created.proposalId).call().await?;
            proposals.push((created.proposalId, format!("{state:?}"), created.description));
        }
        let listed: Vec<_> = proposals
            .iter()
            .map(|(id, state, why)| json!({ "proposal": id.to_string(), "state": state, "why": why }))
            .collect();
        let value = json!({
            "feeShareBps": fee, "slashingShareBps": slashing,
            "minimumStake": stake.to_string(), "proposals": listed,
        });
        output.answer(&value, || {
            let lines = proposals.iter().map(|(id, state, why)| {
                format!("\n{} {id}\n  {}", state.to_lowercase(), printable(why))
            });
            format!(
                "fee share       {fee} bps\nslashing share  {slashing} bps\nminimum stake   {stake}{}",
                lines.collect::<String>()
            )
        })
    }

    async fn propose(
        &self,
        (parameter, value): (Parameter, U256),
        why: String,
        output: Output,
    ) -> anyhow::Result<()> {
        let call = setter(parameter, value)?;
        let (targets, values, calls) =
            (vec![self.economy.parameters], vec![U256::ZERO], vec![call]);
        let governor = self.governor();
        let call = governor.propose(targets, values, calls, why);
        let receipt = mined("the proposal", call.send().await).await?;
        let mut logs = receipt.logs().iter();
        let created = logs.find_map(|log| ProposalCreated::decode_log(&log.inner).ok());
        let id = created.context("the proposal's transaction has no event")?.proposalId;
        let value = json!({ "proposal": id.to_string(), "transaction": receipt.transaction_hash });
        output.answer(&value, || format!("proposed {id}"))
    }

    async fn enact(&self, id: U256, output: Output) -> anyhow::Result<()> {
        let all = self.proposals().await?;
        let created = all.into_iter().find(|created| created.proposalId == id);
        let created = created.with_context(|| format!("there is no proposal {id}"))?;
        let (targets, values, calls) = (created.targets, created.values, created.calldatas);
        let (governor, hash) = (self.governor(), keccak256(created.description));
        let (done, receipt) = match governor.state(id).call().await? {
            ProposalState::Succeeded => {
                let call = governor.queue(targets, values, calls, hash);
                ("queued", mined("the queueing", call.send().await).await?)
            }
            ProposalState::Queued => {
                let call = governor.execute(targets, values, calls, hash);
                ("executed", mined("the execution", call.send().await).await?)
            }
            state => bail!("proposal {id} is {state:?}: only one that passed can be enacted"),
        };
        let value = json!({ "done": done, "transaction": receipt.transaction_hash });
        output.answer(&value, || format!("{done} {id}"))
    }

    async fn proposals(&self) -> anyhow::Result<Vec<ProposalCreated>> {
        let filter = Filter::new()
            .address(self.economy.governor)
            .event_signature(ProposalCreated::SIGNATURE_HASH)
            .from_block(0);
        let logs = self.signing.get_logs(&filter).await.context("the chain does not answer")?;
        Ok(logs
            .iter()
            .filter_map(|log| Some(ProposalCreated::decode_log(&log.inner).ok()?.data))
            .collect())
    }
}

fn setter(parameter: Parameter, value: U256) -> anyhow::Result<Bytes> {
    let share = || value.try_into().context("a share is in basis points, 10,000 at most");
    Ok(match parameter {
        Parameter::FeeShareBps => setFeeShareBpsCall { value: share()? }.abi_encode(),
        Parameter::SlashingShareBps => setSlashingShareBpsCall { value: share()? }.abi_encode(),
        Parameter::MinimumStake => setMinimumStakeCall { value }.abi_encode(),
    }
    .into())
}
