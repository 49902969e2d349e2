//! Owners publish data, an agent's owner asks what it says, everybody who was quoted is paid, and
//! the agent is held to its mandate until that is revoked.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context;

use super::{Demo, Running, http, title};
use crate::steps::{quiet, root};

const QUESTION: &str = "What does revoking a grant stop, and what does it not undo?";
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

    pub(super) fn file(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.data.join(name);
        fs::write(&path, text)?;
        Ok(path.to_str().context("the data directory is not UTF-8")?.to_owned())
    }
}
