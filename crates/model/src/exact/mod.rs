//! exact
mod activation;
mod cache;
mod config;
mod forward;
mod kernels;
pub(crate) mod math;
mod project;
mod threads;
mod weights;
