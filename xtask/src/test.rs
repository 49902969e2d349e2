//! `cargo xtask test`: every test by one command.

use std::time::Instant;

use crate::{
    setup,
    steps::{cargo, command, require, shown},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many times the crash tests kill the real process.
    #[arg(long, default_value_t = 20)]
    kills: u32,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let start = Instant::now();
    require("cargo-nextest", "runs the tests", "cargo install --locked cargo-nextest")?;
    println!("==> set-up");
    setup::contracts()?;
    setup::clients()?;
    shown("contracts", &mut command("npm", &["test", "--silent"], "contracts"))?;
    let snapshot = ["run", "snapshot", "--silent"];
    shown("contracts: gas", &mut command("npm", &snapshot, "contracts"))?;
    let kills = arguments.kills.to_string();
    let mut nextest = cargo(&["nextest", "run", "--workspace"]);
    shown("Rust and real processes", nextest.env("VOUCH_TEST_KILLS", kills))?;
    shown("doctests", &mut cargo(&["test", "--workspace", "--doc", "--quiet"]))?;
    println!("==> all tests: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
