//! Where a provider keeps its money and log: this machine's disk, or a database that it shares.

use std::{path::Path, sync::Arc};

use anyhow::{Context, ensure};
use vouch_store::{
    Config, Database, EmbeddedStore, FileTiles, ObjectTiles, PostgresStore, Store, TileStore,
};

use crate::arguments::Storage;

/// Opens the store that was named, else the one below `directory`.
pub(super) fn open(
    storage: &Storage,
    directory: &Path,
    config: Config,
) -> anyhow::Result<Arc<dyn Store>> {
    let Some(address) = &storage.store else {
        ensure!(storage.tiles.is_none(), "--tiles goes with --store: a disk has its own log");
        let (store, opened) = EmbeddedStore::open(directory, config)
            .with_context(|| format!("the store in {} cannot be opened", directory.display()))?;
        tracing::info!(entries = opened.size, "opened the store");
        return Ok(Arc::new(store));
    };
    let database = Database::parse(address).context("--store cannot be used")?;
    let tiles = tiles(storage, directory)?;
    let named = database.to_string();
    let store = PostgresStore::open(database, tiles, config)
        .with_context(|| format!("the store in {named} cannot be opened"))?;
    tracing::info!(entries = store.size(), database = named, "opened the store");
    Ok(Arc::new(store))
}

/// The log's public files: all gateways of a database share them.
fn tiles(storage: &Storage, directory: &Path) -> anyhow::Result<Arc<dyn TileStore>> {
    let Some(place) = &storage.tiles else {
        return Ok(Arc::new(FileTiles::open(&directory.join("log"))?));
    };
    if !place.starts_with("s3://") {
        let files = FileTiles::open(Path::new(place));
        let why = || format!("--tiles {place:?} is no directory that can be written");
        return Ok(Arc::new(files.with_context(why)?));
    }
    let settings = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
    let objects = ObjectTiles::s3(place, settings);
    let objects = objects.with_context(|| format!("--tiles {place:?} cannot be used"))?;
    let why = "cannot be written: check the bucket, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    objects.check_writable().with_context(|| format!("--tiles {place:?} {why}"))?;
    Ok(Arc::new(objects))
}
