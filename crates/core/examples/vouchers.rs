//! Measures how many vouchers a second one core verifies, beside libsecp256k1's own recovery of the
//! same signatures, in turn: `cargo run --release -p vouch-core --example vouchers -- [vouchers] [rounds]`.

#![allow(clippy::print_stdout, reason = "it is a program for people")]

use std::hint::black_box;
use std::time::Instant;

use alloy_primitives::{Address, B256};
use secp256k1::{
    Message, SECP256K1, SecretKey,
    ecdsa::{RecoverableSignature, RecoveryId},
};
use vouch_core::channel::{SignedVoucher, Voucher};
use vouch_core::domain::Domain;
use vouch_core::signature::{Signature, address_of};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let count: u64 = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let rounds: u32 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let domain = Domain { chain: 1337, settlement: Address::repeat_byte(0x40) };
    let key = SecretKey::from_byte_array([7; 32])?;
    let signer = address_of(&key);
    let vouchers: Vec<_> = (0..count)
        .map(|number| {
            let channel_id = B256::left_padding_from(&(number % 64).to_be_bytes());
            let voucher = Voucher { channel_id, max_claimable_amount: number.into() };
            SignedVoucher { voucher, signature: Signature::sign(voucher.digest(&domain), &key) }
        })
        .collect();
    let bare =
        vouchers.iter().map(|signed| bare(signed, &domain)).collect::<Result<Vec<_>, _>>()?;
    let (mut ours, mut theirs) = (f64::MAX, f64::MAX);
    for _ in 0..rounds {
        let start = Instant::now();
        for voucher in &vouchers {
            voucher.verify(&domain, signer)?;
        }
        ours = ours.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        for (message, signature) in &bare {
            black_box(SECP256K1.recover_ecdsa(*message, signature)?);
        }
        theirs = theirs.min(start.elapsed().as_secs_f64());
    }
    let rate = |seconds: f64| count as f64 / seconds;
    println!(
        "vouchers verified on one core: {:.0}/s; libsecp256k1's recovery alone: {:.0}/s; share {:.2} \
         (best of {rounds} rounds of {count})",
        rate(ours),
        rate(theirs),
        theirs / ours
    );
    Ok(())
}

/// What libsecp256k1 takes.
fn bare(
    signed: &SignedVoucher,
    domain: &Domain,
) -> Result<(Message, RecoverableSignature), Box<dyn std::error::Error>> {
    let digest = signed.voucher.digest(domain);
    let (rs, v) = signed.signature.0.split_at(64);
    let id = RecoveryId::try_from(i32::from(v.first().copied().unwrap_or(27)) - 27)?;
    Ok((Message::from_digest(digest.0), RecoverableSignature::from_compact(rs, id)?))
}
