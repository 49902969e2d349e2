// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Multicall3} from "../src/Multicall3.sol";
import {vm} from "./base/Vm.sol";

contract Target {
    error Refused(uint256 value);

    function double(uint256 value) external payable returns (uint256) {
        if (value == 13) revert Refused(value);
        return 2 * value + msg.value;
    }
}

contract Multicall3Test {
    Multicall3 private multicall = new Multicall3();
    Target private target = new Target();

    function test_selectorsAreThePublishedOnes() public pure {
        vm.assertEq(bytes32(Multicall3.aggregate.selector), bytes32(bytes4(0x252dba42)), "aggregate");
        vm.assertEq(bytes32(Multicall3.tryAggregate.selector), bytes32(bytes4(0xbce38bd7)), "tryAggregate");
        vm.assertEq(bytes32(Multicall3.aggregate3.selector), bytes32(bytes4(0x82ad56cb)), "aggregate3");
        vm.assertEq(
            bytes32(Multicall3.aggregate3Value.selector), bytes32(bytes4(0x174dea71)), "aggregate3Value"
        );
        vm.assertEq(bytes32(Multicall3.getEthBalance.selector), bytes32(bytes4(0x4d2301cc)), "getEthBalance");
    }

    function test_eachCallMayFailOrNot() public {
        Multicall3.Call3[] memory calls = new Multicall3.Call3[](2);
        calls[0] = Multicall3.Call3(address(target), true, abi.encodeCall(Target.double, (13)));
        calls[1] = Multicall3.Call3(address(target), false, abi.encodeCall(Target.double, (21)));
        Multicall3.Result[] memory results = multicall.aggregate3(calls);
        vm.assertFalse(results[0].success, "refused");
        vm.assertEq(results[0].returnData, abi.encodeWithSelector(Target.Refused.selector, 13), "reason");
        vm.assertEq(abi.decode(results[1].returnData, (uint256)), 42, "doubled");
        calls[0].allowFailure = false;
        vm.expectRevert("Multicall3: call failed");
        multicall.aggregate3(calls);
    }

    function test_allOrNone() public {
        Multicall3.Call[] memory calls = new Multicall3.Call[](1);
        calls[0] = Multicall3.Call(address(target), abi.encodeCall(Target.double, (21)));
        (uint256 blockNumber, bytes[] memory returned) = multicall.aggregate(calls);
        vm.assertEq(blockNumber, block.number, "block");
        vm.assertEq(abi.decode(returned[0], (uint256)), 42, "doubled");
        (,, Multicall3.Result[] memory results) = multicall.blockAndAggregate(calls);
        vm.assertTrue(results[0].success, "done");

        calls[0].callData = abi.encodeCall(Target.double, (13));
        vm.assertFalse(multicall.tryAggregate(false, calls)[0].success, "refused");
        vm.expectRevert("Multicall3: call failed");
        multicall.aggregate(calls);
        vm.expectRevert("Multicall3: call failed");
        multicall.tryAggregate(true, calls);
    }

    function test_valuesAddUp() public {
        Multicall3.Call3Value[] memory calls = new Multicall3.Call3Value[](2);
        bytes memory data = abi.encodeCall(Target.double, (1));
        calls[0] = Multicall3.Call3Value(address(target), false, 3, data);
        calls[1] = Multicall3.Call3Value(address(target), false, 4, data);
        Multicall3.Result[] memory results = multicall.aggregate3Value{value: 7}(calls);
        vm.assertEq(abi.decode(results[1].returnData, (uint256)), 6, "2 * 1 + 4");
        vm.assertEq(multicall.getEthBalance(address(target)), 7, "sent on");
        vm.expectRevert("Multicall3: value mismatch");
        multicall.aggregate3Value{value: 8}(calls);
    }
}
