//! Bad input, a bad disk and a bad chain, against the real binary: one sentence each, a fitting
//! exit code or status, and nothing lost that was acknowledged.

mod arguments;
mod chain;
mod disk;
mod fsck;
mod house;
mod upstream;
