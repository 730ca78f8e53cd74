//! Who is meant by the target of a fault when it fires.
//!
//! In: a target. Out: the nodes or clients, and how old the view is by which they were found, if
//! it is not of this moment; or why there is nobody.
//! Invariant: an old view tells who is meant only where fewer nodes run than a majority, for then
//! nobody names another leader or controller. Source: DESIGN §4.

use std::time::Duration;

use broker::id::BrokerId;
use tokio::time::timeout;

use crate::nemesis::{Arena, ClusterState, LastKnown, OBSERVE_LIMIT, Target, nodes, running};
use crate::sandbox::Endpoint;

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
            let is_majority = running(arena, &nodes).len() > nodes.len() / 2;
            by_last_view(target, draw, is_majority, arena.view.last_known()).unwrap_or(Err(reason))
        }
    }
}

/// Who was meant when a majority told last, unless a majority of the nodes runs, which may have
/// named others since; nothing if that is not known.
fn by_last_view(
    target: &Target,
    draw: u64,
    is_majority: bool,
    last: Option<LastKnown>,
) -> Option<Result<Resolved, String>> {
    let last = last.filter(|_| !is_majority)?;
    let nodes = target.resolve(&last.state, draw);
    Some(nodes.map(|nodes| Resolved::of(nodes, Some(last.age))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_view_tells_who_is_meant_only_while_nobody_can_name_another() {
        let last = || {
            Some(LastKnown {
                state: ClusterState {
                    controller: Some(BrokerId(2)),
                    ..ClusterState::default()
                },
                age: Duration::from_millis(812),
            })
        };
        let target = Target::Controller;
        let found = by_last_view(&target, 0, false, last()).unwrap().unwrap();
        assert_eq!(found.targets, [Endpoint::Node(2)]);
        assert_eq!(found.role(&target), "controller, as told 812 ms ago");
        assert_eq!(by_last_view(&target, 0, true, last()), None);
        assert_eq!(by_last_view(&target, 0, false, None), None);
        let now = Resolved::of(vec![BrokerId(2)], None);
        assert_eq!(now.role(&target), "controller");
    }
}
