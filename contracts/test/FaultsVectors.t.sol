// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Promised} from "../src/Promised.sol";
import {TestDollar} from "../src/TestDollar.sol";
import {Types} from "../src/Types.sol";
import {BondVault} from "../src/faults/BondVault.sol";
import {Faults} from "../src/faults/Faults.sol";
import {KeyRegistry} from "../src/faults/KeyRegistry.sol";
import {ProtocolParameters} from "../src/governance/ProtocolParameters.sol";
import {BatchSettlement} from "../src/settlement/BatchSettlement.sol";
import {IBatchSettlement} from "../src/settlement/IBatchSettlement.sol";
import {vm} from "./base/Vm.sol";

/// @title The golden vectors of faults, which Rust reads too
/// @dev Each row is reported to a new contract: a fault is punished once, under one id on both sides.
contract FaultsVectorsTest {
    address private constant SETTLEMENT = 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003;
    uint256 private constant NOW = 1_800_000_100;

    string private json;
    TestDollar private token;
    Faults private faults;

    function setUp() public {
        json = vm.readFile("../vectors/faults.json");
        vm.chainId(31337);
        vm.warp(NOW);
        vm.etch(SETTLEMENT, address(new BatchSettlement()).code);
        token = new TestDollar(address(this));
    }

    function test_splitLogs() public {
        (uint256 faulty, uint256 honest) = (0, 0);
        for (string memory entry; exists(entry = row("splitLogs", faulty + honest));) {
            bytes memory call = abi.encodeCall(
                Faults.reportSplitLog,
                (
                    vm.parseJsonAddress(json, string.concat(entry, ".provider")),
                    text(entry, ".origin"),
                    number(entry, ".size"),
                    signedRoot(entry, ".first"),
                    signedRoot(entry, ".second"),
                    0
                )
            );
            check(entry, call) ? ++faulty : ++honest;
        }
        require_(faulty, 2, honest, 3);
    }

    function test_doubleSequences() public {
        (uint256 faulty, uint256 honest) = (0, 0);
        for (string memory entry; exists(entry = row("doubleSequences", faulty + honest));) {
            bytes memory call = abi.encodeCall(
                Faults.reportDoubleSequence, (evidence(entry, ".first"), evidence(entry, ".second"), 0)
            );
            check(entry, call) ? ++faulty : ++honest;
        }
        require_(faulty, 3, honest, 8);
    }

    function test_doubleIndexes() public {
        (uint256 faulty, uint256 honest) = (0, 0);
        for (string memory entry; exists(entry = row("doubleIndexes", faulty + honest));) {
            bytes memory call = abi.encodeCall(
                Faults.reportDoubleIndex,
                (
                    evidence(entry, ".first"),
                    bytes(text(entry, ".firstTerms")),
                    evidence(entry, ".second"),
                    bytes(text(entry, ".secondTerms")),
                    0
                )
            );
            check(entry, call) ? ++faulty : ++honest;
        }
        require_(faulty, 4, honest, 6);
    }

    function test_brokenPromises() public {
        (uint256 faulty, uint256 honest) = (0, 0);
        for (string memory entry; exists(entry = row("brokenPromises", faulty + honest));) {
            Faults.Logged memory logged = Faults.Logged({
                size: number(entry, ".logSize"),
                checkpoint: signedRoot(entry, ".log"),
                leaf: word(entry, ".leaf"),
                path: words(entry, ".logPath")
            });
            bytes memory call = abi.encodeCall(
                Faults.reportBrokenPromise,
                (evidence(entry, ".first"), bytes(text(entry, ".firstTerms")), logged, 0)
            );
            check(entry, call) ? ++faulty : ++honest;
        }
        require_(faulty, 2, honest, 5);
    }

    function test_wrongCharges() public {
        (uint256 faulty, uint256 honest) = (0, 0);
        for (string memory entry; exists(entry = row("wrongCharges", faulty + honest));) {
            bytes memory call = abi.encodeCall(
                Faults.reportWrongCharge, (evidence(entry, ".first"), bytes(text(entry, ".firstTerms")), 0)
            );
            check(entry, call) ? ++faulty : ++honest;
        }
        require_(faulty, 5, honest, 8);
    }

    function test_claims() public {
        uint256 i = 0;
        for (string memory entry; exists(entry = row("claims", i)); ++i) {
            deploy();
            bytes32 channel = demanded(entry);
            bytes memory call = abi.encodeWithSelector(faults.answer.selector, evidence(entry, ".first"));
            (bool success,) = address(faults).call(call);
            vm.assertEq(success ? 1 : 0, number(entry, ".covers"), text(entry, ".case"));
            (, uint64 deadline,,) = faults.demands(channel);
            vm.assertEq(deadline == 0 ? 1 : 0, number(entry, ".covers"), "the demand is closed");
        }
        vm.assertGe(i, 6, "claims");
    }

    /// @dev The row's channel is the one of `vectors/eip712.json`; its claims are written where they are kept.
    function demanded(string memory entry) private returns (bytes32 channel) {
        string memory all = vm.readFile("../vectors/eip712.json");
        IBatchSettlement.ChannelConfig memory config = IBatchSettlement.ChannelConfig({
            payer: vm.parseJsonAddress(all, ".channels[0].payer"),
            payerAuthorizer: vm.parseJsonAddress(all, ".channels[0].payerAuthorizer"),
            receiver: vm.parseJsonAddress(all, ".channels[0].receiver"),
            receiverAuthorizer: vm.parseJsonAddress(all, ".channels[0].receiverAuthorizer"),
            token: vm.parseJsonAddress(all, ".channels[0].token"),
            withdrawDelay: uint40(vm.parseJsonUint(all, ".channels[0].withdrawDelay")),
            salt: vm.parseJsonBytes32(all, ".channels[0].salt")
        });
        bytes32 slot = keccak256(abi.encode(word(entry, ".channel"), uint256(0)));
        vm.store(SETTLEMENT, slot, bytes32(uint256(number(entry, ".claimed")) << 128));
        token.mint(address(this), faults.DEMAND_BOND());
        token.approve(address(faults), faults.DEMAND_BOND());
        Promised.Evidence memory none;
        channel = faults.demand(config, none);
        vm.assertEq(channel, word(entry, ".channel"), "channel");
    }

    function deploy() private {
        ProtocolParameters parameters = new ProtocolParameters(address(this));
        faults = new Faults(token, parameters, new KeyRegistry(), IBatchSettlement(SETTLEMENT));
    }

    /// @dev Reports a row and compares the verdict.
    function check(string memory entry, bytes memory call) private returns (bool fault) {
        deploy();
        vm.roll(1);
        faults.commit(keccak256(abi.encode(address(this), call)));
        vm.roll(2);
        (bool success, bytes memory data) = address(faults).call(call);
        fault = bytes(text(entry, ".fault")).length != 0;
        vm.assertEq(success ? 1 : 0, fault ? 1 : 0, text(entry, ".case"));
        if (!fault) return false;
        vm.assertEq(abi.decode(data, (bytes32)), word(entry, ".fault"), text(entry, ".case"));
        BondVault vault = faults.vault();
        vm.assertTrue(vault.slashed(word(entry, ".fault")), text(entry, ".case"));
    }

    function require_(uint256 faulty, uint256 leastFaulty, uint256 honest, uint256 leastHonest) private pure {
        vm.assertGe(faulty, leastFaulty, "faults");
        vm.assertGe(honest, leastHonest, "honest pairs");
    }

    function evidence(string memory entry, string memory prefix)
        private
        view
        returns (Promised.Evidence memory made)
    {
        string memory place = string.concat(entry, prefix);
        made.receipt = vm.parseJsonBytes(json, string.concat(place, "Receipt"));
        made.promised = Types.Promise({
            root: word(place, "Root"),
            first: number(place, "First"),
            count: uint32(number(place, "Count")),
            notBefore: word(place, "NotBefore"),
            mergeBy: number(place, "MergeBy")
        });
        made.signature = vm.parseJsonBytes(json, string.concat(place, "Signature"));
        made.index = number(place, "Index");
        made.path = words(place, "Path");
    }

    function signedRoot(string memory entry, string memory prefix)
        private
        view
        returns (Faults.SignedRoot memory)
    {
        string memory place = string.concat(entry, prefix);
        bytes memory signature = vm.parseJsonBytes(json, string.concat(place, "Signature"));
        return Faults.SignedRoot({root: word(place, "Root"), signature: signature});
    }

    function row(string memory list, uint256 index) private pure returns (string memory) {
        return string.concat(".", list, "[", vm.toString(index), "]");
    }

    function exists(string memory entry) private view returns (bool) {
        return vm.keyExistsJson(json, entry);
    }

    function text(string memory entry, string memory field) private view returns (string memory) {
        return vm.parseJsonString(json, string.concat(entry, field));
    }

    function number(string memory entry, string memory field) private view returns (uint64) {
        return uint64(vm.parseJsonUint(json, string.concat(entry, field)));
    }

    function word(string memory entry, string memory field) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat(entry, field));
    }

    function words(string memory entry, string memory field) private view returns (bytes32[] memory) {
        return vm.parseJsonBytes32Array(json, string.concat(entry, field));
    }
}
