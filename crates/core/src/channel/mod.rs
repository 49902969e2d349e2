//! Payment channels: what they are, what is signed, and the machine that keeps them honest.

mod config;
mod follow;
mod machine;
mod voucher;

pub use config::ChannelConfig;
pub use follow::{Block, Following, Look};
pub use machine::{Channel, ChannelError, Freeze, Mode, OnChain, Reservation};
pub use voucher::{SignedVoucher, Voucher};
