//! Faults of whole links: slow, narrow, held, reset, refusing, mute.
//!
//! In: the links to and from the targets. Effect: what the journal counted on them since, and
//! where traffic may be missing, a probe. Healing: the layer is lifted and probes are answered.
//! Source: `faults.md` §1.2 N7, N12, N13, N15, N16.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::link::{AtHeal, Count, Cut, Layer, LinkCounts, LinkId, Policy, Probe};
use crate::nemesis::{Arena, BoxFuture, Effect, Fault, PROBE_LIMIT, PROBE_PAUSE, RECOVERY_LIMIT};
use crate::sandbox::{Endpoint, Status};

/// What happens to the links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Delay { mean: Duration, jitter: Duration },
    Bandwidth { bytes_per_second: u64 },
    Hold,
    Reset,
    Refuse,
    Mute,
}

/// The faults `delay`, `bandwidth`, `hold`, `reset`, `refuse` and `mute`.
#[derive(Debug)]
pub(crate) struct LinkFault {
    kind: Kind,
    links: Vec<LinkId>,
    before: LinkCounts,
    layer: Option<Layer>,
}

impl LinkFault {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            links: Vec::new(),
            before: LinkCounts::default(),
            layer: None,
        }
    }

    fn policy(&self) -> Option<Policy> {
        match self.kind {
            Kind::Delay { mean, jitter } => Some(Policy::Delay { mean, jitter }),
            Kind::Bandwidth { bytes_per_second } => Some(Policy::Bandwidth { bytes_per_second }),
            Kind::Hold => Some(Policy::Cut(Cut::BOTH, AtHeal::Release)),
            Kind::Refuse => Some(Policy::Refuse),
            Kind::Mute => Some(Policy::Mute),
            Kind::Reset => None,
        }
    }

    async fn evidence(&self, arena: &Arena) -> Effect {
        let counts = arena.links.sum(&self.links).since(&self.before);
        match self.kind {
            Kind::Delay { .. } => counted(&counts, Count::BytesDelayed, "bytes delayed"),
            Kind::Bandwidth { .. } => counted(&counts, Count::BytesPaced, "bytes paced"),
            Kind::Hold => prove_withheld(arena, &self.links, self.before).await,
            Kind::Reset => counted(&counts, Count::Reset, "ends of connections reset"),
            Kind::Refuse => self.prove_refusal(arena).await,
            Kind::Mute => self.prove_mute(arena).await,
        }
    }

    async fn prove_refusal(&self, arena: &Arena) -> Effect {
        for link in &self.links {
            if let Ok(Probe::Refused) = arena.links.probe(*link, PROBE_LIMIT).await {
                return Effect::Seen(format!("a probe over {link} was refused"));
            }
        }
        Effect::Vacuous("a probe was refused on none of the links".into())
    }

    /// A silent probe alone proves nothing, for the node may be paused: the proxy's count does.
    async fn prove_mute(&self, arena: &Arena) -> Effect {
        if let Some(link) = self.links.first() {
            let _ = arena.links.probe(*link, PROBE_LIMIT).await;
        }
        let counts = arena.links.sum(&self.links).since(&self.before);
        counted(
            &counts,
            Count::Muted,
            "connections accepted and not answered",
        )
    }
}

impl Fault for LinkFault {
    fn setup(&mut self, arena: &Arena, targets: &[Endpoint]) {
        let mut links: Vec<_> = targets
            .iter()
            .flat_map(|target| arena.links.of(*target))
            .collect();
        if matches!(self.kind, Kind::Refuse | Kind::Mute) {
            links.retain(|link| targets.contains(&link.to));
        }
        links.sort_unstable();
        links.dedup();
        self.links = links;
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            self.before = arena.links.sum(&self.links);
            if let Some(policy) = self.policy() {
                let layer = arena.links.layer();
                self.layer = Some(layer);
                for link in &self.links {
                    arena.links.impose(layer, *link, policy.clone());
                }
            }
            if matches!(self.kind, Kind::Reset | Kind::Refuse | Kind::Mute) {
                self.links.iter().for_each(|link| arena.links.reset(*link));
            }
            Ok(())
        })
    }

    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect> {
        Box::pin(self.evidence(arena))
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

/// Something was withheld on `links`; if nothing tried to pass, a probe tries.
pub(crate) async fn prove_withheld(arena: &Arena, links: &[LinkId], before: LinkCounts) -> Effect {
    let withheld = || {
        let counts = arena.links.sum(links).since(&before);
        let (bytes, connects) = (
            counts.get(Count::BytesWithheld),
            counts.get(Count::ConnectsWithheld),
        );
        let streams = counts.get(Count::StreamsWithheld);
        (bytes + connects > 0).then(|| {
            format!("{bytes} bytes of {streams} streams and {connects} new connections withheld")
        })
    };
    if let Some(evidence) = withheld() {
        return Effect::Seen(evidence);
    }
    for link in links {
        let probe = arena.links.probe(*link, PROBE_LIMIT).await;
        // A silent probe alone proves nothing, for the node may be paused: the count does.
        if let (Ok(Probe::Silent), Some(evidence)) = (probe, withheld()) {
            return Effect::Seen(format!("a probe over {link} stayed unanswered: {evidence}"));
        }
    }
    Effect::Vacuous("nothing was withheld, not even of a probe on every link".into())
}

/// Every link answers, except where another fault still acts or the node is down.
pub(crate) async fn prove_links_answer(arena: &Arena, links: &[LinkId]) -> Result<(), String> {
    let deadline = tokio::time::Instant::now() + RECOVERY_LIMIT;
    for link in links {
        let answered = async {
            while is_undisturbed(arena, *link)
                && !matches!(
                    arena.links.probe(*link, PROBE_LIMIT).await,
                    Ok(Probe::Answered)
                )
            {
                sleep(PROBE_PAUSE).await;
            }
        };
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        let late = |_| format!("{link} does not answer {RECOVERY_LIMIT:?} after the fault");
        timeout(left.max(PROBE_LIMIT), answered)
            .await
            .map_err(late)?;
    }
    Ok(())
}

fn is_undisturbed(arena: &Arena, link: LinkId) -> bool {
    let is_running = matches!(arena.supervisor.status(link.to), Some(Status::Running(_)));
    is_running && arena.links.policy(link) == Policy::Open
}

fn counted(counts: &LinkCounts, count: Count, what: &str) -> Effect {
    match counts.get(count) {
        0 => Effect::Vacuous(format!("no {what}: nothing passed")),
        number => Effect::Seen(format!("{number} {what}")),
    }
}
