//! The economy's contracts: one address for each, on every network, from its code alone.

use alloy::{
    primitives::{Address, B256, Bytes, U256, aliases::U48, keccak256},
    providers::DynProvider,
    sol_types::SolValue,
};
use serde::{Deserialize, Serialize};

use crate::{EconomyCode, Error, addresses, create2, economy_code};

/// Hashed to the salt of every contract of the economy.
const SALT_TEXT: &[u8] = b"vouch economy 1";

/// Where the economy's contracts stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Economy {
    /// Who may use which data for what.
    pub consent: Address,
    /// What was made from what.
    pub lineage: Address,
    /// Splits income up the lineage.
    pub vault: Address,
    /// Pays by period under a Merkle root.
    pub contributions: Address,
    /// What governance may change.
    pub parameters: Address,
    /// The votes' token.
    pub votes: Address,
    /// Owns the parameters; what passes waits in it.
    pub timelock: Address,
    /// Alone proposes to the timelock.
    pub governor: Address,
    /// Which key speaks for which provider.
    pub keys: Address,
    /// Punishes what signatures prove.
    pub faults: Address,
    /// Holds what providers stand to lose.
    pub bonds: Address,
    /// MetaMask's, owned by nobody: it cannot be paused.
    pub delegation_manager: Address,
    /// `EIP7702StatelessDeleGator`: the code that an owner's account delegates to.
    pub delegator: Address,
    /// [`addresses::ENTRY_POINT`]; not deployed here.
    pub entry_point: Address,
    /// Caveats.
    pub enforcers: Enforcers,
}

/// Caveats that a mandate is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Enforcers {
    /// Ours: the decrease of a balance in each period, whatever was called.
    pub spend_per_period: Address,
    /// Terms: addresses of 20 bytes, packed.
    pub allowed_targets: Address,
    /// Terms: selectors of 4 bytes, packed.
    pub allowed_methods: Address,
    /// Terms: a start (32 bytes) and the bytes that must be there.
    pub allowed_calldata: Address,
    /// Terms: the whole calldata.
    pub exact_calldata: Address,
    /// Terms: after, before (16 bytes each), Unix seconds, exclusive; 0 for no bound.
    pub timestamp: Address,
    /// Terms: how many redemptions (32 bytes).
    pub limited_calls: Address,
    /// Terms: token (20), amount (32), over the delegation's life.
    pub erc20_transfer_amount: Address,
    /// Terms: token (20), amount, period in seconds, start (32 each).
    pub erc20_period_transfer: Address,
    /// Terms: amount, period in seconds, start (32 each).
    pub native_period_transfer: Address,
    /// Terms: the most wei that a call may carry (32).
    pub value_lte: Address,
    /// Terms: addresses of 20 bytes, packed.
    pub redeemer: Address,
    /// Terms: the delegator's nonce (32), which it may raise to revoke many at once.
    pub nonce: Address,
}

impl Economy {
    /// The contracts that others need to know, by name; caveats are named by the mandates that use
    /// them.
    #[must_use]
    pub fn named(&self) -> [(&'static str, Address); 13] {
        [
            ("consent", self.consent),
            ("lineage", self.lineage),
            ("vault", self.vault),
            ("contributions", self.contributions),
            ("parameters", self.parameters),
            ("votes", self.votes),
            ("timelock", self.timelock),
            ("governor", self.governor),
            ("keys", self.keys),
            ("faults", self.faults),
            ("bonds", self.bonds),
            ("delegationManager", self.delegation_manager),
            ("delegator", self.delegator),
        ]
    }
}

/// How the protocol is governed. Part of the governance contracts' init code, so their addresses, and
/// that of the vault which asks them for the fee, depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Governance {
    /// Holds all votes at first; nobody can make more.
    pub holder: Address,
    /// How many, in units of 10^-18.
    pub supply: U256,
    /// Between a proposal and its vote.
    pub voting_delay_s: u32,
    /// That the vote is open; not 0.
    pub voting_period_s: u32,
    /// Between the end of a vote and its execution, at least.
    pub timelock_delay_s: u32,
    /// Votes that a proposer needs.
    pub proposal_threshold: U256,
    /// Of the supply, at most 100.
    pub quorum_percent: u8,
    /// The token that stakes and bonds are in; the least stake counts its atomic units.
    pub dollar: Address,
}

impl Governance {
    /// Votes of seconds, for one machine: a hundred million votes, a quorum of 4 %.
    #[must_use]
    pub fn development(holder: Address) -> Self {
        Self { voting_delay_s: 1, voting_period_s: 20, timelock_delay_s: 2, ..Self::public(holder) }
    }

    /// Votes of days: two until a vote, five of it, two until it is executed.
    #[must_use]
    pub fn public(holder: Address) -> Self {
        const DAY_S: u32 = 86_400;
        let vote = U256::from(10u64.pow(18));
        Self {
            holder,
            supply: U256::from(100_000_000) * vote,
            voting_delay_s: 2 * DAY_S,
            voting_period_s: 5 * DAY_S,
            timelock_delay_s: 2 * DAY_S,
            proposal_threshold: U256::from(1_000) * vote,
            quorum_percent: 4,
            dollar: addresses::TOKEN,
        }
    }
}

/// One contract and the init code that decides its address.
struct Step {
    contract: &'static str,
    address: Address,
    creation: Bytes,
}

/// The steps so far, in an order in which constructors find what they ask.
#[derive(Default)]
struct Plan(Vec<Step>);

impl Plan {
    fn add(&mut self, contract: &'static str, code: &'static [u8], arguments: Vec<u8>) -> Address {
        let creation = Bytes::from([code, arguments.as_slice()].concat());
        let address = create2::address(salt(), &creation);
        self.0.push(Step { contract, address, creation });
        address
    }
}

/// Where the economy's contracts stand under a governance, deployed or not.
///
/// # Errors
/// [`Error::NotBuilt`] if the contracts are not compiled.
pub fn economy(governance: &Governance) -> Result<Economy, Error> {
    Ok(plan(governance, &economy_code()?).0)
}

/// The parameters of a timelock, and the vault that asks them for the fee: a vault at any other
/// address may pay whom it likes.
///
/// # Errors
/// [`Error::NotBuilt`] if the contracts are not compiled.
pub fn vault_under(lineage: Address, timelock: Address) -> Result<(Address, Address), Error> {
    let code = economy_code()?;
    Ok(vault(&mut Plan::default(), &code, lineage, timelock))
}

/// Deploys what is missing of the economy by transactions from `from`, for which `provider` must be
/// able to sign, and waits until all of it stands.
///
/// # Errors
/// [`Error::NotBuilt`], [`Error::NoProxy`], [`Error::Reverted`], [`Error::NoCode`], or [`Error::Rpc`]
/// when the network cannot be asked.
pub async fn deploy_economy(
    provider: &DynProvider,
    from: Address,
    governance: &Governance,
) -> Result<Economy, Error> {
    let (economy, Plan(steps)) = plan(governance, &economy_code()?);
    create2::require_proxy(provider).await?;
    for step in steps {
        create2::deploy(provider, from, step.contract, salt(), step.address, &step.creation)
            .await?;
    }
    create2::require_code(provider, "TimelockController", economy.timelock).await?;
    create2::require_code(provider, "BondVault", economy.bonds).await?;
    Ok(economy)
}

fn salt() -> B256 {
    keccak256(SALT_TEXT)
}

fn plan(governance: &Governance, code: &EconomyCode) -> (Economy, Plan) {
    let mut plan = Plan::default();
    let consent = plan.add("ConsentRegistry", code.consent, Vec::new());
    let lineage = plan.add("LineageRegistry", code.lineage, Vec::new());
    let contributions = plan.add("ContributionRoot", code.contributions, Vec::new());
    let votes = (governance.holder, governance.supply).abi_encode_params();
    let votes = plan.add("VouchVotes", code.votes, votes);
    let settings = (
        votes,
        U48::from(governance.voting_delay_s),
        governance.voting_period_s,
        governance.proposal_threshold,
        U256::from(governance.quorum_percent),
        U256::from(governance.timelock_delay_s),
    );
    let governor = plan.add("VouchGovernor", code.governor, settings.abi_encode_params());
    // The first contract that the governor's constructor creates.
    let timelock = governor.create(1);
    let (parameters, vault) = vault(&mut plan, code, lineage, timelock);
    let keys = plan.add("KeyRegistry", code.keys, Vec::new());
    let answers = (governance.dollar, parameters, keys, addresses::SETTLEMENT);
    let faults = plan.add("Faults", code.faults, answers.abi_encode_params());
    // As the timelock: its creator's first.
    let bonds = faults.create(1);
    let manager = addresses::NOBODY.abi_encode();
    let delegation_manager = plan.add("DelegationManager", code.delegation_manager, manager);
    let account = (delegation_manager, addresses::ENTRY_POINT).abi_encode_params();
    let delegator = plan.add("EIP7702StatelessDeleGator", code.delegator, account);
    let enforcers = enforcers(&mut plan, code);
    let economy = Economy {
        consent,
        lineage,
        vault,
        contributions,
        parameters,
        votes,
        timelock,
        governor,
        keys,
        faults,
        bonds,
        delegation_manager,
        delegator,
        entry_point: addresses::ENTRY_POINT,
        enforcers,
    };
    (economy, plan)
}

fn vault(
    plan: &mut Plan,
    code: &EconomyCode,
    lineage: Address,
    timelock: Address,
) -> (Address, Address) {
    let parameters = plan.add("ProtocolParameters", code.parameters, timelock.abi_encode());
    let splits = (lineage, parameters).abi_encode_params();
    (parameters, plan.add("RoyaltyVault", code.vault, splits))
}

fn enforcers(plan: &mut Plan, code: &EconomyCode) -> Enforcers {
    let mut add = |contract, code| plan.add(contract, code, Vec::new());
    Enforcers {
        spend_per_period: add("SpendPerPeriodEnforcer", code.spend_per_period),
        allowed_targets: add("AllowedTargetsEnforcer", code.allowed_targets),
        allowed_methods: add("AllowedMethodsEnforcer", code.allowed_methods),
        allowed_calldata: add("AllowedCalldataEnforcer", code.allowed_calldata),
        exact_calldata: add("ExactCalldataEnforcer", code.exact_calldata),
        timestamp: add("TimestampEnforcer", code.timestamp),
        limited_calls: add("LimitedCallsEnforcer", code.limited_calls),
        erc20_transfer_amount: add("ERC20TransferAmountEnforcer", code.erc20_transfer_amount),
        erc20_period_transfer: add("ERC20PeriodTransferEnforcer", code.erc20_period_transfer),
        native_period_transfer: add(
            "NativeTokenPeriodTransferEnforcer",
            code.native_period_transfer,
        ),
        value_lte: add("ValueLteEnforcer", code.value_lte),
        redeemer: add("RedeemerEnforcer", code.redeemer),
        nonce: add("NonceEnforcer", code.nonce),
    }
}
