use alloy_primitives::Address;
use proptest::prelude::*;

use super::*;
use crate::{channel::Voucher, signature::Signature};

const DOMAIN: Domain = Domain { chain: 1, settlement: Address::ZERO };

fn channel(mode: Mode, balance: u128) -> Channel {
    let config = ChannelConfig {
        payer: Address::repeat_byte(1),
        payer_authorizer: Address::ZERO,
        receiver: Address::repeat_byte(2),
        receiver_authorizer: Address::repeat_byte(2),
        token: Address::repeat_byte(3),
        withdraw_delay: 900,
        salt: B256::ZERO,
    };
    Channel::new(config, &DOMAIN, mode, OnChain { balance, ..Default::default() })
}

fn voucher(channel: &Channel, amount: u128) -> SignedVoucher {
    let voucher = Voucher { channel_id: channel.id(), max_claimable_amount: amount };
    // The machine is given vouchers whose signature was checked.
    SignedVoucher { voucher, signature: Signature([0; 65]) }
}

#[test]
fn a_session_charges_what_it_reserved() {
    let mut channel = channel(Mode::Session, 100);
    assert_eq!(channel.accept(voucher(&channel, 50)), Ok(true));
    let mut first = channel.reserve(20).unwrap();
    let second = channel.reserve(20).unwrap();
    let needed = ChannelError::VoucherNeeded { required: 60, accepted: 50 };
    assert_eq!(channel.extend(&mut first, 20), Err(needed));
    assert_eq!(channel.accept(voucher(&channel, 60)), Ok(true));
    channel.extend(&mut first, 20).unwrap();
    assert_eq!(channel.commit(first, 33), Ok((1, 33)));
    assert_eq!(channel.commit(second, 0), Ok((2, 33)));
    assert_eq!(channel.reserved(), 0);
}

#[test]
fn stock_mode_is_one_at_a_time_and_exact() {
    let mut channel = channel(Mode::Stock, 100);
    let mismatch = ChannelError::CumulativeMismatch { found: 9, expected: 10 };
    assert_eq!(channel.accept_stock(voucher(&channel, 9), 10), Err(mismatch));
    let first = channel.accept_stock(voucher(&channel, 10), 10).unwrap();
    assert_eq!(channel.accept_stock(voucher(&channel, 10), 10), Err(ChannelError::Busy));
    assert_eq!(channel.commit(first, 4), Ok((1, 4)));
    // The next voucher may be below the accepted one: 4 + 5 < 10.
    let second = channel.accept_stock(voucher(&channel, 9), 5).unwrap();
    assert_eq!(channel.commit(second, 5), Ok((2, 9)));
    assert_eq!(channel.reserve(1), Err(ChannelError::OtherMode(Mode::Stock)));
}

#[test]
fn vouchers_only_rise_and_stay_within_the_deposit() {
    let mut channel = channel(Mode::Session, 100);
    channel.accept(voucher(&channel, 50)).unwrap();
    assert_eq!(channel.accept(voucher(&channel, 50)), Ok(false));
    assert_eq!(
        channel.accept(voucher(&channel, 49)),
        Err(ChannelError::LowerVoucher { found: 49, accepted: 50 })
    );
    assert_eq!(
        channel.accept(voucher(&channel, 101)),
        Err(ChannelError::OverDeposit { found: 101, covered: 100 })
    );
}

#[test]
fn a_withdrawal_freezes_but_what_was_reserved_is_charged() {
    let mut channel = channel(Mode::Session, 100);
    channel.accept(voucher(&channel, 50)).unwrap();
    let reservation = channel.reserve(10).unwrap();
    assert!(channel.observe(OnChain { balance: 100, withdrawing: 100, ..Default::default() }));
    assert_eq!(channel.frozen(), Some(Freeze::Uncovered));
    assert_eq!(channel.reserve(1), Err(ChannelError::Frozen(Freeze::Uncovered)));
    assert_eq!(channel.commit(reservation, 7), Ok((1, 7)));
    // A reorg that brings the deposit back thaws the channel; closing is for good.
    assert!(!channel.observe(OnChain { balance: 100, ..Default::default() }));
    assert_eq!(channel.frozen(), None);
    channel.close();
    channel.observe(OnChain { balance: 100, ..Default::default() });
    assert_eq!(channel.frozen(), Some(Freeze::Closing));
}

#[derive(Debug, Clone)]
enum Step {
    Accept(u128),
    Reserve(u128),
    Extend(usize, u128),
    Commit(usize, u128),
    Release(usize),
    Observe(u128, u128),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u128..200).prop_map(Step::Accept),
        (0u128..60).prop_map(Step::Reserve),
        (any::<usize>(), 0u128..60).prop_map(|(at, amount)| Step::Extend(at, amount)),
        (any::<usize>(), 0u128..80).prop_map(|(at, charge)| Step::Commit(at, charge)),
        any::<usize>().prop_map(Step::Release),
        (0u128..200, 0u128..20)
            .prop_map(|(balance, withdrawing)| Step::Observe(balance, withdrawing)),
    ]
}

proptest! {
    /// Any order of steps keeps the invariant (asserted inside), never charges twice, and counts
    /// receipts without a gap.
    #[test]
    fn any_history_is_sound(steps in proptest::collection::vec(step(), 0..80)) {
        let mut channel = channel(Mode::Session, 150);
        let mut open: Vec<Reservation> = Vec::new();
        let (mut charged, mut receipts) = (0u128, 0u64);
        for step in steps {
            match step {
                Step::Accept(amount) => { let _refused = channel.accept(voucher(&channel, amount)); }
                Step::Reserve(amount) => open.extend(channel.reserve(amount)),
                Step::Extend(at, amount) if !open.is_empty() => {
                    let at = at % open.len();
                    let _refused = channel.extend(&mut open[at], amount);
                }
                Step::Commit(at, charge) if !open.is_empty() => {
                    let reservation = open.swap_remove(at % open.len());
                    match channel.commit(reservation, charge) {
                        Ok((sequence, total)) => {
                            charged += charge;
                            receipts += 1;
                            prop_assert_eq!((sequence, total), (receipts, charged));
                        }
                        Err((reservation, _)) => open.push(reservation),
                    }
                }
                Step::Release(at) if !open.is_empty() => channel.release(open.swap_remove(at % open.len())),
                Step::Observe(balance, withdrawing) => {
                    channel.observe(OnChain { balance, withdrawing, ..Default::default() });
                }
                _ => {}
            }
            prop_assert_eq!(channel.charged(), charged);
            prop_assert_eq!(channel.reserved(), open.iter().map(Reservation::amount).sum::<u128>());
            prop_assert!(channel.charged() + channel.reserved() <= channel.accepted());
        }
    }
}
