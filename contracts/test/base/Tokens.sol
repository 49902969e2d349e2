// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @dev Keeps a hundredth of every transfer.
contract FeeToken is ERC20("Fee", "FEE") {
    constructor(address holder) {
        _mint(holder, 1e30);
    }

    function _update(address from, address to, uint256 value) internal override {
        uint256 fee = from == address(0) || to == address(0) ? 0 : value / 100;
        super._update(from, to, value - fee);
        if (fee > 0) super._update(from, address(0), fee);
    }
}

/// @dev Calls back into a contract on every transfer, and remembers whether it was let in.
contract CallbackToken is ERC20("Callback", "CALL") {
    address private target;
    bytes private data;
    bool public entered;
    uint256 public refused;

    constructor(address holder) {
        _mint(holder, 1e30);
    }

    function arm(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (target == address(0)) return;
        (bool success,) = target.call(data);
        if (success) entered = true;
        else ++refused;
    }
}

/// @dev Says that whoever asks has whatever it says.
contract LyingToken {
    uint256 private lie;

    function balanceOf(address) external view returns (uint256) {
        return lie;
    }

    function transfer(address, uint256) external returns (bool) {
        lie += type(uint128).max;
        return true;
    }
}

/// @dev Honest, until it is told to be otherwise.
contract MoodyToken is ERC20("Moody", "MOOD") {
    enum Mood {
        Honest,
        ReturnsFalse,
        TakesFee,
        CallsBack
    }

    Mood public mood;
    /// @dev Whether a call back into `target` ever succeeded.
    bool public entered;
    address private target;
    bytes private data;

    /// @param target_ Is called back with `data_` on each transfer, when that is the mood.
    function arm(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
    }

    function setMood(Mood mood_) external {
        mood = mood_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return mood != Mood.ReturnsFalse && super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return mood != Mood.ReturnsFalse && super.transferFrom(from, to, amount);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from == address(0) || to == address(0)) return;
        if (mood == Mood.TakesFee && amount != 0) super._update(to, address(0), 1);
        if (mood != Mood.CallsBack) return;
        (bool success,) = target.call(data);
        entered = entered || success;
    }
}
