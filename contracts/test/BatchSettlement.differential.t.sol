// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Errors} from "@openzeppelin/contracts/utils/Errors.sol";

import {BatchSettlement} from "../src/settlement/BatchSettlement.sol";
import {ERC3009DepositCollector} from "../src/settlement/ERC3009DepositCollector.sol";
import {IBatchSettlement} from "../src/settlement/IBatchSettlement.sol";
import {SettlementGasTest} from "./Settlement.gas.t.sol";
import {Call, SettlementCalls} from "./base/SettlementCalls.sol";
import {MoodyToken} from "./base/Tokens.sol";
import {Upstream} from "./base/Upstream.sol";
import {vm} from "./base/Vm.sol";

/// @title Our settlement contract and upstream's, driven by the same calls at the same address
/// @dev Skipped unless `VOUCH_UPSTREAM_SETTLEMENT` says where upstream's artefact is: no package has it.
contract BatchSettlementDifferentialTest is SettlementCalls {
    /// @dev What a call shows to whoever sends it, to whoever reads the logs, and to whoever looks afterwards.
    struct Seen {
        bool success;
        bytes data;
        bytes32 logs;
        bytes32 state;
        bytes sent;
        bool mangled;
    }

    uint256 private constant CALLS = 50;

    event Compared(uint256 calls, uint256 succeeded, uint256 otherwiseRefused);

    function setUp() public {
        setScene();
    }

    function testFuzz_noCallTellsThemApart(uint256 seed) public {
        bytes memory upstream = Upstream.creationCode();
        uint256 start = vm.snapshotState();
        vm.etch(CANONICAL, address(new BatchSettlement()).code);
        Seen[] memory ours = run(seed);
        vm.assertTrue(vm.revertToState(start), "back to the start");
        Upstream.deploy(upstream);
        Seen[] memory theirs = run(seed);

        uint256 succeeded = 0;
        uint256 otherwiseRefused = 0;
        for (uint256 i = 0; i < CALLS; ++i) {
            if (ours[i].success) ++succeeded;
            if (compare(ours[i], theirs[i], string.concat("call ", vm.toString(i)))) ++otherwiseRefused;
        }
        emit Compared(CALLS, succeeded, otherwiseRefused);
    }

    /// @dev Bytes that are no call by the ABI are refused by both, but where one compiler's code looks at the
    ///      broken word first, the other's may come to another reason first.
    function compare(Seen memory ours, Seen memory theirs, string memory what)
        private
        pure
        returns (bool otherwiseRefused)
    {
        what = string.concat(what, ": ", vm.toString(ours.sent));
        vm.assertEq(ours.sent, theirs.sent, string.concat("sent in ", what));
        vm.assertTrue(ours.success == theirs.success, string.concat("success of ", what));
        vm.assertEq(ours.logs, theirs.logs, string.concat("logs of ", what));
        vm.assertEq(ours.state, theirs.state, string.concat("state after ", what));
        bool alike = keccak256(ours.data) == keccak256(theirs.data);
        otherwiseRefused =
            !alike && ours.mangled && !ours.success && (isUndecoded(ours.data) || isUndecoded(theirs.data));
        if (!otherwiseRefused) vm.assertEq(ours.data, theirs.data, string.concat("data of ", what));
    }

    /// @dev Nothing, or by way of `multicall` the error that stands for nothing.
    function isUndecoded(bytes memory data) private pure returns (bool) {
        return
            data.length == 0
                || keccak256(data) == keccak256(abi.encodeWithSelector(Errors.FailedCall.selector));
    }

    function run(uint256 seed) private returns (Seen[] memory seen) {
        seen = new Seen[](CALLS);
        uint256 clock = START;
        bytes memory last;
        for (uint256 i = 0; i < CALLS; ++i) {
            uint256 turn = uint256(keccak256(abi.encode(seed, i)));
            if (roll(turn, "wait", 8) == 0) {
                clock += configs[roll(turn, "whose", CHANNELS)].withdrawDelay - roll(turn, "early", 2);
                vm.warp(clock);
            }
            if (roll(turn, "mood", 16) == 0) moody.setMood(MoodyToken.Mood(roll(turn, "which", 4)));
            Call memory made = draw(turn);
            bytes memory data = roll(turn, "again", 10) == 0 && last.length != 0 ? last : encode(made);
            last = data;
            uint256 kind = roll(turn, "kind", 10);
            if (kind == 0) data = mangled(turn, data);
            if (kind == 1) data = question(turn, made, data);
            seen[i] = send(made.sender, data);
            seen[i].mangled = kind == 0;
        }
    }

    function send(address sender, bytes memory data) private returns (Seen memory seen) {
        seen.sent = data;
        vm.recordLogs();
        vm.prank(sender);
        (seen.success, seen.data) = CANONICAL.call(data);
        seen.logs = keccak256(abi.encode(vm.getRecordedLogs()));
        seen.state = state();
    }

    /// @dev One byte changed, or the end cut off.
    function mangled(uint256 turn, bytes memory whole) private pure returns (bytes memory data) {
        data = bytes.concat(whole);
        uint256 place = roll(turn, "place", data.length);
        if (roll(turn, "cut", 4) != 0) {
            data[place] ^= bytes1(uint8(1 + roll(turn, "bits", 255)));
        } else {
            assembly ("memory-safe") {
                mstore(data, place)
            }
        }
    }

    /// @dev Of what anyone can ask, and that is asked after no call.
    function question(uint256 turn, Call memory made, bytes memory data) private view returns (bytes memory) {
        bytes4[8] memory constants = [
            bytes4(keccak256("MIN_WITHDRAW_DELAY()")),
            bytes4(keccak256("MAX_WITHDRAW_DELAY()")),
            bytes4(keccak256("CHANNEL_CONFIG_TYPEHASH()")),
            bytes4(keccak256("VOUCHER_TYPEHASH()")),
            bytes4(keccak256("REFUND_TYPEHASH()")),
            bytes4(keccak256("CLAIM_ENTRY_TYPEHASH()")),
            bytes4(keccak256("CLAIM_BATCH_TYPEHASH()")),
            bytes4(keccak256("eip712Domain()"))
        ];
        uint256 which = roll(turn, "question", 6);
        if (which == 0) return abi.encodeWithSelector(constants[roll(turn, "constant", 8)]);
        if (which == 1) {
            return abi.encodeCall(settlement.getClaimBatchDigest, (vouchers(made.steps[0].rows)));
        }
        bytes32 word = keccak256(data);
        if (which == 2) return abi.encodeCall(settlement.getVoucherDigest, (word, uint128(uint256(word))));
        if (which == 3) {
            return abi.encodeCall(settlement.getRefundDigest, (word, turn, uint128(uint256(word))));
        }
        IBatchSettlement.ChannelConfig memory config = configs[made.steps[0].channel];
        if (which == 4) return abi.encodeCall(settlement.getChannelId, (config));
        return abi.encodeWithSelector(bytes4(word), word);
    }

    function state() private view returns (bytes32 hash) {
        for (uint256 i = 0; i < CHANNELS; ++i) {
            bytes32 id = settlement.getChannelId(configs[i]);
            (uint128 balance, uint128 claimed) = settlement.channels(id);
            (uint128 pending, uint40 since) = settlement.pendingWithdrawals(id);
            hash =
                keccak256(abi.encode(hash, id, balance, claimed, pending, since, settlement.refundNonce(id)));
        }
        for (uint256 i = 0; i < tokens.length; ++i) {
            hash = keccak256(abi.encode(hash, IERC20(tokens[i]).balanceOf(CANONICAL)));
            for (uint256 j = 0; j < parties.length; ++j) {
                (uint128 claimed, uint128 settled) = settlement.receivers(parties[j], tokens[i]);
                uint256 purse = IERC20(tokens[i]).balanceOf(parties[j]);
                hash = keccak256(abi.encode(hash, claimed, settled, purse));
            }
        }
    }
}

/// @title What upstream's code costs in the scenes that ours is measured in
contract UpstreamSettlementCosts is SettlementGasTest {
    function setUp() public override {
        super.setUp();
        Upstream.deploy(Upstream.creationCode());
        settlement = BatchSettlement(Upstream.CANONICAL);
        collector = new ERC3009DepositCollector(Upstream.CANONICAL);
    }

    function report(string memory call, uint256 upstream) internal override {
        vm.assertEq(vm.lastCallGas().gasTotalUsed, upstream, call);
    }
}
