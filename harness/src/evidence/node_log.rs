//! The lines that the nodes printed, on the clock of the run.
//!
//! In: the logs of a result directory, and when its run began. Out: the lines, in the order of
//! each file, without the settings that every start prints.
//! Invariant: a line is as it was printed, but for its length and its time; the memory is bounded.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use jiff::Timestamp;

use crate::cluster::node::LOG_FILE;
use crate::run::store::Store;

/// Characters of a line that are kept.
const CHARACTERS_MAX: usize = 300;
/// Lines of a node that are kept; its first ones.
const LINES_MAX: usize = 20_000;
/// Bytes of one line that are looked at.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// What every start prints some hundred times.
const SETTING: &str = ": setting key=";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The node.
    pub(super) node: i32,
    /// Milliseconds since the start of the run; a line without a time has that of the one before.
    pub(super) at_ms: Option<u64>,
    /// Whether the line says its time itself.
    pub(super) is_timed: bool,
    /// What it says, without the time.
    pub(super) text: String,
}

impl Line {
    /// The number behind `field`, which ends with `=`.
    pub(super) fn number(&self, field: &str) -> Option<u64> {
        let at = self.text.find(field)? + field.len();
        let rest = self.text.get(at..)?;
        let end = rest.find(|c: char| !c.is_ascii_digit());
        rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
    }

    /// The word behind `field`, which ends with `=`.
    pub(super) fn word(&self, field: &str) -> Option<&str> {
        let at = self.text.find(field)? + field.len();
        self.text.get(at..)?.split_whitespace().next()
    }

    /// Whether it is about this partition.
    pub(super) fn is_about(&self, partition: &str) -> bool {
        let mut places = self.text.match_indices(partition);
        places.any(|(at, _)| {
            let rest = self.text.get(at + partition.len()..).unwrap_or_default();
            !rest.starts_with(|c: char| c.is_ascii_digit())
        })
    }
}

/// The lines of the nodes 1 to `nodes`.
pub(super) fn read(
    store: &Store,
    nodes: u32,
    started: Option<Timestamp>,
    problems: &mut Vec<String>,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for node in 1..=nodes as i32 {
        let path = store.node_log(node).join(LOG_FILE);
        if let Err(problem) = read_one(&path, node, started, &mut lines) {
            problems.push(format!("{}: {problem}", path.display()));
        }
    }
    lines
}

fn read_one(
    path: &Path,
    node: i32,
    started: Option<Timestamp>,
    lines: &mut Vec<Line>,
) -> Result<(), String> {
    let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    let mut input = BufReader::new(file);
    let mut buffer = Vec::new();
    let (mut count, mut at_ms) = (0, None);
    loop {
        buffer.clear();
        let mut piece = input.by_ref().take(LINE_BYTES_MAX);
        let length = piece.read_until(b'\n', &mut buffer);
        if length.map_err(|error| format!("cannot be read: {error}"))? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&buffer);
        let text = text.trim_end();
        if text.is_empty() || text.contains(SETTING) {
            continue;
        }
        if count == LINES_MAX {
            return Err(format!("only its first {LINES_MAX} lines were looked at"));
        }
        count += 1;
        let (time, text) = split(text);
        let own = time.and_then(|time| since(time, started?));
        at_ms = own.or(at_ms);
        lines.push(Line {
            node,
            at_ms,
            is_timed: own.is_some(),
            text: text.chars().take(CHARACTERS_MAX).collect(),
        });
    }
}

/// The time at the beginning of a line, and the rest.
fn split(text: &str) -> (Option<Timestamp>, &str) {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match first.parse() {
        Ok(time) => (Some(time), rest.trim_start()),
        Err(_) => (None, text),
    }
}

fn since(time: Timestamp, started: Timestamp) -> Option<u64> {
    u64::try_from(time.as_millisecond() - started.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn lines_are_put_on_the_clock_of_the_run_and_settings_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.log");
        let text = "2026-01-01T00:00:01.500000Z  INFO b: setting key=\"a\" value=1\n\
                    2026-01-01T00:00:02.500000Z  INFO b: leads partition=t-1 leader_epoch=12\n\
                    panicked at somewhere\n\n\
                    2026-01-01T00:00:03Z  WARN broker::y: partition=t-11 ä";
        fs::write(&path, text).unwrap();
        let started = "2026-01-01T00:00:01Z".parse().unwrap();
        let mut lines = Vec::new();
        read_one(&path, 2, Some(started), &mut lines).unwrap();
        let times: Vec<_> = lines
            .iter()
            .map(|line| (line.at_ms, line.is_timed))
            .collect();
        assert_eq!(
            times,
            [
                (Some(1_500), true),
                (Some(1_500), false),
                (Some(2_000), true)
            ]
        );
        let [leads, panic, other] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert_eq!(leads.number("leader_epoch="), Some(12));
        assert_eq!(panic.text, "panicked at somewhere");
        assert!(leads.is_about("t-1") && !other.is_about("t-1") && other.is_about("t-11"));
    }

    #[test]
    fn a_log_that_is_missing_or_endless_is_named_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        let log = store.node_log(1);
        fs::create_dir_all(&log).unwrap();
        fs::write(log.join(LOG_FILE), "x\n".repeat(LINES_MAX + 5)).unwrap();
        let mut problems = Vec::new();
        let lines = read(&store, 2, None, &mut problems);
        assert_eq!(lines.len(), LINES_MAX);
        assert!(problems[0].contains("n1") && problems[0].contains("only its first"));
        assert!(problems[1].contains("n2") && problems[1].contains("cannot be opened"));
    }
}
