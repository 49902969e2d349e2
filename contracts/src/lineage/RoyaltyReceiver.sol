// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title Where a node's income arrives
/// @notice Holds tokens until the vault takes them; there is one for each node, so that income needs no memo.
/// @dev The vault deploys it once and clones it (ERC-1167).
contract RoyaltyReceiver {
    using SafeERC20 for IERC20;

    address public immutable vault;

    error OnlyVault();

    constructor(address vault_) {
        vault = vault_;
    }

    /// @notice Sends all of a token to the vault.
    function collect(IERC20 token) external {
        if (msg.sender != vault) revert OnlyVault();
        token.safeTransfer(vault, token.balanceOf(address(this)));
    }
}
