//! The files of a finished run, as far as its page is made of them.
//!
//! In: a result directory. Out: plan, summary, events, evidence and the digest of the history.
//! Invariant: what is missing because it came later than the run (evidence) is empty; what cannot
//! be read is an error of one line that names the file, the line and the remedy.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::evidence::Evidence;
use crate::plan::Plan;
use crate::plan::load::PlanError;
use crate::run::events::Event;
use crate::run::store::Store;
use crate::run::summary::Summary;

/// A file of a run that the page needs and that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Another file.
    #[error("{}: {reason}; {remedy}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with the line if it has lines.
        reason: String,
        /// What would help.
        remedy: &'static str,
    },
}

/// The plan of the run in `store`.
pub(super) fn plan(store: &Store) -> Result<Plan, StoredError> {
    Ok(Plan::load(&store.plan())?)
}

/// How the run in `store` ended.
pub(super) fn summary(store: &Store) -> Result<Summary, StoredError> {
    let remedy = "a run that was killed has none: `verdict check` judges its history.jsonl";
    json(&store.verdict(), remedy)
}

/// What was found around the anomalies of the run in `store`; empty for runs without it.
pub(super) fn evidence(store: &Store) -> Result<Evidence, StoredError> {
    let path = store.evidence();
    if !path.exists() {
        return Ok(Evidence::default());
    }
    json(&path, "remove it, and the page is made without it")
}

/// The events at `path`. A last line that was cut off in its middle is what a killed harness
/// leaves: it is dropped.
pub(super) fn events(path: &Path) -> Result<Vec<Event>, StoredError> {
    let remedy = "the timeline is drawn from this file";
    let fail = |reason: String| StoredError::File {
        path: path.to_owned(),
        reason,
        remedy,
    };
    let text = fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    let mut events = Vec::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        match serde_json::from_str(line) {
            Ok(event) => events.push(event),
            Err(_) if !line.ends_with('\n') => {}
            Err(error) => return Err(fail(format!("line {}: {error}", index + 1))),
        }
    }
    Ok(events)
}

fn json<T: DeserializeOwned>(path: &Path, remedy: &'static str) -> Result<T, StoredError> {
    let fail = |reason: String| StoredError::File {
        path: path.to_owned(),
        reason,
        remedy,
    };
    let text = fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| fail(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_rubbish_is_named_and_one_that_was_cut_off_is_dropped() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("events.jsonl");
        let good = "{\"time\":1,\"event\":\"note\",\"text\":\"x\"}\n";
        fs::write(&path, format!("{good}{{\"time\":2,\"ev")).expect("written");
        assert_eq!(events(&path).expect("read").len(), 1);
        fs::write(&path, format!("{good}rubbish\n{good}")).expect("written");
        let error = events(&path).expect_err("refused").to_string();
        assert!(error.contains("events.jsonl: line 2"), "{error}");
    }

    #[test]
    fn a_run_without_a_verdict_is_refused_in_one_line_with_the_remedy() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path());
        let error = summary(&store).expect_err("refused").to_string();
        assert!(
            error.contains("verdict.json") && error.contains("verdict check"),
            "{error}"
        );
        assert!(
            evidence(&store)
                .expect("none is no error")
                .stories
                .is_empty()
        );
        fs::write(dir.path().join("evidence.json"), "{\"rea").expect("written");
        let error = evidence(&store).expect_err("refused").to_string();
        assert!(
            error.contains("evidence.json") && error.contains("line 1"),
            "{error}"
        );
    }
}
