//! A machine crash: the links go silent first, then SIGKILL; no peer hears a goodbye.
//!
//! Effect: the process is gone, and peers that were connected saw neither FIN nor RST meanwhile.
//! Healing: the links open, which resets what was connected before, and the node starts again.
//! Source: `sandbox.md` §3, "Machine crash is not kill -9".

use broker::id::BrokerId;

use crate::link::{AtHeal, Cut, Layer, Policy};
use crate::nemesis::kill::{kill_all, prove_gone, prove_serving, restart_all};
use crate::nemesis::{Arena, BoxFuture, Effect, Fault, brokers};
use crate::sandbox::Endpoint;

/// The fault `crash`.
#[derive(Debug, Default)]
pub(crate) struct Crash {
    targets: Vec<BrokerId>,
    killed: Vec<BrokerId>,
    layer: Option<Layer>,
}

impl Fault for Crash {
    fn setup(&mut self, _arena: &Arena, targets: &[Endpoint]) {
        self.targets = brokers(targets);
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let layer = arena.links.layer();
            self.layer = Some(layer);
            for link in self
                .targets
                .iter()
                .flat_map(|node| arena.links.of(Endpoint::of(*node)))
            {
                arena
                    .links
                    .impose(layer, link, Policy::Cut(Cut::BOTH, AtHeal::Reset));
            }
            self.killed = kill_all(arena, &self.targets).await?;
            Ok(())
        })
    }

    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect> {
        Box::pin(prove_gone(arena, &self.killed))
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            if let Some(layer) = self.layer.take() {
                arena.links.lift(layer);
            }
            restart_all(arena, &self.killed)
        })
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(prove_serving(arena, &self.killed))
    }
}
