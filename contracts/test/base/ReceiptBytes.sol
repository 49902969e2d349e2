// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Receipts} from "../../src/Receipts.sol";

/// @dev The canonical bytes of a receipt.
function encode(Receipts.Receipt memory r) pure returns (bytes memory) {
    bytes memory head = abi.encodePacked(
        r.version, r.chain, r.settlement, r.kind, r.status, r.tier, r.flags, r.provider, r.agent, r.payer
    );
    bytes memory middle = abi.encodePacked(
        r.channel, r.sequence, r.request, r.response, r.tokens, r.input, r.cached, r.output, r.model
    );
    bytes memory tail = abi.encodePacked(
        r.sampling, r.seed, r.commitment, r.terms, r.charge, r.cumulative, r.asset, r.parent, r.time
    );
    return bytes.concat(head, middle, tail);
}
