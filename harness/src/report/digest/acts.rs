//! The operations of each client, reduced to what a lane shows of them.

use std::collections::BTreeMap;

use checkers::history::{Action, Op, OpType};

use crate::report::digest::natural;

/// One client process and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name in the history, such as `client-2`, or `c4` for the lives `c4.1` and `c4.2`.
    pub name: Box<str>,
    /// Its operations, in the order of their invocations.
    pub acts: Vec<Act>,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// What it was.
    pub deed: Deed,
    /// Its invocation, in nanoseconds since the start of the run.
    pub from: u64,
    /// Its completion, if it came.
    pub until: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
}

/// The operations that have a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// A producer sends.
    Send,
    /// A consumer polls.
    Poll,
    /// Records take their effect on the outside world.
    Process,
    /// A member commits.
    Commit,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It took effect.
    Ok,
    /// It certainly did not.
    Fail,
    /// Nobody knows.
    Info,
}

impl Deed {
    /// As in `f` of the history.
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Poll => "poll",
            Self::Process => "process",
            Self::Commit => "commit",
        }
    }

    fn of(action: &Action) -> Option<Self> {
        match action {
            Action::Send(_) => Some(Self::Send),
            Action::Poll(_) => Some(Self::Poll),
            Action::Process(_) => Some(Self::Process),
            Action::Commit(_) => Some(Self::Commit),
            _ => None,
        }
    }
}

/// The clients, while the history is read.
#[derive(Debug, Default)]
pub(super) struct Clients {
    acts: BTreeMap<Box<str>, Vec<Act>>,
    /// For each process with an open operation, whose it is and where it stands.
    open: BTreeMap<u64, (Box<str>, usize)>,
}

impl Clients {
    pub(super) fn hear(&mut self, op: &Op) {
        let Some(deed) = Deed::of(&op.action) else {
            return;
        };
        let outcome = match op.kind {
            OpType::Invoke => return self.begin(op, deed),
            OpType::Ok => Outcome::Ok,
            OpType::Fail => Outcome::Fail,
            OpType::Info => Outcome::Info,
        };
        let Some((client, position)) = self.open.remove(&op.process) else {
            return;
        };
        let acts = self.acts.get_mut(&client);
        if let Some(act) = acts.and_then(|acts| acts.get_mut(position)) {
            act.until = Some(op.time);
            act.outcome = outcome;
        }
    }

    fn begin(&mut self, op: &Op, deed: Deed) {
        let node = op.node.as_deref().unwrap_or("clients");
        let name: Box<str> = node.split('.').next().unwrap_or(node).into();
        let acts = self.acts.entry(name.clone()).or_default();
        self.open.insert(op.process, (name, acts.len()));
        acts.push(Act {
            deed,
            from: op.time,
            until: None,
            outcome: Outcome::Info,
        });
    }

    pub(super) fn finish(self) -> Vec<Client> {
        let client = |(name, acts)| Client { name, acts };
        let mut clients: Vec<Client> = self.acts.into_iter().map(client).collect();
        clients.sort_by_key(|client| natural(&client.name));
        clients
    }
}
