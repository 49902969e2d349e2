//! The peers as they come from their registries, started and asked who they are.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    load,
    process::{Process, free_port},
    stub,
};

mod x402;

pub use x402::X402;

/// Python that loads a large proxy from a cold disk takes its time.
const LITELLM_START: Duration = Duration::from_secs(180);

/// LiteLLM's proxy, one worker, in front of the stub.
#[derive(Debug)]
pub struct LiteLlm {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    /// How long it took until it was healthy.
    pub start: Duration,
    /// With its version.
    pub name: String,
}

impl LiteLlm {
    /// Starts it from a virtual environment, with its configuration in `data_dir`.
    ///
    /// # Errors
    /// If it does not become healthy.
    pub async fn start(venv: &Path, data_dir: &Path, stub: SocketAddr) -> anyhow::Result<Self> {
        let config = data_dir.join("litellm.yaml");
        let (model, base) = (stub::MODEL, format!("http://{stub}/v1"));
        std::fs::write(
            &config,
            format!(
                "model_list:\n  - model_name: {model}\n    litellm_params:\n      model: openai/{model}\n      api_base: {base}\n      api_key: none\n"
            ),
        )?;
        let address = free_port()?;
        let mut command = Command::new(venv.join("bin/litellm"));
        command
            .args(["--host", "127.0.0.1", "--num_workers", "1", "--port"])
            .arg(address.port().to_string())
            .arg("--config")
            .arg(&config)
            // Prices come with the package; measured runs ask nobody on the network.
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .env("LITELLM_TELEMETRY", "False")
            // Without keys it does less a call, which is to its advantage.
            .env("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true");
        let began = Instant::now();
        let mut process = Process::silent(&mut command)?;
        while !healthy(address).await {
            ensure!(!process.ended()?, "LiteLLM ended at once: run {command:?} to see why");
            ensure!(began.elapsed() < LITELLM_START, "LiteLLM does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { process, address, start: began.elapsed(), name: version(venv)? })
    }
}

async fn healthy(address: SocketAddr) -> bool {
    let Ok(call) = load::call(address, Method::GET, "/health/liveliness", "") else { return false };
    load::exchange(address, call).await.is_ok_and(|(parts, _)| parts.status == StatusCode::OK)
}

/// Two agents of uagents, in a process each.
#[derive(Debug)]
pub struct Uagents {
    asking: Process,
    answering: Process,
    address: SocketAddr,
    /// With its version.
    pub name: String,
}

impl Uagents {
    /// Starts both from the folder with `uagents_trip.py` and its virtual environment; what the
    /// library keeps goes to `data_dir`.
    ///
    /// # Errors
    /// If one does not become ready.
    pub fn start(peers: &Path, data_dir: &Path) -> anyhow::Result<Self> {
        // The processes start in another directory.
        let peers = peers.canonicalize()?;
        let (address, other) = (free_port()?, free_port()?);
        let start = |role| {
            let mut command = Command::new(peers.join(".venv-uagents/bin/python"));
            command.arg(peers.join("uagents_trip.py")).arg(role).current_dir(data_dir);
            command.args(["--ask-port", &address.port().to_string()]);
            command.args(["--answer-port", &other.port().to_string()]);
            Process::ready(&mut command)
        };
        let (answering, _) = start("answer")?;
        let (asking, ready) = start("ask")?;
        let name = ready["name"].as_str().context("uagents has no name")?.to_owned();
        Ok(Self { asking, answering, address, name })
    }

    /// Waits until questions are answered: the servers start a moment after they say so.
    ///
    /// # Errors
    /// If they are not.
    pub async fn warm_up(&self) -> anyhow::Result<()> {
        for _ in 0..100 {
            if self.round(4, 1).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("uagents does not answer")
    }

    /// Has so many questions asked and answered; the seconds that it took.
    ///
    /// # Errors
    /// If one is not answered.
    pub async fn round(&self, trips: usize, at_once: usize) -> anyhow::Result<f64> {
        let body = json!({ "trips": trips, "at_once": at_once }).to_string();
        let call = load::call(self.address, Method::POST, "/round", &body)?;
        let (parts, body) = load::exchange(self.address, call).await?;
        let said = String::from_utf8_lossy(&body);
        ensure!(parts.status == StatusCode::OK, "uagents answered {}: {said}", parts.status);
        let done: Value = serde_json::from_slice(&body)?;
        ensure!(done["trips"] == json!(trips), "uagents answered {said}");
        done["wall_s"].as_f64().context("uagents took no time")
    }

    /// CPU time so far, of both.
    ///
    /// # Errors
    /// If one has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(self.asking.cpu()? + self.answering.cpu()?)
    }
}

fn version(venv: &Path) -> anyhow::Result<String> {
    let script = "import importlib.metadata as m; print(m.version('litellm'))";
    let output = Command::new(venv.join("bin/python")).args(["-c", script]).output()?;
    Ok(format!("LiteLLM {}", String::from_utf8(output.stdout)?.trim()))
}

/// llama.cpp as npm's `node-llama-cpp` has it, prebuilt.
#[derive(Debug)]
pub struct Llama {
    /// The folder with `llama.mjs` and its packages.
    pub directory: PathBuf,
}

/// Tokens a second of llama.cpp, one value a repetition.
#[derive(Debug, serde::Deserialize)]
pub struct LlamaSpeed {
    /// The package and what it found on this machine.
    pub name: String,
    /// Of 256 ids, up to the first token.
    pub prefill: Vec<f64>,
    /// Of 100 tokens after 28 ids.
    pub decode: Vec<f64>,
}

impl Llama {
    /// Runs it once over a model, in a process of its own.
    ///
    /// # Errors
    /// If it fails.
    pub fn run(
        &self,
        model: &Path,
        ids: &Path,
        threads: usize,
        repetitions: usize,
    ) -> anyhow::Result<LlamaSpeed> {
        let output = Command::new("node")
            .arg("llama.mjs")
            .args([model, ids])
            .args([threads.to_string(), repetitions.to_string()])
            .current_dir(&self.directory)
            .output()
            .context("node does not start")?;
        if !output.status.success() {
            bail!("llama.mjs failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let last = output.stdout.rsplit(|byte| *byte == b'\n').find(|line| !line.is_empty());
        let value: Value = serde_json::from_slice(last.unwrap_or_default())?;
        Ok(serde_json::from_value(value)?)
    }
}
