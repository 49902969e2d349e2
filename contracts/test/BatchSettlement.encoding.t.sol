// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IBatchSettlement} from "../src/settlement/IBatchSettlement.sol";
import {PullCollector} from "./base/SettlementScene.sol";
import {SettlementFixture} from "./base/SettlementFixture.sol";
import {MoodyToken} from "./base/Tokens.sol";
import {bound, signHighS, signWith, vm} from "./base/Vm.sol";

/// @title The edges of what can be encoded: amounts, delays, addresses, signatures
contract BatchSettlementEncodingTest is SettlementFixture {
    uint128 private constant LARGEST = type(uint128).max;
    uint256 private constant CONFIG_WORDS = 7;
    bytes4 private constant PANIC = bytes4(keccak256("Panic(uint256)"));

    MoodyToken private coin;
    PullCollector private puller;

    function setUp() public override {
        super.setUp();
        (coin, puller) = (new MoodyToken(), new PullCollector(0));
        coin.mint(payer, 1 << 130);
        vm.prank(payer);
        coin.approve(address(puller), type(uint256).max);
    }

    function testFuzz_onlyDelaysInBounds(uint40 delay) public {
        checkDelay(delay);
        checkDelay(uint40(bound(delay, 890, 910)));
        checkDelay(uint40(bound(delay, 2_591_990, 2_592_010)));
    }

    function test_theBoundsOfDelaysThemselves() public {
        checkDelay(900);
        checkDelay(899);
        checkDelay(2_592_000);
        checkDelay(2_592_001);
    }

    /// @dev The latest time that a withdrawal may be finished at fits what the event says.
    function testFuzz_aDelayIsWaitedOut(uint40 delay, uint40 start) public {
        IBatchSettlement.ChannelConfig memory channel = ofCoin(1);
        channel.withdrawDelay = uint40(bound(delay, 900, 2_592_000));
        start = uint40(bound(start, 1, type(uint40).max - channel.withdrawDelay));
        vm.warp(start);
        put(channel, 100);
        vm.startPrank(payer);
        settlement.initiateWithdraw(channel, 100);
        vm.warp(uint256(start) + channel.withdrawDelay - 1);
        vm.expectRevert(IBatchSettlement.WithdrawDelayNotElapsed.selector);
        settlement.finalizeWithdraw(channel);
        vm.warp(uint256(start) + channel.withdrawDelay);
        settlement.finalizeWithdraw(channel);
        vm.stopPrank();
        vm.assertEq(coin.balanceOf(address(settlement)), 0, "given back");
    }

    function testFuzz_aBalanceFillsItsWordAndNoMore(uint128 first, uint128 second, uint128 claimed) public {
        first = uint128(bound(first, 1, LARGEST - 1));
        put(ofCoin(1), first);
        if (second > LARGEST - first) {
            vm.expectRevert(IBatchSettlement.DepositOverflow.selector);
            put(ofCoin(1), second);
        }
        put(ofCoin(1), LARGEST - first);
        vm.expectRevert(IBatchSettlement.DepositOverflow.selector);
        put(ofCoin(1), 1);

        claimed = uint128(bound(claimed, 1, LARGEST));
        claim(ofCoin(1), LARGEST, claimed);
        claim(ofCoin(1), LARGEST, LARGEST);
        settlement.settle(receiver, address(coin));
        vm.assertEq(coin.balanceOf(receiver), LARGEST, "all of it is paid");
    }

    /// @dev A receiver's total of one token ends at 2^128; what is claimed of another token does not know.
    function testFuzz_whatAReceiverCannotCountIsNotClaimed(uint128 first, uint128 second) public {
        first = uint128(bound(first, 1, LARGEST));
        second = uint128(bound(second, uint256(LARGEST - first) + 1, LARGEST));
        put(ofCoin(1), LARGEST);
        put(ofCoin(2), LARGEST);
        claim(ofCoin(1), first, first);
        IBatchSettlement.VoucherClaim[] memory rows = batch(voucherClaim(ofCoin(2), second, second));
        vm.prank(receiver);
        vm.expectRevert(abi.encodeWithSelector(PANIC, 0x11));
        settlement.claim(rows);
        deposit(config(1), 100);
        claim(config(1), 100, 100);
        settlement.settle(receiver, address(coin));
        vm.assertEq(coin.balanceOf(receiver), first, "what was claimed is paid");
    }

    /// @dev Each word of a channel has bits that no value uses, but for the salt. Who sets them is refused.
    function testFuzz_bitsBeyondAValueAreRefused(uint8 word, uint8 bit) public {
        word = uint8(bound(word, 0, CONFIG_WORDS));
        bytes memory call =
            abi.encodeCall(settlement.deposit, (ofCoin(1), uint128(100), address(puller), bytes("")));
        uint256 used = word == 5 ? 40 : word == CONFIG_WORDS ? 128 : 160;
        bool salted = word == 6;
        uint256 place = bound(bit, salted ? 0 : used, 255);
        flip(call, 4 + uint256(word) * 32, place);
        (bool success, bytes memory data) = address(settlement).call(call);
        vm.assertTrue(success == salted, "only a salt is made of all its bits");
        vm.assertEq(data.length, 0, "refused before it is read");
    }

    function testFuzz_aCallThatIsCutIsRefused(uint16 length) public {
        deposit(config(1), 100);
        IBatchSettlement.VoucherClaim[] memory rows = batch(voucherClaim(config(1), 50, 50));
        bytes memory call = abi.encodeCall(settlement.claim, (rows));
        // The last 31 bytes pad the signature.
        cut(call, bound(length, 0, call.length - 32));
        vm.prank(receiver);
        (bool success,) = address(settlement).call(call);
        vm.assertFalse(success, "a part of a call");
    }

    function testFuzz_aReceiverAuthorizerOfZeroAuthorizesNobody(bytes memory signature) public {
        IBatchSettlement.ChannelConfig memory channel = ofCoin(1);
        channel.receiverAuthorizer = address(0);
        vm.expectRevert(IBatchSettlement.InvalidChannel.selector);
        put(channel, 100);
        IBatchSettlement.VoucherClaim[] memory rows = batch(voucherClaim(channel, 50, 0));
        vm.expectRevert(IBatchSettlement.InvalidSignature.selector);
        settlement.claimWithSignature(rows, signature);
        vm.expectRevert(IBatchSettlement.InvalidSignature.selector);
        settlement.refundWithSignature(channel, 1, 0, signature);
    }

    function testFuzz_onlyOneVIsTaken(uint8 v) public {
        deposit(config(1), 100);
        IBatchSettlement.VoucherClaim memory row = voucherClaim(config(1), 50, 50);
        bool right = uint8(row.signature[64]) == v;
        row.signature[64] = bytes1(v);
        vm.assertTrue(tryClaim(row) == right, "claimed by its own v alone");
    }

    function testFuzz_noOtherBytesAreASignature(bytes memory signature, uint8 length) public {
        deposit(config(1), 100);
        IBatchSettlement.VoucherClaim memory row = voucherClaim(config(1), 50, 50);
        bytes memory right = row.signature;
        row.signature = signature;
        vm.assertTrue(tryClaim(row) == (keccak256(signature) == keccak256(right)), "by its own bytes alone");
        row.signature = bytes.concat(right, hex"00");
        vm.assertFalse(tryClaim(row), "one byte more");
        row.signature = compact(right);
        vm.assertFalse(tryClaim(row), "64 bytes (EIP-2098)");
        cut(right, length % 65);
        row.signature = right;
        vm.assertFalse(tryClaim(row), "a part of it");
    }

    /// @dev The other signature of the same message, whoever signs it: none can be made from one that was seen.
    function test_highSIsRefusedOfEverySigner() public {
        IBatchSettlement.ChannelConfig memory channel = config(1);
        channel.payerAuthorizer = address(0);
        deposit(channel, 100);
        bytes32 id = settlement.getChannelId(channel);
        IBatchSettlement.VoucherClaim memory row = voucherClaim(channel, 50, 50);
        row.signature = signHighS(PAYER_KEY, settlement.getVoucherDigest(id, 50));
        vm.assertFalse(tryClaim(row), "the payer's");

        row.signature = signWith(PAYER_KEY, settlement.getVoucherDigest(id, 50));
        IBatchSettlement.VoucherClaim[] memory rows = batch(row);
        bytes memory high = signHighS(RECEIVER_AUTHORIZER_KEY, settlement.getClaimBatchDigest(rows));
        vm.expectRevert(IBatchSettlement.InvalidSignature.selector);
        settlement.claimWithSignature(rows, high);
        high = signHighS(RECEIVER_AUTHORIZER_KEY, settlement.getRefundDigest(id, 0, 50));
        vm.expectRevert(IBatchSettlement.InvalidSignature.selector);
        settlement.refundWithSignature(channel, 50, 0, high);
    }

    function checkDelay(uint40 delay) private {
        IBatchSettlement.ChannelConfig memory channel = ofCoin(delay);
        channel.withdrawDelay = delay;
        bool inBounds = delay >= 900 && delay <= 2_592_000;
        if (!inBounds) vm.expectRevert(IBatchSettlement.WithdrawDelayOutOfRange.selector);
        put(channel, 1);
    }

    function ofCoin(uint256 salt) private view returns (IBatchSettlement.ChannelConfig memory channel) {
        channel = config(salt);
        channel.token = address(coin);
    }

    function put(IBatchSettlement.ChannelConfig memory channel, uint128 amount) private {
        settlement.deposit(channel, amount, address(puller), "");
    }

    function tryClaim(IBatchSettlement.VoucherClaim memory row) private returns (bool success) {
        bytes memory call = abi.encodeCall(settlement.claim, (batch(row)));
        vm.prank(receiver);
        (success,) = address(settlement).call(call);
        (, uint128 claimed) = settlement.channels(settlement.getChannelId(row.voucher.channel));
        vm.assertEq(claimed, success ? row.totalClaimed : 0, "claimed");
    }

    function compact(bytes memory signature) private pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        if (uint8(signature[64]) == 28) s |= bytes32(uint256(1) << 255);
        return abi.encodePacked(r, s);
    }

    /// @dev `bit` counts from the word's lowest.
    function flip(bytes memory data, uint256 word, uint256 bit) private pure {
        data[word + 31 - bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
    }

    function cut(bytes memory data, uint256 length) private pure {
        assembly ("memory-safe") {
            mstore(data, length)
        }
    }
}
