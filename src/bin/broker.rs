//! The broker process: one node, until SIGTERM or SIGINT.
//!
//! In: `--config FILE`, `--set key=value`, `--sabotage NAME`. Out: tracing lines on stderr; exit
//! code 0 after a controlled shutdown, 1 if the node could not start or halted, 2 for a wrong
//! configuration. A failure is one line on stderr that says what would be right.

use std::path::PathBuf;
use std::process::ExitCode;

use broker::config::Settings;
use broker::config::sabotage::{self, Sabotage};
use broker::shell;
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// It turns absurd reservations of a decoder into address space instead of an abort.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A replicated log broker that speaks the Kafka wire protocol.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A properties file with Kafka's keys.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting that wins over the file.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// A bug to plant (needs the feature `sabotage`).
    #[arg(long, value_name = "NAME")]
    sabotage: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let settings = match settings(&arguments) {
        Ok(settings) => settings,
        Err(message) => {
            eprintln!("broker: {message}");
            return ExitCode::from(2);
        }
    };
    match shell::run_until_signal(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("broker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn settings(arguments: &Arguments) -> Result<Settings, String> {
    if let Some(name) = &arguments.sabotage {
        let known = || Sabotage::ALL.map(Sabotage::name).join(", ");
        let bug = Sabotage::from_name(name)
            .ok_or_else(|| format!("unknown sabotage {name}: it must be one of {}", known()))?;
        sabotage::plant(bug)?;
    }
    let properties = match &arguments.config {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        None => String::new(),
    };
    let place = arguments
        .config
        .as_ref()
        .map(|path| format!("{}: ", path.display()));
    Settings::parse(&properties, &arguments.overrides)
        .map_err(|error| format!("{}{error}", place.unwrap_or_default()))
}
