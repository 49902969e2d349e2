// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @title What governance may change
/// @notice Every value has a bound that governance cannot move.
contract ProtocolParameters is Ownable {
    /// @notice A tenth: the fee can never be more.
    uint16 public constant MAX_FEE_SHARE_BPS = 1000;
    uint16 public constant MAX_SLASHING_SHARE_BPS = 10_000;

    /// @notice The protocol's part of income, in hundredths of a percent.
    uint16 public feeShareBps;
    /// @notice The part of a stake that a proven fault costs, in hundredths of a percent.
    uint16 public slashingShareBps;
    /// @notice Who is paid the fees.
    address public treasury;
    /// @notice The least stake, in atomic units of the dollar.
    uint256 public minimumStake;

    event FeeShareChanged(uint16 before, uint16 now_);
    event SlashingShareChanged(uint16 before, uint16 now_);
    event MinimumStakeChanged(uint256 before, uint256 now_);
    event TreasuryChanged(address before, address now_);

    error AboveBound(uint256 offered, uint256 bound);
    error NoTreasury();

    /// @param owner The timelock of the governor; the treasury, too, until it says otherwise.
    constructor(address owner) Ownable(owner) {
        treasury = owner;
    }

    function setFeeShareBps(uint16 value) external onlyOwner {
        if (value > MAX_FEE_SHARE_BPS) revert AboveBound(value, MAX_FEE_SHARE_BPS);
        emit FeeShareChanged(feeShareBps, value);
        feeShareBps = value;
    }

    function setSlashingShareBps(uint16 value) external onlyOwner {
        if (value > MAX_SLASHING_SHARE_BPS) revert AboveBound(value, MAX_SLASHING_SHARE_BPS);
        emit SlashingShareChanged(slashingShareBps, value);
        slashingShareBps = value;
    }

    function setMinimumStake(uint256 value) external onlyOwner {
        emit MinimumStakeChanged(minimumStake, value);
        minimumStake = value;
    }

    function setTreasury(address value) external onlyOwner {
        if (value == address(0)) revert NoTreasury();
        emit TreasuryChanged(treasury, value);
        treasury = value;
    }
}
