//! Turns texts into vectors: computed whole, committed, then given out.
//!
//! The work is bounded when it is admitted, so it goes on when its caller leaves: the answer is
//! charged, stored, and there to be asked for again.

use std::sync::Arc;

use vouch_core::{
    channel::Mode,
    commitment,
    money::Usage,
    receipt::{Kind, Receipt, flags},
};
use vouch_store::StoredAnswer;
use vouch_wire::openai::{
    Embedding as Item, EmbeddingsResponse, EmbeddingsUsage, EmbeddingsVouch, Endpoint, Vector,
};

use super::{
    Call,
    caller::Caller,
    finish::{CommitError, blank, commit},
    run::id,
};
use crate::{app::App, error::Refusal, offer::Embedding};

/// Texts that are computed at a stretch; between two, other calls have their turn, and a stop is
/// noticed.
const TEXTS_A_TURN: usize = 16;

/// Runs a call to its end and commits it.
pub(super) async fn run(app: Arc<App>, mut call: Call, caller: Caller, embedding: Embedding) {
    let created = app.now_s();
    let vectors = match vectors(&mut call, &embedding).await {
        Ok(vectors) => vectors,
        Err(refusal) => {
            // First the money, then the word: a caller that repeats at once finds it released.
            drop(call);
            return caller.refuse(refusal).await;
        }
    };
    let answer = EmbeddingsResponse {
        id: id(Endpoint::Embeddings, &call.paid.request),
        object: "list".into(),
        created,
        model: call.asked.model.name.clone(),
        data: (0..)
            .zip(vectors)
            .map(|(index, vector)| Item {
                object: "embedding".into(),
                index,
                embedding: Vector::new(&vector, embedding.format),
            })
            .collect(),
        usage: EmbeddingsUsage {
            prompt_tokens: call.asked.input_tokens.into(),
            total_tokens: call.asked.input_tokens.into(),
        },
        vouch: EmbeddingsVouch { input_ids: embedding.ids },
    };
    match settle(&app, call, answer).await {
        Ok(stored) => caller.answer(stored),
        Err(error) => {
            tracing::error!(%error, "a call could not be committed");
            caller.refuse(Refusal::Lost).await;
        }
    }
}

async fn vectors(call: &mut Call, embedding: &Embedding) -> Result<Vec<Vec<f32>>, Refusal> {
    let mut vectors = Vec::with_capacity(embedding.ids.len());
    for texts in embedding.ids.chunks(TEXTS_A_TURN) {
        let (engine, texts) = (Arc::clone(&embedding.engine), texts.to_vec());
        let computing = tokio::task::spawn_blocking(move || engine.embed_ids(&texts));
        let computed = tokio::select! {
            biased;
            () = call.permit.forced() => return Err(Refusal::Stopping),
            computed = computing => computed,
        };
        vectors.extend(computed.map_err(|_| Refusal::Lost)?.map_err(Refusal::Engine)?);
    }
    Ok(vectors)
}

async fn settle(
    app: &App,
    call: Call,
    answer: EmbeddingsResponse,
) -> Result<StoredAnswer, CommitError> {
    let Call { asked, paid, hold, permit } = call;
    // Held to the end, so that a stop waits for it.
    let _permit = permit;
    let ids = answer.vouch.input_ids.concat();
    let usage = Usage { input: ids.len() as u64, cached: 0, output: 0 };
    let canonical = commitment::canonical_json(&answer)?;
    let receipt = Receipt {
        flags: if paid.mode == Mode::Stock { flags::PROVIDERS_NONCE } else { 0 },
        response: commitment::response(&paid.nonce, &canonical),
        tokens: commitment::tokens(&paid.nonce, &ids, &[]),
        usage,
        // The counts are exact, so it is what was set aside, and below the payer's maximum.
        charge: asked.model.prices.charge(&usage)?,
        ..blank(app, &asked, &paid, Kind::Embedding)
    };
    commit(app, hold, receipt, canonical, Vec::new()).await
}
