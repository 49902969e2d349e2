//! The `vouch` command: the only place that wires parts together.

mod arguments;
mod buyer;
mod commands;
mod config;
mod deployed;
mod embedder;
mod endpoint;
mod http;
mod money;
mod node;
mod onchain;
mod output;
mod own_log;
mod provider;
mod serve;
mod time;
mod tokenizer;
mod witnesses;

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::{
    arguments::{Arguments, Command},
    config::Config,
    output::Output,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logs();
    // Two TLS stacks would be one too many; rustls lets the application choose its cryptography.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a cryptography provider was installed before");
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(&anyhow::Error::new(error).context("the runtime cannot start"));
        }
    };
    let outcome = runtime.block_on(run(arguments));
    // Blocking work that is left, such as a model's threads, must not hold up the end.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| failed(&error))
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let output = Output { json: arguments.json };
    let data_dir = config::data_dir(arguments.data_dir)?;
    let config = Config::load(arguments.config.as_deref(), &data_dir)?;
    std::fs::create_dir_all(&data_dir).with_context(|| {
        format!("{} cannot be created: choose another with --data-dir", data_dir.display())
    })?;
    match arguments.command {
        Command::Up(up) => commands::up::run(up, &config, &data_dir, output).await?,
        Command::Chain(chain) => {
            return commands::chain::run(chain, &config, &data_dir, output).await;
        }
        Command::Serve(serve) => commands::serve::run(serve, &config, &data_dir, output).await?,
        Command::Connect(connect) => {
            commands::connect::run(connect, &config, &data_dir, output).await?;
        }
        Command::Ask(ask) => commands::ask::run(ask, &config, &data_dir, output).await?,
        Command::Wallet(wallet) => {
            commands::wallet::run(wallet, &config, &data_dir, output).await?;
        }
        Command::Channel(channel) => {
            commands::channel::run(channel, &config, &data_dir, output).await?
        }
        Command::Contracts(contracts) => {
            commands::contracts::run(contracts, &data_dir, output).await?;
        }
        Command::Govern(govern) => commands::govern::run(govern, &data_dir, output).await?,
        Command::Faults(faults) => commands::faults::run(faults, &data_dir, output).await?,
        Command::Verify(verify) => {
            return commands::verify::run(&verify, &data_dir, output).await;
        }
        Command::Fsck(fsck) => return commands::fsck::run(&fsck, &data_dir, output),
        Command::Model(model) => commands::model::run(model, output).await?,
        Command::Log(log) => commands::log::run(log, output).await?,
        Command::Witness(witness) => commands::witness::run(witness, &data_dir, output).await?,
        Command::Data(data) => commands::data::run(data, &data_dir, output).await?,
        Command::Agent(agent) => commands::agent::run(agent, &config, &data_dir, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Logs go to standard error, so that they never mix with an answer.
fn logs() {
    let filter = EnvFilter::try_from_env("VOUCH_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    // No colours in a file.
    let colours = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    logs.with_writer(std::io::stderr).init();
}

/// The passphrase of this machine's keys: `VOUCH_PASSPHRASE`, else none (development).
fn passphrase() -> String {
    std::env::var("VOUCH_PASSPHRASE").unwrap_or_default()
}

#[allow(clippy::print_stderr, reason = "the one place that tells a person what failed")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("vouch: {error:#}");
    ExitCode::from(1)
}
