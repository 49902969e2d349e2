//! Listening, and ending cleanly.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use anyhow::Context;
use axum::Router;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

/// A port on this machine only.
pub(crate) const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Listens; `option` is what a person changes if the port is taken.
pub(crate) async fn bind(
    address: SocketAddr,
    option: &str,
) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: end what uses it, or choose another with {option}")
    })?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until `end` is ready, then lets what runs finish.
pub(crate) async fn until(
    listener: TcpListener,
    router: Router,
    end: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(end).await.context("serving failed")
}

/// Ready at Ctrl-C, or when the system asks the process to end. To be called before a command says
/// that it is ready: from then on an interrupt is a clean end.
pub(crate) fn interrupted() -> impl Future<Output = ()> + Send + 'static {
    let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    async move {
        tokio::select! {
            () = received(interrupt) => {}
            () = received(terminate) => {}
        }
    }
}

async fn received(signal: io::Result<Signal>) {
    match signal {
        Ok(mut signal) => drop(signal.recv().await),
        // No handler: then the system ends the process.
        Err(_) => std::future::pending().await,
    }
}
