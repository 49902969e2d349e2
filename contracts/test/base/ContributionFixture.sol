// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Receipts} from "../../src/Receipts.sol";
import {TestDollar} from "../../src/TestDollar.sol";
import {Types} from "../../src/Types.sol";
import {ContributionRoot} from "../../src/contribution/ContributionRoot.sol";
import {Promised} from "../../src/Promised.sol";
import {MerkleTree} from "./MerkleTree.sol";
import {encode} from "./ReceiptBytes.sol";
import {SortedTree} from "./SortedTree.sol";
import {signWith, vm} from "./Vm.sol";

/// @title A publisher with a series, its receipts and promises, and those it owes
abstract contract ContributionFixture {
    uint256 internal constant PUBLISHER_KEY = 0x9b;
    address internal constant SETTLEMENT = address(0x5e);
    address internal constant ARBITER = address(0xab);
    address internal constant CHALLENGER = address(0xc4);
    uint64 internal constant START = 1_000_000;
    uint64 internal constant WINDOW = 1 hours;
    uint64 internal constant UNTIL = START * 1000;
    uint128 internal constant BOND = 50e6;

    struct Leaf {
        address account;
        uint128 cumulative;
        uint64 sequence;
    }

    address internal immutable publisher = vm.addr(PUBLISHER_KEY);
    ContributionRoot internal contributions;
    TestDollar internal dollar;
    uint256 internal series;

    function setUp() public virtual {
        vm.warp(START);
        contributions = new ContributionRoot();
        dollar = new TestDollar(address(this));
        vm.prank(publisher);
        series = contributions.open(SETTLEMENT, dollar, ARBITER, WINDOW, BOND);
        fund(publisher);
        fund(CHALLENGER);
    }

    function fund(address account) internal {
        dollar.mint(account, 1e18);
        vm.prank(account);
        dollar.approve(address(contributions), type(uint256).max);
    }

    function hashes(Leaf[] memory leaves) internal view returns (bytes32[] memory level) {
        level = new bytes32[](leaves.length);
        for (uint256 i = 0; i < leaves.length; ++i) {
            level[i] = contributions.leafOf(leaves[i].account, leaves[i].cumulative, leaves[i].sequence);
        }
    }

    function propose(Leaf[] memory leaves, uint64 until) internal {
        uint128 total = 0;
        for (uint256 i = 0; i < leaves.length; ++i) {
            total += leaves[i].cumulative;
        }
        bytes32 root = SortedTree.root(hashes(leaves));
        vm.prank(publisher);
        contributions.propose(series, root, total, until, "");
    }

    function proof(Leaf[] memory leaves, uint256 index) internal view returns (bytes32[] memory) {
        return SortedTree.proof(hashes(leaves), index);
    }

    function claim(Leaf[] memory leaves, uint256 index) internal returns (uint256) {
        Leaf memory leaf = leaves[index];
        return contributions.claim(series, leaf.account, leaf.cumulative, leaf.sequence, proof(leaves, index));
    }

    /// @dev A data-use receipt of the publisher for an account; `cumulative` all credited so far.
    function receipt(address account, uint128 cumulative, uint64 sequence)
        internal
        view
        returns (Receipts.Receipt memory made)
    {
        made.version = 1;
        made.chain = uint64(block.chainid);
        made.settlement = SETTLEMENT;
        made.kind = Promised.DATA_USE;
        made.provider = publisher;
        made.payer = account;
        made.channel =
            keccak256(abi.encodePacked("vouch data use", made.chain, SETTLEMENT, publisher, account));
        made.sequence = sequence;
        made.charge = 1;
        made.cumulative = cumulative;
        made.asset = address(dollar);
        made.time = UNTIL - 1;
    }

    /// @dev The receipt as the third of five in a batch that begins at 100, promised by `key`.
    function promised(Receipts.Receipt memory made, uint256 key)
        internal
        pure
        returns (Promised.Evidence memory evidence)
    {
        evidence.receipt = encode(made);
        bytes32[] memory batch = MerkleTree.leaves(7, 5);
        batch[2] = sha256(abi.encodePacked(hex"0001", keccak256(evidence.receipt)));
        evidence.promised = Types.Promise({
            root: MerkleTree.root(batch), first: 100, count: 5, notBefore: keccak256("block"), mergeBy: START
        });
        bytes32 domain = Types.vouchDomainSeparator(made.chain, made.settlement);
        evidence.signature = signWith(key, Types.digest(evidence.promised, domain));
        evidence.index = 102;
        evidence.path = MerkleTree.path(batch, 2);
    }
}
