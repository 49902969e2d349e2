// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A way for tokens to reach the settlement contract
interface IDepositCollector {
    /// @notice Moves exactly `amount` of `token` from `payer` to the settlement contract, which is the caller.
    function collect(
        address payer,
        address token,
        uint256 amount,
        bytes32 channelId,
        bytes calldata collectorData
    ) external;
}
