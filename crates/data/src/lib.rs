//! Publish data, allow its use, find it, and pay for it.
#![deny(missing_docs)]
