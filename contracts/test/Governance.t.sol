// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

import {ProtocolParameters} from "../src/governance/ProtocolParameters.sol";
import {VouchGovernor} from "../src/governance/VouchGovernor.sol";
import {VouchVotes} from "../src/governance/VouchVotes.sol";
import {bound, vm} from "./base/Vm.sol";

abstract contract GovernanceFixture {
    address internal constant HOLDER = address(0x401d);
    address internal constant DELEGATE = address(0xde1e);
    uint256 internal constant START = 1_000_000;
    uint256 internal constant DELAY = 10;
    uint256 internal constant PERIOD = 100;
    uint256 internal constant TIMELOCK = 50;

    VouchVotes internal votes;
    VouchGovernor internal governor;
    TimelockController internal timelock;
    ProtocolParameters internal parameters;

    function setUp() public virtual {
        vm.warp(START);
        votes = new VouchVotes(HOLDER, 1000e18);
        governor = new VouchGovernor(votes, uint48(DELAY), uint32(PERIOD), 1e18, 4, TIMELOCK);
        timelock = TimelockController(payable(governor.timelock()));
        parameters = new ProtocolParameters(address(timelock));
        vm.startPrank(HOLDER);
        votes.transfer(address(0xb1), 300e18);
        votes.delegate(HOLDER);
        vm.stopPrank();
        vm.prank(address(0xb1));
        votes.delegate(DELEGATE);
        vm.warp(START + 1);
    }

    function calls(bytes memory call)
        internal
        view
        returns (address[] memory targets, uint256[] memory values, bytes[] memory data)
    {
        (targets, values, data) = (new address[](1), new uint256[](1), new bytes[](1));
        (targets[0], data[0]) = (address(parameters), call);
    }

    function propose(bytes memory call) internal returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory data) = calls(call);
        vm.prank(HOLDER);
        return governor.propose(targets, values, data, "why");
    }

    function queue(bytes memory call) internal {
        (address[] memory targets, uint256[] memory values, bytes[] memory data) = calls(call);
        governor.queue(targets, values, data, keccak256("why"));
    }

    function execute(bytes memory call) internal {
        (address[] memory targets, uint256[] memory values, bytes[] memory data) = calls(call);
        governor.execute(targets, values, data, keccak256("why"));
    }
}

contract GovernanceTest is GovernanceFixture {
    bytes private setFee = abi.encodeCall(ProtocolParameters.setFeeShareBps, (250));

    function test_onlyTheGovernorProposesAndNobodyAdministers() public view {
        bytes32 admin = timelock.DEFAULT_ADMIN_ROLE();
        vm.assertTrue(timelock.hasRole(timelock.PROPOSER_ROLE(), address(governor)), "proposer");
        vm.assertTrue(timelock.hasRole(timelock.CANCELLER_ROLE(), address(governor)), "canceller");
        vm.assertTrue(timelock.hasRole(timelock.EXECUTOR_ROLE(), address(0)), "anyone executes");
        vm.assertTrue(timelock.hasRole(admin, address(timelock)), "itself, by proposals");
        vm.assertFalse(timelock.hasRole(admin, address(this)), "not who deployed it");
        vm.assertFalse(timelock.hasRole(admin, address(governor)), "not the governor");
        vm.assertEq(parameters.owner(), address(timelock), "owner");
        vm.assertEq(parameters.treasury(), address(timelock), "treasury");
        vm.assertEq(timelock.getMinDelay(), TIMELOCK, "delay");
        vm.assertEq(governor.CLOCK_MODE(), "mode=timestamp", "clock");
    }

    function test_aProposalPassesThroughTheTimelock() public {
        uint256 id = propose(setFee);
        vm.warp(START + 2 + DELAY);
        vm.prank(HOLDER);
        governor.castVote(id, 1);
        vm.warp(START + 2 + DELAY + PERIOD);
        queue(setFee);
        vm.warp(START + 2 + DELAY + PERIOD + TIMELOCK - 1);
        vm.expectRevert();
        this.execute_(setFee);
        vm.warp(START + 2 + DELAY + PERIOD + TIMELOCK);
        execute(setFee);
        vm.assertEq(parameters.feeShareBps(), 250, "fee");
    }

    /// @dev The delegate voted for; those who delegated take their votes back and the proposal falls.
    function test_ownersOverruleTheirDelegateWhileTheVoteIsOpen() public {
        uint256 id = propose(setFee);
        vm.warp(START + 2 + DELAY);
        vm.prank(DELEGATE);
        governor.castVoteWithReason(id, 1, "policy");
        (, uint256 for_,) = governor.proposalVotes(id);
        vm.assertEq(for_, 300e18, "by the delegate");
        vm.prank(address(0xb1));
        governor.castOverrideVote(id, 0, "no");
        (uint256 against, uint256 left,) = governor.proposalVotes(id);
        vm.assertEq(against, 300e18, "against");
        vm.assertEq(left, 0, "nothing is counted twice");
        vm.prank(address(0xb1));
        vm.expectRevert();
        governor.castOverrideVote(id, 1, "again");
        vm.warp(START + 2 + DELAY + PERIOD);
        vm.assertTrue(governor.state(id) == IGovernor.ProposalState.Defeated, "defeated");
    }

    function test_overrulingFirstLeavesTheDelegateNothing() public {
        uint256 id = propose(setFee);
        vm.warp(START + 2 + DELAY);
        vm.prank(address(0xb1));
        governor.castOverrideVote(id, 0, "no");
        vm.prank(DELEGATE);
        governor.castVote(id, 1);
        (uint256 against, uint256 for_,) = governor.proposalVotes(id);
        vm.assertEq(against, 300e18, "against");
        vm.assertEq(for_, 0, "for");
    }

    function test_votesBoughtAfterTheSnapshotDoNotCount() public {
        uint256 id = propose(setFee);
        vm.warp(START + 2 + DELAY);
        vm.prank(HOLDER);
        votes.transfer(address(0xbad), 700e18);
        vm.prank(address(0xbad));
        votes.delegate(address(0xbad));
        vm.prank(address(0xbad));
        governor.castVote(id, 0);
        (uint256 against,,) = governor.proposalVotes(id);
        vm.assertEq(against, 0, "against");
    }

    function test_proposersNeedVotes() public {
        (address[] memory targets, uint256[] memory values, bytes[] memory data) = calls(setFee);
        vm.prank(address(0xbad));
        vm.expectRevert();
        governor.propose(targets, values, data, "why");
    }

    function testFuzz_boundsHoldForTheOwnerToo(uint16 fee, uint16 slashing, uint256 stake) public {
        vm.startPrank(address(timelock));
        if (fee > 1000) {
            vm.expectRevert(abi.encodeWithSelector(ProtocolParameters.AboveBound.selector, fee, 1000));
        }
        parameters.setFeeShareBps(fee);
        if (slashing > 10_000) {
            vm.expectRevert(abi.encodeWithSelector(ProtocolParameters.AboveBound.selector, slashing, 10_000));
        }
        parameters.setSlashingShareBps(slashing);
        parameters.setMinimumStake(stake);
        vm.expectRevert(ProtocolParameters.NoTreasury.selector);
        parameters.setTreasury(address(0));
        vm.stopPrank();
        vm.assertLe(parameters.feeShareBps(), 1000, "fee");
        vm.assertLe(parameters.slashingShareBps(), 10_000, "slashing");
        vm.assertEq(parameters.minimumStake(), stake, "stake");
    }

    function test_strangersChangeNothing() public {
        bytes[4] memory attempts = [
            setFee,
            abi.encodeCall(parameters.setSlashingShareBps, (1)),
            abi.encodeCall(parameters.setMinimumStake, (1)),
            abi.encodeCall(parameters.setTreasury, (address(this)))
        ];
        for (uint256 i = 0; i < attempts.length; ++i) {
            (bool changed,) = address(parameters).call(attempts[i]);
            vm.assertFalse(changed, "changed");
        }
    }

    /// @dev Votes are neither made nor lost by moving and delegating them.
    function testFuzz_delegatedVotesAreBalances(uint256 seed, uint8 steps) public {
        address[3] memory people = [HOLDER, address(0xb1), address(0xb2)];
        for (uint256 i = 0; i < steps % 16; ++i) {
            seed = uint256(keccak256(abi.encode(seed, i)));
            address from = people[seed % 3];
            address to = people[(seed >> 8) % 3];
            uint256 amount = bound(seed >> 32, 0, votes.balanceOf(from));
            vm.prank(from);
            if (seed >> 16 & 1 == 0) votes.delegate(to);
            else votes.transfer(to, amount);
        }
        uint256 delegated = 0;
        for (uint256 i = 0; i < 3; ++i) {
            if (votes.delegates(people[i]) != address(0)) delegated += votes.balanceOf(people[i]);
        }
        uint256 counted = votes.getVotes(DELEGATE);
        for (uint256 i = 0; i < 3; ++i) {
            counted += votes.getVotes(people[i]);
        }
        vm.assertEq(counted, delegated, "delegated");
        vm.assertEq(votes.totalSupply(), 1000e18, "supply");
    }

    function execute_(bytes calldata call) external {
        execute(call);
    }
}
