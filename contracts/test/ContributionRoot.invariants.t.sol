// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ContributionRoot} from "../src/contribution/ContributionRoot.sol";
import {ContributionFixture} from "./base/ContributionFixture.sol";
import {FuzzSelector, bound, vm} from "./base/Vm.sol";

/// @dev A publisher that is now and then dishonest, its accounts, a challenger, an arbiter, and time.
contract Contributors is ContributionFixture {
    uint256 public constant ACCOUNTS = 4;
    uint128[ACCOUNTS] private owed;
    Leaf[] private proposed;
    Leaf[] private current;
    uint64 private clock = START;
    /// @dev The highest total of a final root.
    uint128 public total;
    uint256 public outside;
    uint256 private purse;

    constructor() {
        setUp();
        purse = 2e18;
    }

    function account(uint256 i) public pure returns (address) {
        return address(uint160(0xacc0 + i));
    }

    function doEarn(uint256 i, uint64 amount) external {
        owed[i % ACCOUNTS] += uint128(bound(amount, 1, 1e9));
    }

    /// @dev `lie` is taken from one account's leaf: 0 is honest.
    function doPropose(uint256 victim, uint64 lie) external {
        adopt();
        Leaf[] memory list = new Leaf[](ACCOUNTS);
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            uint128 less = i == victim % ACCOUNTS && lie % 2 == 1 ? uint128(lie) % (owed[i] + 1) : 0;
            list[i] = Leaf(account(i), owed[i] - less, uint64(i + 1));
        }
        propose(list, clock * 1000);
        delete proposed;
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            proposed.push(list[i]);
        }
    }

    function doClaim(uint256 i) external {
        adopt();
        claim(current, i % ACCOUNTS);
    }

    function doChallenge() external {
        vm.prank(CHALLENGER);
        contributions.challenge(series);
    }

    function doChallengeWithLeaf(uint256 i) external {
        adopt();
        i %= ACCOUNTS;
        bytes32[] memory path = proof(current, i);
        Leaf memory leaf = current[i];
        vm.prank(CHALLENGER);
        contributions.challengeWithLeaf(series, leaf.account, leaf.cumulative, leaf.sequence, path);
    }

    function doAnswer(uint256 i) external {
        i %= ACCOUNTS;
        bytes32[] memory path = proof(proposed, i);
        contributions.answer(series, proposed[i].cumulative, proposed[i].sequence, path);
    }

    function doResolve(bool valid) external {
        vm.prank(ARBITER);
        contributions.resolve(series, valid);
    }

    function doEnforce() external {
        contributions.enforce(series);
    }

    function doWithdraw(bool challenger) external {
        vm.prank(challenger ? CHALLENGER : publisher);
        contributions.withdraw(dollar);
    }

    function doWait(uint64 seconds_) external {
        clock += uint64(bound(seconds_, 1, 2 * WINDOW));
        vm.warp(clock);
    }

    /// @dev Follows what the contract made final.
    function adopt() public {
        contributions.finalise(series);
        (,,,,,,, uint128 now_,,) = contributions.seriesOf(series);
        (bytes32 pending,,,,,,,,,) = contributions.proposals(series);
        (,,,,,, bytes32 root,,,) = contributions.seriesOf(series);
        if (pending != bytes32(0) || root == bytes32(0) || proposed.length == 0) return;
        if (root != rootOf(proposed)) return;
        total = now_;
        delete current;
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            current.push(proposed[i]);
        }
    }

    function rootOf(Leaf[] memory list) private view returns (bytes32) {
        bytes32[] memory level = hashes(list);
        return pair(pair(level[0], level[1]), pair(level[2], level[3]));
    }

    function pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return keccak256(a < b ? abi.encodePacked(a, b) : abi.encodePacked(b, a));
    }

    function check() external view {
        (,,,,,,, uint128 final_, uint128 paid,) = contributions.seriesOf(series);
        uint256 sum = 0;
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            uint256 claimed = contributions.claimed(series, account(i));
            vm.assertEq(dollar.balanceOf(account(i)), claimed, "an account has what it claimed");
            vm.assertLe(claimed, owed[i], "and no more than it earned");
            sum += claimed;
        }
        vm.assertEq(sum, paid, "paid");
        vm.assertLe(paid, final_, "paid is at most the final total");

        (bytes32 pending, uint128 pendingTotal,,, ContributionRoot.Challenge challenge,,,,,) =
            contributions.proposals(series);
        uint256 locked = final_ - paid + contributions.credits(address(dollar), publisher)
            + contributions.credits(address(dollar), CHALLENGER);
        if (pending != bytes32(0)) locked += pendingTotal - final_ + BOND;
        if (challenge != ContributionRoot.Challenge.None) locked += BOND;
        vm.assertEq(dollar.balanceOf(address(contributions)), locked, "holds what it owes, and no more");
        uint256 all = locked + sum + dollar.balanceOf(publisher) + dollar.balanceOf(CHALLENGER);
        vm.assertEq(all, purse, "nothing is made or lost");
    }
}

contract ContributionRootInvariantsTest {
    Contributors private contributors;

    function setUp() public {
        contributors = new Contributors();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(contributors);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](10);
        selectors[0] = Contributors.doEarn.selector;
        selectors[1] = Contributors.doPropose.selector;
        selectors[2] = Contributors.doClaim.selector;
        selectors[3] = Contributors.doChallenge.selector;
        selectors[4] = Contributors.doChallengeWithLeaf.selector;
        selectors[5] = Contributors.doAnswer.selector;
        selectors[6] = Contributors.doResolve.selector;
        selectors[7] = Contributors.doEnforce.selector;
        selectors[8] = Contributors.doWithdraw.selector;
        selectors[9] = Contributors.doWait.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector({addr: address(contributors), selectors: selectors});
    }

    function invariant_paysWhatIsProvenAndFunded() public view {
        contributors.check();
    }
}
