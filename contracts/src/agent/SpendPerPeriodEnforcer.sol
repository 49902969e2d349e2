// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SlotDerivation} from "@openzeppelin/contracts/utils/SlotDerivation.sol";
import {TransientSlot} from "@openzeppelin/contracts/utils/TransientSlot.sol";

import {ICaveatEnforcer} from "./ICaveatEnforcer.sol";

/// @title An allowance for each period, by what is gone rather than by what was called
/// @notice Over a whole redemption, whatever it calls, the decrease of an account's balance of a token is added
///         up; in no period is the sum above the amount. Delegations with the same terms share one sum.
/// @dev Terms, packed: account (20), token (20; 0 for the chain's coin), amount (32), period in seconds (32),
///      start in Unix seconds (32), salt (32), which tells one mandate's sum from another's.
///      What it does not see: an allowance given now and used later (fence `approve` by its calldata), and money
///      that comes in during the redemption, which counts against what goes out. So an account under this caveat
///      should not be one whose claims on others a stranger can bring in at will.
contract SpendPerPeriodEnforcer is ICaveatEnforcer {
    using SlotDerivation for bytes32;
    using TransientSlot for bytes32;
    using TransientSlot for TransientSlot.Uint256Slot;

    uint256 public constant TERMS_LENGTH = 168;

    /// @notice What was spent in the newest period in which anything was.
    struct Spending {
        uint128 period;
        uint128 amount;
    }

    struct Terms {
        address account;
        address token;
        uint256 amount;
        uint256 period;
        uint256 start;
        bytes32 salt;
    }

    /// @dev Of the transaction's own memory: how many hooks of a sum are open, and the balance at the first.
    bytes32 private constant DEPTHS = keccak256("vouch.SpendPerPeriodEnforcer.depth");
    bytes32 private constant BALANCES = keccak256("vouch.SpendPerPeriodEnforcer.balance");

    /// @notice By `keyOf`.
    mapping(bytes32 key => Spending) public spendings;

    event Spent(
        address indexed manager,
        address indexed delegator,
        bytes32 indexed key,
        uint256 period,
        uint256 amount,
        uint256 sum
    );

    error InvalidTerms();
    error NotStarted(uint256 start);
    error SpendAboveLimit(uint256 sum, uint256 limit);

    /// @notice The name of a sum. The manager calls the hooks, so that no one can add to another manager's.
    function keyOf(address manager, address delegator, bytes calldata terms) public pure returns (bytes32) {
        return keccak256(abi.encode(manager, delegator, keccak256(terms)));
    }

    function getTermsInfo(bytes calldata terms) public pure returns (Terms memory parsed) {
        if (terms.length != TERMS_LENGTH) revert InvalidTerms();
        parsed.account = address(bytes20(terms[0:20]));
        parsed.token = address(bytes20(terms[20:40]));
        parsed.amount = uint256(bytes32(terms[40:72]));
        parsed.period = uint256(bytes32(terms[72:104]));
        parsed.start = uint256(bytes32(terms[104:136]));
        parsed.salt = bytes32(terms[136:168]);
        if (parsed.period == 0 || parsed.amount > type(uint128).max) revert InvalidTerms();
    }

    /// @notice What may still be spent now.
    function available(address manager, address delegator, bytes calldata terms)
        external
        view
        returns (uint256)
    {
        Terms memory parsed = getTermsInfo(terms);
        if (block.timestamp < parsed.start) return 0;
        Spending memory spending = spendings[keyOf(manager, delegator, terms)];
        uint256 period = (block.timestamp - parsed.start) / parsed.period + 1;
        return spending.period == period ? parsed.amount - spending.amount : parsed.amount;
    }

    /// @inheritdoc ICaveatEnforcer
    function beforeAllHook(
        bytes calldata terms,
        bytes calldata,
        bytes32,
        bytes calldata,
        bytes32,
        address delegator,
        address
    ) external {
        Terms memory parsed = getTermsInfo(terms);
        if (block.timestamp < parsed.start) revert NotStarted(parsed.start);
        bytes32 key = keyOf(msg.sender, delegator, terms);
        TransientSlot.Uint256Slot depth = DEPTHS.deriveMapping(key).asUint256();
        uint256 open = depth.tload();
        // Only the outermost hook measures: what lies between is counted once.
        if (open == 0) BALANCES.deriveMapping(key).asUint256().tstore(_balance(parsed));
        depth.tstore(open + 1);
    }

    /// @inheritdoc ICaveatEnforcer
    function afterAllHook(
        bytes calldata terms,
        bytes calldata,
        bytes32,
        bytes calldata,
        bytes32,
        address delegator,
        address
    ) external {
        Terms memory parsed = getTermsInfo(terms);
        bytes32 key = keyOf(msg.sender, delegator, terms);
        TransientSlot.Uint256Slot depth = DEPTHS.deriveMapping(key).asUint256();
        uint256 open = depth.tload() - 1;
        depth.tstore(open);
        if (open != 0) return;

        uint256 before = BALANCES.deriveMapping(key).asUint256().tload();
        uint256 now_ = _balance(parsed);
        if (now_ < before) _spend(key, parsed, before - now_, delegator);
    }

    /// @inheritdoc ICaveatEnforcer
    function beforeHook(bytes calldata, bytes calldata, bytes32, bytes calldata, bytes32, address, address)
        external
        pure {}

    /// @inheritdoc ICaveatEnforcer
    function afterHook(bytes calldata, bytes calldata, bytes32, bytes calldata, bytes32, address, address)
        external
        pure {}

    function _spend(bytes32 key, Terms memory terms, uint256 amount, address delegator) private {
        // From 1, so that an empty slot is no period.
        uint256 period = (block.timestamp - terms.start) / terms.period + 1;
        Spending storage spending = spendings[key];
        uint256 sum = spending.period == period ? spending.amount : 0;
        if (amount > terms.amount - sum) revert SpendAboveLimit(sum + amount, terms.amount);
        sum += amount;
        (spending.period, spending.amount) = (uint128(period), uint128(sum));
        emit Spent(msg.sender, delegator, key, period, amount, sum);
    }

    function _balance(Terms memory terms) private view returns (uint256) {
        return
            terms.token == address(0) ? terms.account.balance : IERC20(terms.token).balanceOf(terms.account);
    }
}
