//! The real `vouch` binary, free of the user's settings.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use alloy_primitives::Address;
use anyhow::{Context, bail, ensure};
use hyper::{Method, StatusCode};
use serde_json::Value;
use vouch_wire::vouch::FaucetBody;

use crate::{load, process::Process};

/// Where the binary is.
#[derive(Debug, Clone)]
pub struct Vouch(pub PathBuf);

impl Vouch {
    /// A command with its data in `data`.
    #[must_use]
    pub fn command(&self, data: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VOUCH_")) {
            command.env_remove(name);
        }
        command.arg("--data-dir").arg(data).arg("--json").args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end; what it answered.
    ///
    /// # Errors
    /// With what it said, if it fails.
    pub fn json(&self, data: &Path, arguments: &[&str]) -> anyhow::Result<Value> {
        let mut command = self.command(data, arguments);
        let output = command.output().with_context(|| format!("{command:?} does not start"))?;
        if !output.status.success() {
            bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Starts a provider on free ports.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn up(&self, data: &Path, more: &[&str]) -> anyhow::Result<Up> {
        let ports = ["up", "--listen", "127.0.0.1:0", "--chain-listen", "127.0.0.1:0"];
        let (process, ready) = Process::ready(&mut self.command(data, &[&ports, more].concat()))?;
        let url = text(&ready, "gateway")?;
        let address = url.strip_prefix("http://").context("the gateway is no http URL")?.parse()?;
        Ok(Up { process, address, ready })
    }
}

/// A provider that runs.
#[derive(Debug)]
pub struct Up {
    /// The process.
    pub process: Process,
    /// Where its gateway listens.
    pub address: SocketAddr,
    ready: Value,
}

impl Up {
    /// What it said of itself when it was ready.
    ///
    /// # Errors
    /// If it did not say that.
    pub fn field(&self, name: &str) -> anyhow::Result<&str> {
        text(&self.ready, name)
    }

    /// Has the faucet fill an account.
    ///
    /// # Errors
    /// If it does not.
    pub async fn faucet(&self, account: &str) -> anyhow::Result<()> {
        faucet(self.address, account.parse()?).await
    }
}

/// Has a gateway's faucet fill an account.
///
/// # Errors
/// If it does not.
pub async fn faucet(gateway: SocketAddr, address: Address) -> anyhow::Result<()> {
    let body = serde_json::to_string(&FaucetBody { address })?;
    let call = load::call(gateway, Method::POST, "/vouch/faucet", &body)?;
    let (parts, body) = load::exchange(gateway, call).await?;
    let said = String::from_utf8_lossy(&body);
    ensure!(parts.status == StatusCode::OK, "no test money: {said}");
    Ok(())
}

/// A field that is a text.
///
/// # Errors
/// If there is none.
pub fn text<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    value[name].as_str().with_context(|| format!("no {name} in {value}"))
}
