// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";

import {IBatchSettlement} from "../../src/settlement/IBatchSettlement.sol";
import {Hand, SettlementScene} from "./SettlementScene.sol";

enum Act {
    Deposit,
    Claim,
    ClaimSigned,
    Settle,
    Start,
    Finish,
    Refund,
    RefundSigned
}

/// @dev By allowance, by ERC-3009, by one that brings one too little, by none.
enum Collect {
    Pull,
    Signed,
    Short,
    None
}

struct Row {
    uint8 channel;
    uint128 max;
    uint128 total;
    Hand hand;
}

/// @param nonce The refund's, or the salt of a signed deposit.
/// @param hand Of a signed deposit, batch or refund.
struct Step {
    Act act;
    uint8 channel;
    uint128 amount;
    uint256 nonce;
    Collect collect;
    Hand hand;
    Row[] rows;
}

/// @dev One step, or several by `multicall`, which happen all or not at all.
struct Call {
    address sender;
    Step[] steps;
}

/// @title Calls at random, which parties, relayers and thieves make
/// @dev Every call is drawn from a seed and what the contract's views say, so two implementations that agree so
///      far are given the same one.
abstract contract SettlementCalls is SettlementScene {
    function roll(uint256 seed, bytes32 what, uint256 sides) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what))) % sides;
    }

    /// @dev One call in six is made of several. Most are sent by whom the first step belongs to.
    function draw(uint256 seed) internal view returns (Call memory made) {
        uint256 count = roll(seed, "several", 6) == 0 ? 2 + roll(seed, "count", 2) : 1;
        made.steps = new Step[](count);
        for (uint256 i = 0; i < count; ++i) {
            made.steps[i] = drawStep(roll(seed, bytes32(i), type(uint256).max));
        }
        bool rightful = roll(seed, "rightful", 5) != 0;
        made.sender = rightful ? rightfulSender(seed, made.steps[0]) : anyone(seed);
    }

    function anyone(uint256 seed) internal view returns (address) {
        return parties[roll(seed, "anyone", parties.length)];
    }

    function rightfulSender(uint256 seed, Step memory step) private view returns (address) {
        IBatchSettlement.ChannelConfig memory config =
            configs[step.rows.length == 0 ? step.channel : step.rows[0].channel];
        bool first = roll(seed, "first", 2) == 0;
        if (step.act == Act.Claim || step.act == Act.Refund) {
            return first ? config.receiver : config.receiverAuthorizer;
        }
        if (step.act == Act.Start || step.act == Act.Finish) {
            return first || config.payerAuthorizer == address(0) ? config.payer : config.payerAuthorizer;
        }
        return anyone(seed);
    }

    function drawStep(uint256 seed) private view returns (Step memory step) {
        step.act = Act(roll(seed, "act", 8));
        step.channel = uint8(roll(seed, "channel", CHANNELS));
        step.hand = drawHand(seed);
        bytes32 id = settlement.getChannelId(configs[step.channel]);
        (uint128 balance, uint128 claimed) = settlement.channels(id);
        // Little can happen to a channel without a balance.
        if (balance == 0 && roll(seed, "found", 3) != 0) step.act = Act.Deposit;
        (uint128 pending,) = settlement.pendingWithdrawals(id);
        if (pending != 0 && roll(seed, "finish", 4) == 0) step.act = Act.Finish;
        if (step.act == Act.Deposit) {
            step.collect = Collect(
                roll(seed, "right collector", 4) != 0 ? roll(seed, "collector", 2) : roll(seed, "c", 4)
            );
            step.nonce = roll(seed, "salt", 1000);
            step.amount = drawDeposit(seed, balance);
        } else if (step.act == Act.Claim || step.act == Act.ClaimSigned) {
            step.rows = new Row[](roll(seed, "rows", 10) == 0 ? roll(seed, "n", 4) : 1);
            for (uint256 i = 0; i < step.rows.length; ++i) {
                step.rows[i] = drawRow(roll(seed, bytes32(i), type(uint256).max), step.channel, i == 0);
            }
        } else {
            step.amount = near(
                seed,
                [
                    uint256(balance - claimed) / 2,
                    balance,
                    claimed,
                    balance - claimed,
                    pending,
                    type(uint128).max
                ]
            );
            step.nonce = settlement.refundNonce(id);
            if (roll(seed, "other nonce", 8) == 0) step.nonce = roll(seed, "nonce", step.nonce + 2);
        }
    }

    function drawHand(uint256 seed) private pure returns (Hand) {
        return roll(seed, "right hand", 6) != 0 ? Hand.Right : Hand(roll(seed, "hand", 6));
    }

    function drawDeposit(uint256 seed, uint128 balance) private pure returns (uint128) {
        uint256 kind = roll(seed, "deposit", 16);
        if (kind == 0) {
            return near(seed, [uint256(0), 0, 1, type(uint128).max, type(uint128).max - balance, 1e12]);
        }
        return uint128(1 + roll(seed, "deposited", 1e9));
    }

    /// @dev Totals reach above voucher and balance on purpose. Rows of one batch are mostly of one receiver.
    function drawRow(uint256 seed, uint8 channel, bool first) private view returns (Row memory row) {
        row.channel = first ? channel : uint8(roll(seed, "channel", CHANNELS));
        row.hand = drawHand(seed);
        (uint128 balance, uint128 claimed) =
            settlement.channels(settlement.getChannelId(configs[row.channel]));
        uint256 some = claimed + roll(seed, "some", uint256(balance - claimed) + 1);
        row.total = near(seed, [some, some, some, claimed, balance, type(uint128).max]);
        row.max = roll(seed, "ceiling", 2) == 0
            ? row.total
            : near(
                roll(seed, "max", 1 << 128),
                [row.total, uint256(balance), some, balance, claimed, type(uint128).max]
            );
    }

    /// @dev One of six amounts, or one above or below it.
    function near(uint256 seed, uint256[6] memory amounts) private pure returns (uint128) {
        uint256 amount = amounts[roll(seed, "which", 6)];
        uint256 side = roll(seed, "side", 6);
        if (side == 0 && amount != 0) amount -= 1;
        if (side == 1 && amount != type(uint128).max) amount += 1;
        return uint128(amount);
    }

    function encode(Call memory made) internal view returns (bytes memory) {
        if (made.steps.length == 1) return encode(made.steps[0]);
        bytes[] memory calls = new bytes[](made.steps.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            calls[i] = encode(made.steps[i]);
        }
        return abi.encodeCall(Multicall.multicall, (calls));
    }

    function encode(Step memory step) private view returns (bytes memory) {
        IBatchSettlement.ChannelConfig memory config = configs[step.channel];
        bytes32 id = settlement.getChannelId(config);
        if (step.act == Act.Deposit) return encodeDeposit(step, config, id);
        if (step.act == Act.Settle) {
            return abi.encodeCall(settlement.settle, (config.receiver, config.token));
        }
        if (step.act == Act.Start) return abi.encodeCall(settlement.initiateWithdraw, (config, step.amount));
        if (step.act == Act.Finish) return abi.encodeCall(settlement.finalizeWithdraw, (config));
        if (step.act == Act.Refund) return abi.encodeCall(settlement.refund, (config, step.amount));
        if (step.act == Act.RefundSigned) {
            bytes32 digest = settlement.getRefundDigest(id, step.nonce, step.amount);
            bytes memory signature = sign(config.receiverAuthorizer, digest, step.hand);
            return
                abi.encodeCall(settlement.refundWithSignature, (config, step.amount, step.nonce, signature));
        }
        IBatchSettlement.VoucherClaim[] memory claims = vouchers(step.rows);
        if (step.act == Act.Claim) return abi.encodeCall(settlement.claim, (claims));
        address authorizer =
            configs[step.rows.length == 0 ? step.channel : step.rows[0].channel].receiverAuthorizer;
        bytes memory batch = sign(authorizer, settlement.getClaimBatchDigest(claims), step.hand);
        return abi.encodeCall(settlement.claimWithSignature, (claims, batch));
    }

    function vouchers(Row[] memory rows)
        internal
        view
        returns (IBatchSettlement.VoucherClaim[] memory claims)
    {
        claims = new IBatchSettlement.VoucherClaim[](rows.length);
        for (uint256 i = 0; i < rows.length; ++i) {
            IBatchSettlement.ChannelConfig memory config = configs[rows[i].channel];
            bytes32 digest = settlement.getVoucherDigest(settlement.getChannelId(config), rows[i].max);
            address signer = config.payerAuthorizer == address(0) ? config.payer : config.payerAuthorizer;
            claims[i].voucher = IBatchSettlement.Voucher({channel: config, maxClaimableAmount: rows[i].max});
            claims[i].signature = sign(signer, digest, rows[i].hand);
            claims[i].totalClaimed = rows[i].total;
        }
    }

    function encodeDeposit(Step memory step, IBatchSettlement.ChannelConfig memory config, bytes32 id)
        private
        view
        returns (bytes memory)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
                    "uint256 validBefore,bytes32 nonce)"
                ),
                config.payer,
                address(signedCollector),
                uint256(step.amount),
                uint256(0),
                type(uint256).max,
                keccak256(abi.encode(id, step.nonce))
            )
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", dollar.DOMAIN_SEPARATOR(), structHash));
        bytes memory data =
            abi.encode(uint256(0), type(uint256).max, step.nonce, sign(config.payer, digest, step.hand));
        address collector = [
            address(pullCollector), address(signedCollector), address(shortCollector), address(0)
        ][uint256(step.collect)];
        return abi.encodeCall(settlement.deposit, (config, step.amount, collector, data));
    }
}
