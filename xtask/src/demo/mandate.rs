//! An agent asks, pays, trades and votes for Carol within her mandate, and is stopped by her.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::Value;

use super::{
    Demo, Running,
    economy::{Owner, Town},
    http, title,
};
use crate::steps::root;

const AGENTS_QUESTION: &str = "How is a contributor paid for what an answer quotes?";

impl Demo {
    /// An agent pays, trades and votes within its mandate, is refused beyond it, and stops when it
    /// is revoked.
    pub(super) fn mandate(&self, town: &Town, carol: &Path, payee: &Owner) -> anyhow::Result<()> {
        let chain = ["--chain", town.chain.as_str()];
        title("Real Uniswap contracts, from npm, make a market on the test chain");
        let artefacts = root().join("contracts/node_modules");
        let artefacts = artefacts.to_str().context("the workspace's path is not UTF-8")?;
        let market = ["contracts", "market", "--artefacts", artefacts];
        let market = self.json(&town.provider, &[&market[..], &chain[..]].concat())?;
        let economy = self.json(&town.provider, &[&["contracts", "show"], &chain[..]].concat())?;
        println!("  pair  {}", market["pair"].as_str().unwrap_or_default());

        title(
            "Carol gives an agent a mandate: eight dollars a day, to Ada, to one pool, a vote, and \
             five cents for answers",
        );
        let terms = Terms { market: &market, economy: &economy["economy"], payee: &payee.account };
        let mandate = self.file("mandate.toml", &terms.mandate())?;
        self.show(carol, &[&["agent", "mandate", "new", &mandate], &chain[..]].concat())?;
        println!("$ vouch agent signer\n");
        let signer = [&["agent", "signer", "--json"], &chain[..]].concat();
        let signer = Running::start(&mut self.command(carol, &signer))?;
        let mut line = Signer::connect(Path::new(&signer.field("socket")?))?;

        title("The agent asks before it acts: set aside by the signer, paid by vouch connect");
        let connect = ["connect", "--listen", "127.0.0.1:0", "--budget", "1", "--json"];
        let connect = [&connect[..], &["--provider", &town.gateway]].concat();
        let connect = Running::start(&mut self.command(carol, &connect))?;
        let ask = ["agent", "ask", AGENTS_QUESTION, "--sources", "--temperature", "0"];
        self.show(carol, &[&ask[..], &["--max-tokens", "48"]].concat())?;
        let answer = self.relied_on(carol)?;
        // Its place in the log is a second away: whoever checks the act then sees that, too.
        let url = connect.field("url")?;
        let root = url.strip_suffix("/v1").unwrap_or(&url);
        http::get(&format!("{root}/vouch/trees/{answer}?wait_s=20"))?;
        drop(connect);

        title("It pays what the mandate allows, and says which answer it relied on");
        let paid = line.act("1500000", &answer, "settled")?;
        title("It keeps half of what Carol has in the other token");
        let portfolio = self.file("portfolio.toml", &terms.portfolio(town)?)?;
        let run = ["agent", "run", &portfolio, "--blocks", "1"];
        self.show(carol, &[&run[..], &chain[..]].concat())?;
        title("It votes on the protocol's fee by a written policy, with votes that it was lent");
        self.vote(town, carol, &terms)?;
        title("What is above the cap is refused, with a reason and a receipt");
        line.act("5000000", &answer, "refused")?;

        title("Carol revokes; the signer, still running, can do nothing more");
        self.show(carol, &[&["agent", "mandate", "revoke"], &chain[..]].concat())?;
        line.act("100000", &answer, "refused")?;
        title("The agent's own log has all it did and all it was refused");
        self.show(carol, &["agent", "log"])?;
        let act = self.data.join("act.json");
        let act = act.to_str().context("the data directory is not UTF-8")?;
        title("Whoever is handed the payment checks it, with the answer and whom that quoted");
        self.show(carol, &["agent", "log", "--bundle", &paid, "--out", act])?;
        drop(signer);
        self.show(&self.data.join("stranger"), &["verify", act])
    }

    /// The receipt of the answer that the agent bought last.
    fn relied_on(&self, carol: &Path) -> anyhow::Result<String> {
        let log = self.json(carol, &["agent", "log"])?;
        let acts = log.as_array().context("the log has no acts")?;
        let answer = acts.iter().rfind(|act| act["kind"] == "answer");
        let receipt = answer.and_then(|act| act["reliedOn"][0].as_str());
        Ok(receipt.context("the log has no answer")?.to_owned())
    }

    fn vote(&self, town: &Town, carol: &Path, terms: &Terms<'_>) -> anyhow::Result<()> {
        let chain = ["--chain", town.chain.as_str()];
        let govern = |words: &[&str]| {
            let words = [&["govern"], words, &chain[..]].concat();
            self.show(&town.provider, &words)
        };
        let voter = self.json(carol, &["wallet", "--provider", &town.gateway])?;
        let voter = voter["address"].as_str().context("the wallet has no address")?.to_owned();
        let proposer = town.up.field("provider")?;
        govern(&["delegate", &proposer])?;
        http::pass(&town.chain, 2)?;
        let propose =
            ["govern", "propose", "fee-share-bps", "50", "--why", "A fee of half a percent"];
        let proposed = self.json(&town.provider, &[&propose[..], &chain[..]].concat())?;
        let id = proposed["proposal"].as_str().context("the proposal has no id")?.to_owned();
        govern(&["delegate", &voter])?;
        http::pass(&town.chain, 2)?;
        let policy = self.file("policy.toml", &terms.policy())?;
        let delegate = ["agent", "delegate", &policy, "--once"];
        self.show(carol, &[&delegate[..], &chain[..]].concat())?;
        println!("(the vote ends, then the timelock; the test chain's clock is moved)");
        http::pass(&town.chain, 21)?;
        govern(&["enact", &id])?;
        http::pass(&town.chain, 3)?;
        govern(&["enact", &id])?;
        govern(&["show"])
    }
}

/// What the files say.
struct Terms<'a> {
    market: &'a Value,
    economy: &'a Value,
    payee: &'a str,
}

impl Terms<'_> {
    fn mandate(&self) -> String {
        let (dollar, other) = (&self.market["tokens"][0], &self.market["tokens"][1]);
        let router = &self.market["uniswap"]["v2Router"];
        let (payee, governor) = (self.payee, &self.economy["governor"]);
        format!(
            r#"calls = 100

[[caps]]
token = {dollar}
amount = "8000000"
periodS = 86400

[[permissions]]
kind = "transfer"
token = {dollar}
payees = ["{payee}"]

[[permissions]]
kind = "swap"
venue = "uniswap-v2"
router = {router}
sell = {dollar}
buy = {other}
fee = 3000
maxSlippageBps = 100
maxImpactBps = 100

[[permissions]]
kind = "vote"
governor = {governor}

[[permissions]]
kind = "ask"
maxPerCall = "20000"
total = "50000"
"#
        )
    }

    fn portfolio(&self, town: &Town) -> anyhow::Result<String> {
        let (dollar, other) = (&self.market["tokens"][0], &self.market["tokens"][1]);
        let (router, pair) = (&self.market["uniswap"]["v2Router"], &self.market["pair"]);
        let chain = town.up.number("chainId")?;
        Ok(format!(
            r#"name = "half and half"
chain_id = {chain}
quote = "USD"

[[asset]]
name = "USD"
address = {dollar}
decimals = 6
weight_bps = 5000

[[asset]]
name = "OTHER"
address = {other}
decimals = 6
weight_bps = 5000

[[pool]]
kind = "v2"
address = {pair}

[venues]
v2_router = {router}

[limits]
min_trade = "0.1"

[strategy]
kind = "rebalance"
band_bps = 200
"#
        ))
    }

    fn policy(&self) -> String {
        // JSON's strings are TOML's.
        let (governor, parameters) = (&self.economy["governor"], &self.economy["parameters"]);
        format!(
            "governor = {governor}\nparameters = {parameters}\nunknown = \"against\"\n\n\
             [fee_share_bps]\nmax = 100\nstep = 100\n"
        )
    }
}

/// A line to the process that holds the agent's key.
struct Signer {
    to: UnixStream,
    from: BufReader<UnixStream>,
}

impl Signer {
    fn connect(socket: &Path) -> anyhow::Result<Self> {
        let mut connected = UnixStream::connect(socket);
        for _ in 0..100 {
            if connected.is_ok() {
                break;
            }
            // It says where it listens a moment before it does.
            std::thread::sleep(Duration::from_millis(20));
            connected = UnixStream::connect(socket);
        }
        let to = connected.context("the signer does not listen")?;
        Ok(Self { from: BufReader::new(to.try_clone()?), to })
    }

    /// Hands it one transfer, and shows what comes of it; the act's receipt.
    fn act(&mut self, amount: &str, relied_on: &str, expected: &str) -> anyhow::Result<String> {
        let intent = format!(
            r#"{{"intent":{{"act":"transfer","permission":0,"payee":0,"amount":"{amount}"}},"reliedOn":["{relied_on}"]}}"#
        );
        println!("> {intent}");
        writeln!(self.to, "{intent}")?;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        let reply: Value = serde_json::from_str(&line).context("the signer does not answer")?;
        let outcome = &reply["outcome"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let how = match outcome["reason"].as_str() {
            Some(reason) => reason.to_owned(),
            None => format!("in transaction {}", text(&outcome["mined"]["transaction"])),
        };
        println!("  {}: {how}\n  receipt {}\n", text(&outcome["status"]), text(&reply["receipt"]));
        if outcome["status"] != expected {
            bail!("the signer was to say {expected}, and said {line}");
        }
        Ok(text(&reply["receipt"]))
    }
}
