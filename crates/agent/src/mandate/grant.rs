//! A mandate with its owner's signatures: what an agent is given.

use alloy_primitives::{Address, Bytes, keccak256};
use serde::{Deserialize, Serialize};
use vouch_wallet::Wallet;

use super::{
    Compiled, Contracts, Mandate, MandateError, Permission, Use,
    compile::hand_caveats,
    delegation::{Delegation, hash_of, signed, unsigned, verify},
    hand::{Hand, Part},
};

/// A signed mandate. The delegations are not in it: they follow from the mandate, so that a file
/// cannot say one thing and sign another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// What is granted.
    pub mandate: Mandate,
    /// Where it is enforced.
    pub contracts: Contracts,
    /// The owner's: of the frame, then of each leaf.
    pub signatures: Vec<Bytes>,
    /// Set where it was handed on to a sub-agent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hand: Option<Hand>,
}

impl Grant {
    /// Signs a mandate with the owner's key.
    ///
    /// # Errors
    /// [`MandateError::Contradiction`], [`MandateError::Chain`], [`MandateError::Signature`] if the
    /// key is not the owner's.
    pub fn sign(
        mandate: Mandate,
        contracts: Contracts,
        owner: &Wallet,
        now: u64,
    ) -> Result<Self, MandateError> {
        mandate.check(now)?;
        check_chain(&mandate, &contracts)?;
        let compiled = Compiled::new(&mandate, &contracts)?;
        let all = compiled.leaves.into_iter().map(|leaf| leaf.delegation);
        let signatures = std::iter::once(compiled.frame)
            .chain(all)
            .map(|delegation| Ok(signed(delegation, &contracts, owner)?.signature))
            .collect::<Result<_, MandateError>>()?;
        Ok(Self { mandate, contracts, signatures, hand: None })
    }

    /// Its delegations, signed; every signature is checked.
    ///
    /// # Errors
    /// [`MandateError::Signature`], [`MandateError::Chain`].
    pub fn compiled(&self) -> Result<Compiled, MandateError> {
        check_chain(&self.mandate, &self.contracts)?;
        let mut compiled = Compiled::new(&self.mandate, &self.contracts)?;
        let all = std::iter::once(&mut compiled.frame)
            .chain(compiled.leaves.iter_mut().map(|leaf| &mut leaf.delegation));
        attach(all, &self.signatures, &self.contracts, self.mandate.owner)?;
        Ok(compiled)
    }

    /// The key that acts: the agent's, or the sub-agent's.
    #[must_use]
    pub fn agent(&self) -> Address {
        match self.handed() {
            Some((Permission::Delegate { to, .. }, _)) => *to,
            _ => self.mandate.agent,
        }
    }

    /// The delegation to a sub-agent, and what was handed on.
    #[must_use]
    pub fn handed(&self) -> Option<(&Permission, &Hand)> {
        let hand = self.hand.as_ref()?;
        Some((self.mandate.permissions.get(hand.permission)?, hand))
    }

    /// Whether the key that acts may use a permission at all.
    #[must_use]
    pub fn reaches(&self, permission: usize) -> bool {
        match (&self.hand, self.handed()) {
            (None, _) => permission < self.mandate.permissions.len(),
            (Some(_), Some((Permission::Delegate { permissions, .. }, _))) => {
                permissions.contains(&permission) || self.asks(permission)
            }
            _ => false,
        }
    }

    /// Whether it is the `ask`, and dollars for it were handed on.
    fn asks(&self, permission: usize) -> bool {
        let named = self.mandate.permissions.get(permission);
        matches!(named, Some(Permission::Ask { .. }))
            && self.hand.as_ref().is_some_and(|hand| hand.dollars > 0)
    }

    /// The chains of every use, last link first: (permission, use, chain).
    ///
    /// # Errors
    /// As [`Grant::compiled`]; [`MandateError::NotDelegable`] if the hand is none of the mandate's.
    pub fn chains(&self) -> Result<Vec<(usize, Use, Vec<Delegation>)>, MandateError> {
        let compiled = self.compiled()?;
        let mut chains: Vec<_> = compiled
            .leaves
            .iter()
            .map(|leaf| {
                let chain = vec![leaf.delegation.clone(), compiled.frame.clone()];
                (leaf.permission, leaf.usage, chain)
            })
            .collect();
        if let Some(hand) = &self.hand {
            let Hand { permission, limit, before, dollars, .. } = *hand;
            let mut links = self.links(&compiled, permission, Part { before, limit, dollars })?;
            attach(links.iter_mut(), &hand.signatures, &self.contracts, self.mandate.agent)?;
            chains.retain(|(permission, ..)| self.reaches(*permission));
            for ((.., chain), link) in chains.iter_mut().zip(links) {
                chain.insert(0, link);
            }
        }
        Ok(chains)
    }

    /// Hands permissions on to the sub-agent of a `delegate` permission. What it spends also counts
    /// for this agent; its own limit is enforced beside. No signer takes the part until
    /// [`Grant::name_act`] has named the act.
    ///
    /// # Errors
    /// [`MandateError::NotDelegable`] (sub-agents hand on nothing), [`MandateError::AboveLimit`],
    /// [`MandateError::Signature`] if the key is not the agent's.
    pub fn hand_on(
        &self,
        permission: usize,
        part: Part,
        agent: &Wallet,
    ) -> Result<Self, MandateError> {
        if self.hand.is_some() {
            return Err(MandateError::NotDelegable(permission));
        }
        let compiled = self.compiled()?;
        let signatures = self
            .links(&compiled, permission, part)?
            .into_iter()
            .map(|link| Ok(signed(link, &self.contracts, agent)?.signature))
            .collect::<Result<_, MandateError>>()?;
        let Part { before, limit, dollars } = part;
        let hand = Hand { permission, limit, before, dollars, signatures, made_in: None };
        Ok(Self { hand: Some(hand), ..self.clone() })
    }

    /// The delegations from agent to sub-agent, in the order of the leaves they are under.
    fn links(
        &self,
        compiled: &Compiled,
        permission: usize,
        Part { before, limit, dollars }: Part,
    ) -> Result<Vec<Delegation>, MandateError> {
        let Some(Permission::Delegate {
            to,
            token,
            limit: most,
            permissions,
            dollars: for_answers,
        }) = self.mandate.permissions.get(permission)
        else {
            return Err(MandateError::NotDelegable(permission));
        };
        if dollars > *for_answers {
            return Err(MandateError::AboveLimit { asked: dollars, limit: *for_answers });
        }
        let left = most.saturating_sub(before);
        if limit > left {
            return Err(MandateError::AboveLimit { asked: limit, limit: left });
        }
        let hash = compiled.hash;
        let numbers = [before.to_be_bytes(), dollars.to_be_bytes()].concat();
        let salt = keccak256([hash.as_slice(), &numbers].concat());
        let handed = compiled.leaves.iter().filter(|leaf| permissions.contains(&leaf.permission));
        Ok(handed
            .map(|leaf| {
                let caveats = hand_caveats(&self.mandate, &self.contracts, *token, limit, salt);
                let authority = hash_of(&leaf.delegation);
                unsigned(self.mandate.agent, *to, authority, caveats, hash)
            })
            .collect())
    }
}

fn check_chain(mandate: &Mandate, contracts: &Contracts) -> Result<(), MandateError> {
    if mandate.chain == contracts.chain {
        return Ok(());
    }
    Err(MandateError::Chain { mandate: mandate.chain, chain: contracts.chain })
}

fn attach<'a>(
    delegations: impl Iterator<Item = &'a mut Delegation>,
    signatures: &[Bytes],
    contracts: &Contracts,
    wanted: Address,
) -> Result<(), MandateError> {
    let missing = MandateError::Signature { signer: Address::ZERO, wanted };
    let mut signatures = signatures.iter();
    for delegation in delegations {
        let Some(signature) = signatures.next() else { return Err(missing) };
        delegation.signature = signature.clone();
        verify(delegation, contracts)?;
    }
    if signatures.next().is_some() { Err(missing) } else { Ok(()) }
}
