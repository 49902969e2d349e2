//! From a mandate to the delegations that a chain enforces.
//!
//! ```text
//! frame   owner -> owner   until when, how often, how much of each token       (one counter each)
//!   leaf    owner -> agent   which contract, method and arguments              (one for each use)
//!     hand    agent -> sub     how much in all                                 (sub-agents)
//! ```
//! Every redemption carries its leaf and the frame, so all leaves share the frame's counters, and
//! disabling the frame ends them all. The frame is of use to nobody alone: its delegate is the owner.

use alloy::sol_types::SolCall;
use alloy_primitives::{Address, B256, Bytes, U256};
use vouch_contracts::bindings::{
    Erc20, NonfungiblePositionManager as Positions, SwapRouter02, UniswapV2Router02, VouchGovernor,
};

use super::{
    Contracts, Mandate, MandateError, Permission, Venue,
    delegation::{Caveat, Delegation, ROOT_AUTHORITY, hash_of, unsigned},
};

/// What a leaf is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "as the intents")]
pub enum Use {
    /// To one payee, by index.
    Transfer(usize),
    Swap,
    AddLiquidity,
    RemoveLiquidity,
    Collect,
    Vote,
}

/// A delegation to the agent, for one use of one permission.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The permission, by index.
    pub permission: usize,
    /// Its use.
    pub usage: Use,
    /// Under the frame.
    pub delegation: Delegation,
}

/// A mandate as delegations.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The mandate's hash.
    pub hash: B256,
    /// What holds for all leaves.
    pub frame: Delegation,
    /// In the order of the permissions.
    pub leaves: Vec<Leaf>,
}

impl Compiled {
    /// The delegations of `mandate`, not signed. The same mandate gives the same delegations.
    ///
    /// # Errors
    /// [`MandateError::Canonical`].
    pub fn new(mandate: &Mandate, contracts: &Contracts) -> Result<Self, MandateError> {
        let hash = mandate.hash()?;
        let owner = mandate.owner;
        let caveats = frame_caveats(mandate, contracts, hash);
        let frame = unsigned(owner, owner, ROOT_AUTHORITY, caveats, hash);
        let authority = hash_of(&frame);
        let mut leaves = Vec::new();
        for (permission, terms) in mandate.permissions.iter().enumerate() {
            for rule in rules(mandate, terms) {
                let caveats = rule.caveats(mandate, contracts);
                let delegation = unsigned(owner, mandate.agent, authority, caveats, hash);
                leaves.push(Leaf { permission, usage: rule.usage, delegation });
            }
        }
        Ok(Self { hash, frame, leaves })
    }

    /// The chain for a use of a permission, last link first.
    #[must_use]
    pub fn chain(&self, permission: usize, usage: Use) -> Option<Vec<Delegation>> {
        let leaf =
            self.leaves.iter().find(|leaf| leaf.permission == permission && leaf.usage == usage)?;
        Some(vec![leaf.delegation.clone(), self.frame.clone()])
    }
}

fn caveat(enforcer: Address, terms: impl Into<Bytes>) -> Caveat {
    Caveat { enforcer, terms: terms.into(), args: Bytes::new() }
}

fn word(value: impl Into<U256>) -> [u8; 32] {
    value.into().to_be_bytes()
}

fn frame_caveats(mandate: &Mandate, contracts: &Contracts, hash: B256) -> Vec<Caveat> {
    let enforcers = &contracts.enforcers;
    // The enforcer's bounds are both excluded; the mandate's start is included.
    let after = u128::from(mandate.start.saturating_sub(1)).to_be_bytes();
    let before = u128::from(mandate.expiry).to_be_bytes();
    let mut caveats = vec![
        caveat(enforcers.timestamp, [after, before].concat()),
        caveat(enforcers.limited_calls, word(U256::from(mandate.calls))),
        caveat(enforcers.value_lte, word(U256::ZERO)),
    ];
    caveats.extend(mandate.caps.iter().map(|cap| {
        let terms =
            spend_terms(mandate.owner, cap.token, cap.amount, cap.period_s, mandate.start, hash);
        caveat(enforcers.spend_per_period, terms)
    }));
    caveats
}

/// Terms of `SpendPerPeriodEnforcer`, packed.
pub(crate) fn spend_terms(
    account: Address,
    token: Address,
    amount: u128,
    period_s: u64,
    start: u64,
    salt: B256,
) -> Vec<u8> {
    let mut terms = [account.as_slice(), token.as_slice()].concat();
    for value in [U256::from(amount), U256::from(period_s), U256::from(start)] {
        terms.extend(word(value));
    }
    terms.extend(salt);
    terms
}

/// What sub-agents are held to beside the leaf: one period as long as the mandate.
pub(crate) fn hand_caveats(
    mandate: &Mandate,
    contracts: &Contracts,
    token: Address,
    limit: u128,
    salt: B256,
) -> Vec<Caveat> {
    let period_s = mandate.expiry.saturating_sub(mandate.start).max(1);
    let terms = spend_terms(mandate.owner, token, limit, period_s, mandate.start, salt);
    vec![caveat(contracts.enforcers.spend_per_period, terms)]
}

/// One method of one contract, with bytes of its calldata held fast.
struct Rule {
    usage: Use,
    target: Address,
    selector: [u8; 4],
    /// Offset in the calldata, bytes there.
    pins: Vec<(usize, Vec<u8>)>,
    /// Counted by the call's own amount too, whatever comes in meanwhile.
    transfers: Option<Address>,
}

impl Rule {
    fn new<C: SolCall>(usage: Use, target: Address, pins: Vec<(usize, Vec<u8>)>) -> Self {
        Self { usage, target, selector: C::SELECTOR, pins, transfers: None }
    }

    fn caveats(&self, mandate: &Mandate, contracts: &Contracts) -> Vec<Caveat> {
        let enforcers = &contracts.enforcers;
        let mut caveats = vec![
            caveat(enforcers.allowed_targets, self.target.to_vec()),
            caveat(enforcers.allowed_methods, self.selector.to_vec()),
        ];
        caveats.extend(self.pins.iter().map(|(offset, bytes)| {
            let terms = [&word(U256::from(*offset)), bytes.as_slice()].concat();
            caveat(enforcers.allowed_calldata, terms)
        }));
        if let Some((_, cap)) = self.transfers.and_then(|token| mandate.cap(token)) {
            // token, amount in a period, period, start: as ERC20PeriodTransferEnforcer packs them.
            let mut terms = cap.token.to_vec();
            for value in
                [U256::from(cap.amount), U256::from(cap.period_s), U256::from(mandate.start)]
            {
                terms.extend(word(value));
            }
            caveats.push(caveat(enforcers.erc20_period_transfer, terms));
        }
        caveats
    }
}

/// Offset of the n-th argument.
const fn argument(index: usize) -> usize {
    4 + 32 * index
}

fn address_word(address: Address) -> Vec<u8> {
    address.into_word().to_vec()
}

fn rules(mandate: &Mandate, permission: &Permission) -> Vec<Rule> {
    let owner = mandate.owner;
    match permission {
        Permission::Transfer { token, payees } => payees
            .iter()
            .enumerate()
            .map(|(index, payee)| Rule {
                transfers: Some(*token),
                ..Rule::new::<Erc20::transferCall>(
                    Use::Transfer(index),
                    *token,
                    vec![(argument(0), address_word(*payee))],
                )
            })
            .collect(),
        Permission::Swap { venue: Venue::UniswapV2, router, sell, buy, .. } => {
            // The path's offset and the recipient; the path itself, two tokens long.
            let head = [word(U256::from(0xa0)).to_vec(), address_word(owner)].concat();
            let path =
                [word(U256::from(2)).to_vec(), address_word(*sell), address_word(*buy)].concat();
            let pins = vec![(argument(2), head), (argument(5), path)];
            vec![Rule::new::<UniswapV2Router02::swapExactTokensForTokensCall>(
                Use::Swap,
                *router,
                pins,
            )]
        }
        Permission::Swap { venue: Venue::UniswapV3, router, sell, buy, fee, .. } => {
            let head = [
                address_word(*sell),
                address_word(*buy),
                word(U256::from(*fee)).to_vec(),
                address_word(owner),
            ];
            let pins = vec![(argument(0), head.concat())];
            vec![Rule::new::<SwapRouter02::exactInputSingleCall>(Use::Swap, *router, pins)]
        }
        Permission::Liquidity { venue, manager, token0, token1, fee, .. } => {
            liquidity(*venue, *manager, [*token0, *token1], *fee, owner)
        }
        Permission::Vote { governor } => {
            vec![Rule::new::<VouchGovernor::castVoteWithReasonCall>(
                Use::Vote,
                *governor,
                Vec::new(),
            )]
        }
        Permission::Ask { .. } | Permission::Delegate { .. } => Vec::new(),
    }
}

fn liquidity(
    venue: Venue,
    manager: Address,
    tokens: [Address; 2],
    fee: u32,
    owner: Address,
) -> Vec<Rule> {
    let pair = tokens.map(address_word).concat();
    let to_owner = |index| (argument(index), address_word(owner));
    match venue {
        Venue::UniswapV2 => vec![
            Rule::new::<UniswapV2Router02::addLiquidityCall>(
                Use::AddLiquidity,
                manager,
                vec![(argument(0), pair.clone()), to_owner(6)],
            ),
            Rule::new::<UniswapV2Router02::removeLiquidityCall>(
                Use::RemoveLiquidity,
                manager,
                vec![(argument(0), pair), to_owner(5)],
            ),
        ],
        Venue::UniswapV3 => vec![
            Rule::new::<Positions::mintCall>(
                Use::AddLiquidity,
                manager,
                vec![(argument(0), [pair, word(U256::from(fee)).to_vec()].concat()), to_owner(9)],
            ),
            Rule::new::<Positions::decreaseLiquidityCall>(
                Use::RemoveLiquidity,
                manager,
                Vec::new(),
            ),
            Rule::new::<Positions::collectCall>(Use::Collect, manager, vec![to_owner(1)]),
        ],
    }
}
