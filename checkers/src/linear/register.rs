//! Exact linearizability of one register whose values may repeat.
//!
//! In: writes and reads with their intervals; a write in doubt need not happen. Out: the first
//! read that no order explains, or none, or that the search grew too large.
//!
//! One sweep over calls and returns carries every *configuration* that the operations so far allow:
//! the value, when it last changed, which open writes are used up, which open reads are served.
//! Nothing is decided before a return forces it. Three facts keep the set small, and exact:
//! - a read is served as soon as its value is there: that changes nothing else;
//! - a write that returns unused may have been overwritten at once by the last change, if that
//!   came after its call: it needs no value of its own;
//! - of open writes of one value the one with the earliest end is used: it can stand in for the
//!   others, and they hide behind it.
//!
//! Source: Wing & Gong 1993; Lowe 2017; the proof is in `docs/anomalies.md`. Checked against
//! exhaustive search in `register_test`.

/// So many configurations are held at once, and no more.
const CONFIGURATIONS_MAX: usize = 4_096;

/// A write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) value: i64,
    pub(crate) call: u32,
    /// When its effect must have come, if it comes.
    pub(crate) end: u32,
    /// Whether it certainly happened.
    pub(crate) is_certain: bool,
}

/// A read that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    pub(crate) value: i64,
    pub(crate) call: u32,
    pub(crate) end: u32,
}

/// The search was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// The first read, by its end, that no order of the operations explains.
pub(crate) fn violation(
    initial: i64,
    writes: &[Write],
    reads: &[Read],
) -> Result<Option<usize>, TooLarge> {
    let mut search = Search::new(initial, writes, reads);
    for (_, event) in events(writes, reads) {
        match event {
            Event::Call(Side::Write, write) => search.open_writes.push(write),
            Event::Call(Side::Read, read) => search.call_read(read),
            Event::End(Side::Write, write) => search.end_write(write),
            Event::End(Side::Read, read) => {
                if !search.end_read(read) {
                    return Ok(Some(read));
                }
            }
        }
        search.prune()?;
    }
    Ok(None)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Write,
    Read,
}

/// Calls come before ends of the same moment: what touches is concurrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Call(Side, usize),
    End(Side, usize),
}

fn events(writes: &[Write], reads: &[Read]) -> Vec<(u32, Event)> {
    // Each list is nearly sorted, which makes the sort a merge.
    let calls = writes
        .iter()
        .enumerate()
        .map(|(n, w)| (w.call, Event::Call(Side::Write, n)));
    let ends = writes
        .iter()
        .enumerate()
        .filter(|(_, write)| write.end != u32::MAX);
    let ends = ends.map(|(n, write)| (write.end, Event::End(Side::Write, n)));
    let read_calls = reads
        .iter()
        .enumerate()
        .map(|(n, r)| (r.call, Event::Call(Side::Read, n)));
    let read_ends = reads
        .iter()
        .enumerate()
        .map(|(n, r)| (r.end, Event::End(Side::Read, n)));
    let mut events: Vec<(u32, Event)> = calls
        .chain(ends)
        .chain(read_calls)
        .chain(read_ends)
        .collect();
    events.sort();
    events
}

/// One way in which everything up to now may have happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Configuration {
    value: i64,
    /// Open writes that have had their effect, ascending.
    used: Vec<usize>,
    /// Open reads that have had their answer, ascending.
    served: Vec<usize>,
    /// When the value last changed, or -1.
    changed: i64,
}

struct Search<'a> {
    writes: &'a [Write],
    reads: &'a [Read],
    open_writes: Vec<usize>,
    open_reads: Vec<usize>,
    configurations: Vec<Configuration>,
}

impl<'a> Search<'a> {
    fn new(initial: i64, writes: &'a [Write], reads: &'a [Read]) -> Self {
        let first = Configuration {
            value: initial,
            used: Vec::new(),
            served: Vec::new(),
            changed: -1,
        };
        Self {
            writes,
            reads,
            open_writes: Vec::new(),
            open_reads: Vec::new(),
            configurations: vec![first],
        }
    }

    fn call_read(&mut self, read: usize) {
        self.open_reads.push(read);
        let wanted = self.read(read).value;
        for configuration in &mut self.configurations {
            if configuration.value == wanted {
                insert(&mut configuration.served, read);
            }
        }
    }

    fn end_write(&mut self, number: usize) {
        let Write {
            call,
            end,
            is_certain,
            ..
        } = self.write(number);
        let before = std::mem::take(&mut self.configurations);
        let mut after = Vec::with_capacity(before.len() + 1);
        for mut configuration in before {
            if remove(&mut configuration.used, number) {
                after.push(configuration);
                continue;
            }
            // Overwritten at once by the last change, or, in doubt, without any effect.
            let may_hide = !is_certain || configuration.changed >= i64::from(call);
            if may_hide {
                after.push(configuration.clone());
            }
            self.apply(&configuration, number, end, &mut after);
        }
        for configuration in &mut after {
            remove(&mut configuration.used, number);
        }
        self.open_writes.retain(|open| *open != number);
        self.configurations = after;
    }

    /// Whether anything explains the read.
    fn end_read(&mut self, number: usize) -> bool {
        let Read { value, end, .. } = self.read(number);
        let before = std::mem::take(&mut self.configurations);
        let mut after = Vec::with_capacity(before.len());
        for configuration in before {
            if configuration.served.binary_search(&number).is_ok() {
                after.push(configuration);
            } else if let Some(write) = self.unused(&configuration, value) {
                self.apply(&configuration, write, end, &mut after);
            }
        }
        for configuration in &mut after {
            remove(&mut configuration.served, number);
        }
        self.open_reads.retain(|open| *open != number);
        self.configurations = after;
        !self.configurations.is_empty()
    }

    /// Lets a write have its effect now, after any of the others that an open read waits for.
    fn apply(&self, from: &Configuration, write: usize, now: u32, after: &mut Vec<Configuration>) {
        let mut waiting: Vec<i64> = self
            .open_reads
            .iter()
            .filter(|read| from.served.binary_search(read).is_err())
            .map(|read| self.read(*read).value)
            .filter(|value| *value != self.write(write).value)
            .collect();
        waiting.sort_unstable();
        waiting.dedup();
        let mut ways = vec![from.clone()];
        for value in waiting {
            for place in 0..ways.len() {
                let Some(mut way) = ways.get(place).cloned() else {
                    continue;
                };
                if let Some(other) = self.unused(&way, value) {
                    self.perform(&mut way, other, now);
                    ways.push(way);
                }
            }
            if ways.len() > CONFIGURATIONS_MAX {
                break;
            }
        }
        for mut way in ways {
            self.perform(&mut way, write, now);
            after.push(way);
        }
    }

    fn perform(&self, configuration: &mut Configuration, write: usize, now: u32) {
        configuration.value = self.write(write).value;
        configuration.changed = i64::from(now);
        insert(&mut configuration.used, write);
        for read in &self.open_reads {
            if self.read(*read).value == configuration.value {
                insert(&mut configuration.served, *read);
            }
        }
    }

    /// The open and unused write of this value that ends first.
    fn unused(&self, configuration: &Configuration, value: i64) -> Option<usize> {
        let open = self.open_writes.iter().copied();
        let fitting = open.filter(|write| {
            self.write(*write).value == value && configuration.used.binary_search(write).is_err()
        });
        fitting.min_by_key(|write| self.write(*write).end)
    }

    /// Keeps one of those that differ only in when the value changed: the latest can do all that
    /// the others can.
    fn prune(&mut self) -> Result<(), TooLarge> {
        if self.configurations.len() > 1 {
            self.configurations.sort_unstable_by(|a, b| b.cmp(a));
            self.configurations
                .dedup_by(|a, b| a.value == b.value && a.used == b.used && a.served == b.served);
        }
        if self.configurations.len() > CONFIGURATIONS_MAX {
            return Err(TooLarge);
        }
        Ok(())
    }

    fn write(&self, number: usize) -> Write {
        self.writes
            .get(number)
            .copied()
            .expect("invariant: numbers come from `events`")
    }

    fn read(&self, number: usize) -> Read {
        self.reads
            .get(number)
            .copied()
            .expect("invariant: numbers come from `events`")
    }
}

fn insert(sorted: &mut Vec<usize>, number: usize) {
    if let Err(place) = sorted.binary_search(&number) {
        sorted.insert(place, number);
    }
}

fn remove(sorted: &mut Vec<usize>, number: usize) -> bool {
    let place = sorted.binary_search(&number);
    place.is_ok_and(|place| {
        sorted.remove(place);
        true
    })
}

#[cfg(test)]
#[path = "register_test.rs"]
mod register_test;
