//! The `verdict` command: decides the process's role, reads the command line, runs one command.

use std::process::ExitCode;

use harness::cli::exit::Exit;
use harness::cli::{self, Command};
use harness::doctor;
use harness::roles::{self, Place, Roles};
use harness::sandbox::enter;

/// mimalloc answers an absurd allocation with failure instead of aborting (crates.md §2).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let roles = Roles {
        node: harness::cluster::role::run,
        worker: harness::worker::role::run,
    };
    match roles::dispatch(&roles) {
        Ok(place) => run(place),
        Err(code) => code,
    }
}

fn run(place: Place) -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    let exit = match cli.command {
        Command::Doctor(arguments) => return doctor::run(arguments.json),
        Command::Run(arguments) => match cli::run::plans(&arguments) {
            Ok(plans) => inside(place, || cli::run::run(&arguments, plans)),
            Err(exit) => exit,
        },
        Command::Replay(arguments) if arguments.times > 1 => cli::replay::replay(&arguments),
        Command::Replay(arguments) => match cli::replay::plans(&arguments) {
            Ok(plans) => inside(place, || {
                cli::run::run(&cli::replay::as_run(&arguments), plans)
            }),
            Err(exit) => exit,
        },
        Command::Matrix(arguments) => cli::campaign::matrix(&arguments),
        Command::Campaign(arguments) => cli::campaign::campaign(&arguments),
        Command::Merge(arguments) => cli::campaign::merge(&arguments),
        Command::Minimize(arguments) => cli::minimize::minimize(&arguments),
        Command::Contract(arguments) => cli::contract::contract(&arguments),
        Command::Check(arguments) => cli::check::check(&arguments),
        Command::Report(arguments) => cli::report::report(&arguments),
        Command::Compare(arguments) => cli::compare::compare(&arguments),
        Command::Serve(arguments) => harness::serve::serve(&arguments),
        Command::CrashImages(arguments) => match cli::crash_images::subject(&arguments) {
            Ok(subject) => inside(place, || {
                cli::crash_images::crash_images(&arguments, &subject)
            }),
            Err(exit) => exit,
        },
        Command::List(arguments) => cli::list::list(&arguments),
        Command::Up(arguments) => cli::up::up(&arguments),
    };
    exit.into()
}

/// Runs `command` inside the sandbox, entering it first: that runs this program again.
fn inside(place: Place, command: impl FnOnce() -> Exit) -> Exit {
    if place == Place::Sandbox {
        return command();
    }
    match doctor::require_sandbox() {
        Ok(()) => eprintln!("verdict: {}", enter::enter()),
        Err(refusal) => eprintln!("verdict: {refusal}"),
    }
    Exit::MachineCannot
}
