//! From the stored history to the verdict of the checkers.
//!
//! The run is judged from its file, not from memory, so that `verdict check` sees the same.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use checkers::availability::{Availability, availability};
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

/// What a history says.
#[derive(Debug)]
pub struct Judged {
    /// Of the whole run: the worst of its topics.
    pub verdict: Verdict,
    /// Of each topic; one without a name for a run of one topic.
    pub topics: Vec<JudgedTopic>,
}

/// What a history says of one topic.
#[derive(Debug)]
pub struct JudgedTopic {
    /// Its name, if the run had several.
    pub topic: Option<String>,
    /// The judgement by its own contract.
    pub verdict: Verdict,
    /// The longest time in which every send to some partition of it waited, in milliseconds.
    pub unavailable_ms: u64,
}

/// Judges the history at `path` by its own settings, or all of it by `settings` instead.
pub fn judge(path: &Path, settings: Option<Settings>) -> Result<Verdict, Unreadable> {
    judge_topics(path, settings).map(|judged| judged.verdict)
}

/// The same, with the judgement of each topic.
pub fn judge_topics(path: &Path, settings: Option<Settings>) -> Result<Judged, Unreadable> {
    let mut history = read_history(path)?;
    if let Some(settings) = settings {
        history.header.settings = settings;
        history.header.topics.clear();
    }
    let topics = checkers::check_topics(&history);
    if let Some(verdict) = checkers::worst_of(&topics) {
        let topics = topics.into_iter().map(|judged| JudgedTopic {
            unavailable_ms: unavailable_ms(&judged.history),
            topic: Some(judged.topic),
            verdict: judged.verdict,
        });
        let topics = topics.collect();
        return Ok(Judged { verdict, topics });
    }
    let verdict = checkers::check(&history, &Contract::of(&history));
    let only = JudgedTopic {
        topic: None,
        verdict: verdict.clone(),
        unavailable_ms: unavailable_ms(&history),
    };
    Ok(Judged {
        verdict,
        topics: vec![only],
    })
}

fn unavailable_ms(history: &History) -> u64 {
    let waits = availability(history);
    let longest = waits.values().map(Availability::longest).max();
    longest.unwrap_or(0) / 1_000_000
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
