// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The canonical bytes of a receipt
/// @notice Fixed width, big-endian, 518 bytes. The log holds only `0x01 || keccak256(bytes)`.
/// @dev The Solidity twin of `vouch-core`'s receipt; `vectors/receipt.json` holds both to the same bytes.
library Receipts {
    uint256 internal constant ENCODED_LENGTH = 518;

    /// @dev A log entry's first byte: what kind of entry follows.
    bytes1 internal constant ENTRY_VERSION = 0x01;

    error ReceiptLength(uint256 length);

    /// @notice Field by field as written. Amounts in atomic units of `asset`, `time` in milliseconds.
    struct Receipt {
        uint8 version;
        uint64 chain;
        address settlement;
        uint8 kind;
        uint8 status;
        uint8 tier;
        uint16 flags;
        address provider;
        uint256 agent;
        address payer;
        bytes32 channel;
        uint64 sequence;
        bytes32 request;
        bytes32 response;
        bytes32 tokens;
        uint64 input;
        uint64 cached;
        uint64 output;
        bytes32 model;
        bytes32 sampling;
        bytes32 seed;
        bytes32 commitment;
        bytes32 terms;
        uint128 charge;
        uint128 cumulative;
        address asset;
        bytes32 parent;
        uint64 time;
    }

    /// @notice Takes a receipt apart. Whether its values make sense is the caller's to judge.
    function decode(bytes calldata encoded) internal pure returns (Receipt memory receipt) {
        requireLength(encoded);
        receipt.version = uint8(encoded[0]);
        receipt.chain = uint64(bytes8(encoded[1:9]));
        receipt.settlement = address(bytes20(encoded[9:29]));
        receipt.kind = uint8(encoded[29]);
        receipt.status = uint8(encoded[30]);
        receipt.tier = uint8(encoded[31]);
        receipt.flags = uint16(bytes2(encoded[32:34]));
        receipt.provider = address(bytes20(encoded[34:54]));
        receipt.agent = uint256(bytes32(encoded[54:86]));
        receipt.payer = address(bytes20(encoded[86:106]));
        receipt.channel = bytes32(encoded[106:138]);
        receipt.sequence = uint64(bytes8(encoded[138:146]));
        receipt.request = bytes32(encoded[146:178]);
        receipt.response = bytes32(encoded[178:210]);
        receipt.tokens = bytes32(encoded[210:242]);
        receipt.input = uint64(bytes8(encoded[242:250]));
        receipt.cached = uint64(bytes8(encoded[250:258]));
        receipt.output = uint64(bytes8(encoded[258:266]));
        receipt.model = bytes32(encoded[266:298]);
        receipt.sampling = bytes32(encoded[298:330]);
        receipt.seed = bytes32(encoded[330:362]);
        receipt.commitment = bytes32(encoded[362:394]);
        receipt.terms = bytes32(encoded[394:426]);
        receipt.charge = uint128(bytes16(encoded[426:442]));
        receipt.cumulative = uint128(bytes16(encoded[442:458]));
        receipt.asset = address(bytes20(encoded[458:478]));
        receipt.parent = bytes32(encoded[478:510]);
        receipt.time = uint64(bytes8(encoded[510:518]));
    }

    /// @notice The receipt's name: keccak-256 of its bytes.
    function digest(bytes calldata encoded) internal pure returns (bytes32) {
        requireLength(encoded);
        return keccak256(encoded);
    }

    /// @notice The hash of the receipt's leaf in the log (RFC 6962), for an inclusion proof.
    function leafHash(bytes calldata encoded) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x00), ENTRY_VERSION, digest(encoded)));
    }

    function requireLength(bytes calldata encoded) private pure {
        if (encoded.length != ENCODED_LENGTH) revert ReceiptLength(encoded.length);
    }
}
