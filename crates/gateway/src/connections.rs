//! Accepts connections, bounded in number and in how long each may take to say what it wants:
//! strangers who open many and send little must not keep buyers out or use up file descriptors.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::{Limits, stalling::Stalling};

/// A connection's buffers: room for the largest payment header, and little more.
const MAX_BUFFER_BYTES: usize = 64 << 10;
/// How long to wait where the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `closing` says true, then lets requests that run end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    mut closing: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_BUFFER_BYTES);
    let mut connections = JoinSet::new();
    loop {
        // Those that find no slot wait in the system's backlog.
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = told(&mut closing) => break,
        };
        let stream = tokio::select! {
            stream = accept(&listener) => stream,
            () = told(&mut closing) => break,
        };
        while connections.try_join_next().is_some() {}
        let stream = Stalling::new(stream, limits.stall_timeout);
        let serving = connection(http.clone(), stream, router.clone(), closing.clone());
        connections.spawn(async move {
            let _slot = slot;
            serving.await;
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    http: http1::Builder,
    stream: Stalling<TcpStream>,
    router: Router,
    mut closing: watch::Receiver<bool>,
) {
    let service = TowerToHyperService::new(router);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = told(&mut closing) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Resolves when the gateway closes, or is gone.
async fn told(closing: &mut watch::Receiver<bool>) {
    if closing.wait_for(|closing| *closing).await.is_err() {
        tracing::debug!("the gateway was dropped");
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small events must not wait for one another.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY is refused");
                }
                return stream;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ConnectionAborted | ConnectionRefused | ConnectionReset
                ) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
