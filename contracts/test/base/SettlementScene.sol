// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {TestDollar} from "../../src/TestDollar.sol";
import {ERC3009DepositCollector} from "../../src/settlement/ERC3009DepositCollector.sol";
import {IBatchSettlement} from "../../src/settlement/IBatchSettlement.sol";
import {IDepositCollector} from "../../src/settlement/IDepositCollector.sol";
import {MoodyToken} from "./Tokens.sol";
import {signHighS, signWith, vm} from "./Vm.sol";

/// @dev How whoever has to sign does so. Only the first is to be taken.
enum Hand {
    Right,
    Another,
    HighS,
    LowV,
    Short,
    Empty
}

/// @dev Pulls by allowance, less `missing`.
contract PullCollector is IDepositCollector {
    using SafeERC20 for IERC20;

    uint256 private immutable missing;

    constructor(uint256 missing_) {
        missing = missing_;
    }

    function collect(address payer, address token, uint256 amount, bytes32, bytes calldata) external {
        IERC20(token).safeTransferFrom(payer, msg.sender, amount - missing);
    }
}

/// @dev A wallet contract that its owner's key signs for (ERC-1271).
contract KeyWallet {
    address private immutable owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function approve(IERC20 token, address spender) external {
        token.approve(spender, type(uint256).max);
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
        return signer == owner ? this.isValidSignature.selector : bytes4(0);
    }
}

/// @title Channels of every make, their parties, and three tokens
abstract contract SettlementScene {
    /// @dev Where the stock clients look for it.
    address internal constant CANONICAL = 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003;
    uint256 internal constant START = 1_000_000;
    uint256 internal constant CHANNELS = 8;
    uint256 private constant FORGER = 0xF04;
    /// @dev So that sums over channels can pass 2^128.
    uint256 internal constant PURSE = 1 << 130;

    IBatchSettlement internal constant settlement = IBatchSettlement(CANONICAL);
    TestDollar internal dollar;
    MoodyToken internal plain;
    MoodyToken internal moody;
    ERC3009DepositCollector internal signedCollector;
    PullCollector internal pullCollector;
    PullCollector internal shortCollector;
    address[] internal parties;
    address[] internal tokens;
    IBatchSettlement.ChannelConfig[] internal configs;
    mapping(address signer => uint256) private keyOf;

    /// @dev Everything but the settlement contract's code.
    function setScene() internal {
        vm.warp(START);
        dollar = new TestDollar(address(this));
        (plain, moody) = (new MoodyToken(), new MoodyToken());
        tokens = [address(dollar), address(plain), address(moody)];
        signedCollector = new ERC3009DepositCollector(CANONICAL);
        (pullCollector, shortCollector) = (new PullCollector(0), new PullCollector(1));
        address alice = party(0xA11CE);
        address authorizer = party(0xA117);
        address bob = party(0xB0B);
        address carol = party(0xCA401);
        address dave = party(0xDA7E);
        address thief = party(0x7415F);
        address wallet = walletOf(0x3A11E7);
        address desk = walletOf(0xDE5C);
        open(alice, address(0), carol, bob, tokens[0], 15 minutes);
        open(alice, authorizer, carol, carol, tokens[0], 1 hours);
        open(bob, authorizer, dave, desk, tokens[0], 30 days);
        open(wallet, address(0), carol, bob, tokens[1], 1 hours);
        open(bob, address(0), dave, desk, tokens[1], 15 minutes);
        open(wallet, authorizer, dave, dave, tokens[2], 1 hours);
        open(alice, address(0), carol, desk, tokens[2], 15 minutes);
        // Nobody keeps a thief from a channel of his own.
        open(thief, address(0), thief, thief, tokens[0], 15 minutes);
        moody.arm(CANONICAL, abi.encodeCall(IBatchSettlement.settle, (carol, tokens[0])));
    }

    function party(uint256 key) private returns (address account) {
        account = vm.addr(key);
        keyOf[account] = key;
        enrich(account);
        for (uint256 i = 0; i < tokens.length; ++i) {
            vm.startPrank(account);
            IERC20(tokens[i]).approve(address(pullCollector), type(uint256).max);
            IERC20(tokens[i]).approve(address(shortCollector), type(uint256).max);
            vm.stopPrank();
        }
    }

    function walletOf(uint256 key) private returns (address account) {
        KeyWallet made = new KeyWallet(vm.addr(key));
        account = address(made);
        keyOf[account] = key;
        enrich(account);
        for (uint256 i = 0; i < tokens.length; ++i) {
            made.approve(IERC20(tokens[i]), address(pullCollector));
            made.approve(IERC20(tokens[i]), address(shortCollector));
        }
    }

    function enrich(address account) private {
        parties.push(account);
        dollar.mint(account, PURSE);
        plain.mint(account, PURSE);
        moody.mint(account, PURSE);
    }

    function open(
        address payer,
        address payerAuthorizer,
        address receiver,
        address receiverAuthorizer,
        address token,
        uint40 delay
    ) private {
        configs.push(
            IBatchSettlement.ChannelConfig({
                payer: payer,
                payerAuthorizer: payerAuthorizer,
                receiver: receiver,
                receiverAuthorizer: receiverAuthorizer,
                token: token,
                withdrawDelay: delay,
                salt: bytes32(configs.length)
            })
        );
    }

    function sign(address signer, bytes32 digest, Hand hand) internal view returns (bytes memory signature) {
        if (hand == Hand.Empty) return "";
        if (hand == Hand.HighS) return signHighS(keyOf[signer], digest);
        signature = signWith(hand == Hand.Another ? FORGER : keyOf[signer], digest);
        if (hand == Hand.LowV) signature[64] = bytes1(uint8(signature[64]) - 27);
        if (hand == Hand.Short) {
            assembly ("memory-safe") {
                mstore(signature, 64)
            }
        }
    }
}
