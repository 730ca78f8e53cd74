//! `verdict up`: a plain cluster on 127.0.0.1, without a sandbox, for a person's own clients.

use std::path::PathBuf;

use broker::shell::{UpOptions, up as run_until_stopped};

use crate::cli::UpArgs;
use crate::cli::exit::Exit;
use crate::cli::say::say;

/// Runs the cluster until Ctrl-C or SIGTERM. The first line on stdout is
/// `bootstrap.servers=…`, printed when the cluster serves.
pub fn up(arguments: &UpArgs) -> Exit {
    match run(arguments) {
        Ok(()) => Exit::Kept,
        Err((exit, message)) => {
            eprintln!("verdict: {message}");
            exit
        }
    }
}

fn run(arguments: &UpArgs) -> Result<(), (Exit, String)> {
    let (data, _temporary) = directory(arguments)?;
    let options = UpOptions {
        nodes: arguments.nodes,
        base_port: arguments.base_port,
        data,
        overrides: arguments.settings.clone(),
    };
    let ended = run_until_stopped(&options, |servers| say!("bootstrap.servers={servers}"));
    ended.map_err(|error| {
        use broker::shell::UpError::{Config, Ports};
        let exit = match error {
            Config(_) | Ports { .. } => Exit::Usage,
            _ => Exit::HarnessFault,
        };
        (exit, error.to_string())
    })
}

/// Where the data stays: the directory asked for, or one that goes with the guard.
fn directory(arguments: &UpArgs) -> Result<(PathBuf, Option<tempfile::TempDir>), (Exit, String)> {
    match &arguments.data {
        Some(data) => Ok((data.clone(), None)),
        None => {
            let temporary = tempfile::Builder::new().prefix("verdict-up-").tempdir();
            let temporary = temporary.map_err(|error| {
                let remedy = "choose a place with --data";
                (
                    Exit::Usage,
                    format!("cannot make a directory for the data: {error}; {remedy}"),
                )
            })?;
            Ok((temporary.path().to_owned(), Some(temporary)))
        }
    }
}
