// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {
    GovernorCountingOverridable
} from "@openzeppelin/contracts/governance/extensions/GovernorCountingOverridable.sol";
import {GovernorSettings} from "@openzeppelin/contracts/governance/extensions/GovernorSettings.sol";
import {
    GovernorTimelockControl
} from "@openzeppelin/contracts/governance/extensions/GovernorTimelockControl.sol";
import {GovernorVotes} from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import {
    GovernorVotesQuorumFraction
} from "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";

import {VouchVotes} from "./VouchVotes.sol";

/// @title The protocol's governor
/// @notice Proposals pass by votes and a quorum, then wait in the timelock, then anyone executes them.
/// @dev It creates its timelock, so that neither has to be told of the other by an administrator: from its first
///      block the governor alone proposes and cancels, anyone executes, and no one administers.
contract VouchGovernor is
    GovernorSettings,
    GovernorCountingOverridable,
    GovernorVotesQuorumFraction,
    GovernorTimelockControl
{
    /// @param delay Seconds between a proposal and its vote.
    /// @param period Seconds that the vote is open.
    /// @param threshold Votes that a proposer needs.
    /// @param quorumPercent Of the supply.
    /// @param timelockDelay Seconds between the end of a vote and its execution, at least.
    constructor(
        VouchVotes votes,
        uint48 delay,
        uint32 period,
        uint256 threshold,
        uint256 quorumPercent,
        uint256 timelockDelay
    )
        Governor("Vouch Governor")
        GovernorSettings(delay, period, threshold)
        GovernorVotes(votes)
        GovernorVotesQuorumFraction(quorumPercent)
        GovernorTimelockControl(_timelockOf(timelockDelay))
    {}

    function state(uint256 proposalId)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (ProposalState)
    {
        return super.state(proposalId);
    }

    function proposalNeedsQueuing(uint256 proposalId)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (bool)
    {
        return super.proposalNeedsQueuing(proposalId);
    }

    function proposalThreshold() public view override(Governor, GovernorSettings) returns (uint256) {
        return super.proposalThreshold();
    }

    function _queueOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint48) {
        return super._queueOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _executeOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) {
        super._executeOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _cancel(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint256) {
        return super._cancel(targets, values, calldatas, descriptionHash);
    }

    function _executor() internal view override(Governor, GovernorTimelockControl) returns (address) {
        return super._executor();
    }

    function _timelockOf(uint256 delay) private returns (TimelockController) {
        address[] memory proposers = new address[](1);
        proposers[0] = address(this);
        // The zero address as executor: anyone.
        return new TimelockController(delay, proposers, new address[](1), address(0));
    }
}
