//! The chain as an alloy transport: the same dispatcher as HTTP, without HTTP.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{
    ErrorPayload, RequestPacket, Response, ResponsePacket, ResponsePayload, SerializedRequest,
};
use alloy::transports::{TransportError, TransportFut};
use serde_json::value::to_raw_value;
use tower_service::Service;

use crate::rpc::{Rpc, RpcError};

/// How often alloy asks for new blocks; in process that costs microseconds.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// An alloy client over `rpc`.
pub(crate) fn client(rpc: Arc<Rpc>) -> RpcClient {
    RpcClient::new(InProcess { rpc }, true).with_poll_interval(POLL_INTERVAL)
}

#[derive(Debug, Clone)]
struct InProcess {
    rpc: Arc<Rpc>,
}

impl InProcess {
    async fn respond(&self, request: SerializedRequest) -> Result<Response, TransportError> {
        let outcome = self.rpc.call(request.method(), request.params()).await;
        let payload = match outcome {
            Ok(value) => {
                ResponsePayload::Success(to_raw_value(&value).map_err(TransportError::ser_err)?)
            }
            Err(error) => ResponsePayload::Failure(error_payload(error)?),
        };
        Ok(Response { id: request.id().clone(), payload })
    }
}

fn error_payload(error: RpcError) -> Result<ErrorPayload, TransportError> {
    let data = error.data.as_ref().map(to_raw_value).transpose();
    Ok(ErrorPayload {
        code: error.code,
        message: error.message.into(),
        data: data.map_err(TransportError::ser_err)?,
    })
}

impl Service<RequestPacket> for InProcess {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            match packet {
                RequestPacket::Single(request) => {
                    this.respond(request).await.map(ResponsePacket::Single)
                }
                RequestPacket::Batch(requests) => {
                    let mut responses = Vec::with_capacity(requests.len());
                    for request in requests {
                        responses.push(this.respond(request).await?);
                    }
                    Ok(ResponsePacket::Batch(responses))
                }
            }
        })
    }
}
