//! What one life of a consumer tells unasked, written into the history in the order of its lines.
//!
//! In: the events of a worker. Out: `rebalance`, `resume` and `commit` operations, and the roster.
//! Invariant: a commit is invoked in the history before the worker sends it, because the worker
//! waits for this to return; each has exactly one completion, and one whose end was never told is
//! unknown. Nothing is written after the life has ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use checkers::history::commit_outcome::certainty;
use checkers::history::outcome::Certainty;
use checkers::history::{Action, Commit, Key, OpError, OpType, Rebalance, Resume, ResumeSource};

use crate::recorder::Entry;
use crate::worker::driver::Listener;
use crate::worker::protocol::{Told, WorkerError, WorkerErrorKind};
use crate::workload::classify;
use crate::workload::session::Session;

/// Which life of which client in which group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The client's number.
    pub client: u32,
    /// Its name and life, such as `c4.2`.
    pub consumer: Box<str>,
    /// The group.
    pub group: Box<str>,
    /// The one topic.
    pub topic: Box<str>,
}

/// The listener of one life.
#[derive(Debug)]
pub struct Ledger {
    session: Arc<Session>,
    who: Identity,
    /// The logical process of what is never paired.
    process: u64,
    commits: Mutex<Commits>,
}

#[derive(Debug, Default)]
struct Commits {
    open: BTreeMap<u64, OpenCommit>,
    /// Logical processes without an open commit.
    idle: Vec<u64>,
    is_over: bool,
}

#[derive(Debug)]
struct OpenCommit {
    process: u64,
    action: Action,
    begin: Instant,
}

impl Ledger {
    /// The ledger of a life that begins.
    pub fn new(session: &Arc<Session>, who: Identity) -> Self {
        Self {
            process: session.new_process(),
            session: Arc::clone(session),
            who,
            commits: Mutex::default(),
        }
    }

    /// The life is over: nobody will tell how its open commits ended.
    pub fn close(&self, why: &str) {
        let mut commits = self.lock();
        commits.is_over = true;
        for (_, open) in std::mem::take(&mut commits.open) {
            let error = OpError {
                code: "crash".into(),
                message: why.into(),
            };
            self.complete(&open, OpType::Info, Some(error));
        }
        self.session.roster.over(self.who.client);
    }

    fn rebalance(&self, event: Rebalance) {
        self.session.stats.rebalanced();
        self.session.roster.told(
            self.who.client,
            event.event,
            &event.member,
            &event.partitions,
        );
        self.note(Action::Rebalance(Box::new(event)));
    }

    fn begin(&self, commits: &mut Commits, number: u64, commit: Commit) {
        let open = OpenCommit {
            process: commits
                .idle
                .pop()
                .unwrap_or_else(|| self.session.new_process()),
            action: Action::Commit(Box::new(commit)),
            begin: Instant::now(),
        };
        self.session.stats.invoked();
        self.record(open.process, OpType::Invoke, open.action.clone(), None);
        commits.open.insert(number, open);
    }

    fn end(&self, commits: &mut Commits, number: u64, error: Option<&WorkerError>) {
        // A worker that ends what it never began has told nothing.
        let Some(open) = commits.open.remove(&number) else {
            return;
        };
        let kind = error.map_or(OpType::Ok, commit_error);
        self.complete(&open, kind, error.map(classify::op_error));
        if kind != OpType::Info {
            commits.idle.push(open.process);
        }
    }

    fn complete(&self, open: &OpenCommit, kind: OpType, error: Option<OpError>) {
        let latency = open.begin.elapsed();
        self.session.stats.completed(kind, &open.action, latency);
        self.record(open.process, kind, open.action.clone(), error);
    }

    fn note(&self, action: Action) {
        self.record(self.process, OpType::Ok, action, None);
    }

    fn record(&self, process: u64, kind: OpType, action: Action, error: Option<OpError>) {
        self.session.recorder.record(Entry {
            process,
            kind,
            action,
            error,
            node: Some(self.who.consumer.clone()),
        });
    }

    fn key(&self, partition: i32) -> Key {
        Key::new(&self.who.topic, partition)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Commits> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Ledger {
    fn told(&self, told: Told) {
        // Held throughout: a life that is closed meanwhile must not get further lines.
        let mut commits = self.lock();
        if commits.is_over {
            return;
        }
        let (consumer, group) = (self.who.consumer.clone(), self.who.group.clone());
        match told {
            Told::Rebalance {
                event,
                member,
                generation,
                partitions,
            } => self.rebalance(Rebalance {
                consumer,
                group,
                event,
                member: member.into(),
                generation,
                partitions: partitions.into_iter().map(|p| self.key(p)).collect(),
            }),
            Told::Resume {
                generation,
                partition,
                offset,
                source,
            } => {
                let key = self.key(partition);
                if source == ResumeSource::Reset {
                    self.session.roster.reset(key.clone(), offset);
                }
                self.note(Action::Resume(Box::new(Resume {
                    consumer,
                    group,
                    generation,
                    key,
                    offset,
                    source,
                })));
            }
            Told::CommitBegins {
                commit,
                mode,
                member,
                generation,
                offsets,
            } => {
                let offsets = offsets.into_iter();
                let begun = Commit {
                    consumer,
                    group,
                    mode,
                    member: member.into(),
                    generation,
                    offsets: offsets.map(|(p, offset)| (self.key(p), offset)).collect(),
                };
                self.begin(&mut commits, commit, begun);
            }
            Told::CommitEnded { commit, error } => {
                self.end(&mut commits, commit, error.as_ref());
            }
        }
    }
}

/// What a commit that ended with `error` became.
fn commit_error(error: &WorkerError) -> OpType {
    let in_doubt = error.kind == WorkerErrorKind::UnknownOutcome;
    match certainty(classify::name(error), in_doubt) {
        Certainty::Definite => OpType::Fail,
        Certainty::Unknown => OpType::Info,
    }
}
