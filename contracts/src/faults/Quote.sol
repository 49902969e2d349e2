// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";

import {Receipts} from "../Receipts.sol";
import {CanonicalJson} from "../lib/CanonicalJson.sol";

/// @title The terms that a receipt names by their hash
/// @notice A provider's quote in its RFC 8785 form, as `vouch-core`'s `Terms` writes it.
/// @dev The receipt of an agent's act names a mandate by such a hash, which another wrote: so kind, provider and
///      domain are compared before anything in it is believed.
library Quote {
    uint8 private constant INFERENCE = 1;
    uint8 private constant EMBEDDING = 2;
    /// @dev Prices are stated for this many tokens.
    uint256 private constant TOKENS_PER_PRICE = 1_000_000;

    /// @notice The receipt names no quote, or another one.
    error OtherTerms();

    /// @notice The origin of the log that the receipt was promised to, as JSON escapes it.
    function origin(bytes calldata terms, Receipts.Receipt memory receipt)
        internal
        pure
        returns (bytes calldata)
    {
        _require(terms, receipt);
        return CanonicalJson.text(CanonicalJson.member(CanonicalJson.member(terms, "log"), "origin"));
    }

    /// @notice What the receipt's usage costs: `ceil(sum of count * price / 10^6)` and the price of the request.
    /// @return fits Whether it and every step to it are below 2^128. Nothing is below zero, so the last step of
    ///         each sum tells of all.
    function charge(bytes calldata terms, Receipts.Receipt memory receipt)
        internal
        pure
        returns (bool fits, uint256 owed)
    {
        _require(terms, receipt);
        bytes calldata prices = CanonicalJson.member(terms, "prices");
        uint256 sum = receipt.input * _price(prices, "input") + receipt.cached * _price(prices, "cached")
            + receipt.output * _price(prices, "output");
        owed = Math.ceilDiv(sum, TOKENS_PER_PRICE) + _price(prices, "request");
        fits = sum <= type(uint128).max && owed <= type(uint128).max;
    }

    /// @notice Whether the receipt is of a kind that names a quote: those that channels pay.
    function isNamedBy(Receipts.Receipt memory receipt) internal pure returns (bool) {
        return receipt.kind == INFERENCE || receipt.kind == EMBEDDING;
    }

    function _require(bytes calldata terms, Receipts.Receipt memory receipt) private pure {
        if (!isNamedBy(receipt) || keccak256(terms) != receipt.terms) revert OtherTerms();
        _requireMember(terms, "provider", _quoted(receipt.provider));
        _requireMember(terms, "settlement", _quoted(receipt.settlement));
        _requireMember(terms, "chain", bytes(Strings.toString(receipt.chain)));
    }

    function _requireMember(bytes calldata terms, string memory name, bytes memory value) private pure {
        if (keccak256(CanonicalJson.member(terms, name)) != keccak256(value)) revert OtherTerms();
    }

    function _quoted(address account) private pure returns (bytes memory) {
        return bytes.concat('"', bytes(Strings.toHexString(account)), '"');
    }

    /// @dev Below 2^128, as all amounts; times a count below 2^64, three of them fit a word.
    function _price(bytes calldata prices, string memory name) private pure returns (uint256) {
        return CanonicalJson.uint128Of(CanonicalJson.text(CanonicalJson.member(prices, name)));
    }
}
