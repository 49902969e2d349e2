// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TestDollar} from "../../src/TestDollar.sol";
import {BatchSettlement} from "../../src/settlement/BatchSettlement.sol";
import {ERC3009DepositCollector} from "../../src/settlement/ERC3009DepositCollector.sol";
import {IBatchSettlement} from "../../src/settlement/IBatchSettlement.sol";
import {signWith, vm} from "./Vm.sol";

/// @title A settlement contract, its collector, a dollar, and the four parties of a channel
abstract contract SettlementFixture {
    uint256 internal constant PAYER_KEY = 0xA11CE;
    uint256 internal constant PAYER_AUTHORIZER_KEY = 0xA117;
    uint256 internal constant RECEIVER_KEY = 0xB0B;
    uint256 internal constant RECEIVER_AUTHORIZER_KEY = 0xB0B7;
    uint256 internal constant STRANGER_KEY = 0x57A9;
    uint40 internal constant DELAY = 1 hours;
    uint256 internal constant PURSE = 1e30;
    /// @dev Times and chain ids in tests are written from constants: within one call the optimizer may read
    ///      `block.timestamp` again after a cheat code has changed it.
    uint256 internal constant START = 1_000_000;

    address internal immutable payer = vm.addr(PAYER_KEY);
    address internal immutable payerAuthorizer = vm.addr(PAYER_AUTHORIZER_KEY);
    address internal immutable receiver = vm.addr(RECEIVER_KEY);
    address internal immutable receiverAuthorizer = vm.addr(RECEIVER_AUTHORIZER_KEY);
    address internal immutable stranger = vm.addr(STRANGER_KEY);

    TestDollar internal token;
    BatchSettlement internal settlement;
    ERC3009DepositCollector internal collector;
    uint256 private nextSalt = 1 << 32;

    function setUp() public virtual {
        vm.warp(START);
        token = new TestDollar(address(this));
        settlement = new BatchSettlement();
        collector = new ERC3009DepositCollector(address(settlement));
        token.mint(payer, PURSE);
    }

    function config(uint256 salt) internal view returns (IBatchSettlement.ChannelConfig memory) {
        return IBatchSettlement.ChannelConfig({
            payer: payer,
            payerAuthorizer: payerAuthorizer,
            receiver: receiver,
            receiverAuthorizer: receiverAuthorizer,
            token: address(token),
            withdrawDelay: DELAY,
            salt: bytes32(salt)
        });
    }

    /// @dev The collector's data for a deposit, with the payer's signature of ERC-3009.
    function authorization(IBatchSettlement.ChannelConfig memory channel, uint128 amount, uint256 salt)
        internal
        view
        returns (bytes memory)
    {
        bytes32 nonce = keccak256(abi.encode(settlement.getChannelId(channel), salt));
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
                    "uint256 validBefore,bytes32 nonce)"
                ),
                channel.payer,
                address(collector),
                uint256(amount),
                uint256(0),
                type(uint256).max,
                nonce
            )
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
        return abi.encode(uint256(0), type(uint256).max, salt, signWith(PAYER_KEY, digest));
    }

    function deposit(IBatchSettlement.ChannelConfig memory channel, uint128 amount) internal {
        uint256 salt = nextSalt++;
        settlement.deposit(channel, amount, address(collector), authorization(channel, amount, salt));
    }

    /// @dev A claim of `total` under a voucher for `max`, signed by the payer's authorizer.
    function voucherClaim(IBatchSettlement.ChannelConfig memory channel, uint128 max, uint128 total)
        internal
        view
        returns (IBatchSettlement.VoucherClaim memory)
    {
        bytes32 digest = settlement.getVoucherDigest(settlement.getChannelId(channel), max);
        return IBatchSettlement.VoucherClaim({
            voucher: IBatchSettlement.Voucher({channel: channel, maxClaimableAmount: max}),
            signature: signWith(PAYER_AUTHORIZER_KEY, digest),
            totalClaimed: total
        });
    }

    function batch(IBatchSettlement.VoucherClaim memory row)
        internal
        pure
        returns (IBatchSettlement.VoucherClaim[] memory rows)
    {
        rows = new IBatchSettlement.VoucherClaim[](1);
        rows[0] = row;
    }

    function claim(IBatchSettlement.ChannelConfig memory channel, uint128 max, uint128 total) internal {
        IBatchSettlement.VoucherClaim[] memory rows = batch(voucherClaim(channel, max, total));
        vm.prank(receiver);
        settlement.claim(rows);
    }
}
