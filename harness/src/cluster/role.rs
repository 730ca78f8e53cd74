//! The node role of the one binary: a broker, as the command `broker` runs it.
//!
//! In: `--config FILE` and perhaps `--sabotage NAME`. Out: log lines on stderr, and the exit code:
//! 0 after a controlled shutdown, 1 if the node could not start or halted, 2 for a wrong
//! configuration.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use broker::config::Settings;
use broker::config::sabotage::{self, Sabotage};
use clap::Parser;
use tracing_subscriber::EnvFilter;

#[derive(Debug, Parser)]
#[command(name = "node")]
struct Arguments {
    #[arg(long)]
    config: PathBuf,
    #[arg(long)]
    sabotage: Option<String>,
}

/// Runs a broker until SIGTERM or SIGINT.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let settings = match settings(arguments) {
        Ok(settings) => settings,
        Err(message) => {
            eprintln!("node: {message}");
            return ExitCode::from(2);
        }
    };
    match broker::shell::run_until_signal(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("node: {error}");
            ExitCode::FAILURE
        }
    }
}

fn settings(arguments: Vec<OsString>) -> Result<Settings, String> {
    let arguments = std::iter::once("node".into()).chain(arguments);
    let arguments = Arguments::try_parse_from(arguments).map_err(|error| error.to_string())?;
    if let Some(name) = &arguments.sabotage {
        let bug = Sabotage::from_name(name).ok_or_else(|| format!("no planted bug is {name}"))?;
        sabotage::plant(bug)?;
    }
    let path = &arguments.config;
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Settings::parse::<&str>(&text, &[]).map_err(|error| format!("{}: {error}", path.display()))
}
