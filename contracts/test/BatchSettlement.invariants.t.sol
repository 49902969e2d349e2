// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IBatchSettlement} from "../src/settlement/IBatchSettlement.sol";
import {SettlementFixture} from "./base/SettlementFixture.sol";
import {bound, vm} from "./base/Vm.sol";

/// @dev The parties of three channels, doing anything the contract may let them do, in any order.
contract Parties is SettlementFixture {
    uint256 public constant CHANNELS = 3;

    /// @dev The highest voucher the payer ever signed, by channel.
    mapping(uint256 channel => uint128) public signed;
    mapping(uint256 channel => uint256) public deposited;
    mapping(uint256 channel => uint128) private lastClaimed;
    bool public claimedWentBack;

    constructor() {
        setUp();
    }

    function doDeposit(uint256 channel, uint128 amount) external {
        (channel, amount) = (channel % CHANNELS, uint128(bound(amount, 1, 1e12)));
        deposit(config(channel), amount);
        deposited[channel] += amount;
    }

    /// @dev Totals reach above voucher and balance on purpose: the contract must refuse those.
    function doClaim(uint256 channel, uint128 max, uint128 total) external {
        channel %= CHANNELS;
        (uint128 balance,) = state(channel);
        max = uint128(bound(max, 0, uint256(balance) * 5 / 4));
        total = uint128(bound(total, 0, uint256(max) * 5 / 4));
        if (max > signed[channel]) signed[channel] = max;
        claim(config(channel), max, total);
        observe(channel);
    }

    function doSettle() external {
        settlement.settle(receiver, address(token));
    }

    function doInitiateWithdraw(uint256 channel, uint128 amount) external {
        channel %= CHANNELS;
        (uint128 balance, uint128 claimed) = state(channel);
        amount = uint128(bound(amount, 1, uint256(balance - claimed) * 9 / 8 + 1));
        vm.prank(payer);
        settlement.initiateWithdraw(config(channel), amount);
    }

    function doFinalizeWithdraw(uint256 channel, uint256 wait) external {
        channel %= CHANNELS;
        vm.warp(block.timestamp + bound(wait, DELAY / 2, 2 * DELAY));
        vm.prank(payer);
        settlement.finalizeWithdraw(config(channel));
        observe(channel);
    }

    function doRefund(uint256 channel, uint128 amount) external {
        channel %= CHANNELS;
        vm.prank(receiver);
        settlement.refund(config(channel), uint128(bound(amount, 1, 1e12)));
        observe(channel);
    }

    function state(uint256 channel) public view returns (uint128 balance, uint128 claimed) {
        return settlement.channels(settlement.getChannelId(config(channel)));
    }

    function credit() external view returns (uint256) {
        (uint128 claimed, uint128 settled) = settlement.receivers(receiver, address(token));
        return claimed - settled;
    }

    function held() external view returns (uint256) {
        return token.balanceOf(address(settlement));
    }

    function outside() external view returns (uint256) {
        return token.balanceOf(payer) + token.balanceOf(receiver);
    }

    function purse() external pure returns (uint256) {
        return PURSE;
    }

    function observe(uint256 channel) private {
        (, uint128 claimed) = state(channel);
        if (claimed < lastClaimed[channel]) claimedWentBack = true;
        lastClaimed[channel] = claimed;
    }
}

contract BatchSettlementInvariantsTest {
    Parties private parties;

    function setUp() public {
        parties = new Parties();
    }

    /// @dev Read by forge: only the parties act, and only by their `do` functions.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](6);
        selectors[0] = Parties.doDeposit.selector;
        selectors[1] = Parties.doClaim.selector;
        selectors[2] = Parties.doSettle.selector;
        selectors[3] = Parties.doInitiateWithdraw.selector;
        selectors[4] = Parties.doFinalizeWithdraw.selector;
        selectors[5] = Parties.doRefund.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector({addr: address(parties), selectors: selectors});
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(parties);
    }

    function invariant_holdsWhatItOwes() public view {
        uint256 owed = parties.credit();
        for (uint256 i = 0; i < parties.CHANNELS(); ++i) {
            (uint128 balance, uint128 claimed) = parties.state(i);
            owed += balance - claimed;
        }
        vm.assertEq(parties.held(), owed, "held and owed");
        vm.assertEq(parties.held() + parties.outside(), parties.purse(), "nothing is made or lost");
    }

    function invariant_claimsStayInBounds() public view {
        for (uint256 i = 0; i < parties.CHANNELS(); ++i) {
            (uint128 balance, uint128 claimed) = parties.state(i);
            vm.assertLe(claimed, balance, "claimed and balance");
            vm.assertLe(claimed, parties.signed(i), "claimed and signed");
            vm.assertLe(balance, parties.deposited(i), "balance and deposits");
        }
        vm.assertFalse(parties.claimedWentBack(), "claimed totals only grow");
    }
}

struct FuzzSelector {
    address addr;
    bytes4[] selectors;
}
