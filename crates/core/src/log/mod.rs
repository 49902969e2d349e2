//! The transparency log: RFC 6962 trees, C2SP tiles, notes and checkpoints.

pub mod checkpoint;
pub mod merkle;
pub mod note;
pub mod tile;
pub mod witness;

pub use checkpoint::Checkpoint;
