//! Token transfers of many senders, signed once: every node is sent the same bytes.

use std::{num::NonZeroUsize, thread};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718,
};
use alloy_primitives::{
    Address, B256, Bytes, Signature as Parts, TxKind, U256, hex, keccak256, utils::Unit,
};
use alloy_sol_types::{SolCall, SolValue, sol};
use anyhow::ensure;
use secp256k1::SecretKey;
use vouch_benches::random::Random;
use vouch_contracts::{artefacts, bindings::TestDollar};
use vouch_core::signature::{Signature, address_of};

/// What every node is started with: its first account is [`GIVER`].
pub(crate) const MNEMONIC: &str = "test test test test test test test test test test test junk";
pub(crate) const CHAIN_ID: u64 = 31_337;
/// Each account of the mnemonic's has so much at the start.
pub(crate) const ACCOUNT_ETHER: u64 = 10_000;

const GIVER: [u8; 32] = hex!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
/// Senders that are given something by one transaction, whose gas is bounded (EIP-7825).
const GIFTS: usize = 100;
/// Enough for 1,500 transfers at the highest fee.
const SENDER_ETHER: u64 = 9;
const SENDER_TOKENS: u64 = 1_000_000_000;
const MOST_TOKENS: usize = 1_000;
/// Also while blocks are full and the base fee rises.
const MAX_FEE_GWEI: u64 = 100;
const SETUP_GAS: u64 = 16_000_000;
const TRANSFER_GAS: u64 = 60_000;

sol! {
    struct Call3Value {
        address target;
        bool allowFailure;
        uint256 value;
        bytes callData;
    }

    /// Of Multicall3.
    function aggregate3Value(Call3Value[] calls) external payable;
}

/// A transaction on its way, and what it was signed with.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) sender: Address,
    pub(crate) raw: Vec<u8>,
    pub(crate) hash: B256,
    pub(crate) digest: B256,
    pub(crate) signature: Signature,
}

/// A token, whoever holds it, and what they do.
#[derive(Debug)]
pub(crate) struct Transfers {
    pub(crate) token: Address,
    /// Deploys the token, and gives each sender tokens and ether.
    pub(crate) setup: Vec<Signed>,
    /// Who sends the setup.
    pub(crate) giver: Address,
    pub(crate) senders: Vec<Address>,
    /// In turn by each of the senders.
    pub(crate) signed: Vec<Signed>,
}

impl Transfers {
    /// Signs all of them, on all cores.
    pub(crate) fn sign(senders: usize, count: usize) -> anyhow::Result<Self> {
        ensure!((2..=1_000).contains(&senders), "--senders is from 2 to 1,000");
        ensure!(count <= 1_500 * senders, "so many transfers need more --senders");
        let keys = (0..senders).map(key).collect::<anyhow::Result<Vec<_>>>()?;
        let accounts: Vec<_> = keys.iter().map(address_of).collect();
        let giver = SecretKey::from_byte_array(GIVER)?;
        let (setup, token) = setup(&giver, &accounts)?;
        let signed = on_all_cores(count, |index| {
            let (to, amount) = movement(index, senders);
            let call = TestDollar::transferCall { to: accounts[to], value: U256::from(amount) };
            let nonce = (index / senders) as u64;
            let key = &keys[index % senders];
            signed(key, nonce, token.into(), call.abi_encode(), U256::ZERO, TRANSFER_GAS)
        });
        Ok(Self { token, setup, giver: address_of(&giver), senders: accounts, signed })
    }

    /// The senders' nonces after the first `count` transfers.
    pub(crate) fn nonces(&self, count: usize) -> Vec<(Address, u64)> {
        let senders = self.senders.len();
        let nonce = |index| (count / senders + usize::from(index < count % senders)) as u64;
        self.senders.iter().enumerate().map(|(index, sender)| (*sender, nonce(index))).collect()
    }

    /// What the senders have in tokens after the first `count` transfers.
    pub(crate) fn balances(&self, count: usize) -> Vec<u64> {
        let mut balances = vec![SENDER_TOKENS; self.senders.len()];
        for index in 0..count {
            let (to, amount) = movement(index, self.senders.len());
            balances[index % self.senders.len()] -= amount;
            balances[to] += amount;
        }
        balances
    }
}

/// Deploys a Multicall3 and a token that it may mint, and has it give something to all; with the
/// token's address.
fn setup(giver: &SecretKey, accounts: &[Address]) -> anyhow::Result<(Vec<Signed>, Address)> {
    let [multicall, token] = [0, 1].map(|nonce| address_of(giver).create(nonce));
    let artefacts = artefacts()?;
    let creation = [artefacts.token.creation, &multicall.abi_encode()].concat();
    let deploy =
        |nonce, creation| signed(giver, nonce, TxKind::Create, creation, U256::ZERO, SETUP_GAS);
    let mut setup = vec![deploy(0, artefacts.multicall.creation.to_vec()), deploy(1, creation)];
    let wei = U256::from(SENDER_ETHER) * Unit::ETHER.wei();
    for (nonce, part) in (2..).zip(accounts.chunks(GIFTS)) {
        let calls = part.iter().flat_map(|to| {
            let mint = TestDollar::mintCall { to: *to, amount: U256::from(SENDER_TOKENS) };
            let call = |target, value, data| Call3Value {
                target,
                allowFailure: false,
                value,
                callData: data,
            };
            [call(token, U256::ZERO, mint.abi_encode().into()), call(*to, wei, Bytes::new())]
        });
        let give = aggregate3ValueCall { calls: calls.collect() }.abi_encode();
        let value = wei * U256::from(part.len());
        setup.push(signed(giver, nonce, multicall.into(), give, value, SETUP_GAS));
    }
    Ok((setup, token))
}

/// To whom the transfer of this number goes, never the sender, and how much.
fn movement(index: usize, senders: usize) -> (usize, u64) {
    let mut random = Random(index as u64);
    let to = (index + 1 + random.below(senders - 1)) % senders;
    (to, 1 + random.below(MOST_TOKENS) as u64)
}

fn key(index: usize) -> anyhow::Result<SecretKey> {
    let seed = [b"sender".as_slice(), &(index as u64).to_be_bytes()].concat();
    Ok(SecretKey::from_byte_array(keccak256(seed).0)?)
}

fn signed(
    key: &SecretKey,
    nonce: u64,
    to: TxKind,
    input: Vec<u8>,
    value: U256,
    gas_limit: u64,
) -> Signed {
    let gwei = u128::from(1_000_000_000_u64);
    let transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit,
        max_fee_per_gas: u128::from(MAX_FEE_GWEI) * gwei,
        max_priority_fee_per_gas: gwei,
        to,
        value,
        input: Bytes::from(input),
        access_list: Default::default(),
    };
    let digest = transaction.signature_hash();
    let signature = Signature::sign(digest, key);
    let [r, s] = [0, 32].map(|at| U256::from_be_slice(&signature.0[at..at + 32]));
    let parts = Parts::new(r, s, signature.0[64] == 28);
    let envelope = TxEnvelope::from(transaction.into_signed(parts));
    let (sender, hash) = (address_of(key), *envelope.tx_hash());
    Signed { sender, raw: envelope.encoded_2718(), hash, digest, signature }
}

fn on_all_cores<T: Send>(count: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = count.div_ceil(threads);
    thread::scope(|scope| {
        let part = |part: usize| part * share..count.min((part + 1) * share);
        let work = |number| {
            let make = &make;
            scope.spawn(move || part(number).map(make).collect::<Vec<_>>())
        };
        let parts: Vec<_> = (0..threads).map(work).collect();
        parts.into_iter().flat_map(|part| part.join().expect("signing does not panic")).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_and_balances_follow_the_transfers() {
        let transfers = Transfers::sign(3, 10).unwrap();
        let counts: Vec<_> = transfers.nonces(10).into_iter().map(|(_, nonce)| nonce).collect();
        assert_eq!(counts, [4, 3, 3]);
        assert_eq!(transfers.balances(10).iter().sum::<u64>(), 3 * SENDER_TOKENS);
        assert_ne!(transfers.balances(10), transfers.balances(9));
        for (index, signed) in transfers.signed.iter().enumerate() {
            assert_eq!(signed.signature.recover(signed.digest).unwrap(), signed.sender);
            assert_eq!(signed.sender, transfers.senders[index % 3]);
            assert_ne!(movement(index, 3).0, index % 3);
        }
    }
}
