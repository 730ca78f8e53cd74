//! `verdict compare`: finished runs beside each other on one page.

use std::path::{Path, PathBuf};

use crate::cli::CompareArgs;
use crate::cli::exit::Exit;
use crate::cli::say::say;
use crate::report::compare;

/// Reads the runs, writes the page, prints where it is.
pub fn compare(arguments: &CompareArgs) -> Exit {
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| beside(&arguments.runs));
    let page = compare::compare(&arguments.runs).map_err(|error| error.to_string());
    let written = page.and_then(|page| {
        let path = out.display();
        std::fs::write(&out, page).map_err(|error| format!("{path}: {error}; choose --out"))
    });
    match written {
        Ok(()) => {
            say!("{}", out.display());
            Exit::Kept
        }
        Err(message) => {
            eprintln!("verdict: {message}");
            Exit::Usage
        }
    }
}

fn beside(runs: &[PathBuf]) -> PathBuf {
    let first = runs.first().and_then(|run| run.canonicalize().ok());
    let parent = first.as_deref().and_then(Path::parent);
    parent.unwrap_or(Path::new(".")).join("compare.html")
}
