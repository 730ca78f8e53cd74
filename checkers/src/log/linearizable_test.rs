//! The pass against exhaustive search, on small histories: real ones and mutated ones.

use std::collections::HashSet;

use proptest::prelude::*;

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
fn search(
    ops: &[Small],
    done: u32,
    log: &mut Vec<u64>,
    seen: &mut HashSet<(u32, Vec<u64>)>,
) -> bool {
    let optional = |op: &Small| matches!(op.what, What::Doubtful { .. } | What::Failed { .. });
    let open = |i: &usize| done & (1 << i) == 0;
    if (0..ops.len()).filter(open).all(|i| optional(&ops[i])) {
        return true;
    }
    if !seen.insert((done, log.clone())) {
        return false;
    }
    let required = (0..ops.len()).filter(open).filter(|i| !optional(&ops[*i]));
    let horizon = required.map(|i| ops[i].end).min().unwrap_or(NEVER);
    for i in (0..ops.len())
        .filter(open)
        .filter(|i| ops[*i].begin < horizon)
    {
        let length = log.len() as i64;
        let appended = match &ops[i].what {
            What::Acked { value, offset } if *offset == length => Some(*value),
            What::Doubtful { value } => Some(*value),
            What::Poll { from, values } => {
                let there = log.get(*from as usize..*from as usize + values.len());
                if there != Some(values) {
                    continue;
                }
                None
            }
            What::End(end) if *end == length => None,
            What::Acked { .. } | What::Failed { .. } | What::End(_) => continue,
        };
        log.extend(appended);
        let found = search(ops, done | 1 << i, log, seen);
        log.truncate(length as usize);
        if found {
            return true;
        }
    }
    false
}

fn is_linearizable(ops: &[Small]) -> bool {
    search(ops, 0, &mut Vec::new(), &mut HashSet::new())
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

fn judge(ops: &[Small]) -> bool {
    let rows = rows(ops);
    let order = VersionOrder::build(&rows);
    violation(&rows, &order, &Rules::default()).is_none()
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
        mutations in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..3),
    ) {
        let mut ops = real(&steps);
        let untouched = mutations.is_empty();
        mutations.into_iter().for_each(|mutation| mutate(&mut ops, mutation));
        renumber(&mut ops);
        let expected = is_linearizable(&ops);
        prop_assert!(expected || !untouched, "a real history is linearizable: {ops:#?}");
        prop_assert_eq!(judge(&ops), expected, "{:#?}", ops);
    }
}
