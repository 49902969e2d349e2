//! Where a store's data is: the same tests hold every implementation to the same behaviour.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use vouch_store::{Config, EmbeddedStore, Result, Store};

/// A place where a store can be opened again after it was closed.
pub enum Place {
    Directory(TempDir),
    #[cfg(feature = "postgres")]
    Schema(super::postgres::Schema),
}

impl Place {
    pub fn embedded() -> Self {
        Self::Directory(tempfile::tempdir().unwrap())
    }

    pub fn open(&self, config: Config) -> Result<Arc<dyn Store>> {
        match self {
            Self::Directory(dir) => {
                let (store, _) = EmbeddedStore::open(dir.path(), config)?;
                Ok(Arc::new(store))
            }
            #[cfg(feature = "postgres")]
            Self::Schema(schema) => Ok(Arc::new(schema.open(config)?)),
        }
    }

    /// Where the log's public files are.
    pub fn log(&self) -> PathBuf {
        match self {
            Self::Directory(dir) => dir.path().join("log"),
            #[cfg(feature = "postgres")]
            Self::Schema(schema) => schema.log(),
        }
    }
}

/// Makes a test of each function for the embedded store, and one of all of them, one after the
/// other, for a PostgreSQL that it starts.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(
                #[test]
                fn $name() {
                    super::$name(&super::Place::embedded());
                }
            )*
        }

        #[cfg(feature = "postgres")]
        #[test]
        fn on_postgres() {
            let server = $crate::common::postgres::Server::start();
            $(
                println!("{}", stringify!($name));
                $name(&Place::Schema(server.schema()));
            )*
        }
    };
}
