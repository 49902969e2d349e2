//! The peers as they come from their registries, started and asked who they are.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::{
    load,
    process::{Process, free_port},
    stub,
};

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
