//! `vouch channel`: what is deposited where, and how to get it back.

use std::path::Path;

use serde_json::{Value, json};
use vouch_buyer::{Buyer, ChannelStatus, Phase};

use crate::{arguments::Channel, buyer, config::Config, money::Dollars, output::Output};

pub(crate) async fn run(
    arguments: Channel,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let buyer = buyer::open_idle(None, config, data_dir)?;
    match arguments {
        Channel::List => list(&buyer, output),
        Channel::Close { id } => {
            let open = buyer.status().channels.into_iter().filter(|channel| match id {
                Some(id) => channel.id == id,
                None => channel.phase != Phase::Closed,
            });
            let mut closed = Vec::new();
            for channel in open {
                let transaction = buyer.close_channel(channel.id).await?;
                output.line(format_args!("{} closed in transaction {transaction}", channel.id));
                closed.push(json!({ "channel": channel.id, "transaction": transaction }));
            }
            if closed.is_empty() {
                output.line("no channel is open");
            }
            if output.json { output.answer(&closed, String::new) } else { Ok(()) }
        }
        Channel::Withdraw { id, finalize } => {
            let transaction = if finalize {
                buyer.finalize_withdraw(id).await?
            } else {
                buyer.initiate_withdraw(id).await?
            };
            output.answer(&json!({ "channel": id, "transaction": transaction }), || {
                let next = if finalize { "" } else { "; repeat with --finalize after the delay" };
                format!("sent in transaction {transaction}{next}")
            })
        }
    }
}

fn list(buyer: &Buyer, output: Output) -> anyhow::Result<()> {
    let channels = buyer.status().channels;
    output.answer(&channels, || match channels.is_empty() {
        true => "no channels yet: `vouch ask` opens one".into(),
        false => channels.iter().map(line).collect::<Vec<_>>().join("\n"),
    })
}

fn line(channel: &ChannelStatus) -> String {
    let dollars =
        |units: &str| units.parse().map_or_else(|_| units.to_owned(), |u| Dollars(u).to_string());
    let phase = serde_json::to_value(channel.phase).ok();
    let phase = phase.as_ref().and_then(Value::as_str).unwrap_or("?").to_owned();
    format!(
        "{}\n  {phase}, deposited {}, charged {}, signed for {}, at {}",
        channel.id,
        dollars(&channel.deposited),
        dollars(&channel.charged),
        dollars(&channel.signed),
        channel.url
    )
}
