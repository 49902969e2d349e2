// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What a delegation manager asks of a caveat
/// @notice The interface of MetaMask's Delegation Framework. In one redemption the manager calls
///         `beforeAllHook` of every caveat, then for each execution `beforeHook`, the execution and `afterHook`,
///         then `afterAllHook` of every caveat. `delegator` is that of the delegation which holds the caveat.
interface ICaveatEnforcer {
    function beforeAllHook(
        bytes calldata terms,
        bytes calldata args,
        bytes32 mode,
        bytes calldata executionCalldata,
        bytes32 delegationHash,
        address delegator,
        address redeemer
    ) external;

    function beforeHook(
        bytes calldata terms,
        bytes calldata args,
        bytes32 mode,
        bytes calldata executionCalldata,
        bytes32 delegationHash,
        address delegator,
        address redeemer
    ) external;

    function afterHook(
        bytes calldata terms,
        bytes calldata args,
        bytes32 mode,
        bytes calldata executionCalldata,
        bytes32 delegationHash,
        address delegator,
        address redeemer
    ) external;

    function afterAllHook(
        bytes calldata terms,
        bytes calldata args,
        bytes32 mode,
        bytes calldata executionCalldata,
        bytes32 delegationHash,
        address delegator,
        address redeemer
    ) external;
}
