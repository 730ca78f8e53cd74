//! When nobody's send was acknowledged although somebody waited for it.
//!
//! In: a history. Out: for each partition its silences: stretches of time that begin when a send
//! is asked for (or at the last acknowledgement, while others still wait) and end with the next
//! acknowledgement. A send that failed or whose outcome is unknown does not end one: somebody asked
//! and got nothing; but if nobody asks again soon, or whoever does is answered, it was over with
//! that. Invariant: a partition that nobody asks is not silent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::{Action, History, Key, OpType};

/// How long a request that came to nothing speaks for the time after it, in nanoseconds: until the
/// next one that comes to nothing, if that begins within this time.
const SPEAKS_FOR: u64 = 1_000_000_000;

/// A stretch of time without an acknowledgement that somebody waited for, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its begin.
    pub from: u64,
    /// The acknowledgement that ended it, or the last that was heard of the partition.
    pub until: u64,
}

impl Silence {
    /// Its length in nanoseconds.
    pub fn nanos(&self) -> u64 {
        self.until.saturating_sub(self.from)
    }
}

/// How well one partition could be written to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Availability {
    /// Sends that were acknowledged.
    pub acked: u64,
    /// Its silences in order.
    pub silences: Vec<Silence>,
}

impl Availability {
    /// The longest silence, in nanoseconds.
    pub fn longest(&self) -> u64 {
        self.silences.iter().map(Silence::nanos).max().unwrap_or(0)
    }

    /// The time in silences longer than `patience`, in nanoseconds.
    pub fn unavailable(&self, patience: u64) -> u64 {
        let lengths = self.silences.iter().map(Silence::nanos);
        lengths.filter(|nanos| *nanos > patience).sum()
    }
}

/// The availability of every partition that somebody sent to.
pub fn availability(history: &History) -> BTreeMap<Key, Availability> {
    let mut partitions: BTreeMap<Key, Demand> = BTreeMap::new();
    for op in &history.ops {
        let Action::Send(sends) = &op.action else {
            continue;
        };
        for send in sends {
            let demand = partitions.entry(send.key.clone()).or_default();
            demand.hear(op.time, op.kind);
        }
    }
    let finish = |(key, demand): (Key, Demand)| (key, demand.finish());
    partitions.into_iter().map(finish).collect()
}

/// Who waits for one partition.
#[derive(Debug, Default)]
struct Demand {
    open: u64,
    /// Since when every request has come to nothing.
    since: Option<u64>,
    /// When the last of them ended while nobody else waited, and when somebody asked again.
    idle: Option<Idle>,
    last: u64,
    found: Availability,
}

/// A time in which nobody asked, after a request that came to nothing.
#[derive(Clone, Copy, Debug)]
struct Idle {
    from: u64,
    until: Option<u64>,
}

impl Demand {
    fn hear(&mut self, time: u64, kind: OpType) {
        self.last = self.last.max(time);
        match kind {
            OpType::Invoke => {
                self.open += 1;
                self.since.get_or_insert(time);
                if let Some(idle) = &mut self.idle {
                    idle.until.get_or_insert(time);
                }
            }
            OpType::Ok => {
                self.open = self.open.saturating_sub(1);
                self.found.acked += 1;
                self.split();
                self.end(time);
                self.since = (self.open > 0).then_some(time);
            }
            OpType::Fail | OpType::Info => {
                self.open = self.open.saturating_sub(1);
                let soon = |idle: Idle| {
                    let until = idle.until.unwrap_or(time);
                    until.saturating_sub(idle.from) <= SPEAKS_FOR
                };
                if !self.idle.is_none_or(soon) {
                    self.split();
                }
                self.idle = (self.open == 0).then_some(Idle {
                    from: time,
                    until: None,
                });
            }
        }
    }

    /// Leaves out the time in which nobody asked.
    fn split(&mut self) {
        if let Some(idle) = self.idle.take() {
            self.end(idle.from);
            self.since = idle.until;
        }
    }

    fn end(&mut self, until: u64) {
        if let Some(from) = self.since.take() {
            self.found.silences.push(Silence { from, until });
        }
    }

    fn finish(mut self) -> Availability {
        if self.idle.is_some_and(|idle| idle.until.is_some()) {
            // Whoever asked again was not heard of any more.
            self.split();
        }
        self.end(self.last);
        self.found
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// Sends of several processes as (time, process, type), on one partition.
    fn silences(events: &[(u64, u64, &str)]) -> Vec<(u64, u64)> {
        let mut text = String::from("{\"verdict-history\":1}\n");
        for (index, (time, process, kind)) in events.iter().enumerate() {
            let value = if *kind == "ok" { "[0,1]" } else { "1" };
            let value = value.replace('1', &(process + 1).to_string());
            writeln!(
                text,
                "{{\"index\":{index},\"time\":{time},\"process\":{process},\"type\":\"{kind}\",\
                 \"f\":\"send\",\"value\":[[\"send\",\"t-0\",{value}]]}}"
            )
            .unwrap();
        }
        let history = History::read(text.as_bytes()).unwrap();
        let all = availability(&history);
        let found = all.values().next().unwrap();
        let pairs = found.silences.iter();
        pairs.map(|silence| (silence.from, silence.until)).collect()
    }

    #[test]
    fn a_silence_runs_from_the_question_to_the_next_acknowledgement() {
        let answered = [
            (10, 0, "invoke"),
            (15, 0, "ok"),
            (90, 1, "invoke"),
            (95, 1, "ok"),
        ];
        assert_eq!(
            silences(&answered),
            [(10, 15), (90, 95)],
            "nobody asked between 15 and 90"
        );
        let waited = [
            (10, 0, "invoke"),
            (12, 1, "invoke"),
            (15, 0, "ok"),
            (95, 1, "ok"),
        ];
        assert_eq!(
            silences(&waited),
            [(10, 15), (15, 95)],
            "the second waited all the time"
        );
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_was_refused_or_is_unknown_ends_no_silence_while_somebody_asks_again() {
        let refused = [
            (10, 0, "invoke"),
            (20, 0, "fail"),
            (50, 1, "invoke"),
            (60, 1, "fail"),
            (70, 2, "invoke"),
            (70 + 2 * SECOND, 2, "ok"),
        ];
        assert_eq!(silences(&refused), [(10, 60), (70, 70 + 2 * SECOND)]);
        let never = [
            (10, 0, "invoke"),
            (20, 0, "info"),
            (50, 1, "invoke"),
            (60, 1, "info"),
        ];
        assert_eq!(silences(&never), [(10, 60)], "to the last that was heard");
        let meanwhile = [
            (10, 0, "invoke"),
            (15, 1, "invoke"),
            (20, 0, "fail"),
            (60, 1, "ok"),
        ];
        assert_eq!(silences(&meanwhile), [(10, 60)], "the second waited on");
    }

    #[test]
    fn a_partition_that_nobody_asks_is_not_silent() {
        let later = 50 + SECOND;
        let answered = [
            (10, 0, "invoke"),
            (20, 0, "fail"),
            (later, 1, "invoke"),
            (later + 5, 1, "ok"),
        ];
        assert_eq!(silences(&answered), [(10, 20), (later, later + 5)]);
        let refused_again = [
            (10, 0, "invoke"),
            (20, 0, "fail"),
            (later, 1, "invoke"),
            (later + 5, 1, "fail"),
        ];
        assert_eq!(silences(&refused_again), [(10, 20), (later, later + 5)]);
        let open = [(10, 0, "invoke"), (20, 0, "fail"), (50, 1, "invoke")];
        assert_eq!(silences(&open), [(10, 20), (50, 50)], "nobody knows of it");
    }

    #[test]
    fn unavailable_is_what_exceeds_the_patience() {
        let silences = vec![
            Silence { from: 0, until: 5 },
            Silence {
                from: 10,
                until: 40,
            },
        ];
        let found = Availability { acked: 2, silences };
        assert_eq!(
            (found.longest(), found.unavailable(5), found.unavailable(30)),
            (30, 30, 0)
        );
    }
}
