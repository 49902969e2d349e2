//! An alloy transport over several endpoints.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use alloy::{
    providers::Provider,
    rpc::json_rpc::{RequestPacket, ResponsePacket},
    transports::{TransportError, TransportErrorKind, TransportFut},
};
use futures_util::future::join_all;
use tower_service::Service;

use crate::endpoints::{Endpoints, without_keys};

/// How long an endpoint may take for one answer before the next is asked.
const PATIENCE: Duration = Duration::from_secs(20);
/// What goes to every endpoint: one that drops it, or keeps it to itself, holds nothing up.
const SEND: &str = "eth_sendRawTransaction";

#[derive(Debug, Clone)]
pub(crate) struct Router {
    endpoints: Endpoints,
}

impl Router {
    pub(crate) fn new(endpoints: Endpoints) -> Self {
        Self { endpoints }
    }

    /// An answer is an answer, also one that is an error or nothing: only silence is gone past.
    async fn read(&self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let mut silent = None;
        for place in self.endpoints.well() {
            match self.ask(place, request.clone()).await {
                Err(error) => silent = Some(error),
                answer => return answer,
            }
        }
        Err(silent.unwrap_or_else(|| TransportErrorKind::custom_str("there is no endpoint")))
    }

    /// One that takes it is enough. Where none did, silence of one leaves it unknown, whatever
    /// the others say.
    async fn send(&self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let well = self.endpoints.well();
        let asked = well.into_iter().map(|place| self.ask(place, request.clone()));
        let (mut refused, mut silent) = (None, None);
        for answer in join_all(asked).await {
            match answer {
                Ok(answer) if answer.is_success() => return Ok(answer),
                Ok(answer) => refused = Some(answer),
                Err(error) => silent = Some(error),
            }
        }
        let nobody = || TransportErrorKind::custom_str("there is no endpoint");
        silent.map_or_else(|| refused.ok_or_else(nobody), Err)
    }

    async fn ask(
        &self,
        place: usize,
        request: RequestPacket,
    ) -> Result<ResponsePacket, TransportError> {
        let endpoint = self.endpoints.list.get(place);
        let endpoint =
            endpoint.ok_or_else(|| TransportErrorKind::custom_str("there is no endpoint"))?;
        let mut transport = endpoint.provider.client().transport().clone();
        let answer = tokio::time::timeout(PATIENCE, transport.call(request)).await;
        let answer = answer.map_err(|_| {
            TransportErrorKind::custom_str(&format!("{} does not answer", endpoint.name))
        })?;
        answer.map_err(|error| TransportErrorKind::custom_str(&without_keys(&error.to_string())))
    }
}

impl Service<RequestPacket> for Router {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            if request.method_names().any(|method| method == SEND) {
                this.send(request).await
            } else {
                this.read(request).await
            }
        })
    }
}
