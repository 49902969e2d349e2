// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC3009DepositCollector} from "../src/settlement/ERC3009DepositCollector.sol";
import {IBatchSettlement} from "../src/settlement/IBatchSettlement.sol";
import {IDepositCollector} from "../src/settlement/IDepositCollector.sol";
import {SettlementFixture} from "./base/SettlementFixture.sol";
import {bound, signWith, vm} from "./base/Vm.sol";

/// @dev Says that it collected and moves less than it should.
contract ShortCollector is IDepositCollector {
    function collect(address, address, uint256, bytes32, bytes calldata) external {}
}

/// @dev Tries to count one transfer twice by depositing again from inside a deposit.
contract ReentrantCollector is IDepositCollector {
    IBatchSettlement.ChannelConfig private channel;

    constructor(IBatchSettlement.ChannelConfig memory channel_) {
        channel = channel_;
    }

    function collect(address, address, uint256 amount, bytes32, bytes calldata) external {
        IBatchSettlement(msg.sender).deposit(channel, uint128(amount), address(this), "");
    }
}

contract BatchSettlementFundsTest is SettlementFixture {
    function testFuzz_depositsAddUp(uint128 first, uint128 second) public {
        first = uint128(bound(first, 1, 1e24));
        second = uint128(bound(second, 1, 1e24));
        bytes32 id = settlement.getChannelId(config(1));
        bytes memory data = authorization(config(1), first, 7);

        vm.expectEmit(address(settlement));
        emit IBatchSettlement.ChannelCreated(id, config(1));
        vm.expectEmit(address(settlement));
        emit IBatchSettlement.Deposited(id, stranger, first, first);
        vm.prank(stranger); // anyone may carry the payer's signature
        settlement.deposit(config(1), first, address(collector), data);
        deposit(config(1), second);

        (uint128 balance,) = settlement.channels(id);
        vm.assertEq(balance, uint256(first) + second, "balance");
        vm.assertEq(token.balanceOf(address(settlement)), balance, "held");
    }

    function test_anAuthorizationFundsOneChannelOnce() public {
        bytes memory data = authorization(config(1), 100, 7);
        vm.expectRevert(); // made for channel 1
        settlement.deposit(config(2), 100, address(collector), data);
        settlement.deposit(config(1), 100, address(collector), data);
        vm.expectRevert(); // used
        settlement.deposit(config(1), 100, address(collector), data);
    }

    function test_onlyTheSettlementCollects() public {
        bytes memory data = authorization(config(1), 100, 7);
        bytes32 id = settlement.getChannelId(config(1));
        vm.expectRevert(ERC3009DepositCollector.OnlyX402BatchSettlement.selector);
        collector.collect(payer, address(token), 100, id, data);
        vm.expectRevert(ERC3009DepositCollector.InvalidX402BatchSettlementAddress.selector);
        new ERC3009DepositCollector(address(0));
    }

    function test_badDepositsAreRefused() public {
        IBatchSettlement.ChannelConfig memory channel = config(1);
        expectDepositRevert(channel, 0, address(collector), IBatchSettlement.ZeroDeposit.selector);
        expectDepositRevert(channel, 1, address(0), IBatchSettlement.InvalidCollector.selector);
        address short = address(new ShortCollector());
        expectDepositRevert(channel, 1, short, IBatchSettlement.DepositCollectionFailed.selector);
        address reentrant = address(new ReentrantCollector(channel));
        bytes4 reentered = bytes4(keccak256("ReentrancyGuardReentrantCall()"));
        expectDepositRevert(channel, 1, reentrant, reentered);

        channel = config(1);
        channel.payer = address(0);
        expectDepositRevert(channel, 1, short, IBatchSettlement.InvalidChannel.selector);
        channel = config(1);
        channel.receiver = address(0);
        expectDepositRevert(channel, 1, short, IBatchSettlement.InvalidChannel.selector);
        channel = config(1);
        channel.receiverAuthorizer = address(0);
        expectDepositRevert(channel, 1, short, IBatchSettlement.InvalidChannel.selector);
        channel = config(1);
        channel.token = address(0);
        expectDepositRevert(channel, 1, short, IBatchSettlement.InvalidChannel.selector);
    }

    function testFuzz_aWithdrawalWaitsItsDelay(uint128 amount, uint256 wait) public {
        amount = uint128(bound(amount, 1, 100));
        wait = bound(wait, 0, DELAY - 1);
        deposit(config(1), 100);
        bytes32 id = settlement.getChannelId(config(1));

        vm.expectEmit(address(settlement));
        emit IBatchSettlement.WithdrawInitiated(id, amount, uint40(START) + DELAY);
        vm.prank(payer);
        settlement.initiateWithdraw(config(1), amount);

        vm.warp(START + wait);
        vm.prank(payer);
        vm.expectRevert(IBatchSettlement.WithdrawDelayNotElapsed.selector);
        settlement.finalizeWithdraw(config(1));

        vm.warp(START + DELAY);
        vm.prank(payerAuthorizer);
        settlement.finalizeWithdraw(config(1));
        vm.assertEq(token.balanceOf(payer), PURSE - 100 + amount, "got back");
        (, uint40 initiatedAt) = settlement.pendingWithdrawals(id);
        vm.assertEq(initiatedAt, 0, "none pending");
    }

    function testFuzz_aClaimWithinTheDelayComesFirst(uint128 claimed, uint128 asked) public {
        claimed = uint128(bound(claimed, 1, 100));
        asked = uint128(bound(asked, 1, 100));
        deposit(config(1), 100);
        vm.prank(payer);
        settlement.initiateWithdraw(config(1), asked);
        claim(config(1), 100, claimed);
        vm.warp(START + DELAY);
        vm.prank(payer);
        settlement.finalizeWithdraw(config(1));
        uint256 free = 100 - claimed;
        vm.assertEq(token.balanceOf(payer), PURSE - 100 + (asked < free ? asked : free), "got back");
        settlement.settle(receiver, address(token));
        vm.assertEq(token.balanceOf(receiver), claimed, "received");
    }

    function test_badWithdrawalsAreRefused() public {
        deposit(config(1), 100);
        vm.prank(receiver);
        vm.expectRevert(IBatchSettlement.InvalidChannel.selector);
        settlement.initiateWithdraw(config(1), 1);
        vm.prank(payer);
        vm.expectRevert(IBatchSettlement.NothingToWithdraw.selector);
        settlement.initiateWithdraw(config(1), 0);
        vm.prank(payer);
        vm.expectRevert(IBatchSettlement.WithdrawAmountExceedsAvailable.selector);
        settlement.initiateWithdraw(config(1), 101);
        vm.prank(payer);
        vm.expectRevert(IBatchSettlement.WithdrawalNotPending.selector);
        settlement.finalizeWithdraw(config(1));
        vm.prank(payer);
        settlement.initiateWithdraw(config(1), 100);
        vm.prank(payer);
        vm.expectRevert(IBatchSettlement.WithdrawalAlreadyPending.selector);
        settlement.initiateWithdraw(config(1), 1);
        vm.prank(receiver);
        vm.expectRevert(IBatchSettlement.NotAuthorizedToFinalizeWithdraw.selector);
        settlement.finalizeWithdraw(config(1));
    }

    function testFuzz_refundsAreCappedAndShrinkAWithdrawal(uint128 pending, uint128 asked, uint128 claimed)
        public
    {
        claimed = uint128(bound(claimed, 0, 99));
        uint128 free = 100 - claimed;
        pending = uint128(bound(pending, 1, free));
        asked = uint128(bound(asked, 1, 200));
        deposit(config(1), 100);
        if (claimed != 0) claim(config(1), 100, claimed);
        vm.prank(payer);
        settlement.initiateWithdraw(config(1), pending);

        vm.prank(receiverAuthorizer);
        settlement.refund(config(1), asked);

        uint128 given = asked < free ? asked : free;
        vm.assertEq(token.balanceOf(payer), PURSE - 100 + given, "given back");
        (uint128 left, uint40 initiatedAt) = settlement.pendingWithdrawals(settlement.getChannelId(config(1)));
        vm.assertEq(left, pending > given ? pending - given : 0, "still to withdraw");
        vm.assertTrue((initiatedAt != 0) == (left != 0), "pending while something is left");
    }

    function test_aSignedRefundWorksOnce() public {
        deposit(config(1), 100);
        bytes32 id = settlement.getChannelId(config(1));
        bytes memory signature = signWith(RECEIVER_AUTHORIZER_KEY, settlement.getRefundDigest(id, 0, 100));

        vm.expectRevert(IBatchSettlement.InvalidSignature.selector);
        settlement.refundWithSignature(config(1), 99, 0, signature);
        vm.expectEmit(address(settlement));
        emit IBatchSettlement.Refunded(id, stranger, 100);
        vm.expectEmit(address(settlement));
        emit IBatchSettlement.ChannelClosed(id, config(1));
        vm.prank(stranger);
        settlement.refundWithSignature(config(1), 100, 0, signature);
        vm.expectRevert(IBatchSettlement.InvalidRefundNonce.selector);
        settlement.refundWithSignature(config(1), 100, 0, signature);
        vm.assertEq(token.balanceOf(payer), PURSE, "given back");
    }

    function test_aDirectRefundKillsASignedOne() public {
        deposit(config(1), 100);
        bytes32 id = settlement.getChannelId(config(1));
        bytes memory signature = signWith(RECEIVER_AUTHORIZER_KEY, settlement.getRefundDigest(id, 0, 10));
        vm.prank(payer);
        vm.expectRevert(IBatchSettlement.NotAuthorizedToRefund.selector);
        settlement.refund(config(1), 1);
        vm.prank(receiver);
        vm.expectRevert(IBatchSettlement.ZeroRefund.selector);
        settlement.refund(config(1), 0);
        vm.prank(receiver);
        settlement.refund(config(1), 1);
        vm.assertEq(settlement.refundNonce(id), 1, "nonce");
        vm.expectRevert(IBatchSettlement.InvalidRefundNonce.selector);
        settlement.refundWithSignature(config(1), 10, 0, signature);
    }

    function expectDepositRevert(
        IBatchSettlement.ChannelConfig memory channel,
        uint128 amount,
        address collector_,
        bytes4 selector
    ) private {
        vm.expectRevert(selector);
        settlement.deposit(channel, amount, collector_, "");
    }
}
