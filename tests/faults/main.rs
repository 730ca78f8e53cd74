//! Faults on real processes, each scenario a test, all inside one sandbox.
//!
//! Run by `cargo test --test faults [NAME]`. Where the machine refuses the sandbox, the scenarios
//! are skipped with the reason; with `VERDICT_REQUIRE_SANDBOX` set, that is a failure.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "real processes, sockets and clocks are what these tests are about"
)]
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod brokers;
mod campaigns;
mod crash_images;
mod damage;
mod directories;
mod disk_rules;
mod disk_runs;
mod disk_semantics;
mod disks;
mod groups;
mod links;
mod nemesis;
mod planted;
mod power;
mod quotas;
mod resources;
mod runs;
mod sandbox;
mod support;
mod tolerance;

use std::ffi::OsString;
use std::process::ExitCode;

use harness::doctor;
use harness::roles::{self, Place, Roles};
use harness::sandbox::enter;
use libtest_mimic::{Arguments, Trial};

const ROLES: Roles = Roles {
    node,
    worker: harness::worker::role::run,
};

/// What a test binary says when a test failed.
const FAILED: u8 = 101;

fn main() -> ExitCode {
    let place = match roles::dispatch(&ROLES) {
        Ok(place) => place,
        Err(code) => return code,
    };
    if std::env::var_os(campaigns::AS_CLI).is_some() {
        return campaigns::as_cli(place);
    }
    let first = std::env::args().nth(1);
    match (place, first.as_deref()) {
        (Place::Host, _) => enter_or_skip(),
        (Place::Sandbox, Some(sandbox::NESTED)) => sandbox::run_nested(),
        (Place::Sandbox, _) => scenarios(),
    }
}

/// One kind after the other; of each the longest first, so that nothing is left to wait for alone.
fn scenarios() -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let on_stand_ins = [
        disk_semantics::trials(),
        directories::trials(),
        nemesis::trials(),
        damage::trials(),
        brokers::trials(),
        links::trials(),
        power::trials(),
        disks::trials(),
        resources::trials(),
        quotas::trials(),
        disk_rules::trials(),
        sandbox::trials(),
    ];
    let whole_runs = [
        tolerance::trials(),
        crash_images::trials(),
        campaigns::trials(),
        planted::controls(),
        disk_runs::trials(),
        quotas::runs(),
        groups::trials(),
        runs::trials(),
    ];
    let short_moments = [crash_images::planted(), planted::trials()];
    let mut has_failed = false;
    for (trials, at_once) in [
        // They compute a tenth of their time.
        (on_stand_ins.concat_trials(), 2 * cores),
        // They compute half of their time.
        (whole_runs.concat_trials(), cores + cores / 2),
        // A planted bug that shows in a short moment (a load that stops at the high watermark) does
        // not show on a machine that is full.
        (short_moments.concat_trials(), cores),
    ] {
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(at_once);
        has_failed |= libtest_mimic::run(&arguments, trials).has_failed();
    }
    ExitCode::from(if has_failed { FAILED } else { 0 })
}

fn enter_or_skip() -> ExitCode {
    let Err(refusal) = doctor::require_sandbox() else {
        eprintln!("{}", enter::enter());
        return ExitCode::FAILURE;
    };
    let is_required = std::env::var_os("VERDICT_REQUIRE_SANDBOX").is_some();
    println!(
        "{}: all of tests/faults: {refusal}",
        if is_required { "FAILED" } else { "SKIPPED" }
    );
    ExitCode::from(u8::from(is_required))
}

/// A broker where one is configured, else a stand-in for it.
fn node(args: Vec<OsString>) -> ExitCode {
    if args.first().is_some_and(|first| first == "--config") {
        return harness::cluster::role::run(args);
    }
    support::node::run(&args)
}

trait ConcatTrials {
    fn concat_trials(self) -> Vec<Trial>;
}

impl<const N: usize> ConcatTrials for [Vec<Trial>; N] {
    fn concat_trials(self) -> Vec<Trial> {
        self.into_iter().flatten().collect()
    }
}
