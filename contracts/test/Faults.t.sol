// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Promised} from "../src/Promised.sol";
import {Receipts} from "../src/Receipts.sol";
import {Types} from "../src/Types.sol";
import {FaultKind} from "../src/faults/Accountable.sol";
import {ClaimDemands} from "../src/faults/ClaimDemands.sol";
import {Faults} from "../src/faults/Faults.sol";
import {KeyRegistry} from "../src/faults/KeyRegistry.sol";
import {Quote} from "../src/faults/Quote.sol";
import {FaultsFixture} from "./base/FaultsFixture.sol";
import {MerkleTree} from "./base/MerkleTree.sol";
import {encode} from "./base/ReceiptBytes.sol";
import {bound, signWith, vm} from "./base/Vm.sol";

contract FaultsTest is FaultsFixture {
    KeyRegistry.Role private constant RECEIPTS = KeyRegistry.Role.Receipts;
    KeyRegistry.Role private constant CHECKPOINTS = KeyRegistry.Role.Checkpoints;

    function test_aFaultCostsATenthOnceHalfOfItTheReporters() public {
        bytes memory call = doubleSequence(promised(receipt()), promised(other()));
        bytes32 place =
            keccak256(abi.encode(block.chainid, address(settlement), keccak256("channel"), uint64(3)));
        bytes32 fault = proves(call);
        vm.assertEq(fault, faults.faultId(provider, FaultKind.DoubleSequence, place), "its id");
        vm.assertEq(bondOf(provider).stake, 900e6, "a tenth of the stake");
        vm.assertEq(vault.rewards(REPORTER), 50e6, "half of it is the reporter's");
        vm.assertEq(vault.unburnt(), 50e6, "half of it is burnt");
        (bool again,) = send(call);
        vm.assertFalse(again, "once");
        bytes4 slashed = bytes4(keccak256("AlreadySlashed(bytes32)"));
        refuses(doubleSequence(promised(other()), promised(receipt())), slashed);
        Receipts.Receipt memory third = receipt();
        third.response = keccak256("a third one");
        refuses(doubleSequence(promised(third), promised(receipt())), slashed);
    }

    function test_eachFaultOfAProvider() public {
        proves(splitBy(PROVIDER_KEY));
        proves(doubleSequence(promised(receipt()), promised(other())));
        Receipts.Receipt memory next = receipt();
        next.sequence += 1;
        proves(doubleIndex(promised(receipt()), terms(), promised(next), terms()));
        proves(broken(receipt(), 9, PROVIDER_KEY));
        Receipts.Receipt memory dear = receipt();
        dear.charge += 1;
        proves(wrongCharge(dear, terms()));
        vm.assertEq(bondOf(provider).stake, 590_490_000, "a tenth of what is left, five times");
    }

    function test_nothingIsTakenFromTheHonest() public {
        Receipts.Receipt memory next = receipt();
        next.sequence += 1;
        Promised.Evidence memory one = promised(receipt());
        refuses(doubleSequence(one, promised(receipt(), 300, PROVIDER_KEY)), Faults.SameStatement.selector);
        refuses(doubleSequence(one, promised(next)), Faults.DifferentPlaces.selector);
        refuses(
            doubleIndex(one, terms(), promised(next, 101, PROVIDER_KEY), terms()),
            Faults.DifferentPlaces.selector
        );
        refuses(wrongCharge(receipt(), terms()), Faults.ChargeFollows.selector);
        vm.assertEq(bondOf(provider).stake, STAKE, "the whole stake is there");
    }

    /// @dev What is seen pending is of no use to who copies it: the commitment names the reporter.
    function test_aReportIsCommittedToBefore() public {
        bytes memory call = doubleSequence(promised(receipt()), promised(other()));
        (bool success, bytes memory data) = send(call);
        vm.assertFalse(success, "not committed");
        vm.assertEq(bytes32(bytes4(data)), bytes32(Faults.NotCommitted.selector), "why");
        faults.commit(keccak256(abi.encode(REPORTER, call)));
        (success,) = send(call);
        vm.assertFalse(success, "in the same block");
        vm.roll(2);
        vm.prank(provider);
        (success,) = address(faults).call(call);
        vm.assertFalse(success, "another sender");
        // Whoever commits anew to the same does not make it later.
        faults.commit(keccak256(abi.encode(REPORTER, call)));
        (success,) = send(call);
        vm.assertTrue(success, "the reporter");
    }

    /// @dev A receipt of an agent's act names what another wrote, not the provider's quote.
    function test_onlyAQuoteOfTheProviderNamesPricesAndLog() public {
        Receipts.Receipt memory made = receipt();
        made.charge += 1;
        made.kind = 6;
        refuses(wrongCharge(made, terms()), Quote.OtherTerms.selector);
        made.kind = 2;
        bytes[3] memory foreign = [
            replaced(terms(), '"chain":31337', '"chain":31338'),
            replaced(terms(), '"provider":"0x', '"provider":"0y'),
            replaced(terms(), '"settlement":"0x', '"settlement":"0y')
        ];
        for (uint256 i = 0; i < foreign.length; ++i) {
            made.terms = keccak256(foreign[i]);
            refuses(wrongCharge(made, foreign[i]), Quote.OtherTerms.selector);
        }
        made.terms = keccak256(terms());
        proves(wrongCharge(made, terms()));
    }

    function test_anotherVersionIsNotRead() public {
        Receipts.Receipt memory made = receipt();
        made.version = 2;
        refuses(doubleSequence(promised(made), promised(other())), ClaimDemands.UnknownVersion.selector);
    }

    function test_aRetiredKeyAnswersForItsTerm() public {
        vm.startPrank(provider);
        keys.rotate(RECEIPTS, vm.addr(SECOND_KEY));
        vm.warp(NOW + 1 days);
        keys.rotate(RECEIPTS, address(0x33));
        vm.stopPrank();
        // What it signed before it was replaced, and what is dated just after, still counts.
        Receipts.Receipt memory late = other();
        late.time = (NOW + 1 days + 1 hours) * 1000;
        proves(doubleSequence(promised(receipt(), 100, SECOND_KEY), promised(late, 100, SECOND_KEY)));
        (Receipts.Receipt memory one, Receipts.Receipt memory two) = (receipt(), other());
        (one.sequence, two.sequence) = (9, 9);
        two.time = (NOW + 1 days + 1 hours + 1) * 1000;
        Promised.Evidence memory first = promised(one, 100, SECOND_KEY);
        refuses(doubleSequence(first, promised(two, 100, SECOND_KEY)), ClaimDemands.NotAccountable.selector);
        // The address speaks whatever keys there are.
        proves(doubleSequence(first, promised(two)));
    }

    function test_aKeyDoesNotSignForTheTimeBeforeIt() public {
        vm.warp(NOW + 1 days);
        vm.prank(provider);
        keys.rotate(RECEIPTS, vm.addr(SECOND_KEY));
        Promised.Evidence memory one = promised(receipt());
        refuses(doubleSequence(one, promised(other(), 100, SECOND_KEY)), ClaimDemands.NotAccountable.selector);
    }

    /// @dev A declaration helps against what follows, never against what was.
    function test_noFaultIsEscapedByDeclaringTheKeyCompromised() public {
        vm.startPrank(provider);
        keys.rotate(RECEIPTS, vm.addr(SECOND_KEY));
        keys.rotate(CHECKPOINTS, vm.addr(SECOND_KEY));
        vm.warp(NOW + 1 hours);
        keys.declareCompromised(RECEIPTS, vm.addr(SECOND_KEY));
        keys.declareCompromised(CHECKPOINTS, vm.addr(SECOND_KEY));
        vm.stopPrank();
        Receipts.Receipt memory later = other();
        later.time = (NOW + 1 hours + 1) * 1000;
        Promised.Evidence memory first = promised(receipt(), 100, SECOND_KEY);
        refuses(doubleSequence(first, promised(later, 100, SECOND_KEY)), ClaimDemands.NotAccountable.selector);
        later.time = (NOW + 1 hours) * 1000;
        proves(doubleSequence(first, promised(later, 100, SECOND_KEY)));

        vm.warp(NOW + 1 hours + 14 days + 1);
        refuses(splitBy(SECOND_KEY), ClaimDemands.NotAccountable.selector);
        vm.warp(NOW + 1 hours + 14 days);
        proves(splitBy(SECOND_KEY));
        vm.warp(NOW + 100 days);
        refuses(splitBy(STRANGER_KEY), ClaimDemands.NotAccountable.selector);
    }

    /// @dev A promise binds itself to two times. A thief has one before the theft and the other when he likes.
    function test_aStolenKeyIsOfNoUseAfterTheWindow() public {
        vm.startPrank(provider);
        keys.rotate(RECEIPTS, vm.addr(SECOND_KEY));
        vm.warp(NOW + 1 hours);
        keys.declareCompromised(RECEIPTS, vm.addr(SECOND_KEY));
        vm.stopPrank();
        uint64 last = NOW + 1 hours + 14 days;
        vm.warp(last + 1);
        Promised.Evidence memory one = mergedBy(promised(receipt(), 100, SECOND_KEY), last + 1);
        Promised.Evidence memory two = mergedBy(promised(other(), 100, SECOND_KEY), last + 1);
        refuses(doubleSequence(one, two), ClaimDemands.NotAccountable.selector);
        vm.warp(last);
        proves(doubleSequence(one, two));
    }

    /// @dev The same batch, promised by the second key to be logged by another time.
    function mergedBy(Promised.Evidence memory made, uint64 time)
        private
        view
        returns (Promised.Evidence memory)
    {
        made.promised.mergeBy = time;
        bytes32 domain = Types.vouchDomainSeparator(uint64(block.chainid), address(settlement));
        made.signature = signWith(SECOND_KEY, Types.digest(made.promised, domain));
        return made;
    }

    function test_whatIsOlderThanTheWindowIsNotHeldAgainstAnyone() public {
        bytes memory call = doubleSequence(promised(receipt()), promised(other()));
        vm.warp(NOW + 60 + 14 days + 1);
        refuses(call, ClaimDemands.NotAccountable.selector);
        vm.warp(NOW + 60 + 14 days);
        bytes memory again = doubleSequence(promised(receipt()), promised(other()));
        commit(again);
        // What counts is when it was committed to.
        vm.warp(NOW + 30 days);
        (bool success,) = send(again);
        vm.assertTrue(success, "shown in time");
    }

    function test_dataUseReceiptsHaveOnePlaceToo() public {
        (Receipts.Receipt memory one, Receipts.Receipt memory two) = (receipt(), receipt());
        (one.kind, two.kind) = (5, 5);
        two.cumulative += 1;
        proves(doubleSequence(promised(one), promised(two)));
    }

    function testFuzz_aChargeIsWhatTheTermsSay(uint64 input, uint64 cached, uint64 output, uint128 charge)
        public
    {
        Receipts.Receipt memory made = receipt();
        (made.input, made.cached, made.output) = (input, cached, output);
        uint256 sum = 300_000 * uint256(input) + 30_000 * uint256(cached) + 1_200_000 * uint256(output);
        uint256 owed = (sum + 999_999) / 1_000_000 + 5;
        made.charge = uint128(owed);
        refuses(wrongCharge(made, terms()), Faults.ChargeFollows.selector);
        made.charge = charge == owed ? charge + 1 : charge;
        proves(wrongCharge(made, terms()));
    }

    /// @dev Two receipts at random of an honest provider: each place is taken once.
    function testFuzz_placesThatDiffer(uint64 sequence, uint64 index, uint8 what) public {
        Receipts.Receipt memory one = receipt();
        Receipts.Receipt memory two = other();
        one.sequence = sequence;
        index = uint64(bound(index, 2, type(uint64).max - 4));
        two.sequence = what % 2 == 0 ? sequence ^ uint64(1 + what) : sequence;
        if (what % 2 == 1) two.channel = keccak256(abi.encode(what));
        Promised.Evidence memory first = promised(one, index, PROVIDER_KEY);
        Promised.Evidence memory second = promised(two, index ^ 1, PROVIDER_KEY);
        refuses(doubleSequence(first, second), Faults.DifferentPlaces.selector);
        refuses(doubleIndex(first, terms(), second, terms()), Faults.DifferentPlaces.selector);
    }

    function doubleIndex(
        Promised.Evidence memory first,
        bytes memory firstTerms,
        Promised.Evidence memory second,
        bytes memory secondTerms
    ) private returns (bytes memory) {
        return abi.encodeCall(Faults.reportDoubleIndex, (first, firstTerms, second, secondTerms, fresh()));
    }

    function wrongCharge(Receipts.Receipt memory made, bytes memory quote) private returns (bytes memory) {
        return abi.encodeCall(Faults.reportWrongCharge, (promised(made), quote, fresh()));
    }

    /// @dev A log of `size` leaves that holds something else at the receipt's index, 5.
    function broken(Receipts.Receipt memory made, uint64 size, uint256 key) private returns (bytes memory) {
        bytes32[] memory log = MerkleTree.leaves(3, size);
        Faults.Logged memory logged = Faults.Logged({
            size: size,
            checkpoint: signedRoot(size, MerkleTree.root(log), key),
            leaf: log[5],
            path: MerkleTree.path(log, 5)
        });
        Promised.Evidence memory evidence = promised(made, 5, PROVIDER_KEY);
        return abi.encodeCall(Faults.reportBrokenPromise, (evidence, terms(), logged, fresh()));
    }

    /// @dev `text` with the first `from` as `to`, which is as long.
    function replaced(bytes memory text, bytes memory from, bytes memory to)
        private
        pure
        returns (bytes memory)
    {
        for (uint256 i = 0; i + from.length <= text.length; ++i) {
            uint256 same = 0;
            while (same < from.length && text[i + same] == from[same]) ++same;
            if (same < from.length) continue;
            for (uint256 j = 0; j < to.length; ++j) {
                text[i + j] = to[j];
            }
            return text;
        }
        revert("not there");
    }
}
