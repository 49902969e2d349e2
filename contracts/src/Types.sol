// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

/// @title What Vouch's parties sign, as EIP-712 digests
/// @notice The Solidity twin of `vouch-core`'s types; `vectors/` holds both to the same bytes.
library Types {
    /// @notice A payer's word for one call.
    struct Request {
        bytes32 channel;
        bytes32 request;
        bytes32 terms;
        uint128 maxCharge;
        uint64 expiry;
    }

    /// @notice A provider's word that a batch of receipts will be logged by `mergeBy` (Unix seconds).
    struct Promise {
        bytes32 root;
        uint64 first;
        uint32 count;
        bytes32 notBefore;
        uint64 mergeBy;
    }

    /// @notice A log's word for its whole content.
    struct Checkpoint {
        string origin;
        uint64 size;
        bytes32 root;
    }

    bytes32 internal constant REQUEST_TYPEHASH =
        keccak256("Request(bytes32 channel,bytes32 request,bytes32 terms,uint128 maxCharge,uint64 expiry)");
    bytes32 internal constant PROMISE_TYPEHASH =
        keccak256("Promise(bytes32 root,uint64 first,uint32 count,bytes32 notBefore,uint64 mergeBy)");
    bytes32 internal constant CHECKPOINT_TYPEHASH =
        keccak256("Checkpoint(string origin,uint64 size,bytes32 root)");

    /// @dev `{name: "Vouch Log", version: "1"}` and no chain: a checkpoint is true on any.
    bytes32 internal constant LOG_DOMAIN_SEPARATOR = keccak256(
        abi.encode(
            keccak256("EIP712Domain(string name,string version)"), keccak256("Vouch Log"), keccak256("1")
        )
    );

    /// @notice The separator of `{name: "Vouch", version: "1", chainId, verifyingContract: settlement}`.
    function vouchDomainSeparator(uint256 chainId, address settlement) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Vouch"),
                keccak256("1"),
                chainId,
                settlement
            )
        );
    }

    function digest(Request memory message, bytes32 domainSeparator) internal pure returns (bytes32) {
        bytes32 structHash = keccak256(abi.encode(REQUEST_TYPEHASH, message));
        return MessageHashUtils.toTypedDataHash(domainSeparator, structHash);
    }

    function digest(Promise memory message, bytes32 domainSeparator) internal pure returns (bytes32) {
        bytes32 structHash = keccak256(abi.encode(PROMISE_TYPEHASH, message));
        return MessageHashUtils.toTypedDataHash(domainSeparator, structHash);
    }

    function digest(Checkpoint memory message) internal pure returns (bytes32) {
        bytes32 structHash = keccak256(
            abi.encode(CHECKPOINT_TYPEHASH, keccak256(bytes(message.origin)), message.size, message.root)
        );
        return MessageHashUtils.toTypedDataHash(LOG_DOMAIN_SEPARATOR, structHash);
    }
}
