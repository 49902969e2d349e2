//! `cargo xtask bench NAME`.
