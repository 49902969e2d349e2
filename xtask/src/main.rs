//! The project's own commands: `cargo xtask setup | demo | test | simulate | fuzz | bench`.
//!
//! Depends on no crate of the workspace, so that it can build what they need before they compile.
#![allow(clippy::print_stdout, reason = "a command line prints")]

mod bench;
mod demo;
mod fuzz;
mod setup;
mod simulate;
mod steps;
mod test;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds what the workspace needs before it compiles: the contracts, from npm.
    Setup,
    /// Sells, buys and proves one answer, from nothing.
    Demo(demo::Arguments),
    /// Runs every test: Rust, doctests, Solidity, foreign clients.
    Test(test::Arguments),
    /// Feeds each decoder of foreign bytes with what a fuzzer comes upon.
    Fuzz(fuzz::Arguments),
    /// Measures ours and its peer, in turn.
    Bench(bench::Arguments),
    /// Runs the house in simulated worlds, any fault repeatable by its seed.
    Simulate(simulate::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Setup => setup::contracts(),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
    }
}
