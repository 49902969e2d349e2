//! Whose turn it is to send transactions: a lock of the database's, held by a session of its own.
//!
//! It fences nothing: a holder whose session ends in the midst may still be sending. What comes of
//! two transactions with one nonce is for the sender to notice, as with any other user of its key.

use super::Shared;
use super::connection::Connection;
use crate::api::Turn;
use crate::error::Result;
use crate::pending::{Reply, answer_to};

/// Any number that others in the database are unlikely to lock: "vouch".
const LOCK: i64 = 0x76_6f75_6368;

/// Waits for the turn, gives it, and waits for its end.
pub(super) async fn give(shared: &Shared, reply: Reply<Turn>) {
    match lock(shared).await {
        Ok(connection) => {
            let (turn, ended) = Turn::given();
            answer_to(reply, Ok(turn));
            // The end comes as an error: nothing is ever sent.
            drop(ended.await);
            // With its session the lock ends.
            drop(connection);
        }
        Err(error) => answer_to(reply, Err(error)),
    }
}

async fn lock(shared: &Shared) -> Result<Connection> {
    let connection = Connection::open(&shared.database).await?;
    connection.run("SET lock_timeout = 0").await?;
    connection.query("SELECT FROM pg_advisory_lock($1)", &[&LOCK]).await?;
    Ok(connection)
}
