// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

import {IBatchSettlement} from "../src/settlement/IBatchSettlement.sol";
import {SettlementFixture} from "./base/SettlementFixture.sol";
import {signWith, vm} from "./base/Vm.sol";

/// @dev The token of upstream's scene: it checks no signature and remembers no nonce.
contract TrustingToken is ERC20("", "") {
    constructor(address holder) {
        _mint(holder, 1e12);
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256,
        uint256,
        bytes32,
        bytes calldata
    ) external {
        _transfer(from, to, value);
    }
}

/// @title What the calls cost, beside what they cost with upstream's contract
/// @dev The gas of the call alone, in a transaction where the slots it touches are warm.
contract SettlementGasTest is SettlementFixture {
    uint128 private constant FUNDS = 1_000e6;
    uint128 private constant CLAIM = 100e6;

    event Gas(string call, uint256 gas, uint256 upstream);

    function test_gasDepositWithoutSignature() public {
        IBatchSettlement.ChannelConfig memory channel = config(1);
        channel.token = address(new TrustingToken(payer));
        bytes memory data = abi.encode(0, type(uint256).max, 7, new bytes(64));
        settlement.deposit(channel, FUNDS, address(collector), data);
        report("deposit, trusting token", 92_249);
    }

    /// @dev As upstream's scene, and the token checks a signature and keeps a nonce.
    function test_gasDeposit() public {
        bytes memory data = authorization(config(1), FUNDS, 7);
        settlement.deposit(config(1), FUNDS, address(collector), data);
        report("deposit", 129_263);
    }

    function test_gasClaimOne() public {
        deposit(config(1), FUNDS);
        IBatchSettlement.VoucherClaim[] memory rows = batch(voucherClaim(config(1), CLAIM, CLAIM));
        vm.prank(receiverAuthorizer);
        settlement.claim(rows);
        report("claim of one", 35_281);
    }

    function test_gasClaimTen() public {
        IBatchSettlement.VoucherClaim[] memory rows = new IBatchSettlement.VoucherClaim[](10);
        for (uint256 i = 0; i < rows.length; ++i) {
            deposit(config(i), FUNDS);
            rows[i] = voucherClaim(config(i), CLAIM, CLAIM);
        }
        vm.prank(receiverAuthorizer);
        settlement.claim(rows);
        report("claim of ten", 145_708);
    }

    function test_gasClaimTenWithSignature() public {
        IBatchSettlement.VoucherClaim[] memory rows = new IBatchSettlement.VoucherClaim[](10);
        for (uint256 i = 0; i < rows.length; ++i) {
            deposit(config(i), FUNDS);
            rows[i] = voucherClaim(config(i), CLAIM, CLAIM);
        }
        bytes memory signature = signWith(RECEIVER_AUTHORIZER_KEY, settlement.getClaimBatchDigest(rows));
        settlement.claimWithSignature(rows, signature);
        report("claim of ten, relayed", 178_396);
    }

    function test_gasSettle() public {
        deposit(config(1), FUNDS);
        claim(config(1), CLAIM, CLAIM);
        settlement.settle(receiver, address(token));
        report("settle", 29_217);
    }

    function test_gasRefund() public {
        deposit(config(1), FUNDS);
        vm.prank(receiverAuthorizer);
        settlement.refund(config(1), FUNDS);
        report("refund", 37_631);
    }

    function test_gasRefundWithSignature() public {
        deposit(config(1), FUNDS);
        bytes32 digest = settlement.getRefundDigest(settlement.getChannelId(config(1)), 0, FUNDS);
        settlement.refundWithSignature(config(1), FUNDS, 0, signWith(RECEIVER_AUTHORIZER_KEY, digest));
        report("refund, relayed", 46_451);
    }

    function test_gasTopUp() public {
        deposit(config(1), FUNDS);
        deposit(config(1), FUNDS);
        report("deposit again", 67_795);
    }

    function test_gasWithdraw() public {
        deposit(config(1), FUNDS);
        vm.prank(payer);
        settlement.initiateWithdraw(config(1), FUNDS);
        report("withdrawal started", 27_317);
        vm.warp(START + DELAY);
        vm.prank(payer);
        settlement.finalizeWithdraw(config(1));
        report("withdrawal finished", 14_107);
    }

    /// @param upstream What upstream's own code costs here: `UpstreamSettlementCosts` measures it.
    /// @dev Ours may cost a hundredth more: it works out its domain in each call, to need no constructor.
    function report(string memory call, uint256 upstream) internal virtual {
        uint256 used = vm.lastCallGas().gasTotalUsed;
        emit Gas(call, used, upstream);
        vm.assertLe(used * 100, upstream * 101, call);
    }
}
