//! The gateway's state: channels, receipts, the log's tiles.
