//! The atlas: where faults that destroy data may act so that every later loss is a bug.
//!
//! In: what a fault is about to take from which nodes. Out: what is left, and in atlas mode a
//! refusal where no good copy of something acknowledged would be left.
//! Invariant: a loss that was taken counts until its node was seen out of sync and in sync again;
//! damage to single files, which nobody may have noticed, counts to the end of the run. What nobody
//! can tell by now is not known, and what is not known is not there.
//! Source: TigerBeetle's `ClusterFaultAtlas`; `faults.md` §1.3.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker::id::BrokerId;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::nemesis::{Arena, ClusterState, OBSERVE_LIMIT, PROBE_PAUSE, running};

mod survey;
#[cfg(test)]
mod survey_test;

pub use survey::{Copies, Left, Loss};
use survey::{Picture, is_made_good, is_out, known, survey};

/// How long looks begin at a node that lost something until it is out of sync: the last one ends
/// when it has been answered.
const OUT_LIMIT: Duration = Duration::from_secs(3);

/// The losses of a run. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Atlas {
    is_strict: bool,
    taken: Arc<Mutex<Vec<Taken>>>,
}

#[derive(Clone, Debug)]
struct Taken {
    loss: Loss,
    /// Its node has answered since.
    is_back: bool,
    /// Its node was seen out of sync since; before, a view that has it in sync is out of date.
    was_out: bool,
}

/// What a loss leaves, for the history and for people.
#[derive(Clone, Debug, Default)]
pub(crate) struct Permit {
    /// `atlas`: whether a good copy of everything is left; `left`: which copies.
    pub(crate) detail: Map<String, Value>,
    /// The same as a sentence.
    pub(crate) words: String,
}

impl Permit {
    /// Nothing was taken.
    pub(crate) fn nothing_taken() -> Self {
        Self {
            detail: Map::from_iter([("atlas".to_owned(), json!(true))]),
            words: String::new(),
        }
    }
}

impl Atlas {
    /// Refuses what leaves no good copy if `is_strict`; else it only tells.
    pub fn new(is_strict: bool) -> Self {
        Self {
            is_strict,
            taken: Arc::default(),
        }
    }

    /// Whether it refuses.
    pub fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// In atlas mode, whether nodes may be stopped that are about to lose `losses`, asked while
    /// they run: one that is spared only once it is down has stopped uncleanly all the same.
    ///
    /// # Errors
    /// Why no good copy would be left.
    pub(crate) fn may_stop(
        &self,
        arena: &Arena,
        before: Option<&ClusterState>,
        losses: &[Loss],
    ) -> Result<(), String> {
        let views = before.map_or(&[][..], std::slice::from_ref);
        self.may_stop_while(running_in(arena, views), views, losses)
    }

    fn may_stop_while(
        &self,
        running: BTreeSet<BrokerId>,
        views: &[ClusterState],
        losses: &[Loss],
    ) -> Result<(), String> {
        if !self.is_strict {
            return Ok(());
        }
        let is_told = views.iter().all(|view| is_told(&running, view, losses));
        let left = self.survey(running, views, &self.weighed(losses));
        known(left, views.len(), 1).1?;
        match is_told {
            true => Ok(()),
            false => Err("no majority would be left that could tell what is".to_owned()),
        }
    }

    /// In atlas mode whoever is stopped counts as one that loses all its copies: as long as it is
    /// not in sync again it may not lead before one that has lost something.
    fn weighed(&self, losses: &[Loss]) -> Vec<Loss> {
        let weighed = |loss: &Loss| match self.is_strict {
            true => Loss {
                copies: Copies::All,
                ..loss.clone()
            },
            false => loss.clone(),
        };
        losses.iter().map(weighed).collect()
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
    ) -> Result<Permit, String> {
        let weighed = self.weighed(losses);
        let now = match &before {
            Some(before) if is_told(&running(arena, &before.nodes), before, losses) => {
                look(arena).await
            }
            // Those that still run may tell what was, and cannot know what is.
            _ => None,
        };
        let views: Vec<ClusterState> = before.into_iter().chain(now).collect();
        let left = self.survey(running_in(arena, &views), &views, &weighed);
        let (left, enough) = known(left, views.len(), 2);
        let enough = match weighed.iter().all(Loss::is_nothing) {
            true => Ok(()),
            false => enough,
        };
        if self.is_strict {
            enough.clone()?;
        }
        let taken = weighed.into_iter().filter(|loss| !loss.is_nothing());
        self.lock().extend(taken.map(|loss| Taken {
            loss,
            is_back: false,
            was_out: false,
        }));
        Ok(Permit {
            detail: Map::from_iter([
                ("atlas".to_owned(), json!(enough.is_ok())),
                ("left".to_owned(), json!(left)),
            ]),
            words: match enough {
                Ok(()) => "a good copy of everything acknowledged is left".to_owned(),
                Err(reason) => reason,
            },
        })
    }

    fn survey(
        &self,
        mut running: BTreeSet<BrokerId>,
        views: &[ClusterState],
        losses: &[Loss],
    ) -> Left {
        for view in views {
            self.note(view);
        }
        let mut taken = self.lock();
        if let Some(now) = views.last() {
            let is_over = |taken: &Taken| taken.is_back && taken.was_out;
            taken.retain(|taken| !is_over(taken) || !is_made_good(&taken.loss, now));
        }
        let open: Vec<Loss> = taken.iter().map(|taken| taken.loss.clone()).collect();
        // Those that were stopped for it keep what they do not lose.
        running.extend(losses.iter().map(|loss| loss.node));
        let picture = Picture {
            views,
            running: &running,
            open: &open,
        };
        survey(&picture, losses)
    }

    /// Looks until `node` is seen out of sync with what it lost, or for a while: what is never seen
    /// so is never seen to be made good.
    pub(crate) async fn watch(&self, arena: &Arena, node: BrokerId) {
        self.watch_by(|| look(arena), OUT_LIMIT, node).await;
    }

    /// The same by looks that begin within `limit`, each of which is heard to its end.
    async fn watch_by<F: Future<Output = Option<ClusterState>>>(
        &self,
        look: impl Fn() -> F,
        limit: Duration,
        node: BrokerId,
    ) {
        let begin = Instant::now();
        while self.awaits(node) {
            if let Some(view) = look().await {
                self.note(&view);
            }
            if begin.elapsed() >= limit {
                return;
            }
            sleep(PROBE_PAUSE).await;
        }
    }

    /// Whether `node` has lost something and was not seen out of sync since.
    fn awaits(&self, node: BrokerId) -> bool {
        let taken = self.lock();
        let mut of_node = taken.iter().filter(|taken| taken.loss.node == node);
        of_node.any(|taken| !taken.was_out)
    }

    fn note(&self, view: &ClusterState) {
        for taken in self.lock().iter_mut() {
            taken.was_out |= is_out(&taken.loss, view);
        }
    }

    /// `node` answers again: from now on views may tell that it is in sync with what it lost.
    pub(crate) fn is_back(&self, node: BrokerId) {
        let mut taken = self.lock();
        let of_node = taken.iter_mut().filter(|taken| taken.loss.node == node);
        of_node.for_each(|taken| taken.is_back = true);
    }

    /// `loss` did not take place, or what it took was put back. In atlas mode its node counts until
    /// it is in sync again, because it was stopped.
    pub(crate) fn undo(&self, loss: &Loss) {
        if self.is_strict {
            return;
        }
        let mut taken = self.lock();
        if let Some(index) = taken.iter().rposition(|taken| taken.loss == *loss) {
            taken.remove(index);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether those of `running` that lose nothing are a majority, which can tell how things are once
/// the others are down.
fn is_told(running: &BTreeSet<BrokerId>, before: &ClusterState, losses: &[Loss]) -> bool {
    let is_other = |node: &&BrokerId| losses.iter().all(|loss| loss.node != **node);
    running.iter().filter(is_other).count() > before.nodes.len() / 2
}

fn running_in(arena: &Arena, views: &[ClusterState]) -> BTreeSet<BrokerId> {
    let nodes = views.iter().flat_map(|view| running(arena, &view.nodes));
    nodes.collect()
}

/// The cluster as a majority of its nodes tells; nothing if none does in time.
pub(crate) async fn look(arena: &Arena) -> Option<ClusterState> {
    let state = timeout(OBSERVE_LIMIT, arena.view.observe()).await;
    state.ok().and_then(Result::ok)
}
