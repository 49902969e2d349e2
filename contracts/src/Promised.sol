// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {Receipts} from "./Receipts.sol";
import {Types} from "./Types.sol";
import {InclusionProof} from "./lib/InclusionProof.sol";

/// @title Receipts that somebody promised
/// @notice With the promise of its batch a receipt is its signer's word, which anyone can show. Whether the
///         signer speaks for the receipt's provider is for the caller to ask.
library Promised {
    uint8 internal constant DATA_USE = 5;

    /// @notice A receipt and the way to its provider's signature.
    /// @param receipt Canonical bytes.
    /// @param index Log index of the receipt.
    /// @param path RFC 6962 audit path inside the batch, from the leaf up.
    struct Evidence {
        bytes receipt;
        Types.Promise promised;
        bytes signature;
        uint64 index;
        bytes32[] path;
    }

    error NotPromised();
    /// @notice Not a data-use receipt of this chain, or its stream is not the account's with its provider.
    error NotDataUse();

    /// @notice The receipt, of any kind and chain, and who promised it.
    function signed(Evidence calldata evidence)
        internal
        pure
        returns (Receipts.Receipt memory receipt, address signer)
    {
        receipt = Receipts.decode(evidence.receipt);
        Types.Promise calldata promised = evidence.promised;
        bytes32 domain = Types.vouchDomainSeparator(receipt.chain, receipt.settlement);
        signer = ECDSA.recoverCalldata(Types.digest(promised, domain), evidence.signature);
        if (evidence.index < promised.first) revert NotPromised();
        bool included = InclusionProof.verify(
            promised.root,
            promised.count,
            Receipts.leafHash(evidence.receipt),
            evidence.index - promised.first,
            evidence.path
        );
        if (!included) revert NotPromised();
    }

    /// @notice The receipt, if its provider promised it by its own address and it is a data-use receipt of this
    ///         chain: it says what its provider has credited to a data owner so far.
    function dataUse(Evidence calldata evidence) internal view returns (Receipts.Receipt memory receipt) {
        address signer;
        (receipt, signer) = signed(evidence);
        bytes32 stream = streamId(receipt.chain, receipt.settlement, receipt.provider, receipt.payer);
        if (receipt.kind != DATA_USE || receipt.chain != block.chainid || receipt.channel != stream) {
            revert NotDataUse();
        }
        if (signer != receipt.provider) revert NotPromised();
    }

    /// @notice The account stream of a data owner with a provider: `channel` of its receipts, in which `sequence`
    ///         counts from 1 and `cumulative` is the sum of what was credited.
    function streamId(uint64 chain, address settlement, address provider, address owner)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encodePacked("vouch data use", chain, settlement, provider, owner));
    }
}
