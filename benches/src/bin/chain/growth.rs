//! One chain that becomes longer and longer.

use std::time::Duration;

use crate::{
    Options,
    check::check,
    measure::{Measured, Shape, prepare, run},
    node::{Node, Who},
    note,
    transfers::Transfers,
};

/// The chain when it had so many transfers.
#[derive(Debug)]
pub(crate) struct Grown {
    pub(crate) transfers: usize,
    /// The transfers since the size before.
    pub(crate) measured: Measured,
}

/// A chain at each of the sizes, and how long it takes to open at the last: killed, and ended.
pub(crate) async fn grow(
    options: &Options,
    transfers: &Transfers,
) -> anyhow::Result<(Vec<Grown>, [Duration; 2])> {
    let node = Node::start(Who::Vouch, options).await?;
    prepare(&node, transfers).await?;
    let (mut grown, mut from) = (Vec::new(), 0);
    for to in options.sizes() {
        note(&format!("growth: to {to} transfers"));
        let measured = run(&node, transfers, from..to, Shape::BATCHES).await?;
        grown.push(Grown { transfers: to, measured });
        from = to;
    }
    check(&node, transfers, from).await?;
    let (node, starts) = node.restarted(options).await?;
    check(&node, transfers, from).await?;
    Ok((grown, starts))
}
