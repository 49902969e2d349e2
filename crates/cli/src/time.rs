//! The real clock.
#![allow(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds.
pub(crate) fn unix_seconds() -> u64 {
    unix_milliseconds() / 1000
}

/// Unix milliseconds.
pub(crate) fn unix_milliseconds() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
