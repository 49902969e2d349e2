// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {Votes} from "@openzeppelin/contracts/governance/utils/Votes.sol";
import {VotesExtended} from "@openzeppelin/contracts/governance/utils/VotesExtended.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";

/// @title Votes on the protocol's parameters
/// @notice A fixed supply that the first holder gives out. Votes count only once they are delegated, to oneself
///         or another; who delegated can overrule the delegate while a vote is open.
/// @dev Timepoints are seconds (ERC-6372): chains whose blocks come when they are needed have no steady number.
contract VouchVotes is ERC20, ERC20Permit, ERC20Votes, VotesExtended {
    constructor(address holder, uint256 supply) ERC20("Vouch Votes", "VOTE") ERC20Permit("Vouch Votes") {
        _mint(holder, supply);
    }

    function clock() public view override returns (uint48) {
        return uint48(block.timestamp);
    }

    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    function nonces(address owner) public view override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }

    function _update(address from, address to, uint256 value) internal override(ERC20, ERC20Votes) {
        super._update(from, to, value);
    }

    function _delegate(address account, address delegatee) internal override(Votes, VotesExtended) {
        super._delegate(account, delegatee);
    }

    function _transferVotingUnits(address from, address to, uint256 amount)
        internal
        override(Votes, VotesExtended)
    {
        super._transferVotingUnits(from, to, amount);
    }
}
