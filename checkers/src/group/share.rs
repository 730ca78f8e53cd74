//! One partition of one group, ready to be checked: its rows, its log, and what the run promised.

use std::cell::OnceCell;

use crate::group::register::Register;
use crate::group::rows::{Consumer, Drain, Group, Groups, NEVER, Rows};
use crate::history::columns::Columns;
use crate::history::{GroupSettings, History, Key};
use crate::log::{Log, existing_end};

/// What all shares of a run have in common.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) history: &'a History,
    pub(crate) columns: &'a Columns,
    pub(crate) groups: &'a Groups,
    pub(crate) settings: &'a GroupSettings,
}

/// One partition of one group.
pub(crate) struct Share<'a> {
    pub(crate) history: &'a History,
    pub(crate) groups: &'a Groups,
    /// The group's place among the groups.
    number: usize,
    pub(crate) group: &'a Group,
    pub(crate) rows: &'a Rows,
    pub(crate) log: &'a Log<'a>,
    pub(crate) settings: &'a GroupSettings,
    columns: &'a Columns,
    register: OnceCell<Register<'a>>,
}

impl<'a> Share<'a> {
    /// The share of a group in a partition, if it has one.
    pub(crate) fn of(
        context: Context<'a>,
        number: usize,
        log: &'a Log<'a>,
        at: usize,
    ) -> Option<Self> {
        let Context {
            history,
            columns,
            groups,
            settings,
        } = context;
        let group = groups.all.get(number)?;
        let rows = group.partition(at)?;
        let register = OnceCell::new();
        Some(Self {
            history,
            groups,
            number,
            group,
            rows,
            log,
            settings,
            columns,
            register,
        })
    }

    pub(crate) fn key(&self) -> &'a Key {
        &self.log.rows.key
    }

    /// The name of any partition of the history.
    pub(crate) fn key_of(&self, number: usize) -> Option<&'a Key> {
        self.columns
            .partitions
            .get(number)
            .map(|partition| &partition.key)
    }

    /// The members of the group, with their numbers.
    pub(crate) fn members(&self) -> impl Iterator<Item = (u32, &'a Consumer)> {
        let group = self.number as u32;
        let consumers = self.groups.consumers.iter().enumerate();
        let own = consumers.filter(move |(_, consumer)| consumer.group == group);
        own.map(|(number, consumer)| (number as u32, consumer))
    }

    /// The committed offset as a register.
    pub(crate) fn register(&self) -> &Register<'a> {
        self.register
            .get_or_init(|| Register::new(self.rows, self.log.rules.ends_strict_from))
    }

    pub(crate) fn consumer(&self, number: u32) -> Option<&'a Consumer> {
        self.groups.consumers.get(number as usize)
    }

    /// What a consumer is called.
    pub(crate) fn name(&self, number: u32) -> &'a str {
        self.consumer(number)
            .map_or("somebody", |consumer| &consumer.name)
    }

    /// Nanoseconds since the start of the run.
    pub(crate) fn time(&self, event: u32) -> u64 {
        self.history.op(event).map_or(0, |op| op.time)
    }

    /// The time between two events, in words.
    pub(crate) fn apart(&self, from: u32, to: u32) -> String {
        let nanos = self.time(to).saturating_sub(self.time(from));
        if nanos < 1_000_000_000 {
            return format!("{} ms", nanos / 1_000_000);
        }
        format!("{:.1} s", nanos as f64 / 1e9)
    }

    /// The drain, once it is over.
    pub(crate) fn drain(&self) -> Option<Drain> {
        self.groups.drain
    }

    /// The committed offset that a fresh client read after the drain; inside, nothing if there
    /// was none.
    pub(crate) fn final_committed(&self) -> Option<(Option<i64>, u32)> {
        let drain = self.drain()?;
        let last = self
            .rows
            .reads
            .iter()
            .rev()
            .find(|read| read.invoked > drain.completed)?;
        Some(((last.offset >= 0).then_some(last.offset), last.completed))
    }

    /// The members that were alive at an event.
    pub(crate) fn living(&self, at: u32) -> impl Iterator<Item = (u32, &'a Consumer)> {
        self.members()
            .filter(move |(_, consumer)| consumer.subscribed < at && consumer.ended > at)
    }

    /// Whether some poll returned the record of a slot: then it exists for certain.
    pub(crate) fn was_returned(&self, slot: usize) -> bool {
        self.log.order.returned(slot).is_some()
    }

    /// One more than the greatest offset that anybody claims to exist.
    pub(crate) fn log_end(&self) -> i64 {
        existing_end(self.log.rows)
    }

    /// Whether offsets of the log may be missing.
    pub(crate) fn has_gaps(&self) -> bool {
        self.log.rules.gaps_allowed
    }

    /// The last time that a consumer became the owner, before an event.
    pub(crate) fn owned_from(&self, consumer: u32, before: u32) -> u32 {
        let stints = self.rows.stints.iter().rev();
        let mut own = stints.filter(|stint| stint.consumer == consumer && stint.from < before);
        own.next().map_or(NEVER, |stint| stint.from)
    }
}
