//! Requests and replies as JSON lines, on a Unix socket of its owner's or on the standard streams.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::UnixListener,
    sync::Semaphore,
};

use super::{Outcome, Refusal, Signer, SignerError};

/// The longest line that is read.
const MAX_LINE_BYTES: u64 = 64 * 1024;
const MAX_CONNECTIONS: usize = 16;

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
    // Closed to others first: between bind and chmod the socket has the process's default mode.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(io("close", dir))?;
    if fs::symlink_metadata(socket).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(socket).map_err(io("replace", socket))?;
    }
    let listener = UnixListener::bind(socket).map_err(io("listen at", socket))?;
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(socket, mode).map_err(io("set the mode of", socket))?;
    Ok(listener)
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
        let reply = match serde_json::from_slice(&line) {
            Ok(request) if whole => signer.act(&request).await,
            _ => Reply {
                outcome: Refusal::Malformed("the line is no request").into(),
                receipt: None,
            },
        };
        let mut answer = serde_json::to_vec(&reply)?;
        answer.push(b'\n');
        write.write_all(&answer).await?;
        write.flush().await?;
        if !whole {
            return Ok(());
        }
    }
}
