// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";

import {Promised} from "../../src/Promised.sol";
import {Receipts} from "../../src/Receipts.sol";
import {Types} from "../../src/Types.sol";
import {BondVault} from "../../src/faults/BondVault.sol";
import {Faults} from "../../src/faults/Faults.sol";
import {KeyRegistry} from "../../src/faults/KeyRegistry.sol";
import {ProtocolParameters} from "../../src/governance/ProtocolParameters.sol";
import {IBatchSettlement} from "../../src/settlement/IBatchSettlement.sol";
import {MerkleTree} from "./MerkleTree.sol";
import {encode} from "./ReceiptBytes.sol";
import {SettlementFixture} from "./SettlementFixture.sol";
import {signWith, vm} from "./Vm.sol";

/// @title A provider with a bond, what it signs, and somebody who reports it
abstract contract FaultsFixture is SettlementFixture {
    uint256 internal constant PROVIDER_KEY = 0x9a;
    uint256 internal constant SECOND_KEY = 0x9b;
    address internal constant REPORTER = address(0x4e9);
    string internal constant ORIGIN = "provider.example/log";
    uint128 internal constant STAKE = 1000e6;
    uint64 internal constant NOW = uint64(START);

    address internal immutable provider = vm.addr(PROVIDER_KEY);
    ProtocolParameters internal parameters;
    KeyRegistry internal keys;
    Faults internal faults;
    BondVault internal vault;
    uint256 private salt;
    uint256 private height = 1;

    function setUp() public virtual override {
        super.setUp();
        parameters = new ProtocolParameters(address(this));
        keys = new KeyRegistry();
        faults = new Faults(token, parameters, keys, settlement);
        vault = faults.vault();
        fund(provider);
        fund(REPORTER);
        vm.prank(provider);
        vault.deposit(provider, STAKE);
    }

    function fund(address account) internal {
        token.mint(account, STAKE);
        vm.startPrank(account);
        token.approve(address(vault), type(uint256).max);
        token.approve(address(faults), type(uint256).max);
        vm.stopPrank();
    }

    /// @dev Commits to a call, and makes it a block later.
    function report(bytes memory call) internal returns (bool success, bytes memory data) {
        commit(call);
        return send(call);
    }

    function commit(bytes memory call) internal {
        faults.commit(keccak256(abi.encode(REPORTER, call)));
        vm.roll(++height);
    }

    function send(bytes memory call) internal returns (bool success, bytes memory data) {
        vm.prank(REPORTER);
        (success, data) = address(faults).call(call);
    }

    function proves(bytes memory call) internal returns (bytes32 fault) {
        (bool success, bytes memory data) = report(call);
        vm.assertTrue(success, "it is a fault");
        fault = abi.decode(data, (bytes32));
        vm.assertTrue(vault.slashed(fault), "the fault is punished");
    }

    function refuses(bytes memory call, bytes4 why) internal {
        (bool success, bytes memory data) = report(call);
        vm.assertFalse(success, "it is no fault");
        vm.assertEq(bytes32(bytes4(data)), bytes32(why), "the reason");
    }

    function fresh() internal returns (bytes32) {
        return bytes32(++salt);
    }

    /// @dev The terms of the provider in RFC 8785 form.
    function terms() internal view returns (bytes memory) {
        return termsOf(ORIGIN, "m");
    }

    function termsOf(string memory origin, string memory model) internal view returns (bytes memory) {
        bytes memory log = abi.encodePacked(
            '"log":{"key":"k","merge_delay_s":60,"origin":"', origin, '"},"model":"', model, '",'
        );
        bytes memory prices = '"prices":{"cached":"30000","input":"300000","output":"1200000","request":"5"},';
        bytes memory parties = abi.encodePacked(
            '"provider":"',
            Strings.toHexString(provider),
            '","quantum_tokens":64,"settlement":"',
            Strings.toHexString(address(settlement)),
            '","version":1}'
        );
        bytes memory chain =
            abi.encodePacked('{"asset":"0x41","chain":', Strings.toString(block.chainid), ",");
        return bytes.concat(chain, log, prices, parties);
    }

    /// @dev An answer: 10 tokens in, 3 out, charged 12 as the terms say.
    function receipt() internal view returns (Receipts.Receipt memory made) {
        made.version = 1;
        made.chain = uint64(block.chainid);
        made.settlement = address(settlement);
        made.kind = 1;
        made.status = 1;
        made.provider = provider;
        made.payer = payer;
        made.channel = keccak256("channel");
        made.sequence = 3;
        made.input = 10;
        made.output = 3;
        made.terms = keccak256(terms());
        made.charge = 12;
        made.cumulative = 100;
        made.asset = address(token);
        made.time = NOW * 1000;
    }

    function other() internal view returns (Receipts.Receipt memory made) {
        made = receipt();
        made.response = keccak256("other");
    }

    function promised(Receipts.Receipt memory made) internal pure returns (Promised.Evidence memory) {
        return promised(made, 100, PROVIDER_KEY);
    }

    /// @dev The receipt as the third of five in a batch that ends with `index + 2`, promised by `key`.
    function promised(Receipts.Receipt memory made, uint64 index, uint256 key)
        internal
        pure
        returns (Promised.Evidence memory evidence)
    {
        evidence.receipt = encode(made);
        bytes32[] memory batch = MerkleTree.leaves(7, 5);
        batch[2] = leafOf(made);
        evidence.promised = Types.Promise({
            root: MerkleTree.root(batch),
            first: index - 2,
            count: 5,
            notBefore: keccak256("block"),
            mergeBy: made.time / 1000 + 60
        });
        bytes32 domain = Types.vouchDomainSeparator(made.chain, made.settlement);
        evidence.signature = signWith(key, Types.digest(evidence.promised, domain));
        evidence.index = index;
        evidence.path = MerkleTree.path(batch, 2);
    }

    function leafOf(Receipts.Receipt memory made) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"0001", keccak256(encode(made))));
    }

    function signedRoot(uint64 size, bytes32 root, uint256 key)
        internal
        pure
        returns (Faults.SignedRoot memory)
    {
        Types.Checkpoint memory checkpoint = Types.Checkpoint({origin: ORIGIN, size: size, root: root});
        return Faults.SignedRoot({root: root, signature: signWith(key, Types.digest(checkpoint))});
    }

    function splitBy(uint256 key) internal returns (bytes memory) {
        return abi.encodeCall(
            Faults.reportSplitLog,
            (
                provider,
                ORIGIN,
                uint64(7),
                signedRoot(7, keccak256("a"), key),
                signedRoot(7, keccak256("b"), key),
                fresh()
            )
        );
    }

    function doubleSequence(Promised.Evidence memory first, Promised.Evidence memory second)
        internal
        returns (bytes memory)
    {
        return abi.encodeCall(Faults.reportDoubleSequence, (first, second, fresh()));
    }

    function bondOf(address account) internal view returns (BondVault.Bond memory bond) {
        (bond.stake, bond.leaving, bond.leavesAt, bond.heldUntil) = vault.bonds(account);
    }

    /// @dev A channel whose claims only the provider makes.
    function channel() internal view returns (IBatchSettlement.ChannelConfig memory made) {
        made = config(1);
        (made.receiver, made.receiverAuthorizer) = (provider, provider);
    }
}
