//! Owners publish data, an agent's owner asks what it says, everybody who was quoted is paid, and
//! the agent is held to its mandate until that is revoked.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::Value;

use super::{Demo, Running, http, title};
use crate::steps::{quiet, root};

const QUESTION: &str = "What does revoking a grant stop, and what does it not undo?";
const AGENTS_QUESTION: &str = "How is a contributor paid for what an answer quotes?";
/// Seconds in which a payout can be challenged; the least that the contract takes.
const WINDOW_S: &str = "60";

/// Someone who publishes documents.
pub(super) struct Owner {
    pub(super) name: &'static str,
    pub(super) home: PathBuf,
    pub(super) account: String,
    pub(super) serving: Running,
}

/// What runs.
pub(super) struct Town {
    pub(super) up: Running,
    pub(super) provider: PathBuf,
    pub(super) gateway: String,
    pub(super) chain: String,
}

impl Demo {
    /// Data that is paid for, and an agent inside its mandate.
    pub(super) fn economy(&self, question: Option<&str>) -> anyhow::Result<()> {
        let question = question.unwrap_or(QUESTION);
        let provider = self.data.join("provider");
        quiet("model", self.command(&provider, &["model", "fetch"]).stderr(Stdio::inherit()))?;

        title("A provider sells answers from data that it is granted");
        let ports = ["--listen", "127.0.0.1:0", "--chain-listen", "127.0.0.1:0", "--json"];
        let up = ["up", "--sources", "--source-price", "0.004"];
        let up = Running::start(self.command(&provider, &up).args(ports))?;
        let (gateway, chain) = (up.field("gateway")?, up.field("chain")?);
        println!(
            "  gateway  {gateway}\n  chain    {chain}\n  sells    {}+sources",
            up.field("model")?
        );
        let town = Town { up, provider, gateway, chain };

        title("Two owners publish documents: sealed with them, a root on the chain");
        let ada = self.owner(&town, "ada", &["docs/ECONOMY.md", "docs/MANDATES.md"], "0.0005")?;
        let ben = self.owner(&town, "ben", &["docs/PROTOCOL.md", "ARCHITECTURE.md"], "0.0003")?;

        title("Someone asks, and whoever is quoted is credited in the same call");
        let carol = self.data.join("carol");
        let tree = self.data.join("answer.json");
        let tree = tree.to_str().context("the data directory is not UTF-8")?;
        let ask = ["ask", question, "--sources", "--temperature", "0", "--provider", &town.gateway];
        self.show(&carol, &[&ask[..], &["--max-tokens", "96", "--bundle", tree]].concat())?;
        title("A stranger checks the whole tree: the answer, and each use of data under it");
        self.show(&self.data.join("stranger"), &["verify", tree])?;

        self.pay(&town, &carol, [&ada, &ben])?;
        self.training(&town, [&ada, &ben])?;
        self.mandate(&town, &carol, &ada)?;

        title("Ada revokes; what she published is quoted no more");
        self.show(&ada.home, &["data", "revoke", "--dataset", "ada", "--chain", &town.chain])?;
        self.show(&carol, &[&ask[..], &["--max-tokens", "32"]].concat())?;
        self.royalties(town, [ada, ben])
    }

    fn owner(
        &self,
        town: &Town,
        name: &'static str,
        documents: &[&str],
        price: &str,
    ) -> anyhow::Result<Owner> {
        let owner = self.resident(town, name)?;
        let home = &owner.home;
        let directory = self.data.join(format!("documents/{name}"));
        fs::create_dir_all(&directory)?;
        for document in documents {
            let from = root().join(document);
            let file = from.file_name().context("a document has a name")?;
            fs::copy(&from, directory.join(file))?;
        }
        let chain = ["--chain", town.chain.as_str()];
        let shown = directory.to_str().context("the data directory is not UTF-8")?;
        let publish = ["data", "publish", shown, "--licence", "Apache-2.0"];
        self.show(home, &[&publish[..], &chain[..]].concat())?;
        let to = town.up.field("provider")?;
        let terms = ["data", "grant", name, "--to", &to, "--price", price, "--share-bps", "500"];
        self.show(home, &[&terms[..], &chain[..]].concat())?;
        let all = self.json(home, &[&["data", "list"], &chain[..]].concat())?;
        let dataset = all["datasets"][0]["id"].as_str().or(all["datasets"][0]["dataset"].as_str());
        let dataset = dataset.with_context(|| format!("{name} has no dataset in {all}"))?;
        let source = owner.serving.field("url")?;
        let index = ["data", "index", dataset, "--source", &source];
        self.show(&town.provider, &[&index[..], &chain[..]].concat())?;
        Ok(owner)
    }

    /// Someone with a key, a wallet and a server.
    pub(super) fn resident(&self, town: &Town, name: &'static str) -> anyhow::Result<Owner> {
        let home = self.data.join(name);
        let chain = ["--chain", town.chain.as_str()];
        let listed = self.json(&home, &[&["data", "list"], &chain[..]].concat())?;
        let account = listed["owner"].as_str().context("the owner has no account")?.to_owned();
        self.fill(town, &account)?;
        let serve = ["data", "serve", "--listen", "127.0.0.1:0", "--json"];
        let serving = [&serve[..], &chain[..]].concat();
        let serving = Running::start(&mut self.command(&home, &serving))?;
        Ok(Owner { name, home, account, serving })
    }

    /// Test dollars and ether, from the provider's faucet.
    pub(super) fn fill(&self, town: &Town, account: &str) -> anyhow::Result<()> {
        let body = format!(r#"{{"address":"{account}"}}"#);
        http::post(&format!("{}/vouch/faucet", town.gateway), &body)
    }

    /// Everyone who contributed is paid, by the receipts that they hold.
    fn pay(&self, town: &Town, carol: &Path, owners: [&Owner; 2]) -> anyhow::Result<()> {
        title("The owners fetch their receipts, which the provider signed");
        for owner in owners {
            let earnings = ["data", "earnings", "--provider", &town.gateway];
            self.show(&owner.home, &[&earnings[..], &["--chain", &town.chain]].concat())?;
        }
        title("The provider takes what the channel paid, and settles with the owners");
        self.show(carol, &["channel", "close"])?;
        // The cut-off is a whole second of the chain's.
        std::thread::sleep(Duration::from_millis(1_100));
        let settle = ["data", "settle", "--gateway", &town.gateway, "--window", WINDOW_S];
        let more = ["--bond", "0.0001", "--chain", &town.chain];
        self.show(&town.provider, &[&settle[..], &more[..]].concat())?;
        title("Nobody challenges it for a minute (the test chain's clock is moved); they claim");
        http::pass(&town.chain, 61)?;
        for owner in owners {
            println!("({})", owner.name);
            self.show(&owner.home, &["data", "earnings", "--claim", "--chain", &town.chain])?;
        }
        Ok(())
    }

    /// An agent pays, trades and votes within its mandate, is refused beyond it, and stops when it
    /// is revoked.
    fn mandate(&self, town: &Town, carol: &Path, payee: &Owner) -> anyhow::Result<()> {
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
        drop(connect);
        let answer = self.relied_on(carol)?;

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

    pub(super) fn file(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.data.join(name);
        fs::write(&path, text)?;
        Ok(path.to_str().context("the data directory is not UTF-8")?.to_owned())
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
