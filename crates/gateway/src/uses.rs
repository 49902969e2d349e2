//! `POST /vouch/uses`: an owner asks for the receipts of its data, and nobody else may.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
};
use vouch_core::{
    data_use::{self, DataUse},
    inquiry::{Inquiry, MAX_LIFE_S},
};
use vouch_store::StoredAnswer;
use vouch_wire::vouch::{UsesBody, UsesPage};

use crate::{app::App, call::sourced::Opening, error::Refusal, provider::small};

/// Receipts of one page, at most.
const USES_PER_PAGE: usize = 100;

/// The receipts of an owner's data, with what opens them: whoever has them can prove what is owed.
pub(crate) async fn uses(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<UsesPage>, Refusal> {
    let body: UsesBody = small(&app, "the inquiry", request).await?;
    check(&app, &body)?;
    let Inquiry { owner, after, limit, .. } = body.inquiry;
    let stream = data_use::stream(&app.config.domain, app.config.provider, owner);
    let limit = usize::try_from(limit).unwrap_or(USES_PER_PAGE).min(USES_PER_PAGE);
    let found = app.store.receipts_of(&stream, after, limit)?;
    let uses = found.into_iter().map(|stored| opened(&app, stored)).collect::<Result<_, _>>()?;
    Ok(Json(UsesPage { stream, uses }))
}

/// Whether the owner asks, this provider, now. What needs no signature comes first.
fn check(app: &App, body: &UsesBody) -> Result<(), Refusal> {
    let UsesBody { inquiry, signature } = body;
    let signature = signature.ok_or(Refusal::InquiryUnsigned)?;
    let (asked, here) = (inquiry.provider, app.config.provider);
    if asked != here {
        return Err(Refusal::InquiryElsewhere { asked, here });
    }
    let (expiry, now) = (inquiry.expiry, app.now_s());
    if expiry < now {
        return Err(Refusal::InquiryExpired { expiry, now });
    }
    if expiry > now.saturating_add(MAX_LIFE_S) {
        return Err(Refusal::InquiryTooFar { expiry });
    }
    inquiry.verify(&signature, &app.config.domain).map_err(Refusal::InquirySignature)
}

fn opened(app: &App, stored: StoredAnswer) -> Result<DataUse, Refusal> {
    let StoredAnswer { acknowledged, answer } = stored;
    let opening: Opening = serde_json::from_slice(&answer).map_err(|error| {
        tracing::error!(%error, "what opens a data-use receipt cannot be read");
        Refusal::Lost
    })?;
    let Opening { nonce, dataset, document, grant } = opening;
    let log = app.store.proof(acknowledged.promise.index)?;
    let (receipt, promise) = (acknowledged.receipt, acknowledged.promise);
    Ok(DataUse { receipt, promise, log, nonce, dataset, document, grant })
}
