// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

import {BondVault} from "../src/faults/BondVault.sol";
import {FaultsFixture} from "./base/FaultsFixture.sol";
import {CallbackToken, FeeToken} from "./base/Tokens.sol";
import {bound, vm} from "./base/Vm.sol";

contract BurnableToken is ERC20("Burnable", "BURN"), ERC20Burnable {
    constructor(address holder) {
        _mint(holder, 1e30);
    }
}

/// @dev Slashes here are this contract's own, as that of `Faults`.
contract BondVaultTest is FaultsFixture {
    address private constant DEAD = 0x000000000000000000000000000000000000dEaD;

    function vaultOf(IERC20 coin) private returns (BondVault made) {
        made = new BondVault(coin, parameters);
        coin.approve(address(made), type(uint256).max);
    }

    function test_aStakeLeavesAfterTheDelay() public {
        vm.startPrank(provider);
        vm.expectRevert(BondVault.NothingLeaves.selector);
        vault.withdraw();
        vm.expectRevert(abi.encodeWithSelector(BondVault.StakeShort.selector, STAKE + 1, STAKE));
        vault.startWithdrawal(STAKE + 1);
        vault.startWithdrawal(400e6);
        vm.warp(NOW + 21 days - 1);
        vm.expectRevert(abi.encodeWithSelector(BondVault.NotYet.selector, NOW + 21 days));
        vault.withdraw();
        vm.warp(NOW + 21 days);
        vm.assertEq(vault.withdraw(), 400e6, "withdrawn");
        vm.assertEq(token.balanceOf(provider), 400e6, "paid");
        vm.assertEq(bondOf(provider).stake, 600e6, "the rest stays");
        vm.expectRevert(BondVault.NothingLeaves.selector);
        vault.withdraw();
        vm.stopPrank();
    }

    function test_whatIsAskedForLaterWaitsForAll() public {
        vm.startPrank(provider);
        vault.startWithdrawal(400e6);
        vm.warp(NOW + 20 days);
        vault.startWithdrawal(1);
        vm.warp(NOW + 40 days);
        vm.expectRevert(abi.encodeWithSelector(BondVault.NotYet.selector, NOW + 41 days));
        vault.withdraw();
        vault.cancelWithdrawal();
        vm.warp(NOW + 41 days);
        vm.expectRevert(BondVault.NothingLeaves.selector);
        vault.withdraw();
        vm.assertEq(bondOf(provider).stake, STAKE, "all stays");
        vm.stopPrank();
    }

    function test_onlyFaultsSlashesAndHolds() public {
        vm.expectRevert(BondVault.OnlyFaults.selector);
        vault.slash(keccak256("fault"), provider, address(this));
        vm.expectRevert(BondVault.OnlyFaults.selector);
        vault.hold(provider, NOW + 1);
        vm.assertEq(vault.faults(), address(faults), "who creates it");
    }

    function test_whatIsLeavingIsSlashedToo() public {
        parameters.setSlashingShareBps(5000);
        vm.prank(provider);
        vault.startWithdrawal(STAKE);
        vm.warp(NOW + 1);
        proves(doubleSequence(promised(receipt()), promised(other())));
        vm.assertEq(bondOf(provider).leaving, 500e6, "half of it");
        vm.warp(NOW + 21 days);
        vm.prank(provider);
        vm.assertEq(vault.withdraw(), 500e6, "what is left");
    }

    function test_theShareIsGovernances() public {
        vm.assertEq(vault.shareBps(), 1000, "a tenth, where nobody has voted");
        parameters.setSlashingShareBps(1);
        vm.assertEq(vault.shareBps(), 1, "cheap");
        parameters.setSlashingShareBps(10_000);
        proves(doubleSequence(promised(receipt()), promised(other())));
        vm.assertEq(bondOf(provider).stake, 0, "all of it");
        parameters.setSlashingShareBps(0);
        vm.assertEq(vault.shareBps(), 1000, "never free");
    }

    function test_bondedIsWhoHasTheLeastAndStays() public {
        vm.assertFalse(vault.isBonded(stranger), "nothing is not a bond");
        parameters.setMinimumStake(STAKE);
        vm.assertTrue(vault.isBonded(provider), "the least");
        vm.prank(provider);
        vault.startWithdrawal(1);
        vm.assertFalse(vault.isBonded(provider), "what leaves does not count");
    }

    function test_rewardsAreTakenAndTheRestIsBurnt() public {
        proves(doubleSequence(promised(receipt()), promised(other())));
        vm.prank(REPORTER);
        vm.assertEq(vault.withdrawReward(), 50e6, "the reward");
        vm.prank(REPORTER);
        vm.assertEq(vault.withdrawReward(), 0, "once");
        vm.assertEq(vault.burn(), 50e6, "burnt");
        vm.assertEq(vault.burn(), 0, "once");
        vm.assertEq(token.balanceOf(DEAD), 50e6, "the dollar cannot burn: nobody has it");
        vm.assertEq(token.balanceOf(address(vault)), 900e6, "the stake is left");
    }

    function test_aTokenThatCanBurnIsBurnt() public {
        BurnableToken coin = new BurnableToken(address(this));
        BondVault made = vaultOf(coin);
        made.deposit(provider, 1000);
        made.slash(keccak256("fault"), provider, REPORTER);
        uint256 supply = coin.totalSupply();
        made.burn();
        vm.assertEq(coin.totalSupply(), supply - 50, "gone");
        vm.assertEq(coin.balanceOf(address(made)), 950, "stake and reward are left");
    }

    function test_aFaultIsSlashedOnce() public {
        BondVault made = vaultOf(new BurnableToken(address(this)));
        made.deposit(provider, 1000);
        made.slash(keccak256("fault"), provider, REPORTER);
        vm.expectRevert(abi.encodeWithSelector(BondVault.AlreadySlashed.selector, keccak256("fault")));
        made.slash(keccak256("fault"), provider, REPORTER);
    }

    /// @dev Whoever reports itself before it has a stake does not make its faults free.
    function test_aFaultThatCostNothingCanBeReportedAgain() public {
        BondVault made = vaultOf(new BurnableToken(address(this)));
        bytes32 fault = keccak256("fault");
        vm.assertEq(made.slash(fault, provider, provider), 0, "nothing is staked");
        made.deposit(provider, 10);
        vm.assertEq(made.slash(fault, provider, provider), 1, "a tenth of ten");
        vm.expectRevert(abi.encodeWithSelector(BondVault.AlreadySlashed.selector, fault));
        made.slash(fault, provider, REPORTER);
        made.deposit(provider, 991);
        // No vote makes it dearer.
        parameters.setSlashingShareBps(10_000);
        vm.assertEq(made.slash(fault, provider, REPORTER), 99, "what is missing to a tenth of a thousand");
        (uint128 taken, uint16 share) = made.costs(fault);
        vm.assertEq(taken, 100, "a tenth in all");
        vm.assertEq(share, 1000, "the share");
        vm.assertEq(made.rewards(REPORTER), 49, "half of it");
        vm.expectRevert(abi.encodeWithSelector(BondVault.AlreadySlashed.selector, fault));
        made.slash(fault, provider, REPORTER);
    }

    function test_tokensThatTakeAFeeAreRefused() public {
        BondVault made = vaultOf(new FeeToken(address(this)));
        vm.expectRevert(abi.encodeWithSelector(BondVault.TransferShort.selector, 990, 1000));
        made.deposit(provider, 1000);
    }

    function test_nothingIsEnteredTwice() public {
        CallbackToken coin = new CallbackToken(address(this));
        BondVault made = vaultOf(coin);
        made.deposit(address(this), 1000);
        made.startWithdrawal(1000);
        made.slash(keccak256("fault"), address(this), address(coin));
        vm.warp(NOW + 21 days);
        coin.arm(address(made), abi.encodeCall(BondVault.withdrawReward, ()));
        made.withdraw();
        made.burn();
        vm.prank(address(coin));
        made.withdrawReward();
        vm.assertFalse(coin.entered(), "the token was not let in");
        vm.assertEq(coin.refused(), 3, "it tried each time");
        vm.assertEq(coin.balanceOf(address(made)), 0, "all is paid");
    }

    function testFuzz_aShareIsRoundedUpAndSplit(uint128 stake, uint16 share) public {
        BondVault made = vaultOf(new BurnableToken(address(this)));
        stake = uint128(bound(stake, 1, 1e30));
        parameters.setSlashingShareBps(uint16(bound(share, 1, 10_000)));
        made.deposit(provider, stake);
        uint256 amount = made.slash(keccak256("fault"), provider, REPORTER);
        vm.assertGe(amount * 10_000, uint256(stake) * made.shareBps(), "no less than the share");
        vm.assertLe((amount - 1) * 10_000, uint256(stake) * made.shareBps(), "and less than one more");
        vm.assertEq(made.rewards(REPORTER) + made.unburnt(), amount, "all of it goes somewhere");
        vm.assertLe(made.rewards(REPORTER), made.unburnt(), "no more than half to the reporter");
    }
}
