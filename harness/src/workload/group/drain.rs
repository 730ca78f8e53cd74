//! The end of a group's work: it works off what is left, leaves, and is asked what it committed.
//!
//! In: a healed cluster to which nothing is sent any more. Out: the `group-drain` line, the last
//! `committed`, and a sentence about what is missing at the deadline.
//! Invariant: the drain is over only when every partition is committed to its end and no received
//! record waits; the last question is asked by a client without any memory of the run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use checkers::history::{Action, GROUP_DRAIN, Key, OpType};
use tokio::time::{Instant, timeout_at};

use crate::recorder::Entry;
use crate::worker::protocol::Edge;
use crate::workload::group::Members;
use crate::workload::process::Process;
use crate::workload::session::{HARNESS_PROCESS, Session};

/// Between two looks at what is committed.
const LOOK: Duration = Duration::from_millis(200);

/// How long members have to leave, and the last answer to come.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

impl Members {
    /// Lets the group work off what is left, and then leave; what is missing at the deadline.
    pub async fn drain(&self, session: &Arc<Session>, deadline: Instant) -> Result<(), String> {
        note(session, OpType::Invoke);
        for client in session.roster.clients() {
            session.roster.set_present(client, true);
        }
        let drained = self.wait_until_drained(session, deadline).await;
        let kind = match drained {
            Ok(()) => OpType::Ok,
            Err(_) => OpType::Info,
        };
        note(session, kind);
        self.end(session).await;
        let asked = self.ask_afresh(session).await;
        drained.and(asked)
    }

    /// Lets everybody leave; those who cannot in time are ended.
    pub async fn end(&self, session: &Arc<Session>) {
        session.roster.end();
        let mut tasks = self.tasks.lock().await;
        let left = async { while tasks.join_next().await.is_some() {} };
        if timeout_at(Instant::now() + LEAVE_LIMIT, left)
            .await
            .is_err()
        {
            tasks.shutdown().await;
            for worker in &self.workers {
                worker.kill().await;
            }
        }
    }

    async fn wait_until_drained(
        &self,
        session: &Arc<Session>,
        deadline: Instant,
    ) -> Result<(), String> {
        let mut process = Process::new(session, self.auditor.endpoint().to_string());
        loop {
            let missing = self.missing(&mut process, session).await;
            match missing {
                None => return Ok(()),
                Some(missing) if Instant::now() >= deadline => {
                    return Err(format!(
                        "the group did not work off what was left: {missing}"
                    ));
                }
                Some(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// What keeps the work from being done.
    async fn missing(&self, process: &mut Process, session: &Session) -> Option<String> {
        let partitions: Vec<i32> = (0..session.plan.cluster.partitions).collect();
        if let Err(failure) = self.auditor.revive().await {
            return Some(failure.to_string());
        }
        let driver = self.auditor.driver();
        let group = session.plan.workload.group.as_ref()?.group.as_str();
        let Ok(ends) = process.list_offsets(&driver, &partitions, Edge::End).await else {
            return Some("the ends of the partitions cannot be read".to_owned());
        };
        let Ok(committed) = process.committed(&driver, group, &partitions).await else {
            return Some("the committed offsets cannot be read".to_owned());
        };
        let topic = &session.plan.cluster.topic;
        let start = |partition| session.roster.start(&Key::new(topic, partition));
        behind(&ends, &committed, start).or_else(|| {
            let waiting = self.pending.load(Ordering::SeqCst);
            (waiting > 0).then(|| format!("{waiting} polls of records are not processed"))
        })
    }

    /// Asks the committed offsets with a fresh process.
    async fn ask_afresh(&self, session: &Arc<Session>) -> Result<(), String> {
        let group = session.plan.workload.group.as_ref();
        let group = group.map_or("", |group| group.group.as_str());
        let partitions: Vec<i32> = (0..session.plan.cluster.partitions).collect();
        self.auditor.kill().await;
        let mut process = Process::new(session, self.auditor.endpoint().to_string());
        let deadline = Instant::now() + LEAVE_LIMIT;
        while Instant::now() < deadline {
            if self.auditor.revive().await.is_ok() {
                let driver = self.auditor.driver();
                let asked = process.committed(&driver, group, &partitions).await;
                if asked.is_ok() {
                    self.auditor.kill().await;
                    return Ok(());
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        Err("the committed offsets of the group cannot be read".to_owned())
    }
}

/// The first partition that is not committed to its end, in words. What lies before the start of a
/// group that has committed nothing is not its work.
fn behind(
    ends: &BTreeMap<i32, i64>,
    committed: &BTreeMap<i32, Option<i64>>,
    start: impl Fn(i32) -> i64,
) -> Option<String> {
    ends.iter().find_map(|(partition, end)| {
        let committed = committed.get(partition).copied().flatten();
        let is_done = committed.unwrap_or_else(|| start(*partition)) >= *end;
        let so_far = committed.map_or("nothing".to_owned(), |offset| format!("offset {offset}"));
        (!is_done).then(|| format!("partition {partition} is committed to {so_far} of {end}"))
    })
}

fn note(session: &Session, kind: OpType) {
    session.recorder.record(Entry {
        process: HARNESS_PROCESS,
        kind,
        action: Action::Admin(GROUP_DRAIN.into()),
        error: None,
        node: None,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_is_named() {
        let ends = BTreeMap::from([(0, 0), (1, 44)]);
        let check = |committed: &[(i32, Option<i64>)]| {
            let committed = committed.iter().copied().collect();
            behind(&ends, &committed, |_| 0).unwrap_or_default()
        };
        assert_eq!(check(&[(0, None), (1, Some(44))]), "", "nothing to commit");
        assert_eq!(
            check(&[(1, Some(43))]),
            "partition 1 is committed to offset 43 of 44"
        );
        assert_eq!(check(&[]), "partition 1 is committed to nothing of 44");
        let reset_to = |start| behind(&ends, &BTreeMap::new(), |_| start);
        assert_eq!(reset_to(44), None, "the group began at the end");
        assert!(reset_to(43).is_some());
        let back = BTreeMap::from([(1, Some(43))]);
        assert!(
            behind(&ends, &back, |_| 44).is_some(),
            "what is committed counts"
        );
    }
}
