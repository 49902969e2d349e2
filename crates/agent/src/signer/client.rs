//! The other end of a signer's socket.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};
use vouch_core::act::Act;

use super::{Query, Reply, Told, Used};
use crate::act::Request;

/// The signer waits for a block itself; longer than that nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest reply that is read.
const MAX_REPLY_BYTES: u64 = 16 << 20;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nothing was sent.
    #[error("no signer listens at {} ({error}): start it with `vouch agent signer`", socket.display())]
    Absent {
        /// Where it was looked for.
        socket: PathBuf,
        /// The system's answer.
        error: std::io::Error,
    },
    /// The request may have been taken.
    #[error("the signer at {} did not answer: {error}", socket.display())]
    Lost {
        /// Where it listens.
        socket: PathBuf,
        /// What went wrong.
        error: std::io::Error,
    },
}

/// Asks a signer, over a connection for each request.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Of the signer that listens at `socket`.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Hands a request over and waits for what came of it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn act(&self, request: &Request) -> Result<Reply, ClientError> {
        self.exchange(request).await
    }

    /// What was used of the mandate, as the signer counts.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn used(&self) -> Result<Used, ClientError> {
        match self.exchange(&Query::Used).await? {
            Told::Used(used) => Ok(used),
            Told::Acts(_) => Err(self.lost(ErrorKind::InvalidData.into())),
        }
    }

    /// All acts in its log, oldest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn acts(&self) -> Result<Vec<Act>, ClientError> {
        let mut acts = Vec::new();
        loop {
            match self.exchange(&Query::Acts { after: acts.len() }).await? {
                Told::Acts(more) if more.is_empty() => return Ok(acts),
                Told::Acts(more) => acts.extend(more),
                Told::Used(_) => return Err(self.lost(ErrorKind::InvalidData.into())),
            }
        }
    }

    async fn exchange<T: DeserializeOwned>(&self, line: &impl Serialize) -> Result<T, ClientError> {
        let absent = |error| ClientError::Absent { socket: self.socket.clone(), error };
        let mut stream = UnixStream::connect(&self.socket).await.map_err(absent)?;
        let exchanged = tokio::time::timeout(PATIENCE, exchange(&mut stream, line)).await;
        let exchanged = exchanged.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        exchanged.map_err(|error| self.lost(error))
    }

    fn lost(&self, error: std::io::Error) -> ClientError {
        ClientError::Lost { socket: self.socket.clone(), error }
    }
}

async fn exchange<T: DeserializeOwned>(
    stream: &mut UnixStream,
    line: &impl Serialize,
) -> std::io::Result<T> {
    let (read, mut write) = stream.split();
    let mut line = serde_json::to_vec(line)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    write.flush().await?;
    let mut reply = Vec::new();
    BufReader::new(read).take(MAX_REPLY_BYTES).read_until(b'\n', &mut reply).await?;
    Ok(serde_json::from_slice(&reply)?)
}
