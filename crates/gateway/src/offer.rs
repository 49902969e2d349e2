//! What a call costs at most, and how that is offered.

use std::sync::Arc;

use alloy_primitives::B256;
use vouch_core::money::Usage;
use vouch_model::{Engine, GenerateRequest, Prompt, Sampling, embed::Embed};
use vouch_store::ChannelView;
use vouch_wire::{
    openai::{CompletionPrompt, EmbeddingsRequest, EncodingFormat, Endpoint, Request},
    vouch::{OfferInfo, VERSION},
    x402::{self, ChannelState, Extensions, Extra, Offer, PaymentRequired, Resource, VoucherState},
};

use crate::{
    app::App,
    call::sourced,
    catalog::{Model, ModelEngine},
    error::{Refusal, quoted},
};

/// For how long a payment may take; a deposit's authorization is valid for that long.
const PAYMENT_TIMEOUT_S: u64 = 300;
/// Longer prompts are counted on a thread where blocking is allowed.
const INLINE_COUNT_BYTES: usize = 4096;

/// The most tokens of one embeddings request: half a minute of a small machine's work, which is not
/// broken off when its caller leaves.
const MAX_EMBEDDING_TOKENS: usize = 1 << 16;

/// A request that was read, counted and priced.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) endpoint: Endpoint,
    pub(crate) model: Arc<Model>,
    /// Hash of the sampling settings, for the receipt.
    pub(crate) sampling: B256,
    pub(crate) seed: Option<i64>,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    /// Tokens of the input; where the engine cannot say exactly, an upper bound.
    pub(crate) input_tokens: u32,
    /// The most tokens of the answer.
    pub(crate) max_tokens: u32,
    /// The most that the call can cost.
    pub(crate) max_price: u128,
}

/// What is to be done, and by what.
#[derive(Debug)]
pub(crate) enum Task {
    Generate(Arc<dyn Engine>, Box<GenerateRequest>),
    Embed(Embedding),
}

/// Texts to embed.
#[derive(Debug)]
pub(crate) struct Embedding {
    pub(crate) engine: Arc<dyn Embed>,
    /// The ids of each text.
    pub(crate) ids: Vec<Vec<u32>>,
    pub(crate) format: EncodingFormat,
}

impl Asked {
    /// Reads and prices a body.
    pub(crate) async fn read(
        app: &App,
        endpoint: Endpoint,
        body: &[u8],
    ) -> Result<(Self, Task), Refusal> {
        match endpoint {
            Endpoint::Chat | Endpoint::Completions => Self::generation(app, endpoint, body).await,
            Endpoint::Embeddings => Self::embedding(app, body).await,
        }
    }

    async fn generation(
        app: &App,
        endpoint: Endpoint,
        body: &[u8],
    ) -> Result<(Self, Task), Refusal> {
        let mut request = Request::parse(endpoint, body).map_err(Refusal::Request)?;
        let model = model(app, &request.model)?;
        let ModelEngine::Generator(engine) = &model.engine else {
            let why = "gives vectors, not text: ask it at /v1/embeddings";
            return Err(wrong_model(why));
        };
        let engine = Arc::clone(engine);
        let prompt = prompt(&mut request);
        sourced::check(&model, endpoint, &prompt)?;
        let (prompt, input_tokens) = count(&engine, prompt, body.len()).await?;
        // Nothing is searched for who has not paid: the bound is offered, what was used is charged.
        let input_tokens = input_tokens.saturating_add(sourced::most_tokens(&model));
        let default = app.config.limits.default_max_tokens;
        let context = engine.context_tokens();
        let max_tokens = max_tokens(context, input_tokens, request.max_tokens(), default)?;
        let generate = GenerateRequest {
            prompt,
            max_tokens,
            sampling: Sampling { temperature: request.temperature(), top_p: request.top_p() },
            stop: request.take_stop(),
            seed: [0; 32],
        };
        generate.check().map_err(Refusal::Engine)?;
        let mut asked = Self {
            endpoint,
            model,
            sampling: generate.sampling.hash().map_err(Refusal::Engine)?,
            seed: request.seed,
            stream: request.stream(),
            include_usage: request.include_usage(),
            input_tokens,
            max_tokens,
            max_price: 0,
        };
        asked.max_price = asked.price_of(max_tokens)?;
        Ok((asked, Task::Generate(engine, Box::new(generate))))
    }

    async fn embedding(app: &App, body: &[u8]) -> Result<(Self, Task), Refusal> {
        let request = EmbeddingsRequest::parse(body).map_err(Refusal::Request)?;
        let model = model(app, &request.model)?;
        let ModelEngine::Embedder(engine) = &model.engine else {
            let why = "gives text, not vectors: ask it at /v1/chat/completions";
            return Err(wrong_model(why));
        };
        let engine = Arc::clone(engine);
        request.check_dimensions(engine.dimensions()).map_err(Refusal::Request)?;
        let format = request.encoding_format();
        let encoder = Arc::clone(&engine);
        let encode = move || {
            let ids = request.input.ids(|text| encoder.encode(text));
            ids.iter().try_for_each(|ids| encoder.check_ids(ids)).map(|()| ids)
        };
        let ids = match body.len() <= INLINE_COUNT_BYTES {
            true => encode(),
            false => tokio::task::spawn_blocking(encode).await.map_err(|_| Refusal::Lost)?,
        };
        let ids = ids.map_err(Refusal::Engine)?;
        let tokens = ids.iter().map(Vec::len).sum::<usize>();
        if tokens > MAX_EMBEDDING_TOKENS {
            return Err(Refusal::Request(vouch_wire::Error::Param {
                param: "input",
                why: format!(
                    "has {tokens} tokens: send at most {MAX_EMBEDDING_TOKENS} in a request"
                ),
            }));
        }
        let mut asked = Self {
            endpoint: Endpoint::Embeddings,
            model,
            sampling: B256::ZERO,
            seed: None,
            stream: false,
            include_usage: false,
            input_tokens: tokens as u32,
            max_tokens: 0,
            max_price: 0,
        };
        asked.max_price = asked.price_of(0)?;
        Ok((asked, Task::Embed(Embedding { engine, ids, format })))
    }

    /// The price of the input and this much output.
    pub(crate) fn price_of(&self, output_tokens: u32) -> Result<u128, Refusal> {
        let usage =
            Usage { input: self.input_tokens.into(), cached: 0, output: output_tokens.into() };
        self.model.prices.charge(&usage).map_err(|_| Refusal::PriceOverflow)
    }

    /// The offer of this very call.
    pub(crate) fn required(&self, app: &App) -> PaymentRequired<OfferInfo> {
        required(app, self.endpoint, &self.model, self.max_price)
    }
}

fn prompt(request: &mut Request) -> Prompt {
    match request.prompt.take() {
        Some(CompletionPrompt::Text(text)) => Prompt::Text(text),
        Some(CompletionPrompt::Tokens(ids)) => Prompt::Tokens(ids),
        Some(CompletionPrompt::Texts(texts)) => {
            Prompt::Text(texts.into_iter().next().unwrap_or_default())
        }
        None => Prompt::Chat {
            messages: request.messages.take().unwrap_or_default(),
            tools: request.tools.take(),
        },
    }
}

fn model(app: &App, name: &str) -> Result<Arc<Model>, Refusal> {
    app.catalog.get(name).map(Arc::clone).ok_or_else(|| {
        let names = app.catalog.names().collect::<Vec<_>>().join(", ");
        Refusal::ModelNotFound { asked: quoted(name), names }
    })
}

fn wrong_model(why: &str) -> Refusal {
    Refusal::Request(vouch_wire::Error::Param { param: "model", why: why.into() })
}

async fn count(
    engine: &Arc<dyn Engine>,
    prompt: Prompt,
    body_bytes: usize,
) -> Result<(Prompt, u32), Refusal> {
    if body_bytes <= INLINE_COUNT_BYTES {
        let counted = engine.count_input(&prompt).map_err(Refusal::Engine)?;
        return Ok((prompt, counted.tokens));
    }
    let engine = Arc::clone(engine);
    let counting = tokio::task::spawn_blocking(move || {
        let counted = engine.count_input(&prompt);
        (prompt, counted)
    });
    let (prompt, counted) = counting.await.map_err(|_| Refusal::Lost)?;
    Ok((prompt, counted.map_err(Refusal::Engine)?.tokens))
}

/// Counts a prompt of any length.
pub(crate) async fn count_of(
    engine: &Arc<dyn Engine>,
    prompt: Prompt,
) -> Result<(Prompt, u32), Refusal> {
    count(engine, prompt, usize::MAX).await
}

fn max_tokens(context: u32, input: u32, asked: Option<u32>, default: u32) -> Result<u32, Refusal> {
    let room = context.saturating_sub(input);
    match asked {
        Some(max_tokens) if max_tokens <= room => Ok(max_tokens),
        None if room > 0 => Ok(room.min(default)),
        _ => Err(Refusal::ContextTooLong { input, max_tokens: asked.unwrap_or(1), context }),
    }
}

/// An offer of `amount` for a call of `model` at `endpoint`.
pub(crate) fn required(
    app: &App,
    endpoint: Endpoint,
    model: &Model,
    amount: u128,
) -> PaymentRequired<OfferInfo> {
    let info =
        OfferInfo { version: VERSION, terms: model.terms.clone(), terms_hash: model.terms_hash };
    PaymentRequired {
        x402_version: x402::VERSION,
        error: None,
        resource: Resource {
            url: format!("{}{}", app.config.public_url, endpoint.path()),
            description: None,
            mime_type: Some("application/json".into()),
        },
        accepts: vec![offer(app, amount)],
        extensions: Some(Extensions::vouch(info)),
    }
}

/// One offer, whatever the model.
pub(crate) fn offer(app: &App, amount: u128) -> Offer {
    let config = &app.config;
    Offer {
        scheme: x402::SCHEME.into(),
        network: config.domain.network(),
        amount,
        asset: config.asset.address,
        pay_to: config.pay_to(),
        max_timeout_seconds: PAYMENT_TIMEOUT_S,
        extra: Extra {
            name: config.asset.name.clone(),
            version: config.asset.version.clone(),
            receiver_authorizer: config.receiver_authorizer,
            withdraw_delay: config.withdraw_delay_s,
            asset_transfer_method: Some("eip3009".into()),
            min_deposit: Some(config.min_deposit.max(amount)),
            channel_state: None,
            voucher_state: None,
        },
    }
}

/// Adds to an offer what a stock client needs to find the total again. Where that total was signed
/// before, and the chain shows the signature to everyone, a unit more is offered than the call can
/// cost: only the payer can sign that.
pub(crate) fn resynchronise(offer: &mut PaymentRequired<OfferInfo>, channel: &ChannelView) {
    let Some(accept) = offer.accepts.first_mut() else { return };
    if let Some(total) = channel.stock_total(accept.amount) {
        accept.amount = total.saturating_sub(channel.charged);
    }
    accept.extra.channel_state = Some(channel_state(channel, channel.charged));
    accept.extra.voucher_state = channel.best.map(|best| VoucherState {
        signed_max_claimable: best.voucher.max_claimable_amount,
        signature: best.signature,
    });
}

/// A channel in x402's terms. A channel that still takes calls has no notice of withdrawal and no
/// refund behind it.
pub(crate) fn channel_state(channel: &ChannelView, charged: u128) -> ChannelState {
    ChannelState {
        channel_id: channel.id,
        balance: channel.on_chain.balance,
        total_claimed: channel.on_chain.claimed,
        withdraw_requested_at: 0,
        refund_nonce: 0,
        charged_cumulative_amount: charged,
    }
}
