//! Requests and replies as JSON lines, on a Unix socket of its owner's or on the standard streams.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::UnixListener,
    sync::Semaphore,
};
use vouch_core::act::Act;

use super::{Amount, Outcome, Refusal, Signer, SignerError};
use crate::act::Request;

/// The longest line that is read.
const MAX_LINE_BYTES: u64 = 64 * 1024;
const MAX_CONNECTIONS: usize = 16;
/// The longest id of a line, as JSON.
const MAX_ID_BYTES: usize = 128;

/// The answer to one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// What came of it.
    pub outcome: Outcome,
    /// Digest of the act's receipt; none if it could not be logged, or was no request at all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub receipt: Option<B256>,
}

/// A line that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "query", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Query {
    /// What was used of the mandate.
    Used,
    /// Acts in the agent's log, oldest first.
    Acts {
        /// How many of the oldest are left out.
        after: usize,
    },
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// As the signer counts.
    Used(Used),
    /// Some acts; none at the end.
    Acts(Vec<Act>),
}

/// What was used of a mandate, as its signer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Used {
    /// Transactions.
    pub calls: u64,
    /// Atomic dollars spent on answers, set aside for them, or handed on.
    pub dollars: Amount,
    /// Atomic dollars that may still be set aside.
    pub dollars_left: Amount,
}

/// Serves `signer` at `socket` (mode 0600) until the future is dropped. A socket that a former
/// signer left is replaced; anything else there is not.
///
/// # Errors
/// [`SignerError::Io`].
pub async fn serve(signer: Arc<Signer>, socket: &Path) -> Result<(), SignerError> {
    let listener = listen(socket)?;
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let permit = room.clone().acquire_owned().await;
        let (stream, _) = listener.accept().await.map_err(io("accept a connection at", socket))?;
        let signer = signer.clone();
        tokio::spawn(async move {
            let (read, write) = stream.into_split();
            if let Err(error) = serve_lines(&signer, read, write).await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(permit);
        });
    }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SignerError {
    let path = path.to_owned();
    move |source| SignerError::Io { action, path, source }
}

fn listen(socket: &Path) -> Result<UnixListener, SignerError> {
    let dir = socket.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(io("create", dir))?;
    // Closed to others, too: some systems ignore a socket's own mode.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(io("close", dir))?;
    let replaced = match fs::symlink_metadata(socket) {
        Ok(found) => found.file_type().is_socket(),
        Err(_) => true,
    };
    if !replaced {
        let exists = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(io("replace", socket)(exists));
    }
    // Under another name until its mode is right.
    let name = socket.file_name().unwrap_or_default().to_string_lossy();
    let new = socket.with_file_name(format!(".{name}.new"));
    if fs::symlink_metadata(&new).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(&new).map_err(io("replace", &new))?;
    }
    let listener = UnixListener::bind(&new).map_err(io("listen at", &new))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))
        .map_err(io("set the mode of", &new))?;
    fs::rename(&new, socket).map_err(io("name", socket))?;
    Ok(listener)
}

/// The reply to a line, with the id that came with it, if it is a string or a number.
async fn answer(signer: &Signer, line: &[u8]) -> serde_json::Result<Vec<u8>> {
    let mut fields: Map<String, Value> = serde_json::from_slice(line).unwrap_or_default();
    let id = fields
        .remove("id")
        .filter(|id| (id.is_string() || id.is_number()) && id.to_string().len() <= MAX_ID_BYTES);
    let is_query = fields.contains_key("query");
    let fields = Value::Object(fields);
    let malformed = |what| Reply { outcome: Refusal::Malformed(what).into(), receipt: None };
    let mut reply = if is_query {
        match serde_json::from_value(fields) {
            Ok(query) => match signer.tell(&query).await {
                Ok(told) => serde_json::to_value(told)?,
                Err(error) => json!({ "error": error.to_string() }),
            },
            Err(_) => serde_json::to_value(malformed("the line is no query"))?,
        }
    } else {
        match serde_json::from_value::<Request>(fields) {
            Ok(request) => serde_json::to_value(signer.act(&request).await)?,
            Err(_) => serde_json::to_value(malformed("the line is no request"))?,
        }
    };
    if let (Some(id), Some(reply)) = (id, reply.as_object_mut()) {
        reply.insert("id".into(), id);
    }
    serde_json::to_vec(&reply)
}

/// Answers each line of `read` with one on `write`, until the end.
///
/// # Errors
/// [`std::io::Error`] of the streams; a line that is too long ends the connection.
pub async fn serve_lines(
    signer: &Signer,
    read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        let bounded = (&mut read).take(MAX_LINE_BYTES);
        let mut bounded = bounded;
        if bounded.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let whole = line.ends_with(b"\n") || bounded.limit() > 0;
        let mut answer = answer(signer, if whole { &line } else { b"" }).await?;
        answer.push(b'\n');
        write.write_all(&answer).await?;
        write.flush().await?;
        if !whole {
            return Ok(());
        }
    }
}
