//! From the stored history to the verdict of the checkers.
//!
//! The run is judged from its file, not from memory, so that `verdict check` sees the same.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use checkers::contract::Contract;
use checkers::history::{History, Settings};
use checkers::verdict::Verdict;
use thiserror::Error;

/// A history that cannot be judged: the file, the line and the remedy in one line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {problem}")]
pub struct Unreadable {
    /// The file.
    pub path: String,
    /// The line and what is wrong with it.
    pub problem: String,
}

/// Judges the history at `path` by its own settings, or by `settings` instead.
pub fn judge(path: &Path, settings: Option<Settings>) -> Result<Verdict, Unreadable> {
    let mut history = read_history(path)?;
    if let Some(settings) = settings {
        history.header.settings = settings;
    }
    Ok(checkers::check(&history, &Contract::of(&history)))
}

/// Reads the history at `path`.
pub fn read_history(path: &Path) -> Result<History, Unreadable> {
    let fail = |problem: String| Unreadable {
        path: path.display().to_string(),
        problem,
    };
    let file = File::open(path).map_err(|error| fail(format!("cannot be opened: {error}")))?;
    History::read(BufReader::new(file)).map_err(|error| fail(error.to_string()))
}
