// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Promised} from "../src/Promised.sol";
import {Receipts} from "../src/Receipts.sol";
import {Types} from "../src/Types.sol";
import {Faults} from "../src/faults/Faults.sol";
import {KeyRegistry} from "../src/faults/KeyRegistry.sol";
import {FaultsFixture} from "./base/FaultsFixture.sol";
import {MerkleTree} from "./base/MerkleTree.sol";
import {encode} from "./base/ReceiptBytes.sol";
import {signWith, vm} from "./base/Vm.sol";

/// @title A provider that does everything right, and whoever makes of its statements every accusation there is
contract HonestHistoryTest is FaultsFixture {
    /// @dev `key` promised it in a batch of the `count` entries from `first`.
    struct Entry {
        Receipts.Receipt receipt;
        uint256 key;
        uint64 first;
        uint64 count;
    }

    struct Signed {
        uint64 size;
        Faults.SignedRoot root;
    }

    uint256 private constant LENGTH = 9;
    uint256 private constant ACCUSATIONS = 24;
    Entry[] private entries;
    Signed[] private checkpoints;
    uint256 private random;

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_anHonestHistoryIsNeverAtFault(uint256 seed) public {
        random = seed;
        live();
        for (uint256 i = 0; i < ACCUSATIONS; ++i) {
            (bool success,) = report(accusation());
            vm.assertFalse(success, "an honest provider is not at fault");
        }
        vm.assertEq(bondOf(provider).stake, STAKE, "the whole stake is there");

        // The same history with one more statement is.
        uint256 entry = roll(LENGTH);
        Promised.Evidence memory told = evidence(entry);
        entries[entry].receipt.response = keccak256("another");
        proves(doubleSequence(told, evidence(entry)));
    }

    /// @dev Receipts of two channels, in batches, under keys that are replaced now and then, with the log's
    ///      checkpoint after each batch.
    function live() private {
        uint64 clock = NOW;
        uint256[2] memory keysOf = [PROVIDER_KEY, PROVIDER_KEY];
        uint64[2] memory sequence;
        uint128[2] memory cumulative;
        while (entries.length < LENGTH) {
            uint64 first = uint64(entries.length);
            uint64 count = uint64(1 + roll(3));
            if (first + count > LENGTH) count = uint64(LENGTH) - first;
            if (roll(3) == 0) keysOf[0] = turn(KeyRegistry.Role.Receipts);
            if (roll(3) == 0) keysOf[1] = turn(KeyRegistry.Role.Checkpoints);
            for (uint64 i = 0; i < count; ++i) {
                clock += uint64(roll(100));
                uint256 which = roll(2);
                Receipts.Receipt memory made = receipt();
                (made.input, made.cached, made.output) =
                (uint64(roll(1e6)), uint64(roll(1e6)), uint64(roll(1e6)));
                made.charge = uint128(
                    (300_000
                            * uint256(made.input)
                            + 30_000
                            * uint256(made.cached)
                            + 1_200_000
                            * uint256(made.output)
                            + 999_999) / 1_000_000 + 5
                );
                made.channel = bytes32(which + 1);
                made.sequence = ++sequence[which];
                made.cumulative = cumulative[which] += made.charge;
                made.time = clock * 1000 + uint64(roll(1000));
                entries.push(Entry({receipt: made, key: keysOf[0], first: first, count: count}));
            }
            vm.warp(clock);
            bytes32[] memory log = leaves(0, first + count);
            checkpoints.push(
                Signed({
                    size: first + count, root: signedRoot(first + count, MerkleTree.root(log), keysOf[1])
                })
            );
        }
    }

    function turn(KeyRegistry.Role role) private returns (uint256 key) {
        key = 1 + roll(1 << 128);
        vm.prank(provider);
        keys.rotate(role, vm.addr(key));
    }

    function accusation() private returns (bytes memory) {
        uint256 how = roll(5);
        (uint256 one, uint256 two) = (roll(LENGTH), roll(LENGTH));
        if (how == 0) return doubleSequence(evidence(one), evidence(two));
        if (how == 1) {
            return abi.encodeCall(
                Faults.reportDoubleIndex, (evidence(one), terms(), evidence(two), terms(), fresh())
            );
        }
        if (how == 2) return abi.encodeCall(Faults.reportWrongCharge, (evidence(one), terms(), fresh()));
        Signed memory first = checkpoints[roll(checkpoints.length)];
        if (how == 3) {
            Signed memory second = checkpoints[roll(checkpoints.length)];
            return abi.encodeCall(
                Faults.reportSplitLog, (provider, ORIGIN, first.size, first.root, second.root, fresh())
            );
        }
        // Another leaf of the same log, at its own place or at the receipt's.
        bytes32[] memory log = leaves(0, first.size);
        two %= log.length;
        Faults.Logged memory logged = Faults.Logged({
            size: first.size,
            checkpoint: first.root,
            leaf: log[two],
            path: MerkleTree.path(log, roll(2) == 0 ? two : one % log.length)
        });
        return abi.encodeCall(Faults.reportBrokenPromise, (evidence(one), terms(), logged, fresh()));
    }

    function evidence(uint256 entry) private view returns (Promised.Evidence memory made) {
        Entry memory of_ = entries[entry];
        bytes32[] memory batch_ = leaves(of_.first, of_.count);
        made.receipt = encode(of_.receipt);
        made.promised = Types.Promise({
            root: MerkleTree.root(batch_),
            first: of_.first,
            count: uint32(of_.count),
            notBefore: keccak256("block"),
            mergeBy: of_.receipt.time / 1000 + 60
        });
        bytes32 domain = Types.vouchDomainSeparator(of_.receipt.chain, of_.receipt.settlement);
        made.signature = signWith(of_.key, Types.digest(made.promised, domain));
        made.index = uint64(entry);
        made.path = MerkleTree.path(batch_, entry - of_.first);
    }

    function leaves(uint256 first, uint256 count) private view returns (bytes32[] memory hashes) {
        hashes = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            hashes[i] = leafOf(entries[first + i].receipt);
        }
    }

    function roll(uint256 sides) private returns (uint256) {
        random = uint256(keccak256(abi.encode(random)));
        return random % sides;
    }
}
