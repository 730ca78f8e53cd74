//! The acts of a member and of whoever asks about its group, each recorded as an operation.

use std::collections::BTreeMap;
use std::time::Duration;

use checkers::history::{
    Action, CommitMode, Committed, Key, Leave, Poll, Process as Processing, Record, Subscribe,
};

use crate::worker::driver::Driver;
use crate::worker::protocol::{Answer, Command};
use crate::workload::group::ledger::Identity;
use crate::workload::process::{End, Process, polled};

/// How long a member may be silent before its life counts as over: longer than any fault, because
/// a frozen process that is let go must still be there.
pub const PATIENCE: Duration = Duration::from_mins(2);

impl Process {
    /// Joins the group; the polls that follow do the work.
    pub async fn subscribe(
        &mut self,
        driver: &Driver,
        who: &Identity,
        mode: CommitMode,
        instance: Option<&str>,
    ) -> End<()> {
        let topic = who.topic.to_string();
        let action = Action::Subscribe(Box::new(Subscribe {
            consumer: who.consumer.clone(),
            group: who.group.clone(),
            topics: vec![topic.clone()],
            mode,
            instance: instance.map(Into::into),
        }));
        self.plainly(driver, Command::Subscribe { topic }, action)
            .await
    }

    /// Leaves the group in order.
    pub async fn leave(&mut self, driver: &Driver, who: &Identity) -> End<()> {
        let action = Action::Leave(Box::new(Leave {
            consumer: who.consumer.clone(),
            group: who.group.clone(),
        }));
        self.plainly(driver, Command::Leave, action).await
    }

    /// Reads on, as a member does; the records.
    pub async fn receive(
        &mut self,
        driver: &Driver,
        timeout_ms: u64,
    ) -> End<BTreeMap<Key, Vec<Record>>> {
        let topic = self.topic().to_owned();
        let asked = Action::Poll(Poll::default());
        let command = Command::Poll { timeout_ms };
        self.perform(driver, command, PATIENCE, asked, |answer| {
            let Answer::Polled { partitions } = answer else {
                return None;
            };
            let poll = polled(&topic, partitions);
            let records = poll.records.clone();
            Some((Action::Poll(poll), records))
        })
        .await
    }

    /// Lets a record take its effect, which takes a while.
    pub async fn process(
        &mut self,
        driver: &Driver,
        who: &Identity,
        key: &Key,
        record: Record,
        process_ms: u64,
    ) -> End<()> {
        let command = Command::Process {
            partition: key.partition(),
            offset: record.0,
            process_ms,
        };
        let action = Action::Process(Box::new(Processing {
            consumer: who.consumer.clone(),
            records: BTreeMap::from([(key.clone(), vec![record])]),
        }));
        self.plainly(driver, command, action).await
    }

    /// Asks for the committed offsets of `group`.
    pub async fn committed(
        &mut self,
        driver: &Driver,
        group: &str,
        partitions: &[i32],
    ) -> End<BTreeMap<i32, Option<i64>>> {
        let topic = self.topic().to_owned();
        let answered = |found: &BTreeMap<i32, Option<i64>>| {
            let one = |&index: &i32| {
                let offset = found.get(&index).copied().flatten();
                (Key::new(&topic, index), offset)
            };
            Action::Committed(Box::new(Committed {
                group: group.into(),
                offsets: partitions.iter().map(one).collect(),
            }))
        };
        let command = Command::Committed {
            topic: topic.clone(),
            partitions: partitions.to_vec(),
        };
        let asked = answered(&BTreeMap::new());
        self.perform(driver, command, self.read_deadline(), asked, |answer| {
            let Answer::Committed { partitions } = answer else {
                return None;
            };
            let found = partitions.into_iter().collect();
            Some((answered(&found), found))
        })
        .await
    }

    /// An act that is answered with `done`.
    async fn plainly(&mut self, driver: &Driver, command: Command, action: Action) -> End<()> {
        let done = action.clone();
        let read = |answer| matches!(answer, Answer::Done).then_some((done, ()));
        self.perform(driver, command, PATIENCE, action, read).await
    }
}
