// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TestDollar} from "../src/TestDollar.sol";
import {bound, signHighS, signWith, vm} from "./base/Vm.sol";

contract TestDollarTest {
    uint256 private constant OWNER_KEY = 0xA11CE;
    bytes32 private constant TRANSFER_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,"
        "bytes32 nonce)"
    );
    bytes32 private constant RECEIVE_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,"
        "bytes32 nonce)"
    );
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    address private immutable owner = vm.addr(OWNER_KEY);
    TestDollar private token;

    /// @dev As a genesis places it: runtime code and the minter's slot, no constructor.
    function setUp() public {
        vm.warp(1_000_000);
        address place = address(0x566f756368000000000000000000000000000001);
        vm.etch(place, address(new TestDollar(address(1))).code);
        vm.store(place, bytes32(0), bytes32(uint256(uint160(address(this)))));
        token = TestDollar(place);
        token.mint(owner, 1_000e6);
    }

    function test_isADollarWhereNoConstructorRan() public view {
        vm.assertEq(token.name(), "Vouch Test Dollar", "name");
        vm.assertEq(token.symbol(), "VTD", "symbol");
        vm.assertEq(token.version(), "1", "version");
        vm.assertEq(token.decimals(), 6, "decimals");
        vm.assertEq(token.minter(), address(this), "minter");
        (, string memory name, string memory version, uint256 chainId, address self,,) = token.eip712Domain();
        bytes32 separator = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256(bytes(name)),
                keccak256(bytes(version)),
                chainId,
                self
            )
        );
        vm.assertEq(token.DOMAIN_SEPARATOR(), separator, "separator");
        vm.assertEq(self, address(token), "contract");
    }

    function test_onlyTheMinterMints() public {
        vm.prank(owner);
        vm.expectRevert(TestDollar.OnlyMinter.selector);
        token.mint(owner, 1);
    }

    function testFuzz_transferWithAuthorizationOnce(uint256 value, bytes32 nonce) public {
        value = bound(value, 0, 1_000e6);
        bytes memory signature = sign(authorization(TRANSFER_TYPEHASH, address(2), value, nonce));
        token.transferWithAuthorization(owner, address(2), value, 0, type(uint256).max, nonce, signature);
        vm.assertEq(token.balanceOf(address(2)), value, "received");
        vm.assertTrue(token.authorizationState(owner, nonce), "used");
        vm.expectRevert(abi.encodeWithSignature("ERC3009UsedAuthorization(address,bytes32)", owner, nonce));
        token.transferWithAuthorization(owner, address(2), value, 0, type(uint256).max, nonce, signature);
    }

    function test_bothFormsOfAuthorization() public {
        bytes32 structHash = authorization(TRANSFER_TYPEHASH, address(2), 5, "split");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(OWNER_KEY, digest(structHash));
        token.transferWithAuthorization(owner, address(2), 5, 0, type(uint256).max, "split", v, r, s);

        bytes memory signature = sign(authorization(RECEIVE_TYPEHASH, address(this), 7, "whole"));
        token.receiveWithAuthorization(owner, address(this), 7, 0, type(uint256).max, "whole", signature);
        vm.assertEq(token.balanceOf(address(this)), 7, "received");
    }

    function test_badAuthorizationsAreRefused() public {
        bytes32 structHash = authorization(TRANSFER_TYPEHASH, address(2), 5, "n");
        bytes memory highS = signHighS(OWNER_KEY, digest(structHash));
        bytes4 invalid = bytes4(keccak256("ERC3009InvalidSignature()"));
        vm.expectRevert(invalid);
        token.transferWithAuthorization(owner, address(2), 5, 0, type(uint256).max, "n", highS);

        bytes memory good = sign(structHash);
        vm.expectRevert(invalid);
        token.transferWithAuthorization(owner, address(2), 6, 0, type(uint256).max, "n", good);

        bytes memory others = sign(authorization(RECEIVE_TYPEHASH, address(2), 5, "n"));
        vm.expectRevert(abi.encodeWithSignature("ERC20InvalidReceiver(address)", address(2)));
        token.receiveWithAuthorization(owner, address(2), 5, 0, type(uint256).max, "n", others);

        vm.chainId(2);
        vm.expectRevert(invalid);
        token.transferWithAuthorization(owner, address(2), 5, 0, type(uint256).max, "n", good);
    }

    function test_authorizationsHaveATime() public {
        bytes memory signature = sign(structHashBetween(1_000_000, 1_000_010));
        bytes memory err =
            abi.encodeWithSignature("ERC3009InvalidAuthorizationTime(uint256,uint256)", 1_000_000, 1_000_010);
        vm.expectRevert(err);
        token.transferWithAuthorization(owner, address(2), 5, 1_000_000, 1_000_010, "t", signature);
        vm.warp(1_000_010);
        vm.expectRevert(err);
        token.transferWithAuthorization(owner, address(2), 5, 1_000_000, 1_000_010, "t", signature);
        vm.warp(1_000_009);
        token.transferWithAuthorization(owner, address(2), 5, 1_000_000, 1_000_010, "t", signature);
    }

    function testFuzz_permit(uint256 value, uint256 deadline) public {
        deadline = bound(deadline, 1_000_000, type(uint256).max);
        bytes32 structHash = keccak256(abi.encode(PERMIT_TYPEHASH, owner, address(this), value, 0, deadline));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(OWNER_KEY, digest(structHash));
        token.permit(owner, address(this), value, deadline, v, r, s);
        vm.assertEq(token.allowance(owner, address(this)), value, "allowance");
        vm.assertEq(token.nonces(owner), 1, "nonce");
        vm.expectRevert();
        token.permit(owner, address(this), value, deadline, v, r, s);
    }

    function test_permitExpires() public {
        vm.expectRevert(abi.encodeWithSelector(TestDollar.PermitExpired.selector, 999_999));
        token.permit(owner, address(this), 1, 999_999, 27, 0, 0);
    }

    function authorization(bytes32 typehash, address to, uint256 value, bytes32 nonce)
        private
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(typehash, owner, to, value, 0, type(uint256).max, nonce));
    }

    function structHashBetween(uint256 validAfter, uint256 validBefore) private view returns (bytes32) {
        return
            keccak256(
                abi.encode(TRANSFER_TYPEHASH, owner, address(2), 5, validAfter, validBefore, bytes32("t"))
            );
    }

    function digest(bytes32 structHash) private view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
    }

    function sign(bytes32 structHash) private view returns (bytes memory) {
        return signWith(OWNER_KEY, digest(structHash));
    }
}
