//! One kind of Kafka frame, singled out on every link to the targets.
//!
//! Effect: the rules acted on at least one frame. Healing: the rules are removed, held frames go
//! on, and probes are answered. Source: `faults.md` §1.2 N20, N21.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::link::{ActiveRule, FrameRule, Layer, LinkId};
use crate::nemesis::link_faults::prove_links_answer;
use crate::nemesis::{Arena, BoxFuture, Effect, Fault, short_names};
use crate::sandbox::Endpoint;

/// The fault `frame`.
#[derive(Debug)]
pub(crate) struct Frame {
    rule: FrameRule,
    links: Vec<LinkId>,
    active: Vec<(LinkId, Arc<ActiveRule>)>,
    layer: Option<Layer>,
}

impl Frame {
    pub(crate) fn new(rule: FrameRule) -> Self {
        Self {
            rule,
            links: Vec::new(),
            active: Vec::new(),
            layer: None,
        }
    }
}

impl Fault for Frame {
    fn setup(&mut self, arena: &Arena, targets: &[Endpoint]) {
        self.links = targets
            .iter()
            .flat_map(|target| arena.links.to(*target))
            .collect();
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let layer = arena.links.layer();
            self.layer = Some(layer);
            let add = |link: &LinkId| {
                let rule = arena.links.add_rule(layer, *link, self.rule.clone())?;
                Some((*link, rule))
            };
            self.active = self.links.iter().filter_map(add).collect();
            Ok(())
        })
    }

    fn prove_effect<'a>(&'a mut self, _arena: &'a Arena) -> BoxFuture<'a, Effect> {
        let seen: u64 = self.active.iter().map(|(_, rule)| rule.seen()).sum();
        let applied: u64 = self.active.iter().map(|(_, rule)| rule.applied()).sum();
        let effect = match applied {
            0 => Effect::Vacuous(format!(
                "{seen} frames matched side and API key, none was picked"
            )),
            _ => Effect::Seen(format!("acted on {applied} of {seen} frames")),
        };
        Box::pin(async { effect })
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            if let Some(layer) = self.layer.take() {
                arena.links.lift(layer);
            }
            Ok(())
        })
    }

    fn detail(&self) -> Map<String, Value> {
        let hit = self.active.iter().filter(|(_, rule)| rule.applied() > 0);
        let hit: BTreeSet<Endpoint> = hit.map(|(link, _)| link.from).collect();
        let clients: Vec<Endpoint> = hit.into_iter().filter(|end| !end.is_node()).collect();
        Map::from_iter([("clients".to_owned(), json!(short_names(&clients)))])
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(prove_links_answer(arena, &self.links))
    }
}
