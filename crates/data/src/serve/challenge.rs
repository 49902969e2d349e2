//! Challenges that cost the server nothing until they are answered.
//!
//! `expires u64 || random u64 || first 16 bytes of keccak256(secret || dataset || grantee || both)`:
//! the server knows its own, so strangers cannot fill its memory by asking. It remembers those that
//! were answered, until they expire.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Keccak256};
use parking_lot::Mutex;

use crate::{Result, seal};

/// How long a challenge is good.
pub(super) const SECONDS: u64 = 120;
/// Answered challenges that are remembered; a grantee cannot ask faster than this in that time.
const MAX_ANSWERED: usize = 100_000;

pub(super) struct Challenges {
    secret: B256,
    answered: Mutex<BTreeMap<(u64, B256), ()>>,
}

/// Why a challenge is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spent {
    NotOurs,
    Expired,
    Used,
    Busy,
}

impl Challenges {
    pub(super) fn new() -> Result<Self> {
        let mut secret = B256::ZERO;
        seal::fill(secret.as_mut_slice())?;
        Ok(Self { secret, answered: Mutex::default() })
    }

    pub(super) fn issue(&self, dataset: B256, grantee: Address, now: u64) -> Result<B256> {
        let mut head = [0; 16];
        seal::fill(&mut head[8..])?;
        head[..8].copy_from_slice(&now.saturating_add(SECONDS).to_be_bytes());
        Ok(self.complete(head, dataset, grantee))
    }

    /// Whether the challenge is ours, for these two, and not expired.
    pub(super) fn check(
        &self,
        challenge: B256,
        dataset: B256,
        grantee: Address,
        now: u64,
    ) -> Result<(), Spent> {
        let mut head = [0; 16];
        head.copy_from_slice(&challenge[..16]);
        // A difference in time tells at most how much of a value that is good once was guessed.
        if self.complete(head, dataset, grantee) != challenge {
            return Err(Spent::NotOurs);
        }
        if expiry(&challenge) < now { Err(Spent::Expired) } else { Ok(()) }
    }

    /// Uses it up. Only for one that was checked and whose signature is good.
    pub(super) fn spend(&self, challenge: B256, now: u64) -> Result<(), Spent> {
        let mut answered = self.answered.lock();
        *answered = answered.split_off(&(now, B256::ZERO));
        if answered.len() >= MAX_ANSWERED {
            return Err(Spent::Busy);
        }
        match answered.insert((expiry(&challenge), challenge), ()) {
            None => Ok(()),
            Some(()) => Err(Spent::Used),
        }
    }

    fn complete(&self, head: [u8; 16], dataset: B256, grantee: Address) -> B256 {
        let mut hasher = Keccak256::new();
        hasher.update(b"vouch data challenge");
        hasher.update(self.secret);
        hasher.update(dataset);
        hasher.update(grantee);
        hasher.update(head);
        let mut challenge = hasher.finalize();
        challenge.copy_within(..16, 16);
        challenge[..16].copy_from_slice(&head);
        challenge
    }
}

fn expiry(challenge: &B256) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&challenge[..8]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_good_once_for_whom_and_what_it_was_made() {
        let challenges = Challenges::new().unwrap();
        let (dataset, grantee) = (B256::repeat_byte(1), Address::repeat_byte(2));
        let challenge = challenges.issue(dataset, grantee, 1_000).unwrap();
        let check = |challenge, now| challenges.check(challenge, dataset, grantee, now);
        assert_eq!(check(challenge, 1_000), Ok(()));
        assert_eq!(check(challenge, 1_000 + SECONDS + 1), Err(Spent::Expired));
        assert_eq!(challenges.check(challenge, B256::ZERO, grantee, 1_000), Err(Spent::NotOurs));
        assert_eq!(challenges.check(challenge, dataset, Address::ZERO, 1_000), Err(Spent::NotOurs));
        for at in 0..32 {
            let mut changed = challenge;
            changed[at] ^= 1;
            assert_eq!(check(changed, 1_000), Err(Spent::NotOurs), "{at}");
        }
        assert_eq!(
            Challenges::new().unwrap().check(challenge, dataset, grantee, 1_000),
            Err(Spent::NotOurs)
        );
        assert_eq!(challenges.spend(challenge, 1_000), Ok(()));
        assert_eq!(challenges.spend(challenge, 1_001), Err(Spent::Used));
    }
}
