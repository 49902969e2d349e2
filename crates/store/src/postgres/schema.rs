//! The database's layout, and how older ones become it.

use tokio_postgres::Client;

use super::connection::{Failure, failure};
use crate::error::{Error, Result};

/// Each brings a database from the version of its place to the next. Never changed, only added to.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE log (
        single boolean PRIMARY KEY DEFAULT true CHECK (single),
        chain bigint NOT NULL, settlement bytea NOT NULL, origin text NOT NULL,
        size bigint NOT NULL DEFAULT 0
    );
    CREATE TABLE gateways (
        epoch bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        until timestamptz NOT NULL,
        lost boolean NOT NULL DEFAULT false,
        batch bigint NOT NULL DEFAULT 0
    );
    CREATE TABLE channels (
        id bytea PRIMARY KEY, payer bytea NOT NULL, config bytea NOT NULL, session boolean NOT NULL,
        balance numeric(39) NOT NULL, claimed numeric(39) NOT NULL, withdrawing numeric(39) NOT NULL,
        block bigint NOT NULL,
        accepted numeric(39) NOT NULL, signature bytea,
        charged numeric(39) NOT NULL, reserved numeric(39) NOT NULL, sequence bigint NOT NULL,
        closing boolean NOT NULL, claim_total numeric(39), claim_transaction bytea,
        published text NOT NULL,
        CHECK (reserved >= 0), CHECK (charged + reserved <= accepted)
    ) WITH (fillfactor = 50);
    CREATE INDEX channels_payer ON channels (payer);
    CREATE TABLE holds (
        channel bytea NOT NULL, request bytea NOT NULL, gateway bigint NOT NULL,
        amount numeric(39) NOT NULL,
        PRIMARY KEY (channel, request)
    );
    CREATE TABLE calls (
        channel bytea NOT NULL, request bytea NOT NULL, entry bigint NOT NULL,
        committed_ms bigint NOT NULL,
        PRIMARY KEY (channel, request)
    );
    CREATE INDEX calls_committed ON calls (committed_ms);
    CREATE TABLE receipts (
        entry bigint PRIMARY KEY, digest bytea NOT NULL, channel bytea NOT NULL,
        sequence bigint NOT NULL, children integer NOT NULL, receipt bytea NOT NULL,
        answer bytea NOT NULL
    );
    CREATE INDEX receipts_digest ON receipts (digest);
    CREATE UNIQUE INDEX receipts_sequence ON receipts (channel, sequence) WHERE sequence > 0;
    CREATE TABLE batches (
        first bigint PRIMARY KEY, count integer NOT NULL, root bytea NOT NULL,
        not_before bytea NOT NULL, merge_by bigint NOT NULL, signature bytea NOT NULL
    );
    CREATE TABLE streams (
        id bytea PRIMARY KEY, sequence bigint NOT NULL, cumulative numeric(39) NOT NULL
    );
    CREATE TABLE checkpoint (
        single boolean PRIMARY KEY DEFAULT true CHECK (single),
        publisher bigint NOT NULL DEFAULT 0, until timestamptz NOT NULL DEFAULT 'epoch',
        size bigint, note text, released text, stale boolean NOT NULL DEFAULT false
    );
    INSERT INTO checkpoint DEFAULT VALUES;
"];

/// Brings the database up to date, one gateway at a time.
pub(super) async fn migrate(client: &Client) -> Result<()> {
    let outcome = migrations(client).await;
    if outcome.is_err() {
        // The connection is given up with the error, and the transaction with it.
        drop(client.batch_execute("ROLLBACK").await);
    }
    outcome
}

async fn migrations(client: &Client) -> Result<()> {
    let failed = |error| Error::from(failure(error));
    // The number is this schema's name among the database's advisory locks.
    let begin = "BEGIN; SELECT pg_advisory_xact_lock(8597341203); \
                 CREATE TABLE IF NOT EXISTS vouch_schema (version integer NOT NULL)";
    client.batch_execute(begin).await.map_err(failed)?;
    let row = client.query_opt("SELECT version FROM vouch_schema", &[]).await.map_err(failed)?;
    let known = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    let found = row.map_or(Ok(0), |row| row.try_get(0)).map_err(failed)?;
    if found > known {
        return Err(Error::Schema { found, known });
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        client.batch_execute(migration).await.map_err(failed)?;
    }
    if found < known {
        let note = "DELETE FROM vouch_schema; INSERT INTO vouch_schema VALUES ";
        client.batch_execute(&format!("{note} ({known})")).await.map_err(failed)?;
    }
    client.batch_execute("COMMIT").await.map_err(failed)
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Database(failure.why)
    }
}
