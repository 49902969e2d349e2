// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ConsentRegistry} from "../src/consent/ConsentRegistry.sol";
import {FuzzSelector, bound, signHighS, signWith, vm} from "./base/Vm.sol";

uint256 constant OWNER_KEY = 0x0123;
bytes32 constant ROOT = keccak256("root");
bytes32 constant SEARCH = keccak256("search");
bytes32 constant TRAIN = keccak256("train");
bytes32 constant SERVICE = keccak256("service");
uint64 constant START = 1_000_000;
uint64 constant END = START + 1000;

/// @dev A contract that owns data: it accepts one signature (ERC-1271).
contract ContractOwner {
    function isValidSignature(bytes32, bytes calldata signature) external pure returns (bytes4) {
        return keccak256(signature) == keccak256("yes") ? bytes4(0x1626ba7e) : bytes4(0);
    }

    function publish(ConsentRegistry registry) external returns (bytes32) {
        return registry.publish(ROOT, 0);
    }
}

abstract contract ConsentFixture {
    ConsentRegistry internal registry;
    address internal immutable owner = vm.addr(OWNER_KEY);
    bytes32 internal dataset;

    function setUp() public virtual {
        vm.warp(START);
        registry = new ConsentRegistry();
        vm.prank(owner);
        dataset = registry.publish(ROOT, keccak256("card"));
    }

    function terms(uint256 nonce) internal view returns (ConsentRegistry.Grant memory) {
        return ConsentRegistry.Grant({
            owner: owner,
            dataset: dataset,
            grantee: address(0xbeef),
            purpose: SEARCH,
            service: SERVICE,
            price: 7,
            shareBps: 250,
            start: START,
            end: END,
            nonce: nonce
        });
    }

    function digest(ConsentRegistry.Grant memory grant) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Vouch Consent"),
                keccak256("1"),
                block.chainid,
                address(registry)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, registry.grantId(grant)));
    }

    function submit(ConsentRegistry.Grant memory grant) internal returns (bytes32) {
        return registry.grant(grant, signWith(OWNER_KEY, digest(grant)));
    }
}

contract ConsentRegistryTest is ConsentFixture {
    function test_aSignedGrantAllowsWhatItSays() public {
        ConsentRegistry.Grant memory grant = terms(1);
        bytes32 id = registry.grantId(grant);
        vm.assertFalse(registry.allows(id, SEARCH, SERVICE), "before it is recorded");
        vm.expectEmit(address(registry));
        emit ConsentRegistry.Granted(
            id, owner, dataset, address(0xbeef), SEARCH, SERVICE, 7, 250, START, END, 1
        );
        vm.assertEq(submit(grant), id, "id");
        vm.assertTrue(registry.allows(id, SEARCH, SERVICE), "allowed");
        vm.assertFalse(registry.allows(id, TRAIN, SERVICE), "another purpose");
        vm.assertFalse(registry.allows(id, SEARCH, keccak256("other")), "another service");
        vm.assertFalse(registry.allows(keccak256("no grant"), SEARCH, SERVICE), "no grant");
        submit(grant);
        (address by,,, address grantee,,, bytes32 dataset_,,, uint128 price) = registry.grants(id);
        vm.assertEq(by, owner, "owner");
        vm.assertEq(grantee, address(0xbeef), "grantee");
        vm.assertEq(dataset_, dataset, "dataset");
        vm.assertEq(price, 7, "price");
    }

    function testFuzz_runsFromStartToBeforeEnd(uint64 now_) public {
        now_ = uint64(bound(now_, START - 500, END + 500));
        bytes32 id = submit(terms(1));
        vm.warp(now_);
        vm.assertTrue(registry.allows(id, SEARCH, SERVICE) == (now_ >= START && now_ < END), "runs");
    }

    function test_noServiceNamedIsAnyService() public {
        ConsentRegistry.Grant memory grant = terms(1);
        grant.service = 0;
        bytes32 id = submit(grant);
        vm.assertTrue(registry.allows(id, SEARCH, keccak256("any")), "any service");
    }

    function test_nobodyTakesAnothersRoot() public {
        vm.prank(address(0xbad));
        bytes32 theirs = registry.publish(ROOT, 0);
        vm.assertTrue(theirs != dataset, "the owner is part of the name");
        ConsentRegistry.Grant memory grant = terms(1);
        grant.owner = address(0xbad);
        vm.prank(address(0xbad));
        vm.expectRevert(
            abi.encodeWithSelector(ConsentRegistry.UnknownDataset.selector, dataset, address(0xbad))
        );
        registry.grant(grant, "");
        grant.dataset = keccak256("never published");
        grant.owner = owner;
        vm.prank(owner);
        vm.expectRevert(
            abi.encodeWithSelector(ConsentRegistry.UnknownDataset.selector, grant.dataset, owner)
        );
        registry.grant(grant, "");
        vm.expectRevert(ConsentRegistry.EmptyRoot.selector);
        registry.publish(0, 0);
    }

    function testFuzz_aChangedGrantIsNotTheSigned(uint8 field) public {
        ConsentRegistry.Grant memory grant = terms(1);
        bytes memory signature = signWith(OWNER_KEY, digest(grant));
        field %= 7;
        if (field == 0) grant.grantee = address(0xbad);
        if (field == 1) grant.purpose = TRAIN;
        if (field == 2) grant.service = 0;
        if (field == 3) grant.price = 0;
        if (field == 4) grant.shareBps = 0;
        if (field == 5) grant.end += 1;
        if (field == 6) grant.nonce += 1;
        vm.expectRevert(ConsentRegistry.InvalidSignature.selector);
        registry.grant(grant, signature);
    }

    function test_foreignAndMalleableSignaturesAreRefused() public {
        ConsentRegistry.Grant memory grant = terms(1);
        bytes32 digest_ = digest(grant);
        bytes[4] memory bad =
            [signWith(0xbad, digest_), signHighS(OWNER_KEY, digest_), bytes(""), new bytes(65)];
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectRevert(ConsentRegistry.InvalidSignature.selector);
            registry.grant(grant, bad[i]);
        }
        bytes memory signature = signWith(OWNER_KEY, digest_);
        vm.chainId(999);
        vm.expectRevert(ConsentRegistry.InvalidSignature.selector);
        registry.grant(grant, signature);
    }

    function test_nonsenseIsRefused() public {
        ConsentRegistry.Grant[3] memory bad = [terms(1), terms(1), terms(1)];
        bad[0].end = START;
        bad[1].shareBps = 10_001;
        bad[2].grantee = address(0);
        for (uint256 i = 0; i < bad.length; ++i) {
            bytes memory signature = signWith(OWNER_KEY, digest(bad[i]));
            vm.expectRevert(ConsentRegistry.InvalidGrant.selector);
            registry.grant(bad[i], signature);
        }
    }

    function test_aContractGrants() public {
        ContractOwner contractOwner = new ContractOwner();
        ConsentRegistry.Grant memory grant = terms(1);
        grant.owner = address(contractOwner);
        grant.dataset = contractOwner.publish(registry);
        vm.expectRevert(ConsentRegistry.InvalidSignature.selector);
        registry.grant(grant, "no");
        bytes32 id = registry.grant(grant, "yes");
        vm.assertTrue(registry.allows(id, SEARCH, SERVICE), "allowed");
    }

    function test_revokedStaysRevoked() public {
        bytes32 id = submit(terms(1));
        vm.prank(address(0xbad));
        registry.revoke(id);
        vm.assertTrue(registry.allows(id, SEARCH, SERVICE), "a stranger revokes nothing");
        vm.prank(owner);
        registry.revoke(id);
        vm.assertFalse(registry.allows(id, SEARCH, SERVICE), "revoked");
        ConsentRegistry.Grant memory grant = terms(1);
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(ConsentRegistry.GrantRevoked.selector, id));
        registry.grant(grant, "");
    }

    function test_aSignatureIsRevokedBeforeItIsShown() public {
        ConsentRegistry.Grant memory grant = terms(1);
        bytes memory signature = signWith(OWNER_KEY, digest(grant));
        bytes32 id = registry.grantId(grant);
        vm.prank(owner);
        registry.revoke(id);
        vm.expectRevert(abi.encodeWithSelector(ConsentRegistry.GrantRevoked.selector, id));
        registry.grant(grant, signature);
    }

    function test_revokeAllEndsWhatWasSignedSoFar() public {
        ConsentRegistry.Grant memory unseen = terms(2);
        bytes memory signature = signWith(OWNER_KEY, digest(unseen));
        bytes32 unseenId = registry.grantId(unseen);
        bytes32 id = submit(terms(1));
        vm.warp(START + 10);
        vm.prank(owner);
        registry.revokeAll(ROOT);
        vm.assertFalse(registry.allows(id, SEARCH, SERVICE), "recorded");
        vm.expectRevert(abi.encodeWithSelector(ConsentRegistry.GrantRevoked.selector, unseenId));
        registry.grant(unseen, signature);
        ConsentRegistry.Grant memory again = terms(1);
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(ConsentRegistry.GrantRevoked.selector, id));
        registry.grant(again, "");

        ConsentRegistry.Grant memory later = terms(3);
        later.start = START + 11;
        bytes32 laterId = submit(later);
        vm.warp(START + 11);
        vm.assertTrue(registry.allows(laterId, SEARCH, SERVICE), "a later grant runs");
        vm.prank(address(0xbad));
        vm.expectRevert();
        registry.revokeAll(ROOT);
    }
}

/// @dev Grants, revokes and lets time pass at random, and remembers what has ended.
contract Granter is ConsentFixture {
    uint256 public constant GRANTS = 6;
    mapping(bytes32 id => bool) public ended;
    uint64 private clock = START;

    constructor() {
        setUp();
    }

    function terms_(uint256 i) private view returns (ConsentRegistry.Grant memory grant) {
        grant = terms(i);
        grant.start = START + uint64(i) * 40;
        grant.end = grant.start + 300;
    }

    function idOf(uint256 i) public view returns (bytes32) {
        return registry.grantId(terms_(i % GRANTS));
    }

    function doGrant(uint256 i) external {
        submit(terms_(i % GRANTS));
    }

    function doRevoke(uint256 i) external {
        bytes32 id = idOf(i);
        vm.prank(owner);
        registry.revoke(id);
        ended[id] = true;
    }

    function doRevokeAll() external {
        vm.prank(owner);
        registry.revokeAll(ROOT);
        for (uint256 i = 0; i < GRANTS; ++i) {
            (address by,,,,,,,,,) = registry.grants(idOf(i));
            if (by != address(0) || terms_(i).start <= clock) ended[idOf(i)] = true;
        }
    }

    function doStrangersRevoke(uint256 i, address stranger) external {
        bytes32 id = idOf(i);
        if (stranger == owner) return;
        vm.prank(stranger);
        registry.revoke(id);
    }

    function doWait(uint256 seconds_) external {
        clock += uint64(bound(seconds_, 1, 60));
        vm.warp(clock);
    }

    /// @dev What must hold, from the grant's own fields.
    function check(uint256 i) external {
        vm.warp(clock);
        ConsentRegistry.Grant memory grant = terms_(i);
        bytes32 id = idOf(i);
        (address by,,,,,,,,,) = registry.grants(id);
        bool expected = by == owner && !ended[id] && clock >= grant.start && clock < grant.end;
        vm.assertTrue(registry.allows(id, SEARCH, SERVICE) == expected, "allowed only as granted");
        vm.assertFalse(registry.allows(id, TRAIN, SERVICE), "another purpose");
    }
}

contract ConsentInvariantsTest {
    Granter private granter;

    function setUp() public {
        granter = new Granter();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(granter);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](5);
        selectors[0] = Granter.doGrant.selector;
        selectors[1] = Granter.doRevoke.selector;
        selectors[2] = Granter.doRevokeAll.selector;
        selectors[3] = Granter.doStrangersRevoke.selector;
        selectors[4] = Granter.doWait.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector({addr: address(granter), selectors: selectors});
    }

    function invariant_nothingIsAllowedButWhatIsGrantedAndNotRevoked() public {
        for (uint256 i = 0; i < granter.GRANTS(); ++i) {
            granter.check(i);
        }
    }
}
