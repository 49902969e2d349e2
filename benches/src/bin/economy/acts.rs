//! Whole acts: an intent to the process that holds the agent's key, which checks it, simulates it,
//! signs it, waits for its block on the test chain and logs its receipt.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Instant,
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use vouch_benches::{
    figure::{Figure, median},
    stub,
    vouch::{Vouch, text},
};
use vouch_buyer::system_clock;

use crate::{BENCH, Options, note, start_stub, utf8};

const PAYEE: &str = "0x000000000000000000000000000000000000bEEF";

/// What is asked for, and what is to come of it.
struct Kind {
    name: &'static str,
    intent: Value,
    status: &'static str,
}

fn kinds() -> [Kind; 3] {
    // As far off as a mandate's act may be.
    let deadline = system_clock()() / 1_000 + 3_000;
    // Millionths of a dollar, in a pool of a million dollars: no price moves.
    [
        Kind {
            name: "transfer",
            intent: json!({"act": "transfer", "permission": 0, "payee": 0, "amount": "1000"}),
            status: "settled",
        },
        Kind {
            name: "swap on v2",
            intent: json!({"act": "swap", "permission": 1, "amountIn": "1000", "minOut": "990",
                "deadline": deadline}),
            status: "settled",
        },
        Kind {
            name: "refused, over the cap",
            intent: json!({"act": "transfer", "permission": 0, "payee": 0,
                "amount": "900000000000"}),
            status: "refused",
        },
    ]
}

pub(crate) async fn figures(options: &Options) -> anyhow::Result<Vec<Figure>> {
    note("acts: a chain, a market, a mandate and its signer");
    let (_stub, upstream) = start_stub()?;
    let data = tempfile::tempdir_in(&options.data_dir)?;
    let (provider, agent) = (data.path().join("provider"), data.path().join("agent"));
    let vouch = options.vouch();
    let upstream = ["--upstream", &upstream, "--upstream-model", stub::MODEL];
    let up = vouch.up(&provider, &upstream)?;
    // The provider's account has ether: it is the owner here.
    up.faucet(up.field("provider")?).await?;
    let chain = ["--chain", up.field("chain")?];
    let artefacts = ["contracts", "market", "--artefacts", utf8(&options.artefacts)?];
    let market = vouch.json(&provider, &[&artefacts[..], &chain].concat())?;
    let mandate = data.path().join("mandate.toml");
    std::fs::write(&mandate, terms(&market))?;
    let owner = provider.join("provider").join("wallet.json");
    let new = ["agent", "mandate", "new", utf8(&mandate)?, "--owner", utf8(&owner)?];
    vouch.json(&agent, &[&new[..], &chain].concat())?;

    let mut signer = Signer::start(&vouch, &agent, &chain)?;
    let (mut figures, mut made) = (Vec::new(), 0);
    let kinds = kinds();
    for kind in &kinds {
        signer.act(kind)?;
        made += 1;
        let mut per_second = Vec::new();
        for _ in 0..options.rounds {
            let start = Instant::now();
            for _ in 0..options.acts {
                signer.act(kind)?;
            }
            per_second.push(options.acts as f64 / start.elapsed().as_secs_f64());
            made += options.acts;
        }
        let name = format!("acts, {}", kind.name);
        figures.push(Figure::alone(BENCH, &name, "1/s", median(&per_second)));
    }
    signer.end()?;
    let log = vouch.json(&agent, &["agent", "log"])?;
    let acts = log.as_array().context("the agent's log is no list")?;
    let complete = acts.iter().filter(|act| act["status"] == "complete").count();
    let done = made / kinds.len() * 2;
    ensure!(
        (acts.len(), complete) == (made, done),
        "of {made} acts with {done} done, the log has {} with {complete}",
        acts.len()
    );
    figures.push(Figure::alone(BENCH, "acts, all in the agent's log", "", made as f64));
    Ok(figures)
}

fn terms(market: &Value) -> String {
    let (dollar, other) = (&market["tokens"][0], &market["tokens"][1]);
    let router = &market["uniswap"]["v2Router"];
    format!(
        r#"calls = 1000000

[[caps]]
token = {dollar}
amount = "8000000"
periodS = 86400

[[permissions]]
kind = "transfer"
token = {dollar}
payees = ["{PAYEE}"]

[[permissions]]
kind = "swap"
venue = "uniswap-v2"
router = {router}
sell = {dollar}
buy = {other}
fee = 3000
maxSlippageBps = 100
maxImpactBps = 100
"#
    )
}

/// The process that holds the agent's key.
struct Signer {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Signer {
    fn start(vouch: &Vouch, data: &Path, chain: &[&str]) -> anyhow::Result<Self> {
        let mut command = vouch.command(data, &[&["agent", "signer", "--stdio"], chain].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the signer does not start")?;
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().context("standard output is a pipe")?);
        Ok(Self { child, to, from })
    }

    fn act(&mut self, kind: &Kind) -> anyhow::Result<()> {
        let mut to = self.to.as_ref().context("the signer has ended")?;
        writeln!(to, "{}", json!({ "intent": kind.intent }))?;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        let reply: Value = serde_json::from_str(&line).context("the signer does not answer")?;
        ensure!(
            reply["outcome"]["status"] == kind.status,
            "a {} was to be {}: {line}",
            kind.name,
            kind.status
        );
        text(&reply, "receipt")?;
        Ok(())
    }

    /// Ends it by the end of its input; the log is closed then.
    fn end(mut self) -> anyhow::Result<()> {
        drop(self.to.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "the signer ended with {status}");
        Ok(())
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
