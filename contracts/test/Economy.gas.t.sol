// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ConsentRegistry} from "../src/consent/ConsentRegistry.sol";
import {Promised} from "../src/Promised.sol";
import {ConsentFixture, OWNER_KEY, ROOT, SEARCH, SERVICE} from "./ConsentRegistry.t.sol";
import {GovernanceFixture} from "./Governance.t.sol";
import {Spender} from "./SpendPerPeriodEnforcer.t.sol";
import {ContributionFixture} from "./base/ContributionFixture.sol";
import {LineageFixture} from "./base/LineageFixture.sol";
import {signWith, vm} from "./base/Vm.sol";

/// @dev The gas of the call alone, in a transaction where the slots it touches are warm, beside a plain
///      transfer of the dollar under the same rule.
abstract contract GasReport {
    event Gas(string call, uint256 gas, uint256 bound);

    function report(string memory call, uint256 most) internal returns (uint256 used) {
        used = vm.lastCallGas().gasTotalUsed;
        emit Gas(call, used, most);
        vm.assertLe(used, most, call);
    }
}

contract ConsentGasTest is ConsentFixture, GasReport {
    function test_gasPublish() public {
        registry.publish(keccak256("another"), 0);
        report("publish", 26_000);
    }

    function test_gasGrant() public {
        ConsentRegistry.Grant memory grant = terms(1);
        bytes memory signature = signWith(OWNER_KEY, digest(grant));
        registry.grant(grant, signature);
        report("grant, signed", 155_000);
    }

    function test_gasAllows() public {
        bytes32 id = submit(terms(1));
        registry.allows(id, SEARCH, SERVICE);
        report("allows", 2000);
    }

    function test_gasRevoke() public {
        bytes32 id = submit(terms(1));
        vm.prank(owner);
        registry.revoke(id);
        report("revoke", 23_000);
        vm.prank(owner);
        registry.revokeAll(ROOT);
        report("revoke all", 6000);
    }
}

contract RoyaltyGasTest is LineageFixture, GasReport {
    bytes32 private service;
    bytes32 private model;

    function setUp() public override {
        super.setUp();
        setFee(100);
        model = child(2, root(1), 4000);
        service = child(3, model, 5000);
        dollar.mint(ownerOf(2), 1);
    }

    /// @dev A second settlement is the usual one: the receiver has code, the slots are not zero.
    function warm() private {
        step(service, 1e6);
        earn(service, 1e6);
    }

    function step(bytes32 node, uint256 amount) private {
        earn(node, amount);
        vault.sweep(node, address(dollar));
        vault.pull(node, 0, address(dollar));
        vault.withdraw(node, address(dollar));
    }

    function test_gasPlainTransfer() public {
        warm();
        vm.prank(ownerOf(3));
        dollar.transfer(ownerOf(2), 1);
        report("a plain transfer", 8000);
    }

    function test_gasRegister() public {
        child(9, model, 5000);
        report("register, one parent", 125_000);
    }

    function test_gasSweep() public {
        warm();
        vault.sweep(service, address(dollar));
        report("sweep", 13_500);
    }

    function test_gasPull() public {
        warm();
        vault.sweep(service, address(dollar));
        vault.pull(service, 0, address(dollar));
        report("pull", 6800);
    }

    function test_gasWithdraw() public {
        warm();
        vault.sweep(service, address(dollar));
        vault.withdraw(service, address(dollar));
        report("withdraw", 11_000);
    }

    /// @dev A chain of models over data, two new nodes a step, to 1,000 nodes: what a settlement and one edge
    ///      cost at its end is what they cost at its beginning, to the unit.
    function test_gasIsConstantOverAThousandNodes() public {
        bytes32 tip = child(1001, root(1000), 5000);
        // Warms what both measurements share.
        step(tip, 1e6);
        (uint256 sweep, uint256 pull, uint256 withdraw) = measure(child(1003, tip, 5000));
        for (uint256 nodes = 8; nodes < 1000; nodes += 2) {
            tip = child(2000 + nodes, tip, 5000, root(5000 + nodes), 1);
        }
        (,,,, uint16 ancestors) = registry.nodes(tip);
        vm.assertGe(ancestors, 990, "ancestors");
        (uint256 sweepLate, uint256 pullLate, uint256 withdrawLate) = measure(child(9999, tip, 5000));
        vm.assertEq(sweepLate, sweep, "sweep");
        vm.assertEq(pullLate, pull, "pull");
        vm.assertEq(withdrawLate, withdraw, "withdraw");
    }

    function measure(bytes32 node) private returns (uint256 sweep, uint256 pull, uint256 withdraw) {
        step(node, 1e6);
        earn(node, 1e6);
        vault.sweep(node, address(dollar));
        sweep = report("sweep in a large graph", 13_500);
        vault.pull(node, 0, address(dollar));
        pull = report("pull in a large graph", 6800);
        vault.withdraw(node, address(dollar));
        withdraw = report("withdraw in a large graph", 11_000);
    }
}

contract ContributionGasTest is ContributionFixture, GasReport {
    function leaves(uint256 count) private pure returns (Leaf[] memory list) {
        list = new Leaf[](count);
        for (uint256 i = 0; i < count; ++i) {
            list[i] = Leaf(address(uint160(0xa000 + i)), uint128(1e6 + i), 1);
        }
    }

    function test_gasPropose() public {
        propose(leaves(2), UNTIL);
        report("propose", 108_000);
    }

    function test_gasClaimOfThousand() public {
        Leaf[] memory list = leaves(1024);
        propose(list, UNTIL);
        vm.warp(START + WINDOW);
        contributions.finalise(series);
        claim(list, 500);
        report("claim, one of 1,024", 58_000);
    }

    function test_gasChallengeWithReceipt() public {
        propose(leaves(2), UNTIL);
        Promised.Evidence memory evidence = promised(receipt(address(0xdead), 12, 4), PUBLISHER_KEY);
        vm.prank(CHALLENGER);
        contributions.challengeWithReceipt(series, evidence);
        report("challenge with a receipt", 100_000);
    }
}

contract EnforcerGasTest is Spender, GasReport {
    function test_gasSpend() public {
        spend(1, 0, 1);
        spend(1, 0, 1);
        report("a redemption's hooks and a transfer", 27_000);
    }
}

contract GovernanceGasTest is GovernanceFixture, GasReport {
    function test_gasVoteAndOverride() public {
        uint256 id = propose("");
        vm.warp(START + 2 + DELAY);
        vm.prank(DELEGATE);
        governor.castVote(id, 1);
        report("vote", 60_000);
        vm.prank(address(0xb1));
        governor.castOverrideVote(id, 0, "");
        report("override", 70_000);
    }
}
