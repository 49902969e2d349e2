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

#[test]
fn a_deposit_counts_once_final_and_a_withdrawal_once_seen() {
    let seen = OnChain::seen(100, (80, 30), 60, 7);
    // Of a notice over 60, claims have left 50 to withdraw.
    let expected = OnChain { balance: 80, claimed: 30, withdrawing: 50, block: 7 };
    assert_eq!((seen, seen.covers()), (expected, 30));
    let seen = OnChain::seen(50, (80, 30), 10, 8);
    assert_eq!(seen, OnChain { balance: 50, claimed: 30, withdrawing: 10, block: 8 });
}

#[test]
fn what_is_claimed_is_charged_signed_and_deposited_and_more_than_before() {
    let on_chain = OnChain { balance: 100, claimed: 30, ..Default::default() };
    assert_eq!(on_chain.claimable(40, 90), Some(40));
    assert_eq!(on_chain.claimable(90, 40), Some(40));
    assert_eq!(on_chain.claimable(120, 150), Some(100));
    assert_eq!(on_chain.claimable(31, 90), Some(31));
    assert_eq!(on_chain.claimable(30, 90), None);
    assert_eq!(on_chain.claimable(29, 90), None);
}

#[test]
fn the_whole_deposit_may_be_signed_for() {
    let mut channel = channel(Mode::Session, 100);
    assert_eq!(channel.accept(voucher(&channel, 100)), Ok(true));
    assert!(!channel.observe(OnChain { balance: 100, block: 2, ..Default::default() }));
    assert_eq!((channel.frozen(), channel.on_chain().block), (None, 2));
    assert!(channel.observe(OnChain { balance: 99, ..Default::default() }));
    assert_eq!(channel.frozen(), Some(Freeze::Uncovered));
}

#[test]
fn a_notice_to_withdraw_freezes_what_is_still_covered_and_is_told_once() {
    let mut channel = channel(Mode::Session, 100);
    channel.accept(voucher(&channel, 50)).unwrap();
    let notice = OnChain { balance: 100, withdrawing: 1, ..Default::default() };
    assert!(channel.observe(notice));
    assert_eq!(channel.frozen(), Some(Freeze::Withdrawing));
    assert!(!channel.observe(notice), "it was frozen before");
    let frozen = ChannelError::Frozen(Freeze::Withdrawing);
    assert_eq!(channel.accept(voucher(&channel, 60)), Err(frozen));
}

#[test]
fn a_voucher_for_another_channel_is_refused_in_both_modes() {
    for mode in [Mode::Session, Mode::Stock] {
        let mut channel = channel(mode, 100);
        let mut other = voucher(&channel, 10);
        other.voucher.channel_id = B256::repeat_byte(9);
        let refused =
            ChannelError::OtherChannel { expected: channel.id(), found: B256::repeat_byte(9) };
        assert_eq!(channel.accept(other), Err(refused));
        assert_eq!(channel.best(), None);
        if mode == Mode::Stock {
            let first = channel.accept_stock(voucher(&channel, 10), 10).unwrap();
            channel.release(first);
            // Below the accepted total it would not be kept, and is still for this channel only.
            other.voucher.max_claimable_amount = 5;
            assert_eq!(channel.accept_stock(other, 5), Err(refused));
        }
    }
}

#[test]
fn a_first_voucher_may_be_for_nothing() {
    let mut channel = channel(Mode::Session, 100);
    assert_eq!(channel.accept(voucher(&channel, 0)), Ok(true));
    assert_eq!(channel.accept(voucher(&channel, 0)), Ok(false));
}

#[test]
fn a_restored_channel_goes_on_where_its_record_ends() {
    let new = channel(Mode::Session, 100);
    let best = voucher(&new, 50);
    let mut channel = new.clone().restore(Some(best), 33, 2);
    assert_eq!(channel.best(), Some(&best));
    assert_eq!((channel.charged(), channel.reserved(), channel.sequence()), (33, 0, 2));
    let reservation = channel.reserve(17).unwrap();
    assert_eq!(channel.commit(reservation, 17), Ok((3, 50)));
    assert_eq!(channel.sequence(), 3);
    let uncovered = new.restore(Some(voucher(&channel, 101)), 0, 0);
    assert_eq!(uncovered.frozen(), Some(Freeze::Uncovered));
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
