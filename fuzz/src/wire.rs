//! What comes over HTTP, on either side.

use vouch_wire::{
    openai::{Assembler, Chunk, EmbeddingsRequest, Endpoint, Request},
    sse::Parser,
    vouch::{Acknowledgement, OfferInfo, ProviderDocument, SessionInfo},
    x402::{PaymentPayload, PaymentRequired, SettleResponse, decode, encode},
};

use crate::text;

/// The longest event that a buyer reads.
const MAX_EVENT_BYTES: usize = 1 << 16;

pub(crate) fn payment(bytes: &[u8]) {
    if let Ok(payment) = decode::<PaymentPayload<SessionInfo>>("header", bytes) {
        let written = encode(&payment).expect("a payment has a header");
        let again = decode::<PaymentPayload<SessionInfo>>("header", written.as_bytes());
        assert_eq!(again.expect("its own form"), payment);
    }
    let _offer = decode::<PaymentRequired<OfferInfo>>("header", bytes);
}

pub(crate) fn settlement(bytes: &[u8]) {
    let _settled = decode::<SettleResponse<Acknowledgement>>("header", bytes);
    let _acknowledged = serde_json::from_slice::<Acknowledgement>(bytes);
    let _document = serde_json::from_slice::<ProviderDocument>(bytes);
}

pub(crate) fn question(bytes: &[u8]) {
    for endpoint in [Endpoint::Chat, Endpoint::Completions] {
        if let Ok(request) = Request::parse(endpoint, bytes) {
            let _limits = (request.max_tokens(), request.stream());
        }
    }
    let _embeddings = EmbeddingsRequest::parse(bytes);
}

pub(crate) fn chunks(bytes: &[u8]) {
    let mut assembler = Assembler::default();
    for line in text(bytes).unwrap_or_default().lines() {
        let Ok(chunk) = serde_json::from_str::<Chunk>(line) else { return };
        if assembler.push(chunk).is_err() {
            return;
        }
    }
    let _whole = assembler.finish();
}

/// However a stream is cut, it says the same.
pub(crate) fn events(bytes: &[u8]) {
    let Some((cut, stream)) = bytes.split_first() else { return };
    let whole = Parser::new(MAX_EVENT_BYTES).push(stream);
    let mut parser = Parser::new(MAX_EVENT_BYTES);
    let mut pieces = Vec::new();
    for piece in stream.chunks(usize::from(*cut).max(1)) {
        match parser.push(piece) {
            Ok(events) => pieces.extend(events),
            Err(_) => {
                assert!(whole.is_err(), "whole it was readable");
                return;
            }
        }
    }
    assert_eq!(whole.expect("in pieces it was readable"), pieces);
}
