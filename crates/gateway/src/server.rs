use std::{future::Future, io, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use vouch_store::{Clock, Error as StoreError, Store};

use crate::{
    Config, ModelConfig, Settlement, SetupError, Sourcing, app::App, catalog::Catalog, connections,
    provider, routes,
};

/// How often a checkpoint is published.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// How long connections may take to close after the last call has ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A provider's front.
///
/// ```no_run
/// # async fn run(gateway: vouch_gateway::Gateway) -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:4020").await?;
/// gateway.serve(listener, std::future::pending()).await
/// # }
/// ```
#[derive(Clone)]
pub struct Gateway(Arc<App>);

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway over a store and a chain.
    ///
    /// # Errors
    /// [`SetupError`] where the models or their prices cannot be sold.
    pub fn new(
        config: Config,
        store: Arc<dyn Store>,
        models: Vec<ModelConfig>,
        settlement: Arc<dyn Settlement>,
        clock: Clock,
    ) -> Result<Self, SetupError> {
        Self::with_sources(config, store, models, None, settlement, clock)
    }

    /// As [`Self::new`]; where there is `sourcing`, each model that has token ids is also sold with
    /// sources, under its name and [`crate::SUFFIX`].
    ///
    /// # Errors
    /// As [`Self::new`], and where no model has token ids.
    pub fn with_sources(
        config: Config,
        store: Arc<dyn Store>,
        models: Vec<ModelConfig>,
        sourcing: Option<Sourcing>,
        settlement: Arc<dyn Settlement>,
        clock: Clock,
    ) -> Result<Self, SetupError> {
        if config.receiver_authorizer.is_zero() {
            return Err(SetupError::NoAuthorizer);
        }
        let catalog = Catalog::new(&config, models, sourcing, clock() / 1000)?;
        let names = catalog.names().map(str::to_owned).collect();
        let document = provider::document(&config, names);
        let json = serde_json::to_vec(&document).map_err(SetupError::Document)?;
        let app = App::new(config, store, settlement, clock, catalog, json.into());
        Ok(Self(Arc::new(app)))
    }

    /// All routes, for a server of the caller's own; see also [`Self::publish`] and
    /// [`Self::stop`].
    pub fn router(&self) -> Router {
        routes::router(Arc::clone(&self.0))
    }

    /// Publishes a checkpoint every second, until the store has stopped; gives why it did.
    pub async fn publish(&self) -> StoreError {
        let mut ticks = interval(CHECKPOINT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.0.store.publish_checkpoint().await {
                Ok(_published) => self.0.note_checkpoint(),
                Err(stopped @ StoreError::Stopped { .. }) => return stopped,
                // Calls go on; `/healthz` tells, and promises have a minute.
                Err(error) => tracing::error!(%error, "no checkpoint could be published"),
            }
        }
    }

    /// Takes no new calls and waits for those that run; after the configured grace they commit
    /// what they have.
    pub async fn stop(&self) {
        self.0.work.stop(self.0.config.limits.shutdown_grace).await;
    }

    /// Serves until `stop` resolves, then ends what runs, in bounded time.
    ///
    /// # Errors
    /// The store has stopped, for lack of space or an error of the disk: nothing more can be sold,
    /// and only opening it again shows what the disk holds.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let (close, closing) = watch::channel(false);
        let limits = self.0.config.limits.clone();
        let router = self.router();
        let mut serving = tokio::spawn(async move {
            connections::serve(listener, router, &limits, closing).await;
        });
        let outcome = tokio::select! {
            ended = &mut serving => return ended.map_err(io::Error::other),
            stopped = self.publish() => Err(io::Error::other(stopped)),
            () = stop => Ok(()),
        };
        if close.send(true).is_err() {
            tracing::debug!("the server ended first");
        }
        match &outcome {
            Ok(()) => tokio::select! {
                () = self.stop() => {}
                _stopped = self.publish() => self.stop().await,
            },
            // What runs can no longer be charged.
            Err(_) => self.0.work.stop(Duration::ZERO).await,
        }
        if timeout(CLOSE_TIMEOUT, &mut serving).await.is_err() {
            serving.abort();
        }
        // What was acknowledged last is owed a place in the log within a minute, which may pass
        // before the next start.
        if outcome.is_ok()
            && let Err(error) = self.0.store.publish_checkpoint().await
        {
            tracing::error!(%error, "the last receipts are not under a checkpoint");
        }
        outcome
    }
}
