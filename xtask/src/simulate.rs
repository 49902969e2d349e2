//! `cargo xtask simulate`: many simulated worlds, one seed each.

use anyhow::bail;

use crate::{
    setup,
    steps::{cargo, target},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Steps of each world.
    #[arg(long, default_value_t = 2000)]
    steps: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, counted up from the first.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// How many worlds at a time.
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// A bug to plant first, such as LostSync: it must be found.
    #[arg(long)]
    plant: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    setup::contracts()?;
    // With the whole workspace's features, so that nothing is built twice.
    let build = ["build", "--quiet", "--workspace", "--bin", "simulate"];
    if !cargo(&build).status()?.success() {
        bail!("the simulation does not build");
    }
    let mut simulate = std::process::Command::new(target()?.join("debug/simulate"));
    let numbers = [
        ("--steps", arguments.steps),
        ("--seed", arguments.seed),
        ("--seeds", arguments.seeds),
        ("--jobs", arguments.jobs),
    ];
    for (name, number) in numbers {
        simulate.arg(name).arg(number.to_string());
    }
    if let Some(bug) = &arguments.plant {
        simulate.args(["--plant", bug]);
    }
    let status = simulate.status()?;
    if !status.success() {
        bail!("the simulation found a violation, or could not run ({status})");
    }
    Ok(())
}
