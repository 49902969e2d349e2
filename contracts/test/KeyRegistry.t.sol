// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BondVault} from "../src/faults/BondVault.sol";
import {ClaimDemands} from "../src/faults/ClaimDemands.sol";
import {KeyRegistry} from "../src/faults/KeyRegistry.sol";
import {FaultsFixture} from "./base/FaultsFixture.sol";
import {bound, vm} from "./base/Vm.sol";

contract KeyRegistryTest is FaultsFixture {
    KeyRegistry.Role private constant RECEIPTS = KeyRegistry.Role.Receipts;
    KeyRegistry.Role private constant CHECKPOINTS = KeyRegistry.Role.Checkpoints;
    address private constant KEY = address(0x11);

    /// @dev Whoever waits until a stake may leave has outlived every way to hold a statement against it.
    function test_aStakeStaysLongerThanEvidenceLasts() public view {
        uint256 evidence = keys.EVIDENCE_WINDOW() + keys.OVERLAP();
        uint256 demand = faults.ANSWER_WINDOW() + faults.ENFORCE_WINDOW();
        vm.assertGe(vault.WITHDRAWAL_DELAY(), evidence + demand + 1, "the delay is longer than all of it");
        uint256 answer = keys.EVIDENCE_WINDOW() + faults.ENFORCE_WINDOW();
        vm.assertGe(vault.WITHDRAWAL_DELAY(), faults.ANSWER_WINDOW() + answer, "and than the longest hold");
    }

    function test_whoRegistersNothingSpeaksByItsAddress() public view {
        vm.assertEq(keys.keyOf(provider, RECEIPTS), provider, "receipts");
        vm.assertEq(keys.keyOf(provider, CHECKPOINTS), provider, "checkpoints");
        vm.assertTrue(keys.answersForReceipt(provider, provider, NOW, NOW, NOW), "a receipt");
        vm.assertTrue(keys.answersForCheckpoint(provider, provider, type(uint64).max), "a checkpoint");
        vm.assertFalse(keys.answersForReceipt(provider, KEY, NOW, NOW, NOW), "another's receipt");
        vm.assertFalse(keys.answersForCheckpoint(provider, KEY, NOW), "another's checkpoint");
    }

    function test_rolesAndProvidersAreApart() public {
        vm.prank(provider);
        keys.rotate(RECEIPTS, KEY);
        vm.assertEq(keys.keyOf(provider, RECEIPTS), KEY, "receipts");
        vm.assertEq(keys.keyOf(provider, CHECKPOINTS), provider, "checkpoints");
        vm.assertEq(keys.keyOf(stranger, RECEIPTS), stranger, "another's");
        vm.assertFalse(keys.answersForCheckpoint(provider, KEY, NOW), "in the other role");
        vm.assertTrue(keys.answersForReceipt(provider, provider, NOW + 9 days, NOW + 9 days, NOW), "as ever");
        vm.assertFalse(keys.answersForReceipt(stranger, KEY, NOW, NOW, NOW), "for another provider");
    }

    function test_aKeyHasOneTerm() public {
        vm.startPrank(provider);
        vm.expectRevert(abi.encodeWithSelector(KeyRegistry.KeyUnusable.selector, address(0)));
        keys.rotate(RECEIPTS, address(0));
        vm.expectRevert(abi.encodeWithSelector(KeyRegistry.KeyUnusable.selector, provider));
        keys.rotate(RECEIPTS, provider);
        keys.rotate(RECEIPTS, KEY);
        keys.rotate(RECEIPTS, address(0x12));
        vm.expectRevert(abi.encodeWithSelector(KeyRegistry.KeyUnusable.selector, KEY));
        keys.rotate(RECEIPTS, KEY);
        vm.stopPrank();
    }

    function test_afterACompromisedKeyTheAddressSpeaks() public {
        vm.startPrank(provider);
        keys.rotate(RECEIPTS, KEY);
        vm.expectRevert(abi.encodeWithSelector(KeyRegistry.UnknownKey.selector, address(0x12)));
        keys.declareCompromised(RECEIPTS, address(0x12));
        vm.expectRevert(abi.encodeWithSelector(KeyRegistry.UnknownKey.selector, provider));
        keys.declareCompromised(RECEIPTS, provider);
        keys.declareCompromised(RECEIPTS, KEY);
        vm.assertEq(keys.keyOf(provider, RECEIPTS), provider, "the address");
        vm.expectRevert(abi.encodeWithSelector(KeyRegistry.AlreadyCompromised.selector, KEY));
        keys.declareCompromised(RECEIPTS, KEY);
        keys.rotate(RECEIPTS, address(0x12));
        vm.assertEq(keys.keyOf(provider, RECEIPTS), address(0x12), "the next");
        vm.stopPrank();
    }

    /// @dev However a provider turns its keys over: what it signed in a key's term is held against it for the
    ///      whole window, and what a thief dates after the declaration never is.
    function testFuzz_noTurnTakesAStatementOutOfItsTerm(
        uint32 signed,
        uint32 ended,
        uint32 shown,
        bool stolen
    ) public {
        uint256 end = NOW + bound(ended, 2 hours, 300 days);
        uint256 time = NOW + bound(signed, 0, end - NOW);
        uint256 seen = time + bound(shown, 0, 14 days);
        vm.prank(provider);
        keys.rotate(RECEIPTS, KEY);
        vm.warp(end);
        vm.prank(provider);
        stolen ? keys.declareCompromised(RECEIPTS, KEY) : keys.rotate(RECEIPTS, address(0x12));
        vm.assertTrue(keys.answersForReceipt(provider, KEY, time, time + 60, seen), "in its term");
        vm.assertFalse(keys.answersForReceipt(provider, KEY, end + 1 hours + 1, end + 2 hours, seen), "after");
        if (stolen) {
            vm.assertFalse(keys.answersForReceipt(provider, KEY, end + 1, end + 1, seen), "a thief's");
        }
        vm.assertTrue(keys.wasKey(provider, KEY, time), "in its defence");
    }
}
