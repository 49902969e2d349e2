//! Reads bodies: bounded in size, in time, and all together in memory.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{config::Limits, error::Refusal};

/// What a body takes without asking: connections are bounded, so these are too, and short calls go
/// on while long bodies use up what there is.
const FREE_BYTES: usize = 64 << 10;
const SHARE_BYTES: usize = 1 << 10;

/// What all bodies together may take, beyond the small ones.
#[derive(Debug)]
pub(crate) struct Bodies {
    shares: Semaphore,
    limit_bytes: usize,
    timeout: Duration,
}

/// A body in memory, and its share of what bodies may take.
#[derive(Debug, Default)]
pub(crate) struct Whole<'a> {
    pub(crate) bytes: Bytes,
    share: Option<SemaphorePermit<'a>>,
    shared_bytes: usize,
}

impl Bodies {
    pub(crate) fn new(limits: &Limits) -> Self {
        let shares = (limits.max_bodies_bytes / SHARE_BYTES).min(Semaphore::MAX_PERMITS);
        Self {
            shares: Semaphore::new(shares),
            limit_bytes: limits.max_body_bytes,
            timeout: limits.body_timeout,
        }
    }

    /// The body of a call.
    pub(crate) async fn call(&self, headers: &HeaderMap, body: Body) -> Result<Whole<'_>, Refusal> {
        self.read(headers, body, self.limit_bytes).await
    }

    /// The body of a small route.
    pub(crate) async fn small(
        &self,
        headers: &HeaderMap,
        body: Body,
        limit_bytes: usize,
    ) -> Result<Bytes, Refusal> {
        Ok(self.read(headers, body, limit_bytes.min(FREE_BYTES)).await?.bytes)
    }

    async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        limit_bytes: usize,
    ) -> Result<Whole<'_>, Refusal> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > limit_bytes) {
            return Err(Refusal::BodyTooLarge { limit_bytes });
        }
        tokio::time::timeout(self.timeout, self.collect(body, limit_bytes))
            .await
            .map_err(|_elapsed| Refusal::BodyBroken)?
    }

    async fn collect(&self, body: Body, limit_bytes: usize) -> Result<Whole<'_>, Refusal> {
        let mut pieces = body.into_data_stream();
        let mut whole = Whole::default();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_broken| Refusal::BodyBroken)?;
            let size_bytes = whole.bytes.len() + piece.len();
            if size_bytes > limit_bytes {
                return Err(Refusal::BodyTooLarge { limit_bytes });
            }
            self.share(&mut whole, size_bytes)?;
            // Most bodies come in one piece, which is then not copied.
            whole.bytes = if whole.bytes.is_empty() { piece } else { joined(whole.bytes, &piece) };
        }
        Ok(whole)
    }

    /// Takes as many shares as a body of this size needs. It waits for none: bodies that each hold
    /// a part and wait for the rest would all stand still.
    fn share<'a>(&'a self, whole: &mut Whole<'a>, size_bytes: usize) -> Result<(), Refusal> {
        let needed = size_bytes.saturating_sub(FREE_BYTES.max(whole.shared_bytes));
        let shares = u32::try_from(needed.div_ceil(SHARE_BYTES)).map_err(|_| Refusal::TooBusy)?;
        if shares == 0 {
            return Ok(());
        }
        let more = self.shares.try_acquire_many(shares).map_err(|_none_left| Refusal::TooBusy)?;
        match &mut whole.share {
            Some(share) => share.merge(more),
            share => *share = Some(more),
        }
        whole.shared_bytes = FREE_BYTES.max(whole.shared_bytes) + shares as usize * SHARE_BYTES;
        Ok(())
    }
}

fn joined(whole: Bytes, piece: &[u8]) -> Bytes {
    let mut joined = BytesMut::from(whole);
    joined.extend_from_slice(piece);
    joined.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(max_bodies_bytes: usize) -> Bodies {
        Bodies::new(&Limits { max_bodies_bytes, ..Limits::default() })
    }

    fn body(size_bytes: usize) -> Body {
        let piece = |_| Ok::<_, std::io::Error>(vec![b'x'; 1000]);
        Body::from_stream(futures_util::stream::iter((0..size_bytes / 1000).map(piece)))
    }

    #[tokio::test]
    async fn long_bodies_share_what_there_is_and_short_ones_always_fit() {
        let bodies = bodies(200 << 10);
        let headers = HeaderMap::new();
        let first = bodies.call(&headers, body(200_000)).await.unwrap();
        assert_eq!(first.bytes.len(), 200_000);
        let second = bodies.call(&headers, body(200_000)).await;
        assert!(matches!(second, Err(Refusal::TooBusy)), "{second:?}");
        assert_eq!(bodies.call(&headers, body(60_000)).await.unwrap().bytes.len(), 60_000);
        drop(first);
        assert_eq!(bodies.call(&headers, body(200_000)).await.unwrap().bytes.len(), 200_000);
        assert_eq!(bodies.shares.available_permits(), 200);
    }
}
