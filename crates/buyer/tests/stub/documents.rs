//! Who sells what: documents, prices, offers.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use vouch_contracts::addresses;
use vouch_core::{
    commitment,
    domain::Domain,
    money::Usage,
    terms::{LogTerms, SourceTerms, Terms},
};
use vouch_model::tokenizer::{Tokenizer, TokenizerSpec};
use vouch_wallet::{LogKey, Wallet};
use vouch_wire::{
    openai::{ErrorBody, ErrorDetail, Model, ModelList},
    vouch::{Asset, LogKey as LogInfo, ModelInfo, OfferInfo, ProviderDocument},
    x402::{self, Extensions, Extra, Offer, PaymentRequired, Resource},
};

use super::{CHAIN, Inner, Misbehave, QUANTUM, Shared, chain, log, money};

pub(super) fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/.well-known/vouch.json", get(async |State(s): Shared| Json(s.document.clone())))
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(money::chat))
        .route("/v1/completions", post(money::completions))
        .route("/vouch/vouchers", post(money::vouchers))
        .route("/vouch/models/{id}", get(async |State(s): Shared| Json(s.identity.clone())))
        .route("/vouch/tokenizers/{id}", get(tokenizer))
        .route("/vouch/channels/{id}", get(money::channel))
        .route("/vouch/proof/{index}", get(log::proof))
        .route("/vouch/consistency", get(log::consistency))
        .route("/vouch/faucet", post(chain::faucet))
        .route("/log/checkpoint", get(log::checkpoint))
        .route("/rpc", post(chain::rpc))
        .with_state(inner)
}

pub(super) fn provider(
    url: &str,
    wallet: &Wallet,
    log_key: &LogKey,
    model: &str,
) -> ProviderDocument {
    let origin = "stub.example/log".to_owned();
    ProviderDocument {
        version: 1,
        provider: wallet.address(),
        contracts: std::collections::BTreeMap::new(),
        receiver: None,
        network: format!("eip155:{CHAIN}"),
        settlement: addresses::SETTLEMENT,
        collector: addresses::COLLECTOR,
        asset: Asset {
            address: addresses::TOKEN,
            name: "Vouch Test Dollar".into(),
            version: "1".into(),
            decimals: 6,
            symbol: "VTD".into(),
        },
        anchor: None,
        rpc: Some(format!("{url}/rpc")),
        faucet: true,
        log: LogInfo { key: log_key.verifier(&origin).to_string(), origin },
        models: vec![model.into()],
    }
}

/// One token a byte, in GPT-2's printable form, and an end of turn.
pub(super) fn byte_tokenizer() -> Tokenizer {
    let mut next = 256;
    let mut tokens: Vec<String> = (0..=255u32)
        .map(|byte| {
            let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
            let char = if printable {
                byte
            } else {
                next += 1;
                next - 1
            };
            char::from_u32(char).unwrap().to_string()
        })
        .collect();
    tokens.push("<|im_end|>".into());
    let spec = TokenizerSpec {
        version: 1,
        model: "gpt2".into(),
        pre: "smollm".into(),
        tokens,
        merges: Vec::new(),
        control: vec![256],
        user_defined: Vec::new(),
        bos: None,
        eos: Some(256),
        end_of_generation: vec![256],
        add_bos: false,
    };
    Tokenizer::new(spec).unwrap()
}

impl Inner {
    pub(super) fn domain(&self) -> Domain {
        Domain { chain: CHAIN, settlement: self.document.settlement }
    }

    pub(super) fn terms(&self) -> Terms {
        Terms {
            version: 1,
            domain: self.domain(),
            provider: self.wallet.address(),
            receiver: None,
            asset: self.document.asset.address,
            model: self.model.clone(),
            identity: commitment::canonical_hash(&self.identity).unwrap(),
            prices: *self.prices.lock(),
            quantum_tokens: QUANTUM,
            log: LogTerms {
                origin: self.document.log.origin.clone(),
                key: self.document.log.key.clone(),
                merge_delay_s: 60,
            },
            sources: (!self.grants.lock().is_empty())
                .then_some(SourceTerms { max_sources: 4, max_bytes: 1_000 }),
        }
    }

    pub(super) fn offer(&self) -> PaymentRequired<OfferInfo> {
        let terms = self.terms();
        let offer = Offer {
            scheme: x402::SCHEME.into(),
            network: self.document.network.clone(),
            amount: 1000,
            asset: self.document.asset.address,
            pay_to: self.wallet.address(),
            max_timeout_seconds: 60,
            extra: Extra {
                name: self.document.asset.name.clone(),
                version: "1".into(),
                receiver_authorizer: self.wallet.address(),
                withdraw_delay: 900,
                asset_transfer_method: Some("eip3009".into()),
                min_deposit: Some(500),
                channel_state: None,
                voucher_state: None,
            },
        };
        PaymentRequired {
            x402_version: 2,
            error: None,
            resource: Resource { url: "http://stub".into(), description: None, mime_type: None },
            accepts: vec![offer],
            extensions: Some(Extensions::vouch(OfferInfo {
                version: 1,
                terms_hash: terms.hash().unwrap(),
                terms,
            })),
        }
    }

    pub(super) fn price(&self, input: u64, output: u32) -> u128 {
        self.prices.lock().charge(&Usage { input, cached: 0, output: output.into() }).unwrap()
    }
}

async fn tokenizer(State(stub): Shared) -> Response {
    if stub.is(Misbehave::NoTokenizer) {
        return refuse(404, "not_found", None);
    }
    stub.tokenizer.spec().to_json().unwrap().into_response()
}

async fn models(State(stub): Shared) -> Json<ModelList> {
    let terms = stub.terms();
    let terms_hash = terms.hash().unwrap();
    let info = ModelInfo { identity: terms.identity, terms_hash, terms, embeddings: false };
    let model = Model {
        id: stub.model.clone(),
        object: "model".into(),
        created: 1,
        owned_by: "stub".into(),
        vouch: Some(info),
    };
    Json(ModelList { object: "list".into(), data: vec![model] })
}

pub(super) fn refuse(status: u16, code: &str, required: Option<u128>) -> Response {
    let error = ErrorDetail {
        message: format!("stub: {code}"),
        kind: "stub".into(),
        code: Some(code.into()),
        param: None,
        required,
    };
    (StatusCode::from_u16(status).unwrap(), Json(ErrorBody { error })).into_response()
}

pub(super) fn payment_needed(stub: &Inner, code: &str, required: Option<u128>) -> Response {
    let mut response = refuse(402, code, required);
    let header = x402::encode(&stub.offer()).unwrap();
    response.headers_mut().insert(x402::PAYMENT_REQUIRED, HeaderValue::try_from(header).unwrap());
    response
}
