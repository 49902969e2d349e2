// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Reading members of JSON in its canonical form (RFC 8785)
/// @notice There is no white space, and no key stands twice. A text is walked from its beginning, strings and
///         nested values as a whole: what is found is a member of this very object, never words inside a string
///         (in which a quote is always escaped) nor a member of something nested in it.
/// @dev It does not check that a text is JSON: its hash was signed by whom it speaks for.
library CanonicalJson {
    /// @notice The text is no object, or ends too early.
    error NotCanonical();
    error NoMember(string name);
    /// @notice Not a decimal integer below 2^128 in its one spelling.
    error NotAnInteger();

    /// @notice The value of a member, as it is written.
    /// @param name Without characters that JSON escapes.
    function member(bytes calldata object, string memory name) internal pure returns (bytes calldata) {
        bytes32 wanted = keccak256(bytes(name));
        uint256 position = 0;
        bytes1 opening = "{";
        while (_at(object, position) == opening) {
            uint256 key = position + 1;
            if (_at(object, key) != '"') break; // an empty object
            uint256 colon = _endOfString(object, key);
            if (_at(object, colon) != ":") revert NotCanonical();
            uint256 end = _endOfValue(object, colon + 1);
            if (keccak256(object[key + 1:colon - 1]) == wanted) return object[colon + 1:end];
            (position, opening) = (end, ",");
        }
        revert NoMember(name);
    }

    /// @notice What is between the quotes of a string, its escapes as they are.
    function text(bytes calldata value) internal pure returns (bytes calldata) {
        if (_at(value, 0) != '"' || _endOfString(value, 0) != value.length) revert NotCanonical();
        return value[1:value.length - 1];
    }

    /// @notice A decimal integer: digits alone, no zero before others.
    function uint128Of(bytes calldata digits) internal pure returns (uint256 value) {
        // 2^128 has 39 digits.
        if (digits.length == 0 || digits.length > 39) revert NotAnInteger();
        if (digits.length > 1 && digits[0] == "0") revert NotAnInteger();
        for (uint256 i = 0; i < digits.length; ++i) {
            if (digits[i] < "0" || digits[i] > "9") revert NotAnInteger();
            value = value * 10 + (uint8(digits[i]) - uint8(bytes1("0")));
        }
        if (value > type(uint128).max) revert NotAnInteger();
    }

    /// @dev Where the value that begins at `position` ends.
    function _endOfValue(bytes calldata json, uint256 position) private pure returns (uint256) {
        bytes1 first = _at(json, position);
        if (first == '"') return _endOfString(json, position);
        bool nested = first == "{" || first == "[";
        uint256 depth = 0;
        while (true) {
            bytes1 character = _at(json, position);
            if (character == '"') {
                position = _endOfString(json, position);
                continue;
            }
            if (character == "{" || character == "[") {
                ++depth;
            } else if (character == "}" || character == "]") {
                if (!nested) return position;
                if (--depth == 0) return position + 1;
            } else if (character == "," && !nested) {
                return position;
            }
            ++position;
        }
        revert NotCanonical();
    }

    /// @dev Behind the string that begins with the quote at `position`.
    function _endOfString(bytes calldata json, uint256 position) private pure returns (uint256) {
        ++position;
        for (bytes1 character; (character = _at(json, position)) != '"'; ++position) {
            if (character == "\\") ++position;
        }
        return position + 1;
    }

    function _at(bytes calldata json, uint256 position) private pure returns (bytes1) {
        if (position >= json.length) revert NotCanonical();
        return json[position];
    }
}
