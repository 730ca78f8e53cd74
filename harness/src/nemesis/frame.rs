//! One kind of Kafka frame, singled out on every link to the targets.
//!
//! Effect: the rules acted on at least one frame. Healing: the rules are removed, held frames go
//! on, and probes are answered. Source: `faults.md` §1.2 N20, N21.

use std::sync::Arc;

use crate::link::{ActiveRule, FrameRule, Layer, LinkId};
use crate::nemesis::link_faults::prove_links_answer;
use crate::nemesis::{Arena, BoxFuture, Effect, Fault};
use crate::sandbox::Endpoint;

/// The fault `frame`.
#[derive(Debug)]
pub(crate) struct Frame {
    rule: FrameRule,
    links: Vec<LinkId>,
    active: Vec<Arc<ActiveRule>>,
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
            let add = |link: &LinkId| arena.links.add_rule(layer, *link, self.rule.clone());
            self.active = self.links.iter().filter_map(add).collect();
            Ok(())
        })
    }

    fn prove_effect<'a>(&'a mut self, _arena: &'a Arena) -> BoxFuture<'a, Effect> {
        let seen: u64 = self.active.iter().map(|rule| rule.seen()).sum();
        let applied: u64 = self.active.iter().map(|rule| rule.applied()).sum();
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

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(prove_links_answer(arena, &self.links))
    }
}
