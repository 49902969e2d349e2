// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Promised} from "../src/Promised.sol";
import {Receipts} from "../src/Receipts.sol";
import {Faults} from "../src/faults/Faults.sol";
import {KeyRegistry} from "../src/faults/KeyRegistry.sol";
import {IBatchSettlement} from "../src/settlement/IBatchSettlement.sol";
import {GasReport} from "./Economy.gas.t.sol";
import {FaultsFixture} from "./base/FaultsFixture.sol";
import {MerkleTree} from "./base/MerkleTree.sol";
import {vm} from "./base/Vm.sol";

contract FaultsGasTest is FaultsFixture, GasReport {
    function test_gasSplitLog() public {
        measure("split log", splitBy(PROVIDER_KEY), 107_000);
    }

    function test_gasDoubleSequence() public {
        measure("double sequence", doubleSequence(promised(receipt()), promised(other())), 132_000);
    }

    function test_gasDoubleIndex() public {
        Promised.Evidence memory first = promised(receipt());
        Promised.Evidence memory second = promised(other());
        bytes memory call =
            abi.encodeCall(Faults.reportDoubleIndex, (first, terms(), second, terms(), fresh()));
        measure("double index", call, 660_000);
    }

    /// @dev With names as long as `vouch-core`'s `Terms` may have, all of quotes, which JSON escapes.
    function test_gasDoubleIndexOfTheLongestTerms() public {
        bytes memory name = new bytes(512);
        for (uint256 i = 0; i < 512; ++i) {
            name[i] = i % 2 == 0 ? bytes1("\\") : bytes1('"');
        }
        bytes memory quote = termsOf(string(name), string(bytes.concat(name, bytes('","more":"'), name)));
        (Receipts.Receipt memory one, Receipts.Receipt memory two) = (receipt(), other());
        (one.terms, two.terms) = (keccak256(quote), keccak256(quote));
        bytes memory call =
            abi.encodeCall(Faults.reportDoubleIndex, (promised(one), quote, promised(two), quote, fresh()));
        measure("double index, longest terms", call, 4_000_000);
    }

    function test_gasBrokenPromise() public {
        bytes32[] memory log = MerkleTree.leaves(3, 9);
        Faults.Logged memory logged = Faults.Logged({
            size: 9,
            checkpoint: signedRoot(9, MerkleTree.root(log), PROVIDER_KEY),
            leaf: log[5],
            path: MerkleTree.path(log, 5)
        });
        Promised.Evidence memory evidence = promised(receipt(), 5, PROVIDER_KEY);
        measure(
            "broken promise",
            abi.encodeCall(Faults.reportBrokenPromise, (evidence, terms(), logged, fresh())),
            390_000
        );
    }

    function test_gasWrongCharge() public {
        Receipts.Receipt memory made = receipt();
        made.charge += 1;
        bytes memory call = abi.encodeCall(Faults.reportWrongCharge, (promised(made), terms(), fresh()));
        measure("wrong charge", call, 450_000);
    }

    function test_gasDemandAndAnswer() public {
        deposit(channel(), 1000);
        IBatchSettlement.VoucherClaim[] memory rows = batch(voucherClaim(channel(), 100, 100));
        vm.prank(provider);
        settlement.claim(rows);
        Promised.Evidence memory none;
        vm.prank(REPORTER);
        faults.demand(channel(), none);
        report("demand", 140_000);
        Receipts.Receipt memory made = receipt();
        made.channel = settlement.getChannelId(channel());
        Promised.Evidence memory evidence = promised(made);
        faults.answer(evidence);
        report("answer", 90_000);
    }

    function test_gasBond() public {
        vm.prank(provider);
        keys.rotate(KeyRegistry.Role.Receipts, vm.addr(SECOND_KEY));
        report("rotate a key", 49_000);
        vm.prank(REPORTER);
        vault.deposit(provider, 1e6);
        report("deposit", 28_500);
    }

    function measure(string memory name, bytes memory call, uint256 most) private {
        commit(call);
        (bool success,) = send(call);
        report(name, most);
        vm.assertTrue(success, name);
    }
}
