//! Who made what a model was made of is paid: by worth for a training, by share for a service.

use std::{fmt::Write as _, fs, time::Duration};

use anyhow::Context;
use serde_json::{Value, json};

use super::{
    Demo, Running,
    economy::{Owner, Town},
    http, title,
};
use crate::steps::root;

/// What the two labels are the lines of.
const THEMES: [(&str, &str); 2] =
    [("arithmetic", "docs/ARITHMETIC.md"), ("mandate", "docs/MANDATES.md")];
/// Lines of each theme: a third for each owner, a third held out.
const LINES: usize = 24;

fn word(value: &Value, key: &str) -> anyhow::Result<String> {
    let word = value[key].as_str().with_context(|| format!("no {key} in {value}"))?;
    Ok(word.to_owned())
}

impl Demo {
    /// Two owners' sets train a classifier; who copied one of them earns nothing.
    pub(super) fn training(&self, town: &Town, owners: [&Owner; 2]) -> anyhow::Result<()> {
        let chain = ["--chain", town.chain.as_str()];
        let lab = |words: &[&str]| self.json(&town.provider, &[words, &chain[..]].concat());
        title("A trainer shares out a dollar among two owners, and one who copied");
        let trainer = word(&lab(&["data", "train", "--account"])?, "account")?;
        self.fill(town, &trainer)?;
        let [ada, ben] = owners;
        let eve = self.resident(town, "eve")?;
        let mut sets = String::new();
        for (owner, part) in [(ada, 0), (ben, 1), (&eve, 0)] {
            let (name, account, source) = (owner.name, &owner.account, owner.serving.field("url")?);
            let directory = self.examples(&format!("{name}-examples"), part)?;
            let publish = ["data", "publish", &directory, "--licence", "Apache-2.0"];
            let published = self.json(&owner.home, &[&publish[..], &chain[..]].concat())?;
            let dataset = word(&published, "dataset")?;
            let grant = ["data", "grant", &dataset, "--to", &trainer, "--purpose", "train"];
            let grant = word(&self.json(&owner.home, &[&grant[..], &chain[..]].concat())?, "id")?;
            write!(
                sets,
                "\n[[sets]]\nowner = \"{account}\"\ndataset = \"{dataset}\"\ngrant = \"{grant}\"\n\
                 source = \"{source}\"\n"
            )?;
        }
        let held_out = self.examples("validation", 2)?;
        let commitment = lab(&["data", "train", "--validation", &held_out])?;
        let commitment = word(&commitment, "commitment")?;
        let config = format!(
            "name = \"themes\"\npot = \"1000000\"\n\n[validation]\npath = {}\n\
             commitment = \"{commitment}\"\n{sets}",
            json!(held_out)
        );
        let config = self.file("classifier.toml", &config)?;
        let out = self.path("model")?;
        let train = ["data", "train", &config, "--out", &out];
        self.show(&town.provider, &[&train[..], &chain[..]].concat())?;
        title("What each is credited has a receipt, which anyone checks");
        self.show(&self.data.join("stranger"), &["verify", &format!("{out}/training.json")])?;
        title("The pot is paid in, and claimed after the window, as for answers");
        std::thread::sleep(Duration::from_millis(1_100));
        let settle = ["data", "settle", "--training", "--window", "60"];
        self.show(&town.provider, &[&settle[..], &chain[..]].concat())?;
        http::pass(&town.chain, 61)?;
        let receipts = format!("{out}/receipts");
        for owner in [ada, ben, &eve] {
            println!("({})", owner.name);
            let claim = ["data", "earnings", "--receipts", &receipts, "--claim"];
            self.show(&owner.home, &[&claim[..], &chain[..]].concat())?;
        }
        Ok(())
    }

    /// A service that was made from a fine-tune that was made from a dataset: its channels pay the
    /// vault, and each collects. The provider is started again to be paid there.
    pub(super) fn royalties(&self, town: Town, [ada, ben]: [Owner; 2]) -> anyhow::Result<()> {
        title("Who made what: a dataset, a fine-tune of it, a service on that");
        let at = ["--chain", &town.chain, "--provider", &town.gateway];
        let mut parent = Vec::new();
        let mut made = Value::Null;
        for (home, what) in [
            (&ada.home, &["dataset", "ada"][..]),
            (&ben.home, &["fine-tune", "ada-chat"]),
            (&town.provider, &["service", "ada-chat-online", "--as", "provider"]),
        ] {
            let parent_words: Vec<&str> = parent.iter().map(String::as_str).collect();
            let words = [&["data", "register"], what, &parent_words[..]].concat();
            println!("$ vouch {}", words.join(" "));
            made = self.json(home, &[&words[..], &at[..]].concat())?;
            println!("  {}", word(&made, "node")?);
            parent = vec!["--parent".into(), format!("{}:4000", word(&made, "node")?)];
        }
        let receiver = word(&made, "receiver")?;
        title("The provider is started again, to be paid at the service's receiver");
        let Town { up, provider, .. } = town;
        // Their servers follow the chain that ends here.
        drop((ada.serving, ben.serving, up));
        let (ada, ben) = (ada.home, ben.home);
        let ports = ["--listen", "127.0.0.1:0", "--chain-listen", "127.0.0.1:0", "--json"];
        let sale = ["up", "--receiver", &receiver, "--price-output", "40"];
        println!("$ vouch {}", sale.join(" "));
        let up = Running::start(self.command(&provider, &sale).args(ports))?;
        let (gateway, chain) = (up.field("gateway")?, up.field("chain")?);
        let dave = self.data.join("dave");
        let ask = ["ask", "What is a receipt?", "--provider", &gateway, "--max-tokens", "48"];
        self.show(&dave, &ask)?;
        self.show(&dave, &["channel", "close"])?;
        title("Everyone up the lineage collects; the contract split it");
        let at = ["--chain", &chain, "--provider", &gateway];
        for (name, home) in [("ada", &ada), ("ben", &ben), ("the provider", &provider)] {
            let collect = [&["data", "royalties", "--collect"], &at[..]].concat();
            let taken = self.json(home, &collect)?;
            let taken = &taken["collected"][0]["amount"];
            let digits = taken.as_str().unwrap_or_default().trim_start_matches("0x");
            let units = u64::from_str_radix(digits, 16).context("nothing was collected")?;
            println!("  {name:<13} collected {units} millionths of a dollar");
        }
        self.show(&provider, &[&["data", "royalties", "--explain"], &at[..]].concat())
    }

    /// A directory with one third of the labelled lines.
    fn examples(&self, name: &str, third: usize) -> anyhow::Result<String> {
        let mut lines = String::new();
        for (label, file) in THEMES {
            let text = fs::read_to_string(root().join(file))?;
            let long = text.lines().filter(|line| line.len() > 60 && !line.starts_with('|'));
            for line in long.take(LINES).skip(third).step_by(3) {
                writeln!(lines, "{}", json!({ "text": line, "label": label }))?;
            }
        }
        let directory = self.data.join("documents").join(name);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("examples.jsonl"), lines)?;
        self.path(&format!("documents/{name}"))
    }

    fn path(&self, name: &str) -> anyhow::Result<String> {
        let path = self.data.join(name);
        Ok(path.to_str().context("the data directory is not UTF-8")?.to_owned())
    }
}
