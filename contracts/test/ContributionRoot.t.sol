// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Receipts} from "../src/Receipts.sol";
import {ContributionRoot} from "../src/contribution/ContributionRoot.sol";
import {Promised} from "../src/Promised.sol";
import {ContributionFixture} from "./base/ContributionFixture.sol";
import {encode} from "./base/ReceiptBytes.sol";
import {CallbackToken, FeeToken} from "./base/Tokens.sol";
import {bound, vm} from "./base/Vm.sol";

contract ContributionRootTest is ContributionFixture {
    function leaves() private pure returns (Leaf[] memory list) {
        list = new Leaf[](3);
        list[0] = Leaf(address(0xa1), 100e6, 10);
        list[1] = Leaf(address(0xa2), 30e6, 3);
        list[2] = Leaf(address(0xa3), 7, 1);
    }

    function final_(Leaf[] memory list, uint64 until, uint64 now_) private {
        propose(list, until);
        vm.warp(now_ + WINDOW);
    }

    function test_accountsClaimAfterTheWindow() public {
        Leaf[] memory list = leaves();
        propose(list, UNTIL);
        vm.warp(START + WINDOW - 1);
        bytes32[] memory path = proof(list, 0);
        vm.expectRevert(ContributionRoot.InvalidProof.selector);
        contributions.claim(series, address(0xa1), 100e6, 10, path);
        vm.warp(START + WINDOW);
        for (uint256 i = 0; i < list.length; ++i) {
            vm.assertEq(claim(list, i), list[i].cumulative, "claimed");
            vm.assertEq(claim(list, i), 0, "claimed again");
            vm.assertEq(dollar.balanceOf(list[i].account), list[i].cumulative, "paid");
        }
        vm.assertEq(contributions.credits(address(dollar), publisher), BOND, "the bond is free");
        vm.prank(publisher);
        contributions.withdraw(dollar);
        vm.assertEq(dollar.balanceOf(address(contributions)), 0, "nothing is left");
    }

    function test_theNextRootPaysTheDifference() public {
        Leaf[] memory list = leaves();
        final_(list, UNTIL, START);
        claim(list, 0);
        list[0].cumulative += 5;
        list[1].cumulative += 6;
        final_(list, UNTIL + 1, START + WINDOW);
        vm.assertEq(claim(list, 0), 5, "the difference");
        vm.assertEq(claim(list, 1), 30e6 + 6, "all of it");
    }

    function test_theFormerRootPaysUntilTheNextIsFinal() public {
        Leaf[] memory list = leaves();
        final_(list, UNTIL, START);
        contributions.finalise(series);
        Leaf[] memory next = leaves();
        next[2].cumulative += 1;
        propose(next, UNTIL + 1);
        vm.assertEq(claim(list, 2), 7, "by the former root");
        bytes32[] memory path = proof(next, 2);
        vm.expectRevert(ContributionRoot.InvalidProof.selector);
        contributions.claim(series, address(0xa3), 8, 1, path);
    }

    function test_proposalsAreThePublishersAndAdvance() public {
        vm.expectRevert(ContributionRoot.OnlyPublisher.selector);
        contributions.propose(series, keccak256("r"), 1, UNTIL, "");
        vm.startPrank(publisher);
        vm.expectRevert(ContributionRoot.InvalidProposal.selector);
        contributions.propose(series, 0, 1, UNTIL, "");
        vm.expectRevert(ContributionRoot.InvalidProposal.selector);
        contributions.propose(series, keccak256("r"), 1, UNTIL + 1, "");
        contributions.propose(series, keccak256("r"), 10, UNTIL, "");
        vm.expectRevert(ContributionRoot.ProposalPending.selector);
        contributions.propose(series, keccak256("r"), 10, UNTIL, "");
        vm.warp(START + WINDOW);
        vm.expectRevert(ContributionRoot.InvalidProposal.selector);
        contributions.propose(series, keccak256("r"), 9, UNTIL + 1, "");
        vm.expectRevert(ContributionRoot.InvalidProposal.selector);
        contributions.propose(series, keccak256("r"), 10, UNTIL, "");
        vm.expectRevert(ContributionRoot.InvalidSeries.selector);
        contributions.open(SETTLEMENT, dollar, ARBITER, 59, BOND);
        vm.stopPrank();
    }

    /// @dev The publisher's own signature proves that it left an account out.
    function test_anOmittedAccountIsProven() public {
        propose(leaves(), UNTIL);
        Promised.Evidence memory evidence = promised(receipt(address(0xdead), 12, 4), PUBLISHER_KEY);
        vm.expectEmit(address(contributions));
        emit ContributionRoot.CoverDemanded(series, address(0xdead), 12, 4, START + WINDOW);
        vm.prank(CHALLENGER);
        contributions.challengeWithReceipt(series, evidence);

        vm.warp(START + WINDOW);
        contributions.finalise(series);
        (,,,,,, bytes32 root,,,) = contributions.seriesOf(series);
        vm.assertEq(root, bytes32(0), "not final while it is challenged");
        vm.expectRevert(abi.encodeWithSelector(ContributionRoot.DeadlineOpen.selector, START + WINDOW));
        contributions.enforce(series);
        vm.warp(START + WINDOW + 1);
        contributions.enforce(series);
        vm.assertEq(contributions.credits(address(dollar), CHALLENGER), 2 * BOND, "both bonds");
        vm.assertEq(contributions.credits(address(dollar), publisher), 130e6 + 7, "the funds alone");
        uint256 before = dollar.balanceOf(CHALLENGER);
        vm.prank(CHALLENGER);
        contributions.withdraw(dollar);
        vm.assertEq(dollar.balanceOf(CHALLENGER), before + 2 * BOND, "withdrawn");
        // It may try again, honestly.
        propose(leaves(), UNTIL);
    }

    function test_anUnderstatedAccountCannotBeCovered() public {
        Leaf[] memory list = leaves();
        propose(list, UNTIL);
        Promised.Evidence memory evidence = promised(receipt(address(0xa2), 30e6 + 1, 3), PUBLISHER_KEY);
        vm.prank(CHALLENGER);
        contributions.challengeWithReceipt(series, evidence);
        bytes32[] memory path = proof(list, 1);
        vm.expectRevert(ContributionRoot.NotCovering.selector);
        contributions.answer(series, 30e6, 3, path);
        vm.expectRevert(ContributionRoot.InvalidProof.selector);
        contributions.answer(series, 30e6 + 1, 3, path);
        path = proof(list, 0);
        vm.expectRevert(ContributionRoot.InvalidProof.selector);
        contributions.answer(series, 100e6, 10, path);
    }

    function test_aCoveredAccountCostsTheChallengerTheBond() public {
        Leaf[] memory list = leaves();
        propose(list, UNTIL);
        Promised.Evidence memory evidence = promised(receipt(address(0xa2), 30e6, 3), PUBLISHER_KEY);
        vm.prank(CHALLENGER);
        contributions.challengeWithReceipt(series, evidence);
        vm.warp(START + WINDOW);
        contributions.answer(series, 30e6, 3, proof(list, 1));
        vm.assertEq(contributions.credits(address(dollar), publisher), BOND, "the challenger's bond");
        // The window starts anew: another may still challenge.
        vm.warp(START + 2 * WINDOW - 1);
        evidence = promised(receipt(address(0xdead), 1, 1), PUBLISHER_KEY);
        vm.prank(CHALLENGER);
        contributions.challengeWithReceipt(series, evidence);
    }

    function test_onlyThePublishersWordCounts() public {
        propose(leaves(), UNTIL);
        Receipts.Receipt memory made = receipt(address(0xdead), 12, 4);
        Promised.Evidence memory evidence = promised(made, 0xbad);
        refuse(evidence, Promised.NotPromised.selector);

        evidence = promised(made, PUBLISHER_KEY);
        evidence.index = 101;
        refuse(evidence, Promised.NotPromised.selector);
        evidence.index = 99;
        refuse(evidence, Promised.NotPromised.selector);
        evidence = promised(made, PUBLISHER_KEY);
        evidence.receipt = encode(receipt(address(0xdead), 13, 4));
        refuse(evidence, Promised.NotPromised.selector);
        evidence = promised(made, PUBLISHER_KEY);
        evidence.promised.count = 6;
        refuse(evidence, Promised.NotPromised.selector);
        evidence.receipt = new bytes(517);
        refuse(evidence, abi.encodeWithSelector(Receipts.ReceiptLength.selector, 517));

        // Another publisher's receipt, promised by its own key.
        made.provider = vm.addr(0xbad);
        made.channel = Promised.streamId(made.chain, SETTLEMENT, made.provider, made.payer);
        refuse(promised(made, 0xbad), ContributionRoot.ReceiptNotDue.selector);
    }

    function testFuzz_otherReceiptsProveNothing(uint8 field) public {
        propose(leaves(), UNTIL);
        Receipts.Receipt memory made = receipt(address(0xdead), 12, 4);
        bytes4 reason = ContributionRoot.ReceiptNotDue.selector;
        field %= 6;
        if (field == 0) made.time = UNTIL;
        if (field == 1) made.asset = address(0x7);
        if (field == 2) {
            made.settlement = address(0x7);
            made.channel = Promised.streamId(made.chain, made.settlement, publisher, made.payer);
        }
        if (field > 2) reason = Promised.NotDataUse.selector;
        if (field == 3) made.kind = 1;
        if (field == 4) made.channel = keccak256("another stream");
        if (field == 5) made.chain += 1;
        refuse(promised(made, PUBLISHER_KEY), reason);
    }

    function test_anAccountsTotalNeverGoesBack() public {
        Leaf[] memory list = leaves();
        final_(list, UNTIL, START);
        contributions.finalise(series);
        Leaf[] memory next = leaves();
        next[1].cumulative -= 1;
        next[0].cumulative += 1;
        propose(next, UNTIL + 1);
        bytes32[] memory path = proof(next, 1);
        vm.expectRevert(ContributionRoot.InvalidProof.selector);
        contributions.challengeWithLeaf(series, address(0xa2), 30e6 - 1, 3, path);
        path = proof(list, 1);
        vm.prank(CHALLENGER);
        contributions.challengeWithLeaf(series, address(0xa2), 30e6, 3, path);
        vm.warp(START + 2 * WINDOW + 1);
        contributions.enforce(series);
        vm.assertEq(contributions.credits(address(dollar), CHALLENGER), 2 * BOND, "both bonds");
        vm.assertEq(claim(list, 1), 30e6, "the former root still pays");
    }

    function test_theArbiterDecides() public {
        Leaf[] memory list = leaves();
        propose(list, UNTIL);
        vm.prank(CHALLENGER);
        contributions.challenge(series);
        vm.prank(CHALLENGER);
        vm.expectRevert(ContributionRoot.AlreadyChallenged.selector);
        contributions.challenge(series);
        vm.expectRevert(ContributionRoot.OnlyArbiter.selector);
        contributions.resolve(series, false);
        vm.prank(ARBITER);
        contributions.resolve(series, true);
        vm.assertEq(contributions.credits(address(dollar), publisher), BOND, "upheld");
        vm.prank(CHALLENGER);
        contributions.challenge(series);
        vm.prank(ARBITER);
        contributions.resolve(series, false);
        vm.assertEq(contributions.credits(address(dollar), CHALLENGER), 2 * BOND, "void");
        vm.prank(ARBITER);
        vm.expectRevert(ContributionRoot.NotChallenged.selector);
        contributions.resolve(series, false);
    }

    function test_aSilentArbiterCostsNobody() public {
        propose(leaves(), UNTIL);
        vm.prank(CHALLENGER);
        contributions.challenge(series);
        vm.warp(START + 4 * WINDOW + 1);
        vm.prank(ARBITER);
        vm.expectRevert(abi.encodeWithSelector(ContributionRoot.DeadlinePassed.selector, START + 4 * WINDOW));
        contributions.resolve(series, false);
        contributions.enforce(series);
        vm.assertEq(contributions.credits(address(dollar), CHALLENGER), BOND, "the challenger's own");
        vm.assertEq(contributions.credits(address(dollar), publisher), 130e6 + 7 + BOND, "the publisher's");
    }

    function test_nothingIsChallengedTooLate() public {
        vm.prank(CHALLENGER);
        vm.expectRevert(ContributionRoot.NoProposal.selector);
        contributions.challenge(series);
        propose(leaves(), UNTIL);
        Promised.Evidence memory evidence = promised(receipt(address(0xdead), 12, 4), PUBLISHER_KEY);
        vm.warp(START + WINDOW);
        refuse(evidence, ContributionRoot.WindowClosed.selector);
    }

    /// @dev Leaves above the total: the contract pays the total, whoever comes first.
    function testFuzz_neverMoreThanTheTotal(uint128 total, uint64[3] memory amounts) public {
        uint256 sum = uint256(amounts[0]) + amounts[1] + amounts[2];
        total = uint128(bound(total, 0, sum > 1e18 - BOND ? 1e18 - BOND : sum));
        Leaf[] memory list = leaves();
        for (uint256 i = 0; i < 3; ++i) {
            list[i].cumulative = amounts[i];
        }
        bytes32 root = rootOf(list);
        vm.prank(publisher);
        contributions.propose(series, root, total, UNTIL, "");
        // Another's funds lie in the same contract.
        dollar.mint(address(contributions), 1e20);
        vm.warp(START + WINDOW);
        uint256 paid = 0;
        for (uint256 i = 0; i < 3; ++i) {
            bytes32[] memory path = proof(list, i);
            if (amounts[i] > total - paid) {
                vm.expectRevert(
                    abi.encodeWithSelector(ContributionRoot.TotalExceeded.selector, amounts[i], total - paid)
                );
                contributions.claim(series, list[i].account, amounts[i], list[i].sequence, path);
            } else {
                paid += contributions.claim(series, list[i].account, amounts[i], list[i].sequence, path);
            }
        }
        vm.assertLe(paid, total, "paid");
    }

    function test_tokensThatTakeOrCallBackAreRefused() public {
        vm.startPrank(publisher);
        FeeToken fee = new FeeToken(publisher);
        fee.approve(address(contributions), type(uint256).max);
        uint256 other = contributions.open(SETTLEMENT, fee, ARBITER, WINDOW, 100);
        vm.expectRevert(abi.encodeWithSelector(ContributionRoot.TransferShort.selector, 198, 200));
        contributions.propose(other, keccak256("r"), 100, UNTIL, "");

        CallbackToken token = new CallbackToken(publisher);
        token.approve(address(contributions), type(uint256).max);
        other = contributions.open(SETTLEMENT, token, ARBITER, WINDOW, 100);
        token.arm(address(contributions), abi.encodeCall(contributions.finalise, (other)));
        contributions.propose(other, keccak256("r"), 100, UNTIL, "");
        vm.stopPrank();
        vm.assertFalse(token.entered(), "never let in");
    }

    function rootOf(Leaf[] memory list) private view returns (bytes32) {
        bytes32[] memory level = hashes(list);
        return level.length == 3 ? pair(pair(level[0], level[1]), level[2]) : bytes32(0);
    }

    function pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return keccak256(a < b ? abi.encodePacked(a, b) : abi.encodePacked(b, a));
    }

    function refuse(Promised.Evidence memory evidence, bytes4 reason) private {
        refuse(evidence, abi.encodePacked(reason));
    }

    function refuse(Promised.Evidence memory evidence, bytes memory reason) private {
        vm.prank(CHALLENGER);
        vm.expectRevert(reason);
        contributions.challengeWithReceipt(series, evidence);
    }
}
