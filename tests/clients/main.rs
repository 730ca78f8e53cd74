//! Real clients, real input: other people's clients on a cluster whose nodes are killed, alone and
//! as members of groups.
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
mod groups;
mod member;
mod process;
mod resume;
mod scenario;
mod text;
mod wait;

use std::process::ExitCode;
use std::thread::available_parallelism;

use foreign::{Client, Foreign};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let mut trials = vec![resume::trial()];
    for foreign in Foreign::ALONE {
        let name = format!("{}_while_a_leader_is_killed", foreign.name());
        trials.push(trial(name, &[foreign], async |clients| {
            scenario::run(&clients[0]).await
        }));
    }
    trials.push(trial(
        "kcat_and_every_compression",
        &[Foreign::Kcat],
        async |clients| codecs::run(&clients[0]).await,
    ));
    for foreign in Foreign::MEMBERS {
        let name = format!("{}_shares_and_resumes_in_a_group", foreign.name());
        trials.push(trial(name, &[foreign], groups::alone));
    }
    let roundrobin = [Foreign::Confluent, Foreign::KafkaPython, Foreign::Aiokafka];
    trials.push(trial("a_mixed_group", &roundrobin, groups::mixed));
    for foreign in Foreign::MEMBERS {
        let name = format!("{}_while_its_coordinator_is_killed", foreign.name());
        trials.push(match foreign {
            Foreign::Kafkajs => trial(name, &[foreign], groups::coordinator_killed_and_joined_anew),
            _ => trial(name, &[foreign], groups::coordinator_killed),
        });
    }
    let mut arguments = Arguments::from_args();
    // A client that starts, joins or misses a broker mostly waits.
    let cores = available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(cores);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A trial that needs all of `foreign`, and is given them.
fn trial(
    name: impl Into<String>,
    foreign: &[Foreign],
    run: impl AsyncFnOnce(&[Client]) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let foreign = foreign.to_vec();
    Trial::test(name, move || {
        let found: Result<Vec<_>, _> = foreign.into_iter().map(Foreign::find).collect();
        let clients = match found {
            Ok(clients) => clients,
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
        runtime.block_on(run(&clients))
    })
}
