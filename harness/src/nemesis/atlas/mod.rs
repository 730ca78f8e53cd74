//! The atlas: where faults that destroy data may act so that every later loss is a bug.
//!
//! In: what a fault is about to take from which nodes. Out: what is left, and in atlas mode a
//! refusal where no good copy of something acknowledged would be left.
//! Invariant: a loss that was taken counts until its node is seen in sync again.
//! Source: TigerBeetle's `ClusterFaultAtlas`; `faults.md` §1.3.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker::id::BrokerId;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::nemesis::{Arena, ClusterState, OBSERVE_LIMIT};
use crate::sandbox::{Endpoint, Status};

mod survey;
#[cfg(test)]
mod survey_test;

pub use survey::{Copies, Left, Loss};
use survey::{Picture, is_made_good, survey};

/// The losses of a run. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Atlas {
    is_strict: bool,
    taken: Arc<Mutex<Vec<Taken>>>,
}

#[derive(Clone, Debug)]
struct Taken {
    loss: Loss,
    /// Its node has answered since; before, a view that has it in sync is out of date.
    is_back: bool,
}

impl Atlas {
    /// Refuses what leaves no good copy if `is_strict`; else it only tells.
    pub fn new(is_strict: bool) -> Self {
        Self {
            is_strict,
            taken: Arc::default(),
        }
    }

    /// What a fault that fires now would leave, if it takes `losses` from nodes that are stopped
    /// by now; `before` is the cluster as it was before they were. An allowed loss counts as taken.
    ///
    /// # Errors
    /// In atlas mode, why no good copy would be left.
    pub(crate) async fn permit(
        &self,
        arena: &Arena,
        before: Option<ClusterState>,
        losses: &[Loss],
    ) -> Result<Map<String, Value>, String> {
        let left = match (before, look(arena).await) {
            (Some(before), Some(now)) => Some(self.survey(arena, &[before, now], losses)),
            _ => None,
        };
        let enough = match &left {
            _ if losses.iter().all(Loss::is_nothing) => Ok(()),
            Some(left) => left.is_enough(),
            None => Err("no node told what the cluster looks like".to_owned()),
        };
        if self.is_strict {
            enough.clone()?;
        }
        let taken = losses.iter().filter(|loss| !loss.is_nothing());
        self.lock().extend(taken.map(|loss| Taken {
            loss: loss.clone(),
            is_back: false,
        }));
        Ok(Map::from_iter([
            ("atlas".to_owned(), json!(enough.is_ok())),
            ("left".to_owned(), json!(left)),
        ]))
    }

    fn survey(&self, arena: &Arena, views: &[ClusterState], losses: &[Loss]) -> Left {
        let mut taken = self.lock();
        if let Some(now) = views.last() {
            taken.retain(|taken| !taken.is_back || !is_made_good(&taken.loss, now));
        }
        let open: Vec<Loss> = taken.iter().map(|taken| taken.loss.clone()).collect();
        let runs = |node: &BrokerId| {
            let status = arena.supervisor.status(Endpoint::of(*node));
            matches!(status, Some(Status::Running(_)))
        };
        let nodes = views.iter().flat_map(|view| &view.nodes).copied();
        let mut running: BTreeSet<BrokerId> = nodes.filter(runs).collect();
        // Those that were stopped for it keep what they do not lose.
        running.extend(losses.iter().map(|loss| loss.node));
        let picture = Picture {
            views,
            running: &running,
            open: &open,
        };
        survey(&picture, losses)
    }

    /// `node` answers again: from now on views may tell that it is in sync with what it lost.
    pub(crate) fn is_back(&self, node: BrokerId) {
        let mut taken = self.lock();
        let of_node = taken.iter_mut().filter(|taken| taken.loss.node == node);
        of_node.for_each(|taken| taken.is_back = true);
    }

    /// `loss` did not take place, or what it took was put back.
    pub(crate) fn undo(&self, loss: &Loss) {
        let mut taken = self.lock();
        if let Some(index) = taken.iter().rposition(|taken| taken.loss == *loss) {
            taken.remove(index);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cluster as any node tells; nothing if none does in time.
pub(crate) async fn look(arena: &Arena) -> Option<ClusterState> {
    let state = timeout(OBSERVE_LIMIT, arena.view.observe()).await;
    state.ok().and_then(Result::ok)
}
