// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {BatchSettlement} from "../src/settlement/BatchSettlement.sol";
import {IBatchSettlement} from "../src/settlement/IBatchSettlement.sol";
import {Act, Call, SettlementCalls, Step} from "./base/SettlementCalls.sol";
import {SettlementLedger} from "./base/SettlementLedger.sol";
import {Hand} from "./base/SettlementScene.sol";
import {MoodyToken} from "./base/Tokens.sol";
import {FuzzSelector, vm} from "./base/Vm.sol";

/// @dev Payers, receivers, relayers and thieves, doing anything in any order; and a ledger that says of each call
///      whether it may be done, and what it does.
contract Parties is SettlementCalls {
    SettlementLedger private immutable ledger;
    uint256 private clock = START;
    uint256 private turn;
    bytes[] private history;
    /// @dev A run goes on when a call in it fails, so what must never happen is remembered.
    string private wrong;
    /// @dev The highest voucher that was signed, by channel.
    mapping(uint256 channel => uint256) private signed;
    mapping(uint256 channel => uint256) private lastClaimed;
    mapping(address token => uint256) private given;
    /// @notice How often each act went through, and was refused, alone.
    mapping(Act => uint256) public done;
    mapping(Act => uint256) public refused;

    constructor() {
        setScene();
        vm.etch(CANONICAL, address(new BatchSettlement()).code);
        ledger = new SettlementLedger(configs, moody, address(dollar));
        for (uint256 i = 0; i < parties.length; ++i) {
            for (uint256 j = 0; j < tokens.length; ++j) {
                ledger.setPurse(parties[i], tokens[j], PURSE);
            }
        }
    }

    function doCall(uint256 seed) external {
        vm.warp(clock);
        Call memory made = draw(uint256(keccak256(abi.encode(seed, ++turn))));
        history.push(abi.encode(made));
        perform(made);
    }

    /// @dev Exactly what was sent before, by whom it was or by anyone.
    function doAgain(uint256 seed) external {
        if (history.length == 0) return;
        vm.warp(clock);
        Call memory made = abi.decode(history[roll(seed, "which", history.length)], (Call));
        if (roll(seed, "who", 2) == 0) made.sender = anyone(seed);
        perform(made);
    }

    /// @dev To the second at which a withdrawal may be finished, or just before.
    function doWait(uint256 seed) external {
        uint256 delay = configs[roll(seed, "channel", CHANNELS)].withdrawDelay;
        clock += delay - roll(seed, "early", 2);
    }

    function doMood(uint8 mood) external {
        moody.setMood(MoodyToken.Mood(mood % 4));
    }

    /// @dev What nobody is owed stays, and helps nobody.
    function doGive(uint256 seed) external {
        address token = tokens[roll(seed, "token", tokens.length)];
        uint256 amount = roll(seed, "amount", 1e6);
        if (token == address(moody) && moody.mood() != MoodyToken.Mood.Honest) return;
        MoodyToken(token == address(dollar) ? address(plain) : token).mint(CANONICAL, amount);
        given[token == address(dollar) ? address(plain) : token] += amount;
    }

    function perform(Call memory made) private {
        bytes memory data = encode(made);
        bool may = true;
        try ledger.run(made) {}
        catch {
            may = false;
        }
        vm.prank(made.sender);
        (bool success,) = CANONICAL.call(data);
        if (success != may) wrong = may ? "what may be done was refused" : "what may not be done was done";
        Step memory step = made.steps[0];
        if (made.steps.length == 1) {
            if (success) ++done[step.act];
            else ++refused[step.act];
        }
        for (uint256 i = 0; i < made.steps.length; ++i) {
            note(made.steps[i]);
        }
    }

    function note(Step memory step) private {
        for (uint256 i = 0; i < step.rows.length; ++i) {
            bool higher = step.rows[i].max > signed[step.rows[i].channel];
            if (higher && step.rows[i].hand == Hand.Right) signed[step.rows[i].channel] = step.rows[i].max;
        }
        for (uint256 i = 0; i < CHANNELS; ++i) {
            (, uint256 claimed) = settlement.channels(settlement.getChannelId(configs[i]));
            if (claimed < lastClaimed[i]) wrong = "a claimed total went back";
            lastClaimed[i] = claimed;
        }
    }

    function check() external view {
        vm.assertEq(wrong, "", "what must never happen");
        vm.assertFalse(moody.entered(), "nothing is entered twice");
        for (uint256 i = 0; i < CHANNELS; ++i) {
            checkChannel(i);
        }
        for (uint256 i = 0; i < tokens.length; ++i) {
            checkToken(IERC20(tokens[i]));
        }
    }

    function checkChannel(uint256 channel) private view {
        bytes32 id = settlement.getChannelId(configs[channel]);
        SettlementLedger.Book memory book = ledger.book(channel);
        (uint256 balance, uint256 claimed) = settlement.channels(id);
        (uint256 pending, uint256 since) = settlement.pendingWithdrawals(id);
        vm.assertEq(balance, book.balance, "balance");
        vm.assertEq(claimed, book.claimed, "claimed");
        vm.assertEq(pending, book.pending, "pending");
        vm.assertEq(since, book.since, "since");
        vm.assertEq(settlement.refundNonce(id), book.nonce, "nonce");
        vm.assertLe(claimed, balance, "claimed and balance");
        vm.assertLe(claimed, signed[channel], "claimed and signed");
    }

    /// @dev What came in is what went out and what is owed, and everyone has what is theirs to the unit.
    function checkToken(IERC20 token) private view {
        uint256 owed = given[address(token)];
        for (uint256 i = 0; i < CHANNELS; ++i) {
            if (configs[i].token != address(token)) continue;
            (uint256 balance, uint256 claimed) = settlement.channels(settlement.getChannelId(configs[i]));
            owed += balance - claimed;
        }
        for (uint256 i = 0; i < parties.length; ++i) {
            (uint256 claimed, uint256 settled) = settlement.receivers(parties[i], address(token));
            vm.assertEq(claimed, ledger.claimed(parties[i], address(token)), "claimed in all");
            vm.assertEq(settled, ledger.settled(parties[i], address(token)), "settled in all");
            owed += claimed - settled;
            vm.assertEq(
                token.balanceOf(parties[i]), ledger.purses(parties[i], address(token)), "what one has"
            );
        }
        vm.assertEq(token.balanceOf(CANONICAL), owed, "held and owed");
    }

    /// @dev Wherever a run ends, everyone gets what is theirs, and nothing is left but what was given away.
    function close() external {
        moody.setMood(MoodyToken.Mood.Honest);
        for (uint256 i = 0; i < CHANNELS; ++i) {
            IBatchSettlement.ChannelConfig memory config = configs[i];
            bytes32 id = settlement.getChannelId(config);
            settlement.settle(config.receiver, config.token);
            vm.startPrank(config.payer);
            (, uint40 since) = settlement.pendingWithdrawals(id);
            if (since != 0) {
                vm.warp(clock += config.withdrawDelay);
                settlement.finalizeWithdraw(config);
            }
            (uint128 balance, uint128 claimed) = settlement.channels(id);
            if (balance != claimed) {
                settlement.initiateWithdraw(config, balance - claimed);
                vm.warp(clock += config.withdrawDelay);
                settlement.finalizeWithdraw(config);
            }
            vm.stopPrank();
        }
        for (uint256 i = 0; i < tokens.length; ++i) {
            uint256 left = IERC20(tokens[i]).balanceOf(CANONICAL);
            vm.assertEq(left, given[tokens[i]], "nothing is left behind");
        }
    }
}

contract BatchSettlementInvariantsTest {
    Parties private parties;

    function setUp() public {
        parties = new Parties();
    }

    /// @dev Read by forge: only the parties act, and only by their `do` functions.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](10);
        // Forge takes each as often as the others.
        for (uint256 i = 0; i < 6; ++i) {
            selectors[i] = Parties.doCall.selector;
        }
        selectors[6] = Parties.doAgain.selector;
        selectors[7] = Parties.doWait.selector;
        selectors[8] = Parties.doMood.selector;
        selectors[9] = Parties.doGive.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector({addr: address(parties), selectors: selectors});
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(parties);
    }

    /// forge-config: default.invariant.runs = 32
    function invariant_everyoneHasWhatIsTheirs() public view {
        parties.check();
    }

    /// @dev Read by forge at the end of each run.
    function afterInvariant() public {
        parties.close();
    }

    /// @dev The runs are made of calls that go through, and of calls that do not.
    function test_everythingHappens() public {
        for (uint256 i = 0; i < 500; ++i) {
            parties.doCall(i);
            if (i % 8 == 0) parties.doAgain(i);
            if (i % 8 == 0) parties.doWait(i);
            if (i % 32 == 0) parties.doMood(uint8(i / 32));
        }
        parties.check();
        for (uint256 i = 0; i < 8; ++i) {
            vm.assertGe(parties.done(Act(i)), 3, "went through");
            vm.assertGe(parties.refused(Act(i)), i == uint256(Act.Settle) ? 0 : 5, "was refused");
        }
        parties.close();
    }
}
