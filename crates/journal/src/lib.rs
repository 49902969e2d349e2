//! The one durable write: append-only, checksummed, group-committed.
