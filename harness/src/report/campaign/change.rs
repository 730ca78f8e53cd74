//! What changed since the last campaign.
//!
//! In: this campaign and the digests of earlier ones. Out: signatures that are new, reopened or
//! gone, and cells with another state.
//! Invariant: a cell that one of the two did not exercise has not changed.

use jiff::Timestamp;

use crate::campaign::CellState;
use crate::matrix::COLUMNS;
use crate::report::campaign::grid::Grid;
use crate::report::campaign::numbers::moment;
use crate::report::campaign::past::Digest;

const DAY_SECONDS: i64 = 86_400;

/// Whether a signature was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Novelty {
    /// In no earlier campaign.
    New,
    /// In an earlier one, but not in the last.
    Reopened,
    /// In the last one too.
    Ongoing,
}

impl Novelty {
    /// One word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Reopened => "reopened",
            Self::Ongoing => "ongoing",
        }
    }
}

/// What is known of earlier campaigns.
#[derive(Debug)]
pub(super) struct Past<'a> {
    /// All of them, the oldest first.
    pub(super) all: &'a [Digest],
    /// The one to compare with.
    pub(super) last: Option<&'a Digest>,
}

impl Past<'_> {
    /// Whether this signature was seen before.
    pub(super) fn novelty(&self, signature: &str) -> Novelty {
        if self
            .last
            .is_some_and(|last| last.signatures.contains(signature))
        {
            return Novelty::Ongoing;
        }
        let earlier = |digest: &Digest| digest.signatures.contains(signature);
        if self.all.iter().any(earlier) {
            Novelty::Reopened
        } else {
            Novelty::New
        }
    }

    /// The first campaign that saw this signature.
    pub(super) fn first_seen(&self, signature: &str) -> Option<&Digest> {
        let mut all = self.all.iter();
        all.find(|digest| digest.signatures.contains(signature))
    }

    /// Since when things are called new: `Tuesday`, or a date if it is longer ago.
    pub(super) fn since(&self, started: Option<&str>) -> Option<String> {
        let last = moment(&self.last?.started)?;
        let now = started.and_then(moment).unwrap_or(last);
        Some(day(last, now))
    }
}

/// A day as people call it who read on the day of `now`.
fn day(of: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - of.as_second();
    let form = match seconds {
        0..DAY_SECONDS => "%H:%M UTC on %A",
        ..0 => "%Y-%m-%d",
        _ if seconds < 6 * DAY_SECONDS => "%A",
        _ => "%Y-%m-%d",
    };
    of.strftime(form).to_string()
}

/// A signature that the last campaign had and this one has not.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) id: String,
    pub(super) meaning: String,
}

/// A cell with another state than in the last campaign.
#[derive(Debug)]
pub(super) struct Turned {
    pub(super) cell: String,
    pub(super) anchor: String,
    pub(super) was: &'static str,
    pub(super) is: &'static str,
    pub(super) because: String,
}

/// The signatures of the last campaign that were not seen this time.
pub(super) fn gone(now: &Digest, past: &Past<'_>) -> Vec<Gone> {
    let Some(last) = past.last else {
        return Vec::new();
    };
    let missing = last.signatures.difference(&now.signatures);
    missing
        .map(|id| Gone {
            id: id.clone(),
            meaning: last.meanings.get(id).cloned().unwrap_or_default(),
        })
        .collect()
}

/// The cells that changed, the broken ones first.
pub(super) fn turned(grid: &Grid, past: &Past<'_>) -> Vec<Turned> {
    let letters = past.last.map_or("", |last| last.cells.as_str());
    let before: Vec<CellState> = letters.chars().filter_map(state_of).collect();
    if before.len() != grid.rows.len() * COLUMNS.len() {
        return Vec::new();
    }
    let mut turned = Vec::new();
    for ((row, column, cell), was) in grid.cells().zip(before) {
        let unknown = CellState::NotExercised;
        if was == cell.state || was == unknown || cell.state == unknown {
            continue;
        }
        let change = Turned {
            cell: grid.name(row, column),
            anchor: super::matrix::anchor(row, column),
            was: was.words(),
            is: cell.state.words(),
            because: cell.because.clone(),
        };
        turned.push((cell.state != CellState::Broken, change));
    }
    turned.sort_by_key(|(is_fine, _)| *is_fine);
    turned.into_iter().map(|(_, change)| change).collect()
}

fn state_of(letter: char) -> Option<CellState> {
    let mut states = CellState::ALL.into_iter();
    states.find(|state| state.letter() == letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_called_as_people_call_them() {
        let at = |text: &str| moment(text).expect("a moment");
        let now = at("2026-11-30T02:00:00Z");
        for (of, wanted) in [
            ("2026-11-29T23:10:00Z", "23:10 UTC on Sunday"),
            ("2026-11-28T02:00:00Z", "Saturday"),
            ("2026-11-20T02:00:00Z", "2026-11-20"),
            ("2026-12-02T02:00:00Z", "2026-12-02"),
        ] {
            assert_eq!(day(at(of), now), wanted);
        }
    }

    #[test]
    fn a_signature_is_new_once() {
        let with = |ids: &[&str]| Digest {
            signatures: ids.iter().map(|&id| id.to_owned()).collect(),
            ..Digest::default()
        };
        let all = [with(&["a", "b"]), with(&["b"])];
        let past = Past {
            all: &all,
            last: all.last(),
        };
        assert_eq!(past.novelty("a"), Novelty::Reopened);
        assert_eq!(past.novelty("b"), Novelty::Ongoing);
        assert_eq!(past.novelty("c"), Novelty::New);
        let gone = gone(&with(&["a"]), &past);
        assert_eq!(gone.first().map(|gone| gone.id.as_str()), Some("b"));
    }
}
