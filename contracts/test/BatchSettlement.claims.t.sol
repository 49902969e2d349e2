// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IBatchSettlement} from "../src/settlement/IBatchSettlement.sol";
import {SettlementFixture} from "./base/SettlementFixture.sol";
import {bound, signHighS, signWith, vm} from "./base/Vm.sol";

/// @dev A wallet contract whose owner's word is a 32-byte password.
contract PasswordWallet {
    bytes32 private immutable PASSWORD_HASH = keccak256(abi.encode("open sesame"));

    function isValidSignature(bytes32, bytes calldata signature) external view returns (bytes4) {
        return keccak256(signature) == PASSWORD_HASH ? this.isValidSignature.selector : bytes4(0);
    }
}

contract BatchSettlementClaimsTest is SettlementFixture {
    function test_channelIdIsTheTypedDataDigest() public view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("x402 Batch Settlement"),
                keccak256("1"),
                block.chainid,
                address(settlement)
            )
        );
        bytes32 structHash = keccak256(abi.encode(settlement.CHANNEL_CONFIG_TYPEHASH(), config(1)));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, structHash));
        vm.assertEq(settlement.getChannelId(config(1)), digest, "channel id");
    }

    function test_codeWorksWhereNoConstructorRan() public {
        address canonical = 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003;
        vm.etch(canonical, address(settlement).code);
        (, string memory name, string memory version, uint256 chainId, address self,,) =
            IERC5267Like(canonical).eip712Domain();
        vm.assertEq(name, "x402 Batch Settlement", "name");
        vm.assertEq(version, "1", "version");
        vm.assertEq(chainId, block.chainid, "chain");
        vm.assertEq(self, canonical, "contract");
        bytes32 here = settlement.getChannelId(config(1));
        vm.assertTrue(IBatchSettlement(canonical).getChannelId(config(1)) != here, "ids differ by contract");
    }

    function testFuzz_claimsAddUpAndSettle(uint128 funds, uint128 first, uint128 second) public {
        funds = uint128(bound(funds, 2, 1e24));
        first = uint128(bound(first, 1, funds - 1));
        second = uint128(bound(second, first + 1, funds));
        deposit(config(1), funds);
        bytes32 id = settlement.getChannelId(config(1));

        vm.expectEmit(address(settlement));
        emit IBatchSettlement.Claimed(id, receiver, first, first);
        claim(config(1), first, first);
        claim(config(1), funds, second);
        (uint128 balance, uint128 claimed) = settlement.channels(id);
        vm.assertEq(balance, funds, "claims do not lower the balance");
        vm.assertEq(claimed, second, "claimed in total");

        vm.expectEmit(address(settlement));
        emit IBatchSettlement.Settled(receiver, address(token), address(this), second);
        settlement.settle(receiver, address(token));
        settlement.settle(receiver, address(token)); // nothing is left to send, and that is no error
        vm.assertEq(token.balanceOf(receiver), second, "received");
        vm.assertEq(token.balanceOf(address(settlement)), funds - second, "kept");
    }

    function testFuzz_replayOfAnOldVoucherDoesNothing(uint128 old, uint128 current) public {
        current = uint128(bound(current, 1, 1e12));
        old = uint128(bound(old, 0, current));
        deposit(config(1), 1e12);
        claim(config(1), current, current);
        claim(config(1), old, old);
        (, uint128 claimed) = settlement.channels(settlement.getChannelId(config(1)));
        vm.assertEq(claimed, current, "claimed");
        (uint128 total,) = settlement.receivers(receiver, address(token));
        vm.assertEq(total, current, "credited once");
    }

    function testFuzz_neverAboveTheVoucher(uint128 max, uint128 total) public {
        max = uint128(bound(max, 0, 1e12 - 1));
        total = uint128(bound(total, uint256(max) + 1, 1e12));
        deposit(config(1), 1e12);
        expectClaimRevert(voucherClaim(config(1), max, total), IBatchSettlement.ClaimExceedsCeiling.selector);
    }

    function testFuzz_neverAboveTheDeposit(uint128 funds, uint128 total) public {
        funds = uint128(bound(funds, 1, 1e12));
        total = uint128(bound(total, uint256(funds) + 1, type(uint128).max));
        deposit(config(1), funds);
        expectClaimRevert(
            voucherClaim(config(1), total, total), IBatchSettlement.ClaimExceedsBalance.selector
        );
    }

    function test_highSIsRefused() public {
        deposit(config(1), 100);
        IBatchSettlement.VoucherClaim memory row = voucherClaim(config(1), 50, 50);
        bytes32 digest = settlement.getVoucherDigest(settlement.getChannelId(config(1)), 50);
        row.signature = signHighS(PAYER_AUTHORIZER_KEY, digest);
        IBatchSettlement.VoucherClaim[] memory rows = batch(row);
        vm.prank(receiver);
        vm.expectRevert(
            abi.encodeWithSignature("ECDSAInvalidSignatureS(bytes32)", bytesAt(row.signature, 32))
        );
        settlement.claim(rows);
    }

    function test_aStrangersVoucherIsRefused() public {
        deposit(config(1), 100);
        IBatchSettlement.VoucherClaim memory row = voucherClaim(config(1), 50, 50);
        bytes32 digest = settlement.getVoucherDigest(settlement.getChannelId(config(1)), 50);
        row.signature = signWith(STRANGER_KEY, digest);
        expectClaimRevert(row, IBatchSettlement.InvalidSignature.selector);
        row.signature = signWith(PAYER_KEY, digest); // a named authorizer takes the payer's place
        expectClaimRevert(row, IBatchSettlement.InvalidSignature.selector);
    }

    function test_aVoucherOfAnotherChainIsRefused() public {
        vm.chainId(2);
        IBatchSettlement.VoucherClaim memory row = voucherClaim(config(1), 50, 50);
        vm.chainId(1);
        deposit(config(1), 100);
        expectClaimRevert(row, IBatchSettlement.InvalidSignature.selector);
    }

    function test_onlyTheReceiversSideClaims() public {
        deposit(config(1), 100);
        IBatchSettlement.VoucherClaim[] memory rows = batch(voucherClaim(config(1), 50, 50));
        vm.prank(payer);
        vm.expectRevert(IBatchSettlement.NotAuthorizedToClaim.selector);
        settlement.claim(rows);
        vm.prank(receiverAuthorizer);
        settlement.claim(rows);
    }

    function test_emptyBatchIsRefused() public {
        IBatchSettlement.VoucherClaim[] memory none = new IBatchSettlement.VoucherClaim[](0);
        vm.expectRevert(IBatchSettlement.EmptyBatch.selector);
        settlement.claim(none);
        vm.expectRevert(IBatchSettlement.EmptyBatch.selector);
        settlement.claimWithSignature(none, "");
    }

    function test_withoutAuthorizerThePayerSigns() public {
        IBatchSettlement.ChannelConfig memory channel = config(1);
        channel.payerAuthorizer = address(0);
        deposit(channel, 100);
        IBatchSettlement.VoucherClaim memory row = voucherClaim(channel, 50, 50);
        expectClaimRevert(row, IBatchSettlement.InvalidSignature.selector);
        row.signature = signWith(PAYER_KEY, settlement.getVoucherDigest(settlement.getChannelId(channel), 50));
        vm.prank(receiver);
        settlement.claim(batch(row));
    }

    function test_aContractWalletSignsItsWay() public {
        IBatchSettlement.ChannelConfig memory channel = config(1);
        channel.payerAuthorizer = address(0);
        deposit(channel, 100);
        vm.etch(payer, address(new PasswordWallet()).code);
        IBatchSettlement.VoucherClaim memory row = voucherClaim(channel, 50, 50);
        expectClaimRevert(row, IBatchSettlement.InvalidSignature.selector);
        row.signature = abi.encode("open sesame");
        vm.prank(receiver);
        settlement.claim(batch(row));
    }

    function test_anyoneSendsASignedBatch() public {
        deposit(config(1), 100);
        deposit(config(2), 100);
        IBatchSettlement.VoucherClaim[] memory rows = new IBatchSettlement.VoucherClaim[](2);
        rows[0] = voucherClaim(config(1), 50, 40);
        rows[1] = voucherClaim(config(2), 70, 70);
        bytes memory signature = signWith(RECEIVER_AUTHORIZER_KEY, settlement.getClaimBatchDigest(rows));

        vm.prank(stranger);
        settlement.claimWithSignature(rows, signature);
        (uint128 total,) = settlement.receivers(receiver, address(token));
        vm.assertEq(total, 110, "claimed in total");

        rows[0].totalClaimed = 50; // the signature covers each row's total
        vm.expectRevert(IBatchSettlement.InvalidSignature.selector);
        settlement.claimWithSignature(rows, signature);
    }

    function test_aSignedBatchHasOneAuthorizer() public {
        IBatchSettlement.ChannelConfig memory other = config(2);
        other.receiverAuthorizer = stranger;
        deposit(config(1), 100);
        deposit(other, 100);
        IBatchSettlement.VoucherClaim[] memory rows = new IBatchSettlement.VoucherClaim[](2);
        rows[0] = voucherClaim(config(1), 50, 50);
        rows[1] = voucherClaim(other, 50, 50);
        bytes memory signature = signWith(RECEIVER_AUTHORIZER_KEY, settlement.getClaimBatchDigest(rows));
        vm.expectRevert(IBatchSettlement.NotReceiverAuthorizer.selector);
        settlement.claimWithSignature(rows, signature);
    }

    function test_claimAndSettleInOneTransaction() public {
        deposit(config(1), 100);
        IBatchSettlement.VoucherClaim[] memory rows = batch(voucherClaim(config(1), 60, 60));
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(settlement.claim, (rows));
        calls[1] = abi.encodeCall(settlement.settle, (receiver, address(token)));
        vm.prank(receiver);
        settlement.multicall(calls);
        vm.assertEq(token.balanceOf(receiver), 60, "received");
    }

    function expectClaimRevert(IBatchSettlement.VoucherClaim memory row, bytes4 selector) private {
        IBatchSettlement.VoucherClaim[] memory rows = batch(row);
        vm.prank(receiver);
        vm.expectRevert(selector);
        settlement.claim(rows);
    }

    function bytesAt(bytes memory data, uint256 offset) private pure returns (bytes32 word) {
        assembly {
            word := mload(add(add(data, 32), offset))
        }
    }
}

interface IERC5267Like {
    function eip712Domain()
        external
        view
        returns (bytes1, string memory, string memory, uint256, address, bytes32, uint256[] memory);
}
