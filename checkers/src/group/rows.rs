//! A history as the group checkers read it: for each group and partition who owned it, what was
//! committed and read back, polled and processed.
//!
//! Events are named by their position in `History::ops`, which is the clock. Everything is in the
//! order of its first event. Built by `build`.

use crate::history::ResumeSource;

pub(crate) use crate::history::columns::{NEVER, NO_OFFSET};

/// All groups of a history.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) consumers: Vec<Consumer>,
    pub(crate) all: Vec<Group>,
    pub(crate) drain: Option<Drain>,
    /// Failed commits, in partitions.
    pub(crate) commits_failed: u64,
}

/// The time after heal in which a group may work off what is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    pub(crate) invoked: u32,
    pub(crate) completed: u32,
    /// Whether everything was worked off before the deadline.
    pub(crate) done: bool,
}

/// One life of one client.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) name: Box<str>,
    pub(crate) group: u32,
    /// `group.instance.id`.
    pub(crate) instance: Option<Box<str>>,
    /// Everything that it ever subscribed to.
    pub(crate) topics: Vec<String>,
    /// The first invocation of `subscribe`.
    pub(crate) subscribed: u32,
    /// Its crash, or the invocation of its leave.
    pub(crate) ended: u32,
    pub(crate) crashed: bool,
    /// What its listener was told.
    pub(crate) events: Vec<Told>,
    pub(crate) polls: Vec<Span>,
    /// Every commit that it sent, whatever came of it.
    pub(crate) sent: Vec<Span>,
    /// Where the client commits by itself: polls that must have, or the next one.
    pub(crate) due: Vec<Due>,
    /// The completion of its last acknowledged commit so far.
    pub(crate) acked: Option<u32>,
    /// When it was first told that it is fenced.
    pub(crate) fenced: Option<Fenced>,
}

/// A member is told that it is fenced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fenced {
    pub(crate) at: u32,
    /// If a poll told it: its invocation.
    pub(crate) poll: Option<u32>,
    /// Its last acknowledged commit before.
    pub(crate) acked: Option<u32>,
}

/// When something began and ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) invoked: u32,
    /// `NEVER` if it did not end; a poll, if it did not end well.
    pub(crate) completed: u32,
}

/// A poll that had to send an auto commit of what was processed an interval before it, unless one
/// was sent in that time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) invoked: u32,
    /// The commit has begun by then.
    pub(crate) by: u32,
}

/// One call of a rebalance listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) at: u32,
    pub(crate) generation: i32,
    pub(crate) member: u32,
    /// Whether partitions came; else some went.
    pub(crate) assigned: bool,
    /// Whether they went without being given up.
    pub(crate) lost: bool,
    /// How many partitions it holds afterwards.
    pub(crate) holds: u32,
}

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: Box<str>,
    /// Those that were assigned, ascending.
    pub(crate) generations: Vec<Generation>,
    /// By the number of their partition, ascending.
    pub(crate) partitions: Vec<Rows>,
}

/// One generation of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generation {
    pub(crate) number: i32,
    /// The first event that shows it or a later one.
    pub(crate) first: u32,
    /// How many members are known to have been in it; the lives of a static member are one.
    pub(crate) members: u64,
}

impl Group {
    /// The first event that shows a generation after this one; such a generation ends all effects
    /// of this one.
    pub(crate) fn after(&self, generation: i32) -> u32 {
        let next = self
            .generations
            .partition_point(|known| known.number <= generation);
        self.generations
            .get(next)
            .map_or(NEVER, |known| known.first)
    }

    /// How many members are known to have been in generations of this number, which may come twice
    /// if a coordinator forgot the group.
    pub(crate) fn members(&self, generation: i32) -> u64 {
        let known = self
            .generations
            .binary_search_by_key(&generation, |known| known.number);
        let known = known.ok().and_then(|place| self.generations.get(place));
        known.map_or(1, |known| known.members)
    }

    /// What happened in one partition.
    pub(crate) fn partition(&self, number: usize) -> Option<&Rows> {
        let place = self
            .partitions
            .binary_search_by_key(&number, |rows| rows.number);
        self.partitions.get(place.ok()?)
    }
}

/// One partition of one group.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Its place among the partitions of the history.
    pub(crate) number: usize,
    pub(crate) stints: Vec<Stint>,
    /// Who was told to own it in which generation.
    pub(crate) claims: Vec<Claim>,
    /// Without those that failed.
    pub(crate) commits: Vec<CommitRow>,
    /// The offsets of all commits and when they were invoked, those that failed too.
    pub(crate) sent: Vec<(u32, i64)>,
    pub(crate) reads: Vec<ReadRow>,
    pub(crate) resumes: Vec<ResumeRow>,
    pub(crate) polls: Vec<PolledRow>,
    pub(crate) processed: Vec<ProcessRow>,
}

/// One time of one consumer as the owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stint {
    pub(crate) consumer: u32,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// A consumer was told to own the partition in this generation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) consumer: u32,
    pub(crate) generation: i32,
    pub(crate) at: u32,
    /// Its place in `Rows::stints`.
    pub(crate) stint: usize,
}

/// A commit, as far as it concerns one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitRow {
    /// `NO_OFFSET` if it deletes the committed one.
    pub(crate) offset: i64,
    pub(crate) consumer: u32,
    pub(crate) member: u32,
    pub(crate) generation: i32,
    pub(crate) invoked: u32,
    pub(crate) completed: u32,
    pub(crate) is_acked: bool,
    /// When its effect must have come, if it comes.
    pub(crate) effect_by: u32,
    /// Whether this is the first partition of the commit.
    pub(crate) is_first: bool,
}

/// An answered question for the committed offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadRow {
    /// `NO_OFFSET` if there was none.
    pub(crate) offset: i64,
    pub(crate) invoked: u32,
    pub(crate) completed: u32,
}

/// Where an owner started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResumeRow {
    pub(crate) consumer: u32,
    pub(crate) generation: i32,
    pub(crate) offset: i64,
    pub(crate) source: ResumeSource,
    pub(crate) at: u32,
    /// From here on the coordinator can have been asked.
    pub(crate) since: u32,
    /// Whether it is the first of its stint.
    pub(crate) is_first: bool,
}

impl ResumeRow {
    /// Whether it came from the group's committed offset.
    pub(crate) fn is_committed(&self) -> bool {
        self.source == ResumeSource::Committed
    }
}

/// A poll of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolledRow {
    pub(crate) consumer: u32,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) completed: u32,
}

/// One record that was processed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessRow {
    pub(crate) consumer: u32,
    pub(crate) offset: i64,
    pub(crate) invoked: u32,
    /// `NEVER` unless it was processed for certain.
    pub(crate) completed: u32,
}
