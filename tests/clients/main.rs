//! Real clients, real input: other people's clients on a cluster whose leader is killed.
//!
//! Run by `cargo test --test clients [NAME]`. A client that this machine lacks is skipped with
//! the reason; with `VERDICT_REQUIRE_CLIENTS` set, that is a failure.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    reason = "real processes and clocks are what these tests are about"
)]

mod cluster;
mod codecs;
mod compare;
mod foreign;
mod process;
mod scenario;
mod text;
mod wait;

use std::process::ExitCode;

use foreign::{Client, Foreign};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let kill = |foreign: Foreign| {
        Trial::test(
            format!("{}_while_a_leader_is_killed", foreign.name()),
            move || trial(foreign, async |client| scenario::run(client).await),
        )
    };
    let mut trials: Vec<_> = Foreign::ALL.map(kill).into();
    trials.push(Trial::test("kcat_and_every_compression", || {
        trial(Foreign::Kcat, async |client| codecs::run(client).await)
    }));
    let mut arguments = Arguments::from_args();
    // Each trial has three brokers: one at a time is fastest on a small machine.
    arguments.test_threads.get_or_insert(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(
    foreign: Foreign,
    run: impl AsyncFnOnce(&Client) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let client = match foreign.find() {
        Ok(client) => client,
        Err(missing) if std::env::var_os("VERDICT_REQUIRE_CLIENTS").is_some() => {
            return Err(missing.into());
        }
        Err(missing) => {
            println!("skipped: {missing}");
            return Ok(());
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(&client))
}
