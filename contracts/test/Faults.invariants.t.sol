// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Promised} from "../src/Promised.sol";
import {Receipts} from "../src/Receipts.sol";
import {Faults} from "../src/faults/Faults.sol";
import {KeyRegistry} from "../src/faults/KeyRegistry.sol";
import {IBatchSettlement} from "../src/settlement/IBatchSettlement.sol";
import {FaultsFixture} from "./base/FaultsFixture.sol";
import {FuzzSelector, bound, signWith, vm} from "./base/Vm.sol";

/// @dev An honest provider, one that contradicts itself, whoever accuses either, a stranger, and time.
contract Accusers is FaultsFixture {
    uint128 private constant BOND = 5e6;
    /// @dev Until a stake is no longer held for a demand.
    uint64 private constant ANSWERED = 21 days + 1;
    address private immutable cheat = vm.addr(SECOND_KEY);
    uint64 private clock = NOW;
    uint128 private nextClaim;
    uint64 private turns;
    /// @dev What the honest provider put in less what it took out.
    uint256 private honestStake = STAKE;
    /// @dev All dollars but the payer's, which only the channel's claims move.
    uint256 private purse;
    /// @dev What was seen to leave the cheat's stake for each.
    mapping(bytes32 fault => uint256) private punished;
    bytes32[] private found;
    /// @dev A run goes on when a call in it fails, so what must never succeed is remembered.
    string private wrong;

    modifier timely() {
        vm.warp(clock);
        _;
    }

    constructor() {
        setUp();
        fund(cheat);
        fund(provider);
        vm.prank(cheat);
        vault.deposit(cheat, STAKE / 2);
        nextClaim = 1;
        deposit(channel(), 1e18);
        purse = token.totalSupply();
    }

    function doDeposit(bool honest, uint64 amount) external timely {
        address of_ = honest ? provider : cheat;
        amount = uint64(bound(amount, 1, STAKE / 10));
        vm.prank(of_);
        vault.deposit(of_, amount);
        if (honest) honestStake += amount;
    }

    function doStartWithdrawal(bool honest, uint128 amount) external timely {
        address of_ = honest ? provider : cheat;
        vm.prank(of_);
        vault.startWithdrawal(uint128(bound(amount, 1, STAKE / 4)));
    }

    function doCancelWithdrawal(bool honest) external timely {
        vm.prank(honest ? provider : cheat);
        vault.cancelWithdrawal();
    }

    /// @param patient Whether it waits until it may.
    function doWithdraw(uint8 who, bool patient) external timely {
        address of_ = [provider, cheat, stranger, REPORTER][who % 4];
        uint64 leavesAt = bondOf(of_).leavesAt;
        if (patient && clock < leavesAt) wait(leavesAt + ANSWERED);
        vm.prank(of_);
        uint128 amount = vault.withdraw();
        if (of_ == provider) honestStake -= amount;
        else if (of_ != cheat) wrong = "a stranger took a stake out";
    }

    /// @dev Each place is offered many times, in either order.
    function doReportCheat(uint8 sequence, bool swapped) external timely {
        (Receipts.Receipt memory one, Receipts.Receipt memory two) = (receipt(), other());
        (one.provider, two.provider) = (cheat, cheat);
        (one.sequence, two.sequence) = (sequence % 16, sequence % 16);
        (one.time, two.time) = (clock * 1000, clock * 1000);
        Promised.Evidence memory first = promised(one, 100, SECOND_KEY);
        Promised.Evidence memory second = promised(two, 100, SECOND_KEY);
        count(swapped ? doubleSequence(second, first) : doubleSequence(first, second));
    }

    function doReportSplit(uint8 size) external timely {
        uint64 of_ = 1 + size % 4;
        count(split(cheat, of_, signedRoot(of_, keccak256("b"), SECOND_KEY), SECOND_KEY));
    }

    /// @dev Statements of the honest provider, which takes each place once, in every combination; and forged ones.
    function doAccuseHonest(uint8 first, uint8 second, uint8 how) external timely {
        Receipts.Receipt memory one = honestReceipt(first % 4);
        Receipts.Receipt memory two = honestReceipt(second % 4);
        (uint64 from, uint64 to) = (100 + first % 4, 100 + second % 4);
        how %= 5;
        bytes memory call;
        if (how == 0) {
            call = doubleSequence(promised(one, from, PROVIDER_KEY), promised(two, to, PROVIDER_KEY));
        } else if (how == 1) {
            call = abi.encodeCall(
                Faults.reportDoubleIndex,
                (
                    promised(one, from, PROVIDER_KEY),
                    terms(),
                    promised(two, to, PROVIDER_KEY),
                    terms(),
                    fresh()
                )
            );
        } else if (how == 2) {
            call = abi.encodeCall(
                Faults.reportWrongCharge, (promised(one, from, PROVIDER_KEY), terms(), fresh())
            );
        } else if (how == 3) {
            two.sequence = one.sequence;
            two.response = keccak256("forged");
            call = doubleSequence(promised(one, from, PROVIDER_KEY), promised(two, to, STRANGER_KEY));
        } else {
            Faults.SignedRoot memory forged = signedRoot(7, keccak256("forged"), STRANGER_KEY);
            call = split(provider, 7, forged, PROVIDER_KEY);
        }
        (bool success,) = report(call);
        if (success) wrong = "an honest provider was found at fault";
    }

    /// @dev It claims what it has receipts for, and answers whoever doubts it.
    function doDoubtHonest() external timely {
        nextClaim += 1;
        IBatchSettlement.VoucherClaim[] memory rows = batch(voucherClaim(channel(), nextClaim, nextClaim));
        vm.prank(provider);
        settlement.claim(rows);
        Promised.Evidence memory none;
        vm.prank(REPORTER);
        faults.demand(channel(), none);
    }

    function doAnswer() external timely {
        answer();
    }

    function doEnforce() external timely {
        faults.enforce(settlement.getChannelId(channel()));
        wrong = "an honest provider's demand was enforced";
    }

    function doCollect(uint8 who) external timely {
        address of_ = [provider, cheat, stranger, REPORTER][who % 4];
        vm.prank(of_);
        vault.withdrawReward();
        vm.prank(of_);
        faults.withdrawCredit();
    }

    function doBurn() external timely {
        vault.burn();
    }

    function doShare(uint16 share) external timely {
        parameters.setSlashingShareBps(share % 2000);
    }

    /// @dev The cheat would hide behind keys, but its address speaks for it whatever there is besides.
    function doTurnKeys(bool stolen) external timely {
        address next = address(uint160(++turns));
        vm.prank(cheat);
        keys.rotate(KeyRegistry.Role.Receipts, next);
        vm.prank(cheat);
        if (stolen) keys.declareCompromised(KeyRegistry.Role.Receipts, next);
        else keys.rotate(KeyRegistry.Role.Checkpoints, next);
    }

    function doWait(uint64 seconds_) external timely {
        wait(clock + uint64(bound(seconds_, 1, 40 days)));
    }

    /// @dev Nobody waits past the end of a demand of the honest provider.
    function wait(uint64 until) private {
        (, uint64 deadline,,) = faults.demands(settlement.getChannelId(channel()));
        if (deadline != 0) answer();
        clock = until;
        vm.warp(clock);
    }

    function answer() private {
        Receipts.Receipt memory made = receipt();
        made.channel = settlement.getChannelId(channel());
        made.cumulative = nextClaim;
        faults.answer(promised(made));
    }

    function honestReceipt(uint64 n) private view returns (Receipts.Receipt memory made) {
        made = receipt();
        made.sequence = n;
        made.time = clock * 1000;
    }

    function split(address of_, uint64 size, Faults.SignedRoot memory second, uint256 key)
        private
        returns (bytes memory)
    {
        Faults.SignedRoot memory first = signedRoot(size, keccak256("a"), key);
        return abi.encodeCall(Faults.reportSplitLog, (of_, ORIGIN, size, first, second, fresh()));
    }

    function count(bytes memory call) private {
        uint256 stake = bondOf(cheat).stake;
        (bool success, bytes memory data) = report(call);
        if (!success) return;
        bytes32 fault = abi.decode(data, (bytes32));
        punished[fault] += stake - bondOf(cheat).stake;
        found.push(fault);
        (, uint16 share) = vault.costs(fault);
        if (punished[fault] > (stake * share + 9999) / 10_000) wrong = "a fault cost more than its share";
    }

    function check() external view {
        vm.assertEq(wrong, "", "what must never succeed");
        vm.assertEq(token.balanceOf(stranger), 0, "a stranger has nothing");
        for (uint256 i = 0; i < found.length; ++i) {
            (uint128 taken,) = vault.costs(found[i]);
            vm.assertEq(punished[found[i]], taken, "a fault's share is taken once");
        }
        uint256 stakes = bondOf(provider).stake + bondOf(cheat).stake;
        uint256 rewards = vault.rewards(REPORTER);
        uint256 owed = stakes + rewards + vault.unburnt();
        vm.assertEq(token.balanceOf(address(vault)), owed, "the vault holds what it owes, and no more");
        vm.assertEq(bondOf(provider).stake, honestStake, "an honest provider has its whole stake");
        vm.assertLe(bondOf(cheat).leaving, bondOf(cheat).stake, "what leaves is there");

        (, uint64 deadline,,) = faults.demands(settlement.getChannelId(channel()));
        uint256 bonds = faults.credits(provider) + faults.credits(REPORTER) + (deadline == 0 ? 0 : BOND);
        vm.assertEq(token.balanceOf(address(faults)), bonds, "bonds");
        uint256 all = token.balanceOf(payer) + token.balanceOf(address(settlement))
            + token.balanceOf(provider) + token.balanceOf(cheat) + token.balanceOf(REPORTER) + owed + bonds
            + token.balanceOf(0x000000000000000000000000000000000000dEaD);
        vm.assertEq(all, purse, "nothing is made or lost");
    }
}

contract FaultsInvariantsTest {
    Accusers private accusers;

    function setUp() public {
        accusers = new Accusers();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(accusers);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](15);
        selectors[0] = Accusers.doDeposit.selector;
        selectors[1] = Accusers.doStartWithdrawal.selector;
        selectors[2] = Accusers.doCancelWithdrawal.selector;
        selectors[3] = Accusers.doWithdraw.selector;
        selectors[4] = Accusers.doReportCheat.selector;
        selectors[5] = Accusers.doReportSplit.selector;
        selectors[6] = Accusers.doAccuseHonest.selector;
        selectors[7] = Accusers.doDoubtHonest.selector;
        selectors[8] = Accusers.doAnswer.selector;
        selectors[9] = Accusers.doEnforce.selector;
        selectors[10] = Accusers.doCollect.selector;
        selectors[11] = Accusers.doBurn.selector;
        selectors[12] = Accusers.doShare.selector;
        selectors[13] = Accusers.doTurnKeys.selector;
        selectors[14] = Accusers.doWait.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector({addr: address(accusers), selectors: selectors});
    }

    /// @dev The runs are made of calls that can succeed.
    function test_aRunThatGoesThrough() public {
        accusers.doReportCheat(1, false);
        accusers.doReportSplit(1);
        accusers.doAccuseHonest(1, 2, 0);
        accusers.doDoubtHonest();
        accusers.doAnswer();
        accusers.doTurnKeys(true);
        accusers.doStartWithdrawal(true, 100e6);
        accusers.doStartWithdrawal(false, 100e6);
        accusers.doWait(30 days);
        accusers.doWithdraw(0, false);
        accusers.doWithdraw(1, true);
        accusers.doCollect(3);
        accusers.doBurn();
        accusers.check();
    }

    function invariant_onlyTheFaultyPayAndOnlyOnce() public view {
        accusers.check();
    }
}
