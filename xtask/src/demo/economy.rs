//! Owners publish data, an agent's owner asks what it says, everybody who was quoted is paid, and
//! the agent is held to its mandate until that is revoked.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, bail};
use serde_json::Value;

use super::{Demo, Running, http, title};
use crate::steps::{quiet, root};

const QUESTION: &str = "What does revoking a grant stop, and what does it not undo?";
/// Seconds in which a payout can be challenged; the least that the contract takes.
const WINDOW_S: &str = "60";

/// Someone who publishes documents.
struct Owner {
    name: &'static str,
    home: PathBuf,
    account: String,
    _serving: Running,
}

/// What runs.
struct Town {
    up: Running,
    provider: PathBuf,
    gateway: String,
    chain: String,
}

impl Demo {
    /// Data that is paid for, and an agent inside its mandate.
    pub(super) fn economy(&self, question: Option<&str>) -> anyhow::Result<()> {
        let question = question.unwrap_or(QUESTION);
        let provider = self.data.join("provider");
        quiet("model", self.command(&provider, &["model", "fetch"]).stderr(Stdio::inherit()))?;

        title("A provider sells answers from data that it is granted");
        let ports = ["--listen", "127.0.0.1:0", "--chain-listen", "127.0.0.1:0", "--json"];
        let up = Running::start(self.command(&provider, &["up", "--sources"]).args(ports))?;
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
        self.mandate(&town, &carol, &ada)?;

        title("Ada revokes; what she published is quoted no more");
        self.show(&ada.home, &["data", "revoke", "--dataset", "ada", "--chain", &town.chain])?;
        self.show(&carol, &[&ask[..], &["--max-tokens", "32"]].concat())?;
        Ok(())
    }

    fn owner(
        &self,
        town: &Town,
        name: &'static str,
        documents: &[&str],
        price: &str,
    ) -> anyhow::Result<Owner> {
        let home = self.data.join(name);
        let directory = self.data.join(format!("documents/{name}"));
        fs::create_dir_all(&directory)?;
        for document in documents {
            let from = root().join(document);
            let file = from.file_name().context("a document has a name")?;
            fs::copy(&from, directory.join(file))?;
        }
        let chain = ["--chain", town.chain.as_str()];
        let listed = self.json(&home, &[&["data", "list"], &chain[..]].concat())?;
        let account = listed["owner"].as_str().context("the owner has no account")?.to_owned();
        http::post(
            &format!("{}/vouch/faucet", town.gateway),
            &format!(r#"{{"address":"{account}"}}"#),
        )?;
        let shown = directory.to_str().context("the data directory is not UTF-8")?;
        let publish = ["data", "publish", shown, "--licence", "Apache-2.0"];
        self.show(&home, &[&publish[..], &chain[..]].concat())?;
        let to = town.up.field("provider")?;
        let terms = ["data", "grant", name, "--to", &to, "--price", price, "--share-bps", "500"];
        self.show(&home, &[&terms[..], &chain[..]].concat())?;
        let serve = ["data", "serve", "--listen", "127.0.0.1:0", "--chain", &town.chain, "--json"];
        let serving = Running::start(&mut self.command(&home, &serve))?;
        let all = self.json(&home, &[&["data", "list"], &chain[..]].concat())?;
        let dataset = all["datasets"][0]["id"].as_str().or(all["datasets"][0]["dataset"].as_str());
        let dataset = dataset.with_context(|| format!("{name} has no dataset in {all}"))?;
        let source = serving.field("url")?;
        let index = ["data", "index", dataset, "--source", &source];
        self.show(&town.provider, &[&index[..], &chain[..]].concat())?;
        Ok(Owner { name, home, account, _serving: serving })
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
        std::thread::sleep(std::time::Duration::from_millis(1_100));
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

    /// An agent pays within its mandate, is refused beyond it, and stops when it is revoked.
    fn mandate(&self, town: &Town, carol: &Path, payee: &Owner) -> anyhow::Result<()> {
        title("Carol gives an agent a mandate: two dollars a day, to Ada alone");
        let file = self.data.join("mandate.toml");
        let token = town.up.field("asset")?;
        let account = &payee.account;
        fs::write(
            &file,
            format!(
                "calls = 100\n\n[[caps]]\ntoken = \"{token}\"\namount = \"2000000\"\nperiodS = 86400\n\n\
                 [[permissions]]\nkind = \"transfer\"\ntoken = \"{token}\"\npayees = [\"{account}\"]\n"
            ),
        )?;
        let file = file.to_str().context("the data directory is not UTF-8")?;
        self.show(carol, &["agent", "mandate", "new", file, "--chain", &town.chain])?;
        title("Its signer carries out what the mandate allows, and says why it refuses the rest");
        println!("$ vouch agent signer --stdio\n");
        let signer = ["agent", "signer", "--stdio", "--chain", &town.chain];
        let mut signer = Signer::start(&mut self.command(carol, &signer))?;
        signer.act("1500000", "settled")?;
        signer.act("1500000", "refused")?;
        title("Carol revokes; the signer, still running, can do nothing more");
        self.show(carol, &["agent", "mandate", "revoke", "--chain", &town.chain])?;
        signer.act("100000", "refused")?;
        signer.end()?;
        title("The agent's own log has all it did and all it was refused");
        self.show(carol, &["agent", "log"])
    }
}

/// The process that holds the agent's key, asked over its standard streams.
struct Signer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Signer {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take().context("standard input is a pipe")?;
        let stdout = child.stdout.take().context("standard output is a pipe")?;
        Ok(Self { child, stdin, stdout: BufReader::new(stdout) })
    }

    /// Hands it one transfer, and shows what comes of it.
    fn act(&mut self, amount: &str, expected: &str) -> anyhow::Result<()> {
        let intent = format!(
            r#"{{"intent":{{"act":"transfer","permission":0,"payee":0,"amount":"{amount}"}}}}"#
        );
        println!("> {intent}");
        writeln!(self.stdin, "{intent}")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
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
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<()> {
        drop(self.stdin);
        self.child.wait()?;
        Ok(())
    }
}
