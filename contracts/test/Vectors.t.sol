// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {CheckpointAnchor} from "../src/CheckpointAnchor.sol";
import {Receipts} from "../src/Receipts.sol";
import {Types} from "../src/Types.sol";
import {InclusionProof} from "../src/lib/InclusionProof.sol";
import {BatchSettlement} from "../src/settlement/BatchSettlement.sol";
import {IBatchSettlement} from "../src/settlement/IBatchSettlement.sol";
import {MerkleTree} from "./base/MerkleTree.sol";
import {vm} from "./base/Vm.sol";

/// @title The golden vectors, which Rust reads too
contract VectorsTest {
    string private json;

    function test_channels() public {
        read("eip712");
        uint256 i = 0;
        for (string memory entry; exists(entry = row("channels", i)); ++i) {
            IBatchSettlement.ChannelConfig memory config = IBatchSettlement.ChannelConfig({
                payer: addressAt(entry, ".payer"),
                payerAuthorizer: addressAt(entry, ".payerAuthorizer"),
                receiver: addressAt(entry, ".receiver"),
                receiverAuthorizer: addressAt(entry, ".receiverAuthorizer"),
                token: addressAt(entry, ".token"),
                withdrawDelay: uint40(uintAt(entry, ".withdrawDelay")),
                salt: wordAt(entry, ".salt")
            });
            vm.assertEq(settlementOf(entry).getChannelId(config), wordAt(entry, ".id"), entry);
        }
        vm.assertGe(i, 2, "channels");
    }

    function test_vouchers() public {
        read("eip712");
        uint256 i = 0;
        for (string memory entry; exists(entry = row("vouchers", i)); ++i) {
            uint128 max = uint128(uintAt(entry, ".maxClaimableAmount"));
            requireSigned(entry, settlementOf(entry).getVoucherDigest(wordAt(entry, ".channelId"), max));
        }
        vm.assertGe(i, 2, "vouchers");
    }

    function test_requests() public {
        read("eip712");
        uint256 i = 0;
        for (string memory entry; exists(entry = row("requests", i)); ++i) {
            Types.Request memory request = Types.Request({
                channel: wordAt(entry, ".channel"),
                request: wordAt(entry, ".request"),
                terms: wordAt(entry, ".terms"),
                maxCharge: uint128(uintAt(entry, ".maxCharge")),
                expiry: uint64(uintAt(entry, ".expiry"))
            });
            requireSigned(entry, Types.digest(request, vouchDomain(entry)));
        }
        vm.assertGe(i, 2, "requests");
    }

    function test_promises() public {
        read("eip712");
        uint256 i = 0;
        for (string memory entry; exists(entry = row("promises", i)); ++i) {
            Types.Promise memory promised = Types.Promise({
                root: wordAt(entry, ".root"),
                first: uint64(uintAt(entry, ".first")),
                count: uint32(uintAt(entry, ".count")),
                notBefore: wordAt(entry, ".notBefore"),
                mergeBy: uint64(uintAt(entry, ".mergeBy"))
            });
            requireSigned(entry, Types.digest(promised, vouchDomain(entry)));
        }
        vm.assertGe(i, 2, "promises");
    }

    function test_checkpointsAreAnchored() public {
        read("eip712");
        CheckpointAnchor anchor = new CheckpointAnchor();
        uint256 i = 0;
        for (string memory entry; exists(entry = row("checkpoints", i)); ++i) {
            string memory origin = vm.parseJsonString(json, string.concat(entry, ".origin"));
            uint64 size = uint64(uintAt(entry, ".size"));
            bytes32 root = wordAt(entry, ".root");
            requireSigned(entry, Types.digest(Types.Checkpoint({origin: origin, size: size, root: root})));
            anchor.anchor(origin, size, root, bytesAt(entry, ".signature"));
            bytes32 key = anchor.logKey(origin, addressAt(entry, ".signer"));
            vm.assertEq(anchor.roots(key, size), root, entry);
        }
        vm.assertGe(i, 2, "checkpoints");
    }

    function test_receipts() public {
        read("receipt");
        uint256 i = 0;
        for (string memory entry; exists(entry = row("receipts", i)); ++i) {
            this.requireReceipt(entry, bytesAt(entry, ".encoded"));
        }
        vm.assertGe(i, 2, "receipts");
    }

    function test_aReceiptOfAnotherLengthIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(Receipts.ReceiptLength.selector, 517));
        this.requireReceipt("", new bytes(517));
    }

    function test_inclusions() public {
        read("merkle");
        uint256 i = 0;
        for (string memory entry; exists(entry = row("inclusions", i)); ++i) {
            uint64 size = uint64(uintAt(entry, ".size"));
            uint64 index = uint64(uintAt(entry, ".index"));
            bytes32 root = wordAt(entry, ".root");
            bytes32[] memory path = vm.parseJsonBytes32Array(json, string.concat(entry, ".path"));
            vm.assertTrue(this.included(root, size, wordAt(entry, ".leaf"), index, path), entry);
            vm.assertFalse(this.included(root, size, ~wordAt(entry, ".leaf"), index, path), entry);
        }
        vm.assertGe(i, 40, "inclusions");
    }

    function test_roots() public {
        read("merkle");
        uint256 i = 1; // the first is the empty tree, which has no leaves to hash
        for (string memory entry; exists(entry = row("roots", i)); ++i) {
            bytes32[] memory leaves = new bytes32[](uintAt(entry, ".size"));
            for (uint256 j = 0; j < leaves.length; ++j) {
                leaves[j] = sha256(abi.encodePacked(bytes1(0x00), "entry ", vm.toString(j)));
            }
            vm.assertEq(MerkleTree.root(leaves), wordAt(entry, ".root"), entry);
        }
        vm.assertGe(i, 10, "roots");
    }

    /// @dev External, so that the receipt is calldata as in a contract's call.
    function requireReceipt(string calldata entry, bytes calldata encoded) external view {
        vm.assertEq(Receipts.digest(encoded), wordAt(entry, ".digest"), entry);
        vm.assertEq(Receipts.leafHash(encoded), wordAt(entry, ".leafHash"), entry);
        Receipts.Receipt memory receipt = Receipts.decode(encoded);
        vm.assertEq(receipt.version, uintAt(entry, ".version"), entry);
        vm.assertEq(receipt.chain, uintAt(entry, ".chain"), entry);
        vm.assertEq(receipt.settlement, addressAt(entry, ".settlement"), entry);
        vm.assertEq(receipt.kind, uintAt(entry, ".kind"), entry);
        vm.assertEq(receipt.status, uintAt(entry, ".status"), entry);
        vm.assertEq(receipt.tier, uintAt(entry, ".tier"), entry);
        vm.assertEq(receipt.flags, uintAt(entry, ".flags"), entry);
        vm.assertEq(receipt.provider, addressAt(entry, ".provider"), entry);
        vm.assertEq(receipt.agent, uintAt(entry, ".agent"), entry);
        vm.assertEq(receipt.payer, addressAt(entry, ".payer"), entry);
        vm.assertEq(receipt.channel, wordAt(entry, ".channel"), entry);
        vm.assertEq(receipt.sequence, uintAt(entry, ".sequence"), entry);
        vm.assertEq(receipt.request, wordAt(entry, ".request"), entry);
        vm.assertEq(receipt.response, wordAt(entry, ".response"), entry);
        vm.assertEq(receipt.tokens, wordAt(entry, ".tokens"), entry);
        vm.assertEq(receipt.input, uintAt(entry, ".input"), entry);
        vm.assertEq(receipt.cached, uintAt(entry, ".cached"), entry);
        vm.assertEq(receipt.output, uintAt(entry, ".output"), entry);
        vm.assertEq(receipt.model, wordAt(entry, ".model"), entry);
        vm.assertEq(receipt.sampling, wordAt(entry, ".sampling"), entry);
        vm.assertEq(receipt.seed, wordAt(entry, ".seed"), entry);
        vm.assertEq(receipt.commitment, wordAt(entry, ".commitment"), entry);
        vm.assertEq(receipt.terms, wordAt(entry, ".terms"), entry);
        vm.assertEq(receipt.charge, uintAt(entry, ".charge"), entry);
        vm.assertEq(receipt.cumulative, uintAt(entry, ".cumulative"), entry);
        vm.assertEq(receipt.asset, addressAt(entry, ".asset"), entry);
        vm.assertEq(receipt.parent, wordAt(entry, ".parent"), entry);
        vm.assertEq(receipt.time, uintAt(entry, ".time"), entry);
    }

    function included(bytes32 root, uint64 size, bytes32 leaf, uint64 index, bytes32[] calldata path)
        external
        pure
        returns (bool)
    {
        return InclusionProof.verify(root, size, leaf, index, path);
    }

    function read(string memory name) private {
        json = vm.readFile(string.concat("../vectors/", name, ".json"));
    }

    function row(string memory list, uint256 index) private pure returns (string memory) {
        return string.concat(".", list, "[", vm.toString(index), "]");
    }

    function exists(string memory entry) private view returns (bool) {
        return vm.keyExistsJson(json, entry);
    }

    /// @dev The settlement contract of a row, on the row's chain.
    function settlementOf(string memory entry) private returns (BatchSettlement) {
        address settlement = addressAt(entry, ".settlement");
        vm.chainId(uintAt(entry, ".chain"));
        vm.etch(settlement, address(new BatchSettlement()).code);
        return BatchSettlement(settlement);
    }

    function vouchDomain(string memory entry) private view returns (bytes32) {
        return Types.vouchDomainSeparator(uintAt(entry, ".chain"), addressAt(entry, ".settlement"));
    }

    function requireSigned(string memory entry, bytes32 digest) private view {
        vm.assertEq(digest, wordAt(entry, ".digest"), entry);
        vm.assertEq(ECDSA.recover(digest, bytesAt(entry, ".signature")), addressAt(entry, ".signer"), entry);
    }

    function addressAt(string memory entry, string memory field) private view returns (address) {
        return vm.parseJsonAddress(json, string.concat(entry, field));
    }

    function bytesAt(string memory entry, string memory field) private view returns (bytes memory) {
        return vm.parseJsonBytes(json, string.concat(entry, field));
    }

    function uintAt(string memory entry, string memory field) private view returns (uint256) {
        return vm.parseJsonUint(json, string.concat(entry, field));
    }

    function wordAt(string memory entry, string memory field) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat(entry, field));
    }
}
