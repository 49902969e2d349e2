// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {RoyaltyReceiver} from "../src/lineage/RoyaltyReceiver.sol";
import {RoyaltyVault} from "../src/lineage/RoyaltyVault.sol";
import {LineageFixture} from "./base/LineageFixture.sol";
import {CallbackToken, FeeToken, LyingToken} from "./base/Tokens.sol";
import {FuzzSelector, bound, vm} from "./base/Vm.sol";

contract RoyaltyVaultTest is LineageFixture {
    function test_incomeIsSplitUpTheGraph() public {
        setFee(500);
        bytes32 data = root(1);
        bytes32 model = child(2, data, 4000);
        bytes32 service = child(3, model, 5000);
        earn(service, 1_000_000);

        vm.expectEmit(address(vault));
        emit RoyaltyVault.Swept(service, address(dollar), 1_000_000, 50_000);
        vm.assertEq(vault.sweep(service, address(dollar)), 1_000_000, "swept");
        vm.assertEq(vault.owed(service, 0, address(dollar)), 475_000, "owed");
        vm.assertEq(vault.pull(service, 0, address(dollar)), 475_000, "to the model");
        vm.assertEq(vault.pull(model, 0, address(dollar)), 190_000, "to the data");
        vm.assertEq(vault.withdraw(service, address(dollar)), 475_000, "service");
        vm.assertEq(vault.withdraw(model, address(dollar)), 285_000, "model");
        vm.assertEq(vault.withdraw(data, address(dollar)), 190_000, "data");
        vm.assertEq(vault.withdrawFees(address(dollar)), 50_000, "fees");
        vm.assertEq(dollar.balanceOf(ownerOf(1)), 190_000, "the data's owner");
        vm.assertEq(dollar.balanceOf(ownerOf(2)), 285_000, "the model's");
        vm.assertEq(dollar.balanceOf(ownerOf(3)), 475_000, "the service's");
        vm.assertEq(dollar.balanceOf(GOVERNANCE), 50_000, "the treasury");
        vm.assertEq(dollar.balanceOf(address(vault)), 0, "nothing is left");
    }

    function test_nothingIsPaidTwice() public {
        bytes32 data = root(1);
        bytes32 model = child(2, data, 2500);
        earn(model, 999);
        vault.sweep(model, address(dollar));
        vm.assertEq(vault.sweep(model, address(dollar)), 0, "swept again");
        vault.pull(model, 0, address(dollar));
        vm.assertEq(vault.pull(model, 0, address(dollar)), 0, "pulled again");
        vault.withdraw(model, address(dollar));
        vm.assertEq(vault.withdraw(model, address(dollar)), 0, "withdrawn again");
        vm.assertEq(vault.withdrawFees(address(dollar)), 0, "no fee was set");
    }

    function test_aReceiverHoldsMoneyBeforeItHasCode() public {
        bytes32 node = root(1);
        address receiver = vault.receiverOf(node);
        vm.assertEq(receiver.code.length, 0, "no code");
        earn(node, 10);
        vault.sweep(node, address(dollar));
        vm.assertTrue(receiver.code.length > 0, "a clone");
        vm.expectRevert(RoyaltyReceiver.OnlyVault.selector);
        RoyaltyReceiver(receiver).collect(dollar);
    }

    function test_onlyNodesAreSwept() public {
        bytes32 none = keccak256("none");
        earn(none, 5);
        vm.expectRevert(abi.encodeWithSelector(RoyaltyVault.UnknownNode.selector, none));
        vault.sweep(none, address(dollar));
        vm.expectRevert(abi.encodeWithSelector(RoyaltyVault.UnknownNode.selector, none));
        vault.withdraw(none, address(dollar));
        vm.expectRevert();
        vault.pull(none, 0, address(dollar));
        bytes32 node = root(1);
        vm.expectRevert();
        vault.pull(node, 0, address(dollar));
    }

    function test_manyStepsInOneCall() public {
        bytes32 data = root(1);
        bytes32 model = child(2, data, 2500);
        earn(model, 1000);
        bytes[] memory steps = new bytes[](4);
        steps[0] = abi.encodeCall(vault.sweep, (model, address(dollar)));
        steps[1] = abi.encodeCall(vault.pull, (model, 0, address(dollar)));
        steps[2] = abi.encodeCall(vault.withdraw, (model, address(dollar)));
        steps[3] = abi.encodeCall(vault.withdraw, (data, address(dollar)));
        vault.multicall(steps);
        vm.assertEq(dollar.balanceOf(ownerOf(1)), 250, "data");
        vm.assertEq(dollar.balanceOf(ownerOf(2)), 750, "model");
    }

    /// @dev What each got depends on what came in, not on how often it was asked.
    function testFuzz_payoutsDoNotDependOnTheOrder(
        uint64[4] memory incomes,
        uint16 left,
        uint16 right,
        uint8 asked
    ) public {
        left = uint16(bound(left, 1, 9999));
        right = uint16(bound(right, 1, 10_000 - left));
        bytes32 a = root(1);
        bytes32 b = root(2);
        bytes32 both = child(3, a, left, b, right);
        (bytes32 first,) = registry.parentAt(both, 0);
        uint256 total = 0;
        for (uint256 i = 0; i < incomes.length; ++i) {
            earn(both, incomes[i]);
            total += incomes[i];
            vault.sweep(both, address(dollar));
            if (asked >> (2 * i) & 1 == 1) vault.pull(both, 0, address(dollar));
            if (asked >> (2 * i + 1) & 1 == 1) vault.withdraw(both, address(dollar));
        }
        vault.pull(both, 0, address(dollar));
        vault.pull(both, 1, address(dollar));
        vault.withdraw(both, address(dollar));
        vault.withdraw(a, address(dollar));
        vault.withdraw(b, address(dollar));
        uint256 toA = total * left / 10_000;
        uint256 toB = total * right / 10_000;
        vm.assertTrue(first == a || first == b, "parents");
        vm.assertEq(dollar.balanceOf(ownerOf(1)), toA, "left");
        vm.assertEq(dollar.balanceOf(ownerOf(2)), toB, "right");
        uint256 own = total - total * (uint256(left) + right) / 10_000;
        vm.assertEq(dollar.balanceOf(ownerOf(3)), own, "own");
        vm.assertLe(toA + toB + own, total, "no more than came in");
        vm.assertLe(total - toA - toB - own, 1, "at most one unit stays for two parents");
    }

    function test_whatArrivesIsCounted() public {
        FeeToken token = new FeeToken(address(this));
        bytes32 node = root(1);
        token.transfer(vault.receiverOf(node), 10_000);
        vm.assertEq(vault.sweep(node, address(token)), 9_801, "less two fees");
        vault.withdraw(node, address(token));
        vm.assertEq(token.balanceOf(address(vault)), 0, "all of what arrived");
    }

    function test_aTokenThatCallsBackIsRefused() public {
        CallbackToken token = new CallbackToken(address(this));
        bytes32 data = root(1);
        bytes32 node = child(2, data, 5000);
        bytes[4] memory attacks = [
            abi.encodeCall(vault.sweep, (node, address(token))),
            abi.encodeCall(vault.pull, (node, 0, address(token))),
            abi.encodeCall(vault.withdraw, (node, address(token))),
            abi.encodeCall(vault.withdrawFees, (address(token)))
        ];
        for (uint256 i = 0; i < attacks.length; ++i) {
            token.arm(address(0), "");
            token.transfer(vault.receiverOf(node), 1000);
            token.arm(address(vault), attacks[i]);
            vault.sweep(node, address(token));
            vault.withdraw(node, address(token));
        }
        vm.assertFalse(token.entered(), "never let in");
        vm.assertEq(token.refused(), 8, "at each transfer");
        vm.assertEq(token.balanceOf(ownerOf(2)), 2000, "half of what came");
    }

    function test_aTokenThatLiesHurtsItselfAlone() public {
        LyingToken liar = new LyingToken();
        bytes32 node = root(1);
        earn(node, 100);
        vault.sweep(node, address(dollar));
        vault.sweep(node, address(liar));
        vm.expectRevert();
        vault.sweep(node, address(liar));
        vm.assertEq(vault.withdraw(node, address(dollar)), 100, "the dollar is untouched");
    }
}

/// @dev A graph of nine nodes where anyone does anything.
contract Royalties is LineageFixture {
    bytes32[] public nodes;
    uint256 public earned;
    mapping(uint256 node => uint256) public earnedBy;
    uint16 public highestFee;

    constructor() {
        setUp();
        nodes.push(root(1));
        nodes.push(root(2));
        nodes.push(root(3));
        nodes.push(child(4, nodes[0], 3333, nodes[1], 1));
        nodes.push(child(5, nodes[2], 10_000));
        nodes.push(child(6, nodes[3], 777, nodes[0], 9223));
        nodes.push(child(7, nodes[4], 5000, nodes[5], 4999));
        nodes.push(child(8, nodes[5], 1, nodes[6], 1));
        nodes.push(child(9, nodes[7], 6001, nodes[4], 2000));
    }

    function count() public view returns (uint256) {
        return nodes.length;
    }

    function doEarn(uint256 node, uint96 amount) external {
        node %= nodes.length;
        amount = uint96(bound(amount, 1, 1e12));
        earn(nodes[node], amount);
        earned += amount;
        earnedBy[node] += amount;
    }

    function doSweep(uint256 node) external {
        vault.sweep(nodes[node % nodes.length], address(dollar));
    }

    function doPull(uint256 node, uint256 index) external {
        (,, uint8 parents,,) = registry.nodes(nodes[node % nodes.length]);
        if (parents > 0) vault.pull(nodes[node % nodes.length], index % parents, address(dollar));
    }

    function doWithdraw(uint256 node) external {
        vault.withdraw(nodes[node % nodes.length], address(dollar));
    }

    function doWithdrawFees() external {
        vault.withdrawFees(address(dollar));
    }

    function doSetFee(uint16 bps) external {
        bps = uint16(bound(bps, 0, 1000));
        if (bps > highestFee) highestFee = bps;
        setFee(bps);
    }

    /// @dev Everything that is owed now: fees, own parts, edges, and what was not swept.
    function liabilities() external view returns (uint256 owed, uint256 unswept) {
        owed = vault.fees(address(dollar));
        for (uint256 i = 0; i < nodes.length; ++i) {
            owed += vault.withdrawable(nodes[i], address(dollar));
            (,, uint8 parents,,) = registry.nodes(nodes[i]);
            for (uint256 j = 0; j < parents; ++j) {
                owed += vault.owed(nodes[i], j, address(dollar));
            }
            unswept += dollar.balanceOf(vault.receiverOf(nodes[i]));
        }
    }

    function paid() external view returns (uint256 sum) {
        sum = dollar.balanceOf(GOVERNANCE);
        for (uint256 i = 0; i < nodes.length; ++i) {
            sum += dollar.balanceOf(ownerOf(i + 1));
        }
    }

    function held() external view returns (uint256) {
        return dollar.balanceOf(address(vault));
    }

    /// @dev A node passes on exactly its parents' shares of what it received, or less if not yet pulled.
    function checkNode(uint256 node) external view {
        (uint128 received, uint128 withdrawn) = vault.accounts(nodes[node], address(dollar));
        (,, uint8 parents, uint16 passed,) = registry.nodes(nodes[node]);
        uint256 sum = withdrawn;
        for (uint256 j = 0; j < parents; ++j) {
            (, uint16 share) = registry.parentAt(nodes[node], j);
            uint256 moved = vault.moved(nodes[node], j, address(dollar));
            vm.assertLe(moved, uint256(received) * share / 10_000, "an edge");
            sum += moved;
        }
        vm.assertLe(sum, received, "a node pays what it received");
        vm.assertLe(withdrawn, received - uint256(received) * passed / 10_000, "the owner's own part");
    }
}

contract RoyaltyVaultInvariantsTest {
    Royalties private royalties;

    function setUp() public {
        royalties = new Royalties();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(royalties);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](6);
        selectors[0] = Royalties.doEarn.selector;
        selectors[1] = Royalties.doSweep.selector;
        selectors[2] = Royalties.doPull.selector;
        selectors[3] = Royalties.doWithdraw.selector;
        selectors[4] = Royalties.doWithdrawFees.selector;
        selectors[5] = Royalties.doSetFee.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector({addr: address(royalties), selectors: selectors});
    }

    function invariant_paidOutIsAtMostWhatCameIn() public view {
        (uint256 owed, uint256 unswept) = royalties.liabilities();
        vm.assertLe(owed, royalties.held(), "the vault has what it owes");
        vm.assertEq(
            royalties.paid() + royalties.held() + unswept, royalties.earned(), "nothing is made or lost"
        );
        for (uint256 i = 0; i < royalties.count(); ++i) {
            royalties.checkNode(i);
        }
    }
}
