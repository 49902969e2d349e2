//! The log's public files in an S3-compatible store.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use crate::threads::Threads;
use crate::tiles::TileStore;

/// Objects below a prefix of a bucket, which anyone may be allowed to read.
///
/// A put is done when the store has acknowledged it; readers see the old object or the new one.
pub struct ObjectTiles {
    store: Arc<dyn ObjectStore>,
    threads: Threads,
}

impl ObjectTiles {
    /// A bucket of an S3-compatible store. `settings` are those of AWS by their names in the
    /// environment, in any case (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`,
    /// `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`, ...); unknown ones are ignored. A process that uses
    /// `https` has installed a default cryptography provider for rustls.
    ///
    /// # Errors
    /// If the address is not of the form `s3://bucket/prefix`, or a setting is missing.
    pub fn s3(url: &str, settings: impl IntoIterator<Item = (String, String)>) -> io::Result<Self> {
        let wrong = || invalid("the address of the tiles is not of the form s3://bucket/prefix");
        let (bucket, prefix) = {
            let rest = url.strip_prefix("s3://").ok_or_else(wrong)?;
            rest.split_once('/').unwrap_or((rest, ""))
        };
        if bucket.is_empty() {
            return Err(wrong());
        }
        let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
        for (name, value) in settings {
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                builder = builder.with_config(key, value);
            }
        }
        let store = builder.build().map_err(io::Error::other)?;
        Self::new(Arc::new(PrefixStore::new(store, prefix)))
    }

    /// Any object store.
    ///
    /// # Errors
    /// If its threads cannot be started.
    pub fn new(store: Arc<dyn ObjectStore>) -> io::Result<Self> {
        Ok(Self { store, threads: Threads::start("vouch-objects", 1)? })
    }

    /// Puts an object and deletes it: whether this may write is better known before serving than
    /// when the first checkpoint is due.
    ///
    /// # Errors
    /// Those of the object store.
    pub fn check_writable(&self) -> io::Result<()> {
        let (store, path) = (Arc::clone(&self.store), Path::from("writable"));
        self.wait(async move {
            store.put(&path, PutPayload::new()).await?;
            absent(store.delete(&path).await).map(drop)
        })
    }

    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let answer = self.threads.wait(work);
        answer
            .ok_or_else(|| io::Error::other("the object store's thread has ended"))?
            .map_err(io::Error::other)
    }
}

impl TileStore for ObjectTiles {
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let (store, path) = (Arc::clone(&self.store), Path::from(path));
        let payload = PutPayload::from(bytes.to_vec());
        self.wait(async move { store.put(&path, payload).await.map(drop) })
    }

    fn get(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let (store, path) = (Arc::clone(&self.store), Path::from(path));
        self.wait(async move {
            let found = absent(store.get(&path).await)?;
            let Some(found) = found else { return Ok(None) };
            Ok(Some(found.bytes().await?.to_vec()))
        })
    }

    fn size(&self, path: &str) -> io::Result<Option<u64>> {
        let (store, path) = (Arc::clone(&self.store), Path::from(path));
        self.wait(async move { Ok(absent(store.head(&path).await)?.map(|object| object.size)) })
    }

    fn remove_partials(&self, path: &str) -> io::Result<()> {
        let (store, path) = (Arc::clone(&self.store), Path::from(format!("{path}.p")));
        self.wait(async move {
            let objects: Vec<_> = store.list(Some(&path)).try_collect().await?;
            for object in objects {
                absent(store.delete(&object.location).await)?;
            }
            Ok(())
        })
    }
}

/// Without credentials.
impl fmt::Debug for ObjectTiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectTiles({})", self.store)
    }
}

fn absent<T>(answer: object_store::Result<T>) -> object_store::Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
