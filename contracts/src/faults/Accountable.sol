// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ProtocolParameters} from "../governance/ProtocolParameters.sol";
import {BondVault} from "./BondVault.sol";
import {KeyRegistry} from "./KeyRegistry.sol";

/// @notice What a provider can be proven to have done. The numbers are part of a fault's id.
enum FaultKind {
    SplitLog,
    DoubleSequence,
    DoubleIndex,
    BrokenPromise,
    WrongCharge,
    ClaimAboveReceipts
}

/// @title Faults and what they cost
abstract contract Accountable is ReentrancyGuardTransient {
    KeyRegistry public immutable keys;
    BondVault public immutable vault;

    /// @param place What the provider contradicted itself about, hashed: the same whichever statement comes first.
    event Proven(
        bytes32 indexed fault,
        address indexed provider,
        FaultKind indexed kind,
        bytes32 place,
        address reporter
    );

    constructor(IERC20 token, ProtocolParameters parameters, KeyRegistry keys_) {
        keys = keys_;
        vault = new BondVault(token, parameters);
    }

    /// @notice The name of a fault, under which it costs its share once.
    function faultId(address provider, FaultKind kind, bytes32 place) public pure returns (bytes32) {
        return keccak256(abi.encode(provider, kind, place));
    }

    /// @dev The caller has proven it.
    function _punish(address provider, FaultKind kind, bytes32 place, address reporter)
        internal
        returns (bytes32 fault)
    {
        fault = faultId(provider, kind, place);
        emit Proven(fault, provider, kind, place, reporter);
        vault.slash(fault, provider, reporter);
    }
}
