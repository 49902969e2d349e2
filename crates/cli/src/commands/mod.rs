//! One file for each command.

pub(crate) mod agent;
pub(crate) mod ask;
pub(crate) mod chain;
pub(crate) mod channel;
pub(crate) mod connect;
pub(crate) mod contracts;
pub(crate) mod data;
pub(crate) mod faults;
pub(crate) mod fsck;
pub(crate) mod govern;
pub(crate) mod log;
pub(crate) mod market;
pub(crate) mod model;
pub(crate) mod serve;
pub(crate) mod up;
pub(crate) mod verify;
pub(crate) mod wallet;
pub(crate) mod witness;
