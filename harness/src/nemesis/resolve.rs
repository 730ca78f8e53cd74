//! Who is meant by the target of a fault when it fires.
//!
//! In: a target. Out: the nodes or clients, and how old the view is by which they were found, if
//! it is not of this moment; or why there is nobody.
//! Invariant: an old view tells who is meant only where no majority of the nodes ran for long after
//! it was told, for without one nobody names another leader or controller. Source: DESIGN §4.

use std::time::Duration;

use broker::id::BrokerId;
use tokio::time::timeout;

use crate::nemesis::{Arena, ClusterState, LastKnown, OBSERVE_LIMIT, Target, nodes};
use crate::sandbox::Endpoint;

/// How long a majority may have run after it told: it is looked for four times a second, and one
/// look may take half of one.
const LOOKED_WITHIN: Duration = Duration::from_secs(1);

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The nodes or clients.
    pub targets: Vec<Endpoint>,
    /// How long ago the view was told by which they were found, if nobody tells a newer one.
    pub view_age: Option<Duration>,
}

impl Resolved {
    fn of(nodes: Vec<BrokerId>, view_age: Option<Duration>) -> Self {
        Self {
            targets: nodes.into_iter().map(Endpoint::of).collect(),
            view_age,
        }
    }

    /// The role of `target`, by which these were found.
    pub fn role(&self, target: &Target) -> String {
        match self.view_age {
            Some(age) => format!("{target}, as told {} ms ago", age.as_millis()),
            None => target.to_string(),
        }
    }
}

/// Who is meant now.
///
/// # Errors
/// Why nobody is, or why that is not known.
pub(crate) async fn resolve(arena: &Arena, target: &Target, draw: u64) -> Result<Resolved, String> {
    if let Some(clients) = target.resolve_clients(&arena.roster, draw) {
        return Ok(Resolved {
            targets: clients?.into_iter().map(Endpoint::Client).collect(),
            view_age: None,
        });
    }
    let nodes = nodes(arena);
    let now = if target.needs_view() {
        let late = |_| format!("no majority told within {OBSERVE_LIMIT:?} who is {target}");
        let state = timeout(OBSERVE_LIMIT, arena.view.observe()).await;
        state.map_err(late).flatten()
    } else {
        let nodes = nodes.clone();
        Ok(ClusterState {
            nodes,
            ..ClusterState::default()
        })
    };
    match now {
        Ok(state) => Ok(Resolved::of(target.resolve(&state, draw)?, None)),
        Err(reason) => {
            let rests = |node: &BrokerId| arena.supervisor.rests_for(Endpoint::of(*node));
            let rests = majority_rests(nodes.iter().filter_map(rests).collect(), nodes.len());
            by_last_view(target, draw, rests, arena.view.last_known()).unwrap_or(Err(reason))
        }
    }
}

/// How long no majority of the `nodes` has run for sure, of which each rests for so long that ever
/// ran.
fn majority_rests(mut rests: Vec<Duration>, nodes: usize) -> Duration {
    rests.sort_unstable();
    rests.get(nodes / 2).copied().unwrap_or(Duration::MAX)
}

/// Who was meant when a majority told last, unless one ran for longer since, which may have named
/// others; nothing if that is not known.
fn by_last_view(
    target: &Target,
    draw: u64,
    majority_rests: Duration,
    last: Option<LastKnown>,
) -> Option<Result<Resolved, String>> {
    let last = last.filter(|last| last.age <= majority_rests.saturating_add(LOOKED_WITHIN))?;
    let nodes = target.resolve(&last.state, draw);
    Some(nodes.map(|nodes| Resolved::of(nodes, Some(last.age))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(age: u64) -> Option<LastKnown> {
        Some(LastKnown {
            state: ClusterState {
                controller: Some(BrokerId(2)),
                ..ClusterState::default()
            },
            age: Duration::from_millis(age),
        })
    }

    #[test]
    fn an_old_view_tells_who_is_meant_only_if_nobody_could_name_another_since() {
        let target = Target::Controller;
        let long_ago = Duration::from_mins(1);
        let found = by_last_view(&target, 0, long_ago, told(812));
        let found = found.unwrap().unwrap();
        assert_eq!(found.targets, [Endpoint::Node(2)]);
        assert_eq!(found.role(&target), "controller, as told 812 ms ago");
        assert_eq!(by_last_view(&target, 0, long_ago, None), None);
        let now = Resolved::of(vec![BrokerId(2)], None);
        assert_eq!(now.role(&target), "controller");
    }

    #[test]
    fn a_node_that_dies_or_comes_back_while_a_majority_is_asked_makes_no_old_view_true() {
        // How long each node rests, how old the view is that three of them told.
        for (rests, age, is_believed) in [
            // Two have been down since just after the last look; nobody has come back.
            (&[0, 5_000, 5_100][..], 5_700, true),
            (&[0, 5_000], 5_700, true),
            (&[5_000, 5_000, 5_000], 5_700, true),
            // Two ran together for the whole of the asking, until a moment ago.
            (&[0, 100, 5_100], 5_700, false),
            (&[100, 100, 5_100], 5_700, false),
            // One has just come back.
            (&[0, 0, 5_100], 5_700, false),
            (&[0, 0, 0], 5_700, false),
        ] {
            let rests = rests.iter().copied().map(Duration::from_millis).collect();
            let rests = majority_rests(rests, 3);
            let found = by_last_view(&Target::Controller, 0, rests, told(age));
            assert_eq!(found.is_some(), is_believed, "{rests:?}");
        }
    }
}
