// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Promised} from "../src/Promised.sol";
import {Receipts} from "../src/Receipts.sol";
import {FaultKind} from "../src/faults/Accountable.sol";
import {BondVault} from "../src/faults/BondVault.sol";
import {ClaimDemands} from "../src/faults/ClaimDemands.sol";
import {Faults} from "../src/faults/Faults.sol";
import {KeyRegistry} from "../src/faults/KeyRegistry.sol";
import {IBatchSettlement} from "../src/settlement/IBatchSettlement.sol";
import {FaultsFixture} from "./base/FaultsFixture.sol";
import {vm} from "./base/Vm.sol";

contract FaultsClaimsTest is FaultsFixture {
    uint128 private constant BOND = 5e6;
    Promised.Evidence private none;

    /// @dev The provider claims `total` of a channel with 1000 in it.
    function claimed(IBatchSettlement.ChannelConfig memory of_, uint128 total) private returns (bytes32) {
        deposit(of_, 1000);
        IBatchSettlement.VoucherClaim[] memory rows = batch(voucherClaim(of_, 1000, total));
        vm.prank(of_.receiverAuthorizer);
        settlement.claim(rows);
        return settlement.getChannelId(of_);
    }

    function covering(bytes32 id, uint128 cumulative) private view returns (Promised.Evidence memory) {
        Receipts.Receipt memory made = receipt();
        (made.channel, made.cumulative) = (id, cumulative);
        return promised(made);
    }

    function demand(IBatchSettlement.ChannelConfig memory of_) private returns (bytes32) {
        vm.prank(REPORTER);
        return faults.demand(of_, none);
    }

    function test_aCoveredClaimCostsTheDemanderTheBond() public {
        bytes32 id = claimed(channel(), 100);
        vm.assertEq(demand(channel()), id, "channel");
        Promised.Evidence memory less = covering(id, 99);
        vm.expectRevert(abi.encodeWithSelector(ClaimDemands.NotCovering.selector, 99, 100));
        faults.answer(less);
        vm.expectRevert(abi.encodeWithSelector(ClaimDemands.DeadlineOpen.selector, NOW + 3 days));
        faults.enforce(id);
        faults.answer(covering(id, 100));
        vm.prank(provider);
        vm.assertEq(faults.withdrawCredit(), BOND, "the bond is the provider's");
        vm.assertEq(token.balanceOf(address(faults)), 0, "nothing is left");
        vm.assertEq(bondOf(provider).stake, STAKE, "no fault");
        vm.prank(REPORTER);
        vm.expectRevert(ClaimDemands.NothingClaimed.selector);
        faults.demand(channel(), none);
    }

    function test_anUncoveredClaimIsAFault() public {
        bytes32 id = claimed(channel(), 100);
        demand(channel());
        vm.warp(NOW + 3 days + 1);
        Promised.Evidence memory late = covering(id, 100);
        vm.expectRevert(abi.encodeWithSelector(ClaimDemands.DeadlinePassed.selector, NOW + 3 days));
        faults.answer(late);
        bytes32 fault = faults.enforce(id);
        bytes32 place = keccak256(abi.encode(block.chainid, settlement, id, uint128(100)));
        vm.assertEq(fault, faults.faultId(provider, FaultKind.ClaimAboveReceipts, place), "its id");
        vm.assertEq(vault.rewards(REPORTER), STAKE / 20, "half a tenth");
        vm.assertEq(faults.credits(REPORTER), BOND, "and the bond");
        vm.expectRevert(ClaimDemands.NotDemanded.selector);
        faults.enforce(id);
        vm.prank(REPORTER);
        vm.expectRevert(ClaimDemands.NothingClaimed.selector);
        faults.demand(channel(), none);
        // A later claim of the same channel can be doubted anew.
        claimed(channel(), 101);
        demand(channel());
    }

    function test_aClaimIsDemandedOnce() public {
        claimed(channel(), 100);
        demand(channel());
        vm.prank(REPORTER);
        vm.expectRevert(ClaimDemands.AlreadyDemanded.selector);
        faults.demand(channel(), none);
    }

    function test_aStakeStaysInWhileADemandIsOpen() public {
        vm.prank(provider);
        vault.startWithdrawal(STAKE);
        bytes32 id = claimed(channel(), 100);
        vm.warp(NOW + 21 days - 1);
        demand(channel());
        vm.warp(NOW + 25 days - 1);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(BondVault.NotYet.selector, NOW + 25 days));
        vault.withdraw();
        faults.enforce(id);
        vm.warp(NOW + 25 days);
        vm.prank(provider);
        vm.assertEq(vault.withdraw(), STAKE - STAKE / 10, "what is left");
    }

    /// @dev A provider that is leaving does not answer with a made-up receipt and take its stake along.
    function test_aStakeStaysInWhileAnAnswerCanBeContradicted() public {
        vm.prank(provider);
        vault.startWithdrawal(STAKE);
        bytes32 id = claimed(channel(), 100);
        vm.warp(NOW + 21 days);
        demand(channel());
        Promised.Evidence memory made = covering(id, 100);
        faults.answer(made);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(BondVault.NotYet.selector, NOW + 36 days + 1));
        vault.withdraw();
        Receipts.Receipt memory bought = receiptOf(id);
        bought.cumulative = 60;
        vm.warp(NOW + 35 days);
        proves(doubleSequence(made, promised(bought)));
        vm.warp(NOW + 36 days + 1);
        vm.prank(provider);
        vm.assertEq(vault.withdraw(), STAKE - STAKE / 10, "what is left");
    }

    /// @dev Whoever asks about one channel after the other keeps no stake in for ever.
    function test_questionsHoldAStakeForAsLongAgainAtMost() public {
        vm.prank(provider);
        vault.startWithdrawal(STAKE);
        IBatchSettlement.ChannelConfig memory of_ = channel();
        for (uint256 day = 20; day < 42; day += 3) {
            of_.salt = bytes32(day);
            claimed(of_, 100);
            vm.warp(NOW + day * 1 days);
            demand(of_);
            faults.answer(covering(settlement.getChannelId(of_), 100));
        }
        vm.warp(NOW + 42 days);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(BondVault.NotYet.selector, NOW + 42 days + 1));
        vault.withdraw();
        vm.warp(NOW + 42 days + 1);
        vm.prank(provider);
        vm.assertEq(vault.withdraw(), STAKE, "all of it");
    }

    /// @dev Anyone can open a channel to himself that names another as the one who authorizes its claims.
    function test_nobodyAnswersForAnothersClaim() public {
        IBatchSettlement.ChannelConfig memory posing = config(2);
        (posing.receiver, posing.receiverAuthorizer) = (stranger, provider);
        deposit(posing, 1000);
        IBatchSettlement.VoucherClaim[] memory rows = batch(voucherClaim(posing, 1000, 500));
        vm.prank(stranger);
        settlement.claim(rows);
        vm.prank(REPORTER);
        (bool success,) = address(faults).call(abi.encodeCall(ClaimDemands.demand, (posing, none)));
        vm.assertFalse(success, "without evidence");
        Promised.Evidence memory other_ = covering(keccak256("another channel"), 7);
        vm.prank(REPORTER);
        vm.expectRevert(ClaimDemands.NotOfChannel.selector);
        faults.demand(posing, other_);
        Promised.Evidence memory forged =
            promised(receiptOf(settlement.getChannelId(posing)), 100, STRANGER_KEY);
        vm.prank(REPORTER);
        vm.expectRevert(abi.encodeWithSelector(ClaimDemands.NotAccountable.selector, provider, stranger));
        faults.demand(posing, forged);
    }

    /// @dev A provider that is paid through a vault has accepted a channel with its first receipt.
    function test_whoPromisedAReceiptOfAChannelAnswersForIt() public {
        IBatchSettlement.ChannelConfig memory through = config(2);
        (through.receiver, through.receiverAuthorizer) = (address(0x7a), provider);
        bytes32 id = claimed(through, 500);
        Promised.Evidence memory accepted = covering(id, 7);
        vm.prank(REPORTER);
        faults.demand(through, accepted);
        vm.warp(NOW + 3 days + 1);
        faults.enforce(id);
        vm.assertEq(bondOf(provider).stake, 900e6, "at fault");
    }

    function test_oldReceiptsAndFormerKeysDefend() public {
        bytes32 id = claimed(channel(), 100);
        vm.startPrank(provider);
        keys.rotate(KeyRegistry.Role.Receipts, vm.addr(SECOND_KEY));
        vm.warp(NOW + 2 hours);
        keys.rotate(KeyRegistry.Role.Receipts, address(0x33));
        vm.stopPrank();
        vm.warp(NOW + 100 days);
        demand(channel());
        Promised.Evidence memory foreign = promised(receiptOf(id), 100, STRANGER_KEY);
        vm.expectRevert(ClaimDemands.NotOfChannel.selector);
        faults.answer(foreign);
        faults.answer(promised(receiptOf(id), 100, SECOND_KEY));
        vm.assertEq(faults.credits(provider), BOND, "answered");
    }

    /// @dev Else a thief could demand, answer with a receipt that he dates back, and so make it a new one.
    function test_aStolenKeyDefendsForTheWindow() public {
        bytes32 id = claimed(channel(), 100);
        vm.startPrank(provider);
        keys.rotate(KeyRegistry.Role.Receipts, vm.addr(SECOND_KEY));
        vm.warp(NOW + 2 hours);
        keys.declareCompromised(KeyRegistry.Role.Receipts, vm.addr(SECOND_KEY));
        vm.stopPrank();
        uint64 last = NOW + 2 hours + 14 days;
        vm.warp(last);
        demand(channel());
        Promised.Evidence memory stolen = promised(receiptOf(id), 100, SECOND_KEY);
        vm.warp(last + 1);
        vm.expectRevert(ClaimDemands.NotOfChannel.selector);
        faults.answer(stolen);
        vm.warp(last);
        faults.answer(stolen);
        claimed(channel(), 101);
        vm.warp(last + 1 days);
        demand(channel());
        Receipts.Receipt memory made = receiptOf(id);
        made.cumulative = 101;
        faults.answer(promised(made));
        vm.assertEq(faults.credits(provider), 2 * BOND, "promised anew by the address itself");
    }

    function receiptOf(bytes32 id) private view returns (Receipts.Receipt memory made) {
        made = receipt();
        made.channel = id;
    }

    /// @dev Nor do its kind and version put it out of the reach of other faults.
    function test_anAnswerIsAReceiptThatFaultsReach() public {
        bytes32 id = claimed(channel(), 100);
        demand(channel());
        Receipts.Receipt memory made = receiptOf(id);
        made.version = 2;
        Promised.Evidence memory unread = promised(made);
        vm.expectRevert(abi.encodeWithSelector(ClaimDemands.UnknownVersion.selector, 2));
        faults.answer(unread);
        (made.version, made.kind) = (1, 5);
        unread = promised(made);
        vm.expectRevert(ClaimDemands.NotOfChannel.selector);
        faults.answer(unread);
    }

    /// @dev A receipt that is made up and dated back contradicts the payer's, however old that is by then.
    function test_anAnswerIsHeldAgainstItsProviderFromThenOn() public {
        bytes32 id = claimed(channel(), 100);
        vm.warp(NOW + 100 days);
        demand(channel());
        Receipts.Receipt memory bought = receiptOf(id);
        bought.cumulative = 60;
        Promised.Evidence memory made = promised(receiptOf(id), 100, PROVIDER_KEY);
        refuses(doubleSequence(promised(bought), made), ClaimDemands.NotAccountable.selector);
        faults.answer(made);
        vm.assertEq(faults.shownAt(keccak256(made.receipt)), NOW + 100 days, "shown");
        Promised.Evidence memory foreign = promised(bought, 100, STRANGER_KEY);
        refuses(doubleSequence(foreign, made), ClaimDemands.NotAccountable.selector);
        vm.warp(NOW + 114 days + 1);
        refuses(doubleSequence(promised(bought), made), ClaimDemands.NotAccountable.selector);
        vm.warp(NOW + 114 days);
        proves(doubleSequence(made, promised(bought)));
    }

    /// @dev Whoever waits until its last receipt is old does not get rid of the channel.
    function test_havingAcceptedAChannelDoesNotAge() public {
        IBatchSettlement.ChannelConfig memory through = config(2);
        (through.receiver, through.receiverAuthorizer) = (address(0x7a), provider);
        bytes32 id = claimed(through, 500);
        vm.prank(provider);
        keys.rotate(KeyRegistry.Role.Receipts, vm.addr(SECOND_KEY));
        vm.prank(provider);
        keys.declareCompromised(KeyRegistry.Role.Receipts, vm.addr(SECOND_KEY));
        vm.warp(NOW + 100 days);
        // What a stolen key signs does, as everything by it.
        Promised.Evidence memory stolen = promised(receiptOf(id), 100, SECOND_KEY);
        vm.prank(REPORTER);
        vm.expectRevert(
            abi.encodeWithSelector(ClaimDemands.NotAccountable.selector, provider, vm.addr(SECOND_KEY))
        );
        faults.demand(through, stolen);
        Promised.Evidence memory accepted = covering(id, 7);
        vm.prank(REPORTER);
        vm.assertEq(faults.demand(through, accepted), id, "demanded");
    }
}
