//! One answer: sold, bought, proven, settled.

use std::{path::Path, process::Stdio};

use anyhow::Context;

use super::{Demo, MODEL, Running, title};
use crate::steps::quiet;

const QUESTION: &str = "Explain in two sentences how a notary makes a document trustworthy.";

/// In millionths of a dollar.
struct Balances {
    buyer: i128,
    provider: i128,
}

fn dollars(units: i128) -> String {
    format!("${}.{:06}", units / 1_000_000, units % 1_000_000)
}

impl Demo {
    /// Sells, buys and proves one answer.
    pub(super) fn answer(&self, question: Option<&str>) -> anyhow::Result<()> {
        let question = question.unwrap_or(QUESTION);
        let (provider, buyer, witness) =
            (self.data.join("provider"), self.data.join("buyer"), self.data.join("witness"));
        quiet("model", self.command(&provider, &["model", "fetch"]).stderr(Stdio::inherit()))?;

        title("A provider sells a model; the chain that settles is in the same process");
        let key = self.json(&witness, &["witness", "--show-key"])?;
        let key = key.as_str().context("the witness has no key")?.to_owned();
        // A small quantum and a price that a short answer feels, so that it is paid in several parts.
        let up = ["up", "--witness", &key, "--quantum", "4", "--price-output", "10"];
        let ports = ["--listen", "127.0.0.1:0", "--chain-listen", "127.0.0.1:0", "--json"];
        let up = Running::start(self.command(&provider, &up).args(ports))?;
        let gateway = up.field("gateway")?;
        println!("  gateway  {gateway}\n  chain    {}", up.field("chain")?);
        println!("  sells    {}\n  provider {}", up.field("model")?, up.field("provider")?);

        title("A witness with a key of its own, in a process of its own, follows the log");
        let mut watch = self.command(&witness, &["witness", &gateway]);
        let _witness = Running::start(&mut watch)?;
        println!("  {key}");

        title("A buyer with an empty wallet asks, and pays token by token");
        let bundle = self.data.join("answer.json");
        let bundle = bundle.to_str().context("the data directory is not UTF-8")?;
        let before = self.balances(&buyer, &gateway)?;
        self.show(
            &buyer,
            &["ask", question, "--provider", &gateway, "--temperature", "0", "--bundle", bundle],
        )?;

        title("Anyone who is handed the bundle checks it, offline");
        let stranger = self.data.join("stranger");
        let proof = ["verify", bundle, "--witness", &key, "--model", MODEL];
        self.show(&stranger, &proof)?;

        title("The channel is closed on the chain");
        self.show(&buyer, &["channel", "close"])?;
        let after = self.balances(&buyer, &gateway)?;
        println!("\n             before        after");
        for (who, before, after) in
            [("buyer", before.buyer, after.buyer), ("provider", before.provider, after.provider)]
        {
            println!("  {who:<10} {:<13} {}", dollars(before), dollars(after));
        }
        let given = after.buyer + after.provider - before.buyer - before.provider;
        println!("  (the test chain's faucet filled the empty wallet with {})", dollars(given));
        drop(up);
        title("What remains");
        println!(
            "  $ {} verify {bundle} --model {MODEL}\n  proves the answer again, to anybody who has the file",
            self.binary.display()
        );
        Ok(())
    }

    fn balances(&self, buyer: &Path, gateway: &str) -> anyhow::Result<Balances> {
        let wallet = self.json(buyer, &["wallet", "--provider", gateway])?;
        let units = |who: &str| {
            let units = wallet["balances"][who].as_str().and_then(|units| units.parse().ok());
            units.with_context(|| format!("no balance of the {who} in {wallet}"))
        };
        Ok(Balances { buyer: units("buyer")?, provider: units("provider")? })
    }
}
