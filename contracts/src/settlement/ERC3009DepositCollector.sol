// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IDepositCollector} from "./IDepositCollector.sol";

/// @dev The form of ERC-3009 that takes the signature as bytes, so that contract wallets can deposit too.
interface IReceiveWithAuthorization {
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;
}

/// @title Deposits by an ERC-3009 authorization
/// @notice The payer signs, anyone sends: a payer needs no gas.
/// @dev ERC-3009 pays only its caller, so tokens pass through this contract. The authorization's nonce is
///      `keccak256(abi.encode(channelId, salt))`: a signature funds the one channel it was made for.
contract ERC3009DepositCollector is IDepositCollector {
    using SafeERC20 for IERC20;

    /// @notice The only caller: anyone else could name itself as the place where the tokens go.
    /// @dev Slot 0 and not an immutable, so that a genesis can set it beside the runtime code.
    address public x402BatchSettlement;

    error OnlyX402BatchSettlement();
    error InvalidX402BatchSettlementAddress();

    constructor(address settlement) {
        if (settlement == address(0)) revert InvalidX402BatchSettlementAddress();
        x402BatchSettlement = settlement;
    }

    /// @inheritdoc IDepositCollector
    /// @param collectorData `abi.encode(uint256 validAfter, uint256 validBefore, uint256 salt, bytes signature)`
    function collect(
        address payer,
        address token,
        uint256 amount,
        bytes32 channelId,
        bytes calldata collectorData
    ) external {
        address settlement = x402BatchSettlement;
        if (msg.sender != settlement) revert OnlyX402BatchSettlement();

        (uint256 validAfter, uint256 validBefore, uint256 salt, bytes memory signature) =
            abi.decode(collectorData, (uint256, uint256, uint256, bytes));
        bytes32 nonce = keccak256(abi.encode(channelId, salt));

        IReceiveWithAuthorization(token)
            .receiveWithAuthorization(payer, address(this), amount, validAfter, validBefore, nonce, signature);
        IERC20(token).safeTransfer(settlement, amount);
    }
}
