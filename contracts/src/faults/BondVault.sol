// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {ProtocolParameters} from "../governance/ProtocolParameters.sol";

/// @dev Of tokens that can take themselves out of the world.
interface IBurnable {
    function burn(uint256 amount) external;
}

/// @title What a provider stands to lose
/// @notice Holds stakes in one token. Only its provider takes a stake out, after WITHDRAWAL_DELAY, and until then
///         a fault costs it too. The vault holds exactly: sum of stakes + sum of rewards + what is to be burnt.
///
///         A fault costs `ProtocolParameters.slashingShareBps` of the stake, rounded up: half is the reporter's,
///         half is burnt, so that a provider which reports itself gains nothing by a fault. A share of zero means
///         that nobody has voted on it, and DEFAULT_SHARE_BPS holds: by a vote a fault can be made cheap, not free.
/// @dev Whoever is owed takes it: no transfer of one account can hinder another's.
contract BondVault is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice `leaving` is part of `stake`. Times in Unix seconds.
    struct Bond {
        uint128 stake;
        uint128 leaving;
        uint64 leavesAt;
        uint64 heldUntil;
    }

    /// @notice What a fault has taken so far, and the share that held when it was first proven (0: it is not).
    struct Cost {
        uint128 taken;
        uint16 shareBps;
    }

    /// @notice Longer than a statement can be held against its provider (`KeyRegistry.EVIDENCE_WINDOW`) and a
    ///         demand be answered after that.
    uint64 public constant WITHDRAWAL_DELAY = 21 days;
    /// @notice A tenth.
    uint16 public constant DEFAULT_SHARE_BPS = 1000;
    uint256 private constant BPS = 10_000;
    address private constant NOBODY = 0x000000000000000000000000000000000000dEaD;

    IERC20 public immutable token;
    ProtocolParameters public immutable parameters;
    /// @notice Alone says what is a fault.
    address public immutable faults;

    mapping(address provider => Bond) public bonds;
    mapping(bytes32 fault => Cost) public costs;
    mapping(address account => uint256) public rewards;
    uint256 public unburnt;

    event Deposited(address indexed provider, address indexed sender, uint128 amount);
    event WithdrawalStarted(address indexed provider, uint128 amount, uint64 leavesAt);
    event WithdrawalCancelled(address indexed provider, uint128 amount);
    event Withdrawn(address indexed provider, uint128 amount);
    event Slashed(
        bytes32 indexed fault,
        address indexed provider,
        address indexed reporter,
        uint256 reward,
        uint256 burnt
    );
    event Rewarded(address indexed account, uint256 amount);
    event Burnt(uint256 amount);

    error OnlyFaults();
    /// @notice It has taken its share of what is staked.
    error AlreadySlashed(bytes32 fault);
    error StakeShort(uint256 asked, uint256 free);
    error NothingLeaves();
    error NotYet(uint256 time);
    /// @notice The token took a fee, or did not come.
    error TransferShort(uint256 arrived, uint256 expected);

    /// @dev Created by `Faults`, as whose sender only it slashes.
    constructor(IERC20 token_, ProtocolParameters parameters_) {
        (token, parameters, faults) = (token_, parameters_, msg.sender);
    }

    modifier onlyFaults() {
        if (msg.sender != faults) revert OnlyFaults();
        _;
    }

    /// @notice Adds to the stake of `provider`, who alone can take it out again.
    function deposit(address provider, uint128 amount) external nonReentrant {
        bonds[provider].stake += amount;
        emit Deposited(provider, msg.sender, amount);
        uint256 held = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 arrived = token.balanceOf(address(this)) - held;
        if (arrived != amount) revert TransferShort(arrived, amount);
    }

    /// @notice Asks for part of the sender's stake. What is already leaving waits anew with it.
    function startWithdrawal(uint128 amount) external {
        Bond storage bond = bonds[msg.sender];
        uint128 free = bond.stake - bond.leaving;
        if (amount == 0 || amount > free) revert StakeShort(amount, free);
        bond.leaving += amount;
        bond.leavesAt = uint64(block.timestamp) + WITHDRAWAL_DELAY;
        emit WithdrawalStarted(msg.sender, bond.leaving, bond.leavesAt);
    }

    /// @notice Keeps what was leaving.
    function cancelWithdrawal() external {
        Bond storage bond = bonds[msg.sender];
        emit WithdrawalCancelled(msg.sender, bond.leaving);
        bond.leaving = 0;
    }

    /// @notice Pays out what was leaving, or what faults have left of it.
    function withdraw() external nonReentrant returns (uint128 amount) {
        Bond storage bond = bonds[msg.sender];
        amount = bond.leaving;
        if (amount == 0) revert NothingLeaves();
        if (block.timestamp < bond.leavesAt) revert NotYet(bond.leavesAt);
        if (block.timestamp <= bond.heldUntil) revert NotYet(uint256(bond.heldUntil) + 1);
        bond.leaving = 0;
        bond.stake -= amount;
        emit Withdrawn(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @notice Keeps a stake in until a time, while its provider is asked or what it answered can be contradicted.
    ///         Never for longer than WITHDRAWAL_DELAY after it would have left, however many questions are asked.
    /// @dev What is not leaving yet stays longer than any hold.
    function hold(address provider, uint64 until) external onlyFaults {
        Bond storage bond = bonds[provider];
        if (bond.leaving == 0) return;
        if (until > bond.leavesAt + WITHDRAWAL_DELAY) until = bond.leavesAt + WITHDRAWAL_DELAY;
        if (until > bond.heldUntil) bond.heldUntil = until;
    }

    /// @notice Takes the share of a fault. If it is shown again after the stake has grown, only what is missing.
    /// @dev Otherwise a provider could report itself while it has nothing, or next to nothing, at stake, and so
    ///      make the places that it will contradict itself about later free. A least stake to slash would not do:
    ///      one fault puts whoever stakes no more than it below it, and every other would then cost nothing. The
    ///      share is the first report's, so that no vote makes an old fault dearer.
    function slash(bytes32 fault, address provider, address reporter)
        external
        onlyFaults
        nonReentrant
        returns (uint256 amount)
    {
        Bond storage bond = bonds[provider];
        Cost storage cost = costs[fault];
        bool known = slashed(fault);
        if (!known) cost.shareBps = uint16(shareBps());
        uint256 due = Math.ceilDiv(uint256(bond.stake) * cost.shareBps, BPS);
        if (known && due <= cost.taken) revert AlreadySlashed(fault);
        amount = due - cost.taken;
        cost.taken = uint128(due);
        bond.stake -= uint128(amount);
        if (bond.leaving > bond.stake) bond.leaving = bond.stake;
        uint256 reward = amount / 2;
        rewards[reporter] += reward;
        unburnt += amount - reward;
        emit Slashed(fault, provider, reporter, reward, amount - reward);
    }

    /// @notice Pays the sender for what it has reported.
    function withdrawReward() external nonReentrant returns (uint256 amount) {
        amount = rewards[msg.sender];
        rewards[msg.sender] = 0;
        emit Rewarded(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @notice Burns what is to be burnt. A token that cannot goes to an address of which nobody has the key.
    function burn() external nonReentrant returns (uint256 amount) {
        amount = unburnt;
        unburnt = 0;
        emit Burnt(amount);
        uint256 held = token.balanceOf(address(this));
        try IBurnable(address(token)).burn(amount) {} catch {}
        uint256 gone = held - token.balanceOf(address(this));
        // One that burnt another amount than it was told is not to be trusted with what is left.
        if (gone != 0 && gone != amount) revert TransferShort(gone, amount);
        if (gone == 0) token.safeTransfer(NOBODY, amount);
    }

    /// @notice Whether a provider has the least stake, and is not taking it out.
    function isBonded(address provider) external view returns (bool) {
        Bond memory bond = bonds[provider];
        uint256 stays = bond.stake - bond.leaving;
        return stays != 0 && stays >= parameters.minimumStake();
    }

    /// @notice Whether a fault was proven.
    function slashed(bytes32 fault) public view returns (bool) {
        return costs[fault].shareBps != 0;
    }

    /// @notice What a fault costs of a stake now, in hundredths of a percent.
    function shareBps() public view returns (uint256 share) {
        share = parameters.slashingShareBps();
        if (share == 0) share = DEFAULT_SHARE_BPS;
    }
}
