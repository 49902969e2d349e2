//! `simulate`: many worlds, one behind the other; see `cargo xtask simulate`.
#![allow(clippy::print_stdout, reason = "a command line prints")]

use std::{process::ExitCode, sync::Mutex, time::Instant};

use clap::Parser;
use vouch_simulation::{Bug, Failure, Report, plant, run};

#[derive(Debug, Parser)]
struct Arguments {
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
    /// A bug to plant first, such as `LostSync`.
    #[arg(long)]
    plant: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(name) = &arguments.plant {
        let Some(bug) = Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == *name) else {
            println!("there is no bug {name}: choose one of {:?}", Bug::ALL);
            return ExitCode::from(2);
        };
        plant(Some(bug));
    }
    // A failed assertion is told with its seed, as any failure.
    std::panic::set_hook(Box::new(|_| {}));
    let start = Instant::now();
    let total = Mutex::new((Report::default(), 0));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for job in 0..arguments.jobs.max(1) {
            let (arguments, total, failures) = (&arguments, &total, &failures);
            scope.spawn(move || work(arguments, job, total, failures));
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    let (report, seeds) = total.into_inner().unwrap_or_default();
    let failures: Vec<Failure> = failures.into_inner().unwrap_or_default();
    let steps = seeds * arguments.steps;
    println!("{seeds} seeds, {steps} steps without a violation in {seconds:.1} s");
    println!("{:.0} steps/s; {report:?}", steps as f64 / seconds);
    for Failure { seed, step, violation } in &failures {
        let planted = arguments.plant.as_ref().map(|bug| format!(" --plant {bug}"));
        println!("seed {seed}, step {step}: {violation}");
        println!(
            "  again: cargo xtask simulate --steps {} --seed {seed}{}",
            arguments.steps,
            planted.unwrap_or_default()
        );
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs every seed whose turn it is; stops at the tenth failure.
fn work(
    arguments: &Arguments,
    job: u64,
    total: &Mutex<(Report, u64)>,
    failures: &Mutex<Vec<Failure>>,
) {
    for place in (job..arguments.seeds).step_by(arguments.jobs.max(1) as usize) {
        match run(arguments.seed + place, arguments.steps) {
            Ok(report) => {
                let Ok(mut total) = total.lock() else { return };
                total.0.add(&report);
                total.1 += 1;
            }
            Err(failure) => {
                let Ok(mut failures) = failures.lock() else { return };
                failures.push(failure);
                if failures.len() >= 10 {
                    return;
                }
            }
        }
    }
}
