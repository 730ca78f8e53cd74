//! What a campaign does, one JSON line an event, for tools that follow it: `events.jsonl`.
//!
//! In: what happens. Out: a line with the time.
//! Invariant: an event is written after what it tells of is stored.

use serde::Serialize;

use crate::campaign::record::RunRecord;

/// Something that happened.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// The campaign begins, or goes on.
    Begun {
        /// Runs that are there from before.
        runs: usize,
        /// Runs at the same time.
        jobs: usize,
        /// The budget in seconds, of which some may be used; none if only units are counted.
        budget_s: Option<u64>,
    },
    /// A unit is begun.
    UnitBegun {
        /// Its id.
        unit: &'a str,
        /// What it is.
        label: &'a str,
    },
    /// A unit has ended.
    UnitEnded {
        /// Its id.
        unit: &'a str,
        /// The exit code of its run.
        exit_code: u8,
        /// How long it took, in milliseconds.
        duration_ms: u64,
        /// The verdict in a sentence.
        sentence: &'a str,
        /// Signatures of what it found.
        findings: Vec<&'a str>,
    },
    /// A unit was stopped with the campaign, and will be run again.
    UnitInterrupted {
        /// Its id.
        unit: &'a str,
    },
    /// The campaign ends, or is left for now.
    Ended {
        /// Runs that are stored.
        runs: usize,
        /// Its exit code.
        exit_code: u8,
        /// The verdict in a sentence.
        sentence: &'a str,
    },
}

impl<'a> Event<'a> {
    /// The end of a unit.
    pub fn ended(record: &'a RunRecord) -> Self {
        Self::UnitEnded {
            unit: &record.unit,
            exit_code: record.exit_code,
            duration_ms: record.duration_ms,
            sentence: &record.sentence,
            findings: record
                .findings
                .iter()
                .map(|finding| finding.id.as_str())
                .collect(),
        }
    }

    /// The event as a line, without its end.
    pub fn line(&self, time: &str) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            time: &'a str,
            #[serde(flatten)]
            event: &'a Event<'a>,
        }
        let text = serde_json::to_string(&Line { time, event: self });
        text.expect("invariant: an event is plain data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_time_its_name_and_no_line_breaks() {
        let event = Event::UnitBegun {
            unit: "00ff",
            label: "a\nb",
        };
        assert_eq!(
            event.line("2026-11-30T12:00:00Z"),
            r#"{"time":"2026-11-30T12:00:00Z","event":"unit-begun","unit":"00ff","label":"a\nb"}"#
        );
    }
}
