//! The pass against exhaustive search, on small histories: real ones and mutated ones.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use rustc_hash::FxHashSet;

use super::{Rules, violation};
use crate::history::Key;
use crate::history::columns::{EndRow, NEVER, NO_OFFSET, Outcome, Partition, SendRow};
use crate::log::version_order::VersionOrder;

/// One operation of a small history; `begin < end` are event numbers.
#[derive(Clone, Debug)]
struct Small {
    begin: u32,
    end: u32,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Acked { value: u64, offset: i64 },
    Doubtful { value: u64 },
    Failed { value: u64 },
    Poll { from: i64, values: Vec<u64> },
    End(i64),
}

/// The same history as rows.
fn rows(ops: &[Small]) -> Partition {
    let mut rows = Partition::new(Key::new("t", 0));
    let mut ops = ops.to_vec();
    ops.sort_by_key(|op| op.end);
    for Small { begin, end, what } in ops {
        let mut send = |value, offset, completed, outcome| {
            let (invoked, process) = (begin, 0);
            rows.sends.push(SendRow {
                value,
                offset,
                invoked,
                completed,
                process,
                outcome,
            });
        };
        match what {
            What::Acked { value, offset } => send(value, offset, end, Outcome::Acked),
            What::Doubtful { value } => send(value, NO_OFFSET, NEVER, Outcome::Unknown),
            What::Failed { value } => send(value, NO_OFFSET, end, Outcome::Failed),
            What::Poll { from, values } => {
                let records = (from..).zip(values);
                rows.push_poll(end, (from, 0), records);
            }
            What::End(e) => rows.ends.push(EndRow {
                end: e,
                invoked: begin,
                completed: end,
            }),
        }
    }
    rows
}

/// Wing and Gong's search with Lowe's memory: tries every order that real time permits.
struct Search<'a> {
    ops: &'a [Small],
    /// An end says only what exists.
    weak_ends: bool,
    /// A send that did not fail may be appended again and again, from its beginning on.
    duplicates: bool,
    /// What any operation claims of each offset; without a claim nothing is appended twice but
    /// for the sake of the length.
    claims: BTreeMap<i64, u64>,
    seen: FxHashSet<(u32, Vec<u64>)>,
}

impl<'a> Search<'a> {
    fn new(ops: &'a [Small], weak_ends: bool, duplicates: bool) -> Self {
        let claims = ops.iter().flat_map(|op| match &op.what {
            What::Acked { value, offset } => vec![(*offset, *value)],
            What::Poll { from, values } => (*from..).zip(values.iter().copied()).collect(),
            What::End(end) => vec![(*end - 1, NOTHING)],
            What::Doubtful { .. } | What::Failed { .. } => vec![],
        });
        let mut known: BTreeMap<i64, u64> = BTreeMap::new();
        for (offset, value) in claims {
            let claim = known.entry(offset).or_insert(value);
            *claim = (*claim).min(value);
        }
        Self {
            ops,
            weak_ends,
            duplicates,
            claims: known,
            seen: FxHashSet::default(),
        }
    }

    fn succeeds(&mut self, done: u32, log: &mut Vec<u64>) -> bool {
        let ops = self.ops;
        let optional = |op: &Small| matches!(op.what, What::Doubtful { .. } | What::Failed { .. });
        let open: Vec<usize> = (0..ops.len()).filter(|i| done & (1 << i) == 0).collect();
        if open.iter().all(|i| optional(&ops[*i])) {
            return true;
        }
        if !self.seen.insert((done, log.clone())) {
            return false;
        }
        let required = open.iter().filter(|i| !optional(&ops[**i]));
        let horizon = required.map(|i| ops[*i].end).min().unwrap_or(NEVER);
        let ready = open.into_iter().filter(|i| ops[*i].begin < horizon);
        for i in ready {
            let Some(appended) = self.effect(&ops[i].what, log) else {
                continue;
            };
            if self.then(done | 1 << i, log, appended) {
                return true;
            }
        }
        self.duplicates
            && self
                .copies(horizon, log)
                .into_iter()
                .any(|v| self.then(done, log, Some(v)))
    }

    fn then(&mut self, done: u32, log: &mut Vec<u64>, appended: Option<u64>) -> bool {
        let length = log.len();
        log.extend(appended);
        let found = self.succeeds(done, log);
        log.truncate(length);
        found
    }

    /// What an operation appends if it takes effect now, or nothing if it cannot.
    #[allow(
        clippy::option_option,
        reason = "nothing appended is not the same as impossible"
    )]
    fn effect(&self, what: &What, log: &[u64]) -> Option<Option<u64>> {
        let length = log.len() as i64;
        match what {
            What::Acked { value, offset } => (*offset == length).then_some(Some(*value)),
            What::Doubtful { value } => Some(Some(*value)),
            What::Failed { .. } => None,
            What::Poll { from, values } => {
                let there = log.get(*from as usize..*from as usize + values.len());
                (there == Some(values)).then_some(None)
            }
            What::End(end) => (*end == length || (self.weak_ends && *end < length)).then_some(None),
        }
    }

    /// The values that a retry may append now, if the log has to grow.
    fn copies(&self, horizon: u32, log: &[u64]) -> Vec<u64> {
        let length = log.len() as i64;
        if self
            .claims
            .last_key_value()
            .is_none_or(|(last, _)| *last < length)
        {
            return Vec::new();
        }
        let claim = self
            .claims
            .get(&length)
            .copied()
            .filter(|value| *value != NOTHING);
        let begun = self.ops.iter().filter(|op| op.begin < horizon);
        let values = begun.filter_map(|op| match op.what {
            What::Acked { value, .. } | What::Doubtful { value } => Some(value),
            _ => None,
        });
        let mut values: Vec<u64> = values.filter(|v| claim.is_none_or(|c| c == *v)).collect();
        values.truncate(1);
        values
    }
}

/// No value is claimed, only that there is one.
const NOTHING: u64 = u64::MAX;

fn is_linearizable(ops: &[Small], weak_ends: bool, duplicates: bool) -> bool {
    Search::new(ops, weak_ends, duplicates).succeeds(0, &mut Vec::new())
}

/// A history that some real log could have produced: operations take effect at chosen instants.
fn real(steps: &[(u8, u8, u8, u8)]) -> Vec<Small> {
    let mut log: Vec<u64> = Vec::new();
    let mut ops = Vec::new();
    for (number, (kind, before, after, choice)) in steps.iter().enumerate() {
        let instant = 1000 + 100 * number as u32;
        // Distinct event numbers around the instant, up to four steps away.
        let begin = instant - u32::from(*before) * 3 - number as u32 % 3 - 1;
        let end = instant + u32::from(*after) * 3 + number as u32 % 3 + 1;
        let value = 100 + number as u64;
        let what = match kind % 8 {
            0..=2 => {
                log.push(value);
                What::Acked {
                    value,
                    offset: log.len() as i64 - 1,
                }
            }
            3 => {
                if choice % 2 == 0 {
                    log.push(value);
                }
                What::Doubtful { value }
            }
            4 => What::Failed { value },
            5 | 6 if !log.is_empty() => {
                let from = usize::from(*choice) % log.len();
                let count = 1 + usize::from(choice / 16) % (log.len() - from);
                What::Poll {
                    from: from as i64,
                    values: log[from..from + count].to_vec(),
                }
            }
            _ => What::End(log.len() as i64),
        };
        ops.push(Small { begin, end, what });
    }
    ops
}

/// Breaks one thing, or seems to.
fn mutate(ops: &mut Vec<Small>, (which, how, by): (u8, u8, u8)) {
    let count = ops.len();
    if count == 0 {
        return;
    }
    let which = usize::from(which) % count;
    let by = i64::from(by % 5) - 2;
    match how % 6 {
        0 => drop(ops.remove(which)),
        1 => match &mut ops[which].what {
            What::Acked { offset, .. } | What::End(offset) | What::Poll { from: offset, .. } => {
                *offset = (*offset + by).max(0);
            }
            What::Doubtful { .. } | What::Failed { .. } => {}
        },
        2 => {
            let shift = 150 * by as i32;
            let op = &mut ops[which];
            op.begin = op.begin.saturating_add_signed(shift);
            op.end = op.end.saturating_add_signed(shift);
        }
        3 => {
            if let What::Acked { value, .. } | What::Failed { value } = ops[which].what {
                ops[which].what = What::Doubtful { value };
            }
        }
        4 => {
            if let What::Acked { value, .. } | What::Doubtful { value } = ops[which].what {
                ops[which].what = What::Failed { value };
            }
        }
        _ => {
            if let What::Poll { values, .. } = &mut ops[which].what {
                let place = by.unsigned_abs() as usize % values.len();
                values[place] = (values[place] as i64 + by) as u64;
            }
        }
    }
}

fn judge(ops: &[Small], weak_ends: bool, duplicates_allowed: bool) -> bool {
    let rows = rows(ops);
    let order = VersionOrder::build(&rows);
    let ends_strict_from = if weak_ends { NEVER } else { 0 };
    let rules = Rules {
        duplicates_allowed,
        gaps_allowed: false,
        acks_early: false,
        ends_strict_from,
    };
    violation(&rows, &order, rules).is_none()
}

/// Gives every begin and end its own event number, in the same order.
fn renumber(ops: &mut [Small]) {
    let mut events: Vec<(u32, usize, bool)> = Vec::new();
    for (i, op) in ops.iter().enumerate() {
        events.extend([(op.begin, i, false), (op.end, i, true)]);
    }
    events.sort_unstable();
    for (number, (_, i, is_end)) in events.into_iter().enumerate() {
        let event = if is_end {
            &mut ops[i].end
        } else {
            &mut ops[i].begin
        };
        *event = number as u32;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_pass_agrees_with_exhaustive_search(
        steps in proptest::collection::vec((any::<u8>(), 0_u8..120, 0_u8..120, any::<u8>()), 1..9),
        (weak_ends, duplicates) in any::<(bool, bool)>(),
        mutations in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..3),
    ) {
        let mut ops = real(&steps);
        let untouched = mutations.is_empty();
        for mutation in mutations {
            mutate(&mut ops, mutation);
        }
        renumber(&mut ops);
        let expected = is_linearizable(&ops, weak_ends, duplicates);
        prop_assert!(expected || !untouched, "a real history is linearizable: {ops:#?}");
        prop_assert_eq!(judge(&ops, weak_ends, duplicates), expected, "{:#?}", ops);
    }
}
