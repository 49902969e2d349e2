//! Connections to the database, and what their errors mean.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Error, Result};

/// What holds in every session. A session that stops in the midst of a transaction would keep all
/// gateways waiting: the server ends it, and that of a machine that is gone. Everything is found by
/// its key: a plan that was made while a table was empty must not read the whole of it when it is
/// full. (What is switched off counts as costly, and costly statements would be compiled anew each
/// time: so that is off, too.)
const SESSION: &str = "SET synchronous_commit = on; SET lock_timeout = '30s'; \
                       SET idle_in_transaction_session_timeout = '10s'; \
                       SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; \
                       SET tcp_keepalives_count = 2; \
                       SET default_transaction_isolation = 'read committed'; \
                       SET enable_seqscan = off; SET enable_hashjoin = off; \
                       SET enable_mergejoin = off; SET jit = off";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A PostgreSQL database, and for how long a gateway keeps what it has set aside there without
/// being heard of.
#[derive(Clone)]
pub struct Database {
    config: tokio_postgres::Config,
    /// A gateway renews its lease three times in this time.
    pub lease: Duration,
}

impl Database {
    /// By its address, `postgres://user:password@host:port/database?sslmode=require`; the lease is
    /// 10 s. A server's certificate is checked against the system's roots.
    ///
    /// # Errors
    /// [`Error::Database`] if it is no such address; its text does not repeat the address.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = |_| {
            let why = "its address is not of the form postgres://user@host:port/database";
            Error::Database(why.to_owned())
        };
        let mut config: tokio_postgres::Config = url.parse().map_err(wrong)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config.application_name("vouch");
        Ok(Self { config, lease: Duration::from_secs(10) })
    }

    fn tls(&self) -> MakeRustlsConnect {
        let mut roots = RootCertStore::empty();
        let remote = self.config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_)));
        if remote && self.config.get_ssl_mode() != SslMode::Disable {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        // The provider has both versions of TLS; without, no server would be reached either way.
        let config =
            builder.map(|builder| builder.with_root_certificates(roots).with_no_client_auth());
        MakeRustlsConnect::new(config.unwrap_or_else(|_| unreachable!("ring has TLS 1.2 and 1.3")))
    }
}

/// Without user and password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        write!(f, "{} on {host}", self.config.get_dbname().unwrap_or("the default database"))
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({self}, lease {:?})", self.lease)
    }
}

/// Why a statement was not done.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) why: String,
    /// The connection is gone: whether a commit was done is not known.
    pub(super) lost: bool,
    /// Another transaction was in the way: to be tried again.
    pub(super) again: bool,
}

#[allow(clippy::needless_pass_by_value, reason = "it is used in map_err")]
pub(super) fn failure(error: tokio_postgres::Error) -> Failure {
    let Some(code) = error.code() else {
        return Failure { why: source(&error), lost: true, again: true };
    };
    // The server ends the session with these.
    let lost = code.code().starts_with("57P")
        || code.code().starts_with("08")
        || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT;
    let conflicts = [
        &SqlState::T_R_DEADLOCK_DETECTED,
        &SqlState::T_R_SERIALIZATION_FAILURE,
        &SqlState::LOCK_NOT_AVAILABLE,
    ];
    let why =
        error.as_db_error().map_or_else(|| source(&error), |error| error.message().to_owned());
    Failure { why, lost, again: lost || conflicts.contains(&code) }
}

/// What is behind an error that only says where it happened.
fn source(error: &tokio_postgres::Error) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

/// A session whose statements are prepared when it opens, so that they can follow each other
/// without waiting for answers.
pub(super) struct Connection {
    pub(super) client: Client,
    statements: HashMap<&'static str, Statement>,
}

impl Connection {
    pub(super) async fn open(database: &Database) -> Result<Self, Failure> {
        let (client, connection) =
            database.config.connect(database.tls()).await.map_err(failure)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = source(&error), "the connection to the database ended");
            }
        });
        client.batch_execute(SESSION).await.map_err(failure)?;
        Ok(Self { client, statements: HashMap::new() })
    }

    pub(super) async fn prepare(&mut self, statements: &[&'static str]) -> Result<(), Failure> {
        for sql in statements {
            let statement = self.client.prepare(sql).await.map_err(failure)?;
            self.statements.insert(sql, statement);
        }
        Ok(())
    }

    /// Rows of a statement. One that was prepared is sent when this is first polled.
    pub(super) async fn query(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        match self.statements.get(sql) {
            Some(statement) => self.client.query(statement, parameters).await,
            None => self.client.query(sql, parameters).await,
        }
        .map_err(failure)
    }

    /// Statements without parameters.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Failure> {
        self.client.batch_execute(sql).await.map_err(failure)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection(closed: {})", self.client.is_closed())
    }
}
