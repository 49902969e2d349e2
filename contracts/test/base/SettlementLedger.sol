// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IBatchSettlement} from "../../src/settlement/IBatchSettlement.sol";
import {Act, Call, Collect, Row, Step} from "./SettlementCalls.sol";
import {Hand} from "./SettlementScene.sol";
import {MoodyToken} from "./Tokens.sol";

/// @title What the scheme says of each call, kept apart from the contract
/// @dev Written from x402's `batch-settlement` specification. Refuses by reverting, so several steps happen all or
///      not at all.
contract SettlementLedger {
    struct Book {
        uint256 balance;
        uint256 claimed;
        uint256 pending;
        uint256 since;
        uint256 nonce;
    }

    uint256 private constant LARGEST = type(uint128).max;
    MoodyToken private immutable moody;
    address private immutable dollar;
    IBatchSettlement.ChannelConfig[] private configs;
    Book[] private books;
    mapping(address receiver => mapping(address token => uint256)) public claimed;
    mapping(address receiver => mapping(address token => uint256)) public settled;
    /// @notice What an account has of a token, from its purse on.
    mapping(address account => mapping(address token => uint256)) public purses;
    mapping(uint256 channel => mapping(uint256 salt => bool)) private spent;

    constructor(IBatchSettlement.ChannelConfig[] memory configs_, MoodyToken moody_, address dollar_) {
        (moody, dollar) = (moody_, dollar_);
        for (uint256 i = 0; i < configs_.length; ++i) {
            configs.push(configs_[i]);
            books.push();
        }
    }

    function setPurse(address account, address token, uint256 amount) external {
        purses[account][token] = amount;
    }

    function book(uint256 channel) external view returns (Book memory) {
        return books[channel];
    }

    function run(Call calldata made) external {
        for (uint256 i = 0; i < made.steps.length; ++i) {
            run(made.sender, made.steps[i]);
        }
    }

    function run(address sender, Step calldata step) private {
        IBatchSettlement.ChannelConfig storage config = configs[step.channel];
        Book storage of_ = books[step.channel];
        bool payerSide = sender == config.payer || sender == config.payerAuthorizer;
        if (step.act == Act.Deposit) {
            put(step, config, of_);
        } else if (step.act == Act.Settle) {
            settle(config.receiver, config.token);
        } else if (step.act == Act.Start) {
            require(payerSide && step.amount != 0 && of_.since == 0);
            require(step.amount <= of_.balance - of_.claimed);
            (of_.pending, of_.since) = (step.amount, block.timestamp);
        } else if (step.act == Act.Finish) {
            require(payerSide && of_.since != 0 && block.timestamp >= of_.since + config.withdrawDelay);
            uint256 amount = smaller(of_.pending, of_.balance - of_.claimed);
            (of_.pending, of_.since) = (0, 0);
            of_.balance -= amount;
            pay(config.payer, config.token, amount);
        } else if (step.act == Act.Refund) {
            require(receiverSide(sender, config));
            giveBack(step.amount, config, of_);
        } else if (step.act == Act.RefundSigned) {
            require(step.hand == Hand.Right && step.nonce == of_.nonce);
            giveBack(step.amount, config, of_);
        } else {
            claim(sender, step);
        }
    }

    /// @dev A deposit counts only if the whole amount arrives.
    function put(Step calldata step, IBatchSettlement.ChannelConfig storage config, Book storage of_)
        private
    {
        require(step.amount != 0 && of_.balance + step.amount <= LARGEST);
        require(step.collect == Collect.Pull || step.collect == Collect.Signed);
        if (step.collect == Collect.Signed) {
            require(config.token == dollar && step.hand == Hand.Right && !spent[step.channel][step.nonce]);
            spent[step.channel][step.nonce] = true;
        }
        MoodyToken.Mood mood = moodOf(config.token);
        require(mood != MoodyToken.Mood.ReturnsFalse && mood != MoodyToken.Mood.TakesFee);
        require(purses[config.payer][config.token] >= step.amount);
        purses[config.payer][config.token] -= step.amount;
        of_.balance += step.amount;
    }

    /// @dev What is not above what was claimed already is passed over, whoever signed it.
    function claim(address sender, Step calldata step) private {
        require(step.rows.length != 0);
        address authorizer = configs[step.rows[0].channel].receiverAuthorizer;
        bool relayed = step.act == Act.ClaimSigned;
        require(!relayed || step.hand == Hand.Right);
        for (uint256 i = 0; i < step.rows.length; ++i) {
            Row calldata row = step.rows[i];
            IBatchSettlement.ChannelConfig storage config = configs[row.channel];
            require(relayed ? config.receiverAuthorizer == authorizer : receiverSide(sender, config));
            Book storage of_ = books[row.channel];
            if (row.total <= of_.claimed) continue;
            require(row.total <= row.max && row.total <= of_.balance && row.hand == Hand.Right);
            uint256 total = claimed[config.receiver][config.token] + row.total - of_.claimed;
            require(total <= LARGEST);
            claimed[config.receiver][config.token] = total;
            of_.claimed = row.total;
        }
    }

    function settle(address receiver, address token) private {
        uint256 amount = claimed[receiver][token] - settled[receiver][token];
        settled[receiver][token] += amount;
        pay(receiver, token, amount);
    }

    function giveBack(uint256 amount, IBatchSettlement.ChannelConfig storage config, Book storage of_)
        private
    {
        require(amount != 0);
        of_.nonce += 1;
        amount = smaller(amount, of_.balance - of_.claimed);
        of_.balance -= amount;
        of_.pending -= smaller(amount, of_.pending);
        if (of_.pending == 0) of_.since = 0;
        pay(config.payer, config.token, amount);
    }

    function pay(address to, address token, uint256 amount) private {
        if (amount == 0) return;
        MoodyToken.Mood mood = moodOf(token);
        require(mood != MoodyToken.Mood.ReturnsFalse);
        purses[to][token] += amount - (mood == MoodyToken.Mood.TakesFee ? 1 : 0);
    }

    function receiverSide(address sender, IBatchSettlement.ChannelConfig storage config)
        private
        view
        returns (bool)
    {
        return sender == config.receiver || sender == config.receiverAuthorizer;
    }

    function moodOf(address token) private view returns (MoodyToken.Mood) {
        return token == address(moody) ? moody.mood() : MoodyToken.Mood.Honest;
    }

    function smaller(uint256 one, uint256 other) private pure returns (uint256) {
        return one < other ? one : other;
    }
}
