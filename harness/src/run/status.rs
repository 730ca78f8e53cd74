//! What a run is doing right now, for whoever shows it.
//!
//! In: phases and faults as the run goes on. Out: a snapshot in one call, from any thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::run::events::Phase;
use crate::workload::session::Session;
use crate::workload::stats::Counts;

/// Shared between a run and its display.
#[derive(Debug, Default)]
pub struct Status {
    now: Mutex<Now>,
    session: OnceLock<Arc<Session>>,
}

#[derive(Debug, Default)]
struct Now {
    phase: Option<Phase>,
    faults: BTreeMap<usize, String>,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The phase; none before the first.
    pub phase: Option<Phase>,
    /// The faults that act, such as `kill n2`.
    pub faults: Vec<String>,
    /// The counters.
    pub counts: Counts,
}

impl Status {
    /// A phase begins.
    pub fn enter(&self, phase: Phase) {
        self.lock().phase = Some(phase);
    }

    /// Fault `number` of the plan acts from now on.
    pub fn fault_begins(&self, number: usize, what: String) {
        self.lock().faults.insert(number, what);
    }

    /// Fault `number` of the plan is ended.
    pub fn fault_ends(&self, number: usize) {
        self.lock().faults.remove(&number);
    }

    /// No fault acts any more.
    pub fn faults_end(&self) {
        self.lock().faults.clear();
    }

    /// The counters of `session` are shown from now on.
    pub fn attach(&self, session: Arc<Session>) {
        // A run has one session; a second one would be a second run's.
        let _ = self.session.set(session);
    }

    /// What is going on.
    pub fn snapshot(&self) -> Snapshot {
        let now = self.lock();
        Snapshot {
            phase: now.phase,
            faults: now.faults.values().cloned().collect(),
            counts: self
                .session
                .get()
                .map(|session| session.stats.counts())
                .unwrap_or_default(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
