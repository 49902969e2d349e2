// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ProtocolParameters} from "../governance/ProtocolParameters.sol";
import {LineageRegistry} from "./LineageRegistry.sol";
import {RoyaltyReceiver} from "./RoyaltyReceiver.sol";

/// @title Splits what a node earns up the graph it descends from
/// @notice A node's `receiver` is the receiver of its payment channels. `sweep` counts what came in there,
///         `pull` moves one parent's share along one edge, `withdraw` pays the owner's own part. Each costs the
///         same however large the graph is, and anyone may call each: the money only goes one way.
/// @dev With r = all that a node received, net of the fee:
///      a parent with share s is owed floor(r * s / 10000), the owner r - floor(r * sum(s) / 10000).
///      The sum is at most r. What each got depends on r alone, not on how often or in which order it was asked.
///      A token is trusted for nothing but itself: what arrived is counted, and tokens share no account.
contract RoyaltyVault is Multicall, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    uint256 private constant BPS = 10_000;

    LineageRegistry public immutable registry;
    ProtocolParameters public immutable parameters;
    /// @notice What receivers are clones of.
    address public immutable receiverImplementation;

    /// @notice `received` is all that came to a node, net of the fee; `withdrawn` what its owner took.
    struct Account {
        uint128 received;
        uint128 withdrawn;
    }

    mapping(bytes32 node => mapping(address token => Account)) public accounts;

    /// @notice What was moved along an edge so far.
    mapping(bytes32 child => mapping(uint256 parentIndex => mapping(address token => uint256))) public moved;

    /// @notice The treasury's fees that it has not taken yet.
    mapping(address token => uint256) public fees;

    /// @param amount What arrived, fee included.
    event Swept(bytes32 indexed node, address indexed token, uint256 amount, uint256 fee);
    event Pulled(
        bytes32 indexed child,
        bytes32 indexed parent,
        address indexed token,
        uint256 parentIndex,
        uint256 amount
    );
    event Withdrawn(bytes32 indexed node, address indexed token, address indexed owner, uint256 amount);
    event FeesWithdrawn(address indexed token, address indexed treasury, uint256 amount);

    error UnknownNode(bytes32 node);
    /// @notice The token says that more arrived than there can be.
    error AmountOverflow(uint256 amount);

    constructor(LineageRegistry registry_, ProtocolParameters parameters_) {
        registry = registry_;
        parameters = parameters_;
        receiverImplementation = address(new RoyaltyReceiver(address(this)));
    }

    /// @notice Where a node's income is sent. Known before the node, or any code, is there.
    function receiverOf(bytes32 node) public view returns (address) {
        return Clones.predictDeterministicAddress(receiverImplementation, node);
    }

    /// @notice Takes in what lies at a node's receiver.
    /// @return amount What arrived, fee included.
    function sweep(bytes32 node, address token) external nonReentrant returns (uint256 amount) {
        if (!registry.exists(node)) revert UnknownNode(node);
        RoyaltyReceiver receiver = RoyaltyReceiver(receiverOf(node));
        if (address(receiver).code.length == 0) Clones.cloneDeterministic(receiverImplementation, node);

        uint256 held = IERC20(token).balanceOf(address(this));
        receiver.collect(IERC20(token));
        amount = IERC20(token).balanceOf(address(this)) - held;
        if (amount == 0) return 0;

        uint256 fee = _part(amount, parameters.feeShareBps());
        fees[token] += fee;
        _credit(node, token, amount - fee);
        emit Swept(node, token, amount, fee);
    }

    /// @notice Moves what a node owes to one of its parents.
    function pull(bytes32 child, uint256 parentIndex, address token)
        external
        nonReentrant
        returns (uint256 amount)
    {
        (bytes32 parent, uint16 shareBps) = registry.parentAt(child, parentIndex);
        uint256 due = _part(accounts[child][token].received, shareBps);
        amount = due - moved[child][parentIndex][token];
        if (amount == 0) return 0;
        moved[child][parentIndex][token] = due;
        _credit(parent, token, amount);
        emit Pulled(child, parent, token, parentIndex, amount);
    }

    /// @notice Pays a node's owner the own part of it.
    function withdraw(bytes32 node, address token) external nonReentrant returns (uint256 amount) {
        address owner = _ownerOf(node);
        amount = withdrawable(node, token);
        if (amount == 0) return 0;
        accounts[node][token].withdrawn += uint128(amount);
        IERC20(token).safeTransfer(owner, amount);
        emit Withdrawn(node, token, owner, amount);
    }

    /// @notice Pays the treasury its fees.
    function withdrawFees(address token) external nonReentrant returns (uint256 amount) {
        amount = fees[token];
        if (amount == 0) return 0;
        fees[token] = 0;
        address treasury = parameters.treasury();
        IERC20(token).safeTransfer(treasury, amount);
        emit FeesWithdrawn(token, treasury, amount);
    }

    /// @notice What `pull` would move.
    function owed(bytes32 child, uint256 parentIndex, address token) external view returns (uint256) {
        (, uint16 shareBps) = registry.parentAt(child, parentIndex);
        return _part(accounts[child][token].received, shareBps) - moved[child][parentIndex][token];
    }

    /// @notice What `withdraw` would pay.
    function withdrawable(bytes32 node, address token) public view returns (uint256) {
        (,,, uint16 passedBps,) = registry.nodes(node);
        Account memory account = accounts[node][token];
        return account.received - _part(account.received, passedBps) - account.withdrawn;
    }

    function _credit(bytes32 node, address token, uint256 amount) private {
        Account storage account = accounts[node][token];
        uint256 received = account.received + amount;
        if (received > type(uint128).max) revert AmountOverflow(amount);
        account.received = uint128(received);
    }

    function _ownerOf(bytes32 node) private view returns (address owner) {
        (owner,,,,) = registry.nodes(node);
        if (owner == address(0)) revert UnknownNode(node);
    }

    /// @dev Rounded down.
    function _part(uint256 amount, uint256 shareBps) private pure returns (uint256) {
        return amount * shareBps / BPS;
    }
}
