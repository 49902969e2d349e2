// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TestDollar} from "../src/TestDollar.sol";
import {ICaveatEnforcer} from "../src/agent/ICaveatEnforcer.sol";
import {SpendPerPeriodEnforcer} from "../src/agent/SpendPerPeriodEnforcer.sol";
import {FuzzSelector, bound, vm} from "./base/Vm.sol";

/// @dev Calls the hooks as a delegation manager does: all before, the executions, all after.
///      `crates/contracts/tests/economy.rs` has MetaMask's own.
contract Manager {
    function redeem(
        ICaveatEnforcer enforcer,
        bytes[] calldata terms,
        address delegator,
        function() external act
    ) external {
        function() external[] memory acts = new function() external[](1);
        acts[0] = act;
        redeemAll(enforcer, terms, delegator, acts);
    }

    /// @dev Each execution is under a delegation for each of the terms.
    function redeemAll(
        ICaveatEnforcer enforcer,
        bytes[] calldata terms,
        address delegator,
        function() external[] memory acts
    ) public {
        for (uint256 i = 0; i < terms.length; ++i) {
            enforcer.beforeAllHook(terms[i], "", 0, "", bytes32(i), delegator, msg.sender);
        }
        for (uint256 a = 0; a < acts.length; ++a) {
            for (uint256 i = 0; i < terms.length; ++i) {
                enforcer.beforeHook(terms[i], "", 0, "", bytes32(i), delegator, msg.sender);
            }
            acts[a]();
            for (uint256 i = 0; i < terms.length; ++i) {
                enforcer.afterHook(terms[i], "", 0, "", bytes32(i), delegator, msg.sender);
            }
        }
        for (uint256 i = 0; i < terms.length; ++i) {
            enforcer.afterAllHook(terms[i], "", 0, "", bytes32(i), delegator, msg.sender);
        }
    }
}

contract Spender {
    uint256 internal constant LIMIT = 1000;
    uint256 internal constant PERIOD = 1 days;
    uint256 internal constant START = 1_000_000;
    address internal constant ACCOUNT = address(0xacc);

    SpendPerPeriodEnforcer internal enforcer;
    TestDollar internal dollar;
    Manager internal manager;
    uint256 internal out;
    uint256 internal in_;

    function setUp() public virtual {
        vm.warp(START);
        enforcer = new SpendPerPeriodEnforcer();
        dollar = new TestDollar(address(this));
        manager = new Manager();
        dollar.mint(ACCOUNT, 1e18);
    }

    function terms(bytes32 salt) internal view returns (bytes memory) {
        return abi.encodePacked(ACCOUNT, address(dollar), LIMIT, PERIOD, START, salt);
    }

    function copies(bytes memory terms_, uint256 count) internal pure returns (bytes[] memory list) {
        list = new bytes[](count);
        for (uint256 i = 0; i < count; ++i) {
            list[i] = terms_;
        }
    }

    /// @dev One redemption that sends `amount` away and gets `back`, under `count` delegations.
    function spend(uint256 amount, uint256 back, uint256 count) internal {
        (out, in_) = (amount, back);
        manager.redeem(enforcer, copies(terms(0), count), ACCOUNT, this.act);
    }

    function act() external {
        vm.prank(ACCOUNT);
        dollar.transfer(address(1), out);
        dollar.mint(ACCOUNT, in_);
    }

    function available() internal view returns (uint256) {
        return this.availableFor(terms(0));
    }

    function availableFor(bytes calldata terms_) external view returns (uint256) {
        return enforcer.available(address(manager), ACCOUNT, terms_);
    }
}

contract SpendPerPeriodEnforcerTest is Spender {
    function test_addsUpWithinAPeriod() public {
        spend(600, 0, 1);
        vm.assertEq(available(), 400, "left");
        vm.expectRevert(abi.encodeWithSelector(SpendPerPeriodEnforcer.SpendAboveLimit.selector, 1001, 1000));
        this.spend_(401, 0, 1);
        spend(400, 0, 1);
        vm.assertEq(available(), 0, "none left");
        vm.warp(START + PERIOD - 1);
        vm.expectRevert();
        this.spend_(1, 0, 1);
        vm.warp(START + PERIOD);
        vm.assertEq(available(), 1000, "a new period");
        spend(1000, 0, 1);
    }

    function test_countsWhatIsGoneAfterAll() public {
        spend(5000, 4500, 1);
        vm.assertEq(available(), 500, "the difference");
        spend(10, 20, 1);
        vm.assertEq(available(), 500, "a gain gives nothing back");
    }

    function test_whatOneExecutionBringsInPaysForNoOther() public {
        function() external[] memory acts = new function() external[](2);
        (acts[0], acts[1]) = (this.bring, this.act);
        (out, in_) = (1001, 0);
        vm.expectRevert(abi.encodeWithSelector(SpendPerPeriodEnforcer.SpendAboveLimit.selector, 1001, 1000));
        manager.redeemAll(enforcer, copies(terms(0), 2), ACCOUNT, acts);
        out = 1000;
        manager.redeemAll(enforcer, copies(terms(0), 2), ACCOUNT, acts);
        vm.assertEq(available(), 0, "counted in full");
    }

    function bring() external {
        dollar.mint(ACCOUNT, 5000);
    }

    function test_delegationsWithTheSameTermsShareASum() public {
        spend(600, 0, 3);
        vm.assertEq(available(), 400, "counted once");
        vm.expectRevert();
        this.spend_(401, 0, 2);
    }

    function test_aRedemptionWithinARedemptionIsCountedOnce() public {
        manager.redeem(enforcer, copies(terms(0), 1), ACCOUNT, this.nested);
        vm.assertEq(available(), 400, "both, once");
    }

    function nested() external {
        vm.prank(ACCOUNT);
        dollar.transfer(address(1), 200);
        this.spend_(400, 0, 1);
    }

    function test_anotherSaltManagerOrDelegatorIsAnotherSum() public {
        spend(1000, 0, 1);
        (out, in_) = (1, 0);
        manager.redeem(enforcer, copies(terms(keccak256("salt")), 1), ACCOUNT, this.act);
        manager.redeem(enforcer, copies(terms(0), 1), address(0xde1), this.act);
        Manager other = new Manager();
        other.redeem(enforcer, copies(terms(0), 1), ACCOUNT, this.act);
        vm.assertEq(available(), 0, "this sum is as it was");
    }

    function test_theChainsCoinIsCounted() public {
        bytes memory coin = abi.encodePacked(address(this), address(0), LIMIT, PERIOD, START, bytes32(0));
        (out, in_) = (1001, 0);
        vm.expectRevert(abi.encodeWithSelector(SpendPerPeriodEnforcer.SpendAboveLimit.selector, 1001, 1000));
        manager.redeem(enforcer, copies(coin, 1), ACCOUNT, this.pay);
        out = 1000;
        manager.redeem(enforcer, copies(coin, 1), ACCOUNT, this.pay);
    }

    function pay() external {
        (bool sent,) = address(1).call{value: out}("");
        vm.assertTrue(sent, "sent");
    }

    function test_badTermsAreRefused() public {
        bytes[4] memory bad = [
            bytes(""),
            abi.encodePacked(terms(0), hex"00"),
            abi.encodePacked(ACCOUNT, address(dollar), LIMIT, uint256(0), START, bytes32(0)),
            abi.encodePacked(ACCOUNT, address(dollar), uint256(1) << 128, PERIOD, START, bytes32(0))
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectRevert(SpendPerPeriodEnforcer.InvalidTerms.selector);
            manager.redeem(enforcer, copies(bad[i], 1), ACCOUNT, this.act);
        }
        bytes memory later = abi.encodePacked(ACCOUNT, address(dollar), LIMIT, PERIOD, START + 1, bytes32(0));
        vm.assertEq(this.availableFor(later), 0, "nothing before the start");
        vm.expectRevert(abi.encodeWithSelector(SpendPerPeriodEnforcer.NotStarted.selector, START + 1));
        manager.redeem(enforcer, copies(later, 1), ACCOUNT, this.act);
    }

    function test_aHookWithoutItsOtherHalfFails() public {
        vm.expectRevert();
        enforcer.afterHook(terms(0), "", 0, "", 0, ACCOUNT, address(this));
    }

    function spend_(uint256 amount, uint256 back, uint256 count) external {
        spend(amount, back, count);
    }

    receive() external payable {}
}

/// @dev Spends at random, and adds up by itself what each period lost.
contract RandomSpender is Spender {
    uint256 private clock = START;
    mapping(uint256 period => uint256) public spent;
    uint256 public accepted;

    constructor() {
        setUp();
    }

    function doSpend(uint256 amount, uint256 back, uint256 count) external {
        amount = bound(amount, 0, 1200);
        back = bound(back, 0, 400);
        spend(amount, back, bound(count, 1, 3));
        if (amount > back) spent[period()] += amount - back;
        ++accepted;
    }

    function doWait(uint256 seconds_) external {
        clock += bound(seconds_, 1, PERIOD / 2);
        vm.warp(clock);
    }

    function period() public view returns (uint256) {
        return (clock - START) / PERIOD;
    }

    function check() external {
        vm.warp(clock);
        vm.assertLe(spent[period()], LIMIT, "never above the amount");
        vm.assertEq(available(), LIMIT - spent[period()], "what is left");
    }
}

contract SpendInvariantsTest {
    RandomSpender private spender;

    function setUp() public {
        spender = new RandomSpender();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(spender);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](2);
        selectors[0] = RandomSpender.doSpend.selector;
        selectors[1] = RandomSpender.doWait.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector({addr: address(spender), selectors: selectors});
    }

    function invariant_noPeriodIsOverspent() public {
        spender.check();
    }
}
