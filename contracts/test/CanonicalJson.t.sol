// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {CanonicalJson} from "../src/lib/CanonicalJson.sol";
import {bound, vm} from "./base/Vm.sol";

contract CanonicalJsonTest {
    function test_membersOfTheOuterObjectAlone() public view {
        string memory json = '{"a":{"x":1,"log":2},"b":[{"log":3},"]}"],"log":{"x":"}"},"z":null}';
        found(json, "log", '{"x":"}"}');
        found(json, "a", '{"x":1,"log":2}');
        found(json, "b", '[{"log":3},"]}"]');
        found(json, "z", "null");
        missing(json, "x");
        found('{"n":17}', "n", "17");
        missing("{}", "n");
        missing("[]", "n");
    }

    function test_wordsInStringsAreNotMembers() public view {
        string memory json = '{"a":"\\",\\"log\\":{\\"x\\":1},\\"","b":"\\\\","log":5}';
        found(json, "log", "5");
        found(json, "b", '"\\\\"');
        missing('{"a":",\\"log\\":1"}', "log");
    }

    function test_whatBreaksOffIsRefused() public {
        string[7] memory texts = ["", '{"a', '{"a"', '{"a":', '{"a":"x', '{"a":{"b":1}', '{"a":"\\'];
        for (uint256 i = 0; i < texts.length; ++i) {
            try this.member(bytes(texts[i]), "b") returns (bytes memory) {
                revert("read");
            } catch {}
        }
        vm.expectRevert(CanonicalJson.NotCanonical.selector);
        this.text('"a"b');
        vm.expectRevert(CanonicalJson.NotCanonical.selector);
        this.text("a");
    }

    function test_integersHaveOneSpelling() public {
        vm.assertEq(this.integer("0"), 0, "zero");
        vm.assertEq(this.integer("340282366920938463463374607431768211455"), type(uint128).max, "the most");
        string[8] memory others =
            ["", "00", "01", "+1", "-1", "1.0", "1e3", "340282366920938463463374607431768211456"];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(CanonicalJson.NotAnInteger.selector);
            this.integer(bytes(others[i]));
        }
    }

    /// @dev Whatever stands in a string, escaped as RFC 8785 escapes it, the next member is found.
    function testFuzz_noStringHidesAMember(bytes calldata content) public view {
        bytes memory escaped;
        for (uint256 i = 0; i < content.length; ++i) {
            bytes1 character = content[i];
            bool escapes = character == '"' || character == "\\";
            escaped = bytes.concat(escaped, escapes ? bytes("\\") : bytes(""), bytes.concat(character));
        }
        bytes memory json = bytes.concat('{"a":"', escaped, '","log":"here"}');
        vm.assertEq(this.member(json, "log"), bytes('"here"'), "log");
        vm.assertEq(this.text(this.member(json, "a")), escaped, "a");
    }

    function testFuzz_integersRoundTrip(uint128 value) public view {
        vm.assertEq(this.integer(bytes(vm.toString(value))), value, "value");
    }

    function found(string memory json, string memory name, string memory value) private view {
        vm.assertEq(this.member(bytes(json), name), bytes(value), name);
    }

    function missing(string memory json, string memory name) private view {
        try this.member(bytes(json), name) returns (bytes memory) {
            revert("found");
        } catch (bytes memory why) {
            vm.assertEq(bytes32(bytes4(why)), bytes32(CanonicalJson.NoMember.selector), json);
        }
    }

    function member(bytes calldata json, string calldata name) external pure returns (bytes memory) {
        return CanonicalJson.member(json, name);
    }

    function text(bytes calldata value) external pure returns (bytes memory) {
        return CanonicalJson.text(value);
    }

    function integer(bytes calldata digits) external pure returns (uint256) {
        return CanonicalJson.uint128Of(digits);
    }
}
