//! A loss of power: the links go silent, then SIGKILL, and what was not fsynced is gone.
//!
//! In: what survives of the un-synced writes and names. Effect: the processes are gone, no peer
//! heard a goodbye, and what the roll-back took. Healing: the disks are mounted again, the links
//! open, what was connected stays half-open until the peer sends something, and the nodes start.
//! Keeps: between SIGKILL and healing nobody can start the node over a disk without power.
//! Source: `sandbox.md` §3 and §4; `faults.md` D1, D2.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::id::BrokerId;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::crash::save::Saving;
use crate::disk::rule::{DiskId, PowerLossEffect, Survival};
use crate::link::{AtHeal, Count, Cut, Layer, LinkCounts, LinkId, Policy};
use crate::nemesis::atlas::{Copies, Loss, Permit, look};
use crate::nemesis::kill::{kill_all, names, prove_gone, prove_serving, start_again};
use crate::nemesis::{Arena, BoxFuture, ClusterState, Effect, Fault, brokers, power_on};
use crate::sandbox::{Down, Endpoint};

/// The fault `power-loss`.
#[derive(Debug)]
pub(crate) struct PowerLoss {
    survival: Survival,
    stagger: Duration,
    draw: u64,
    targets: Vec<BrokerId>,
    down: Vec<(BrokerId, Down)>,
    layer: Option<Layer>,
    silenced: Vec<(LinkId, LinkCounts)>,
    killed: Vec<BrokerId>,
    lost: Vec<Lost>,
    images: BTreeMap<i32, String>,
    /// What the atlas says of it.
    atlas: Permit,
    /// Why the rest of the targets kept their power.
    cut_short: Option<String>,
    /// Why the rest could not be done, where something is gone already.
    failed: Option<String>,
}

/// Why nodes did not lose their power, or not as they should.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stopped {
    /// The atlas refused it.
    Refused(String),
    /// It did not succeed.
    Failed(String),
}

impl From<String> for Stopped {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// What one disk lost. A disk that could not be rolled back may have lost anything.
#[derive(Clone, Debug, Serialize)]
struct Lost {
    #[serde(flatten)]
    disk: DiskId,
    #[serde(flatten)]
    effect: Option<PowerLossEffect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

impl Lost {
    fn of(disk: DiskId, lost: Result<PowerLossEffect, String>) -> Self {
        let (effect, failed) = match lost {
            Ok(effect) => (Some(effect), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            disk,
            effect,
            failed,
        }
    }

    /// What became of it, as the begin of a sentence; nothing if all of it was fsynced.
    fn tell(&self) -> Option<String> {
        let at = format!("d{} of node {}", self.disk.directory, self.disk.node);
        match (&self.effect, &self.failed) {
            (Some(effect), _) => (effect.unsynced > 0).then(|| {
                let torn = match effect.torn {
                    0 => String::new(),
                    torn => format!(", {torn} of them torn"),
                };
                format!(
                    "{at} lost {} of {} operations and {} bytes that were not fsynced{torn}",
                    effect.lost, effect.unsynced, effect.lost_bytes
                )
            }),
            (None, failed) => {
                let reason = failed.as_deref().unwrap_or("for an unknown reason");
                Some(format!("{at} could not be rolled back: {reason}"))
            }
        }
    }
}

impl PowerLoss {
    pub(crate) fn new(survival: Survival, stagger: Duration, draw: u64) -> Self {
        Self {
            survival,
            stagger,
            draw,
            targets: Vec::new(),
            down: Vec::new(),
            layer: None,
            silenced: Vec::new(),
            killed: Vec::new(),
            lost: Vec::new(),
            images: BTreeMap::new(),
            atlas: Permit::default(),
            cut_short: None,
            failed: None,
        }
    }

    /// The nodes that lose their power together, one group after the other.
    fn groups(&self) -> Vec<Vec<BrokerId>> {
        if self.stagger.is_zero() {
            vec![self.targets.clone()]
        } else {
            self.targets.iter().map(|node| vec![*node]).collect()
        }
    }

    async fn cut_power(&mut self, arena: &Arena, nodes: &[BrokerId]) -> Result<(), Stopped> {
        let runs = |node: &BrokerId| arena.supervisor.pid(Endpoint::of(*node)).is_ok();
        let running: Vec<BrokerId> = nodes.iter().copied().filter(runs).collect();
        if running.is_empty() {
            return Ok(());
        }
        // Before the links are silent: nobody could tell afterwards.
        let before = look(arena).await;
        let losses: Vec<Loss> = running.iter().copied().map(loss_of).collect();
        if let Err(reason) = arena.atlas.may_stop(arena, before.as_ref(), &losses) {
            if self.lost.is_empty() {
                self.atlas = Permit::nothing_taken();
            }
            return Err(Stopped::Refused(reason));
        }
        for node in &running {
            let down = arena.supervisor.hold_down(Endpoint::of(*node));
            let down = down.map_err(|error| error.to_string())?;
            self.down.push((*node, down));
        }
        // Only once all are held: whoever has lost its power is rolled back, or has it back.
        for node in &running {
            self.silence(arena, *node);
            // Not before: an acknowledgement that left is of something durable.
            for disk in arena.disks.of(node.0) {
                arena.disks.lose_power(disk);
            }
        }
        let taken = self.take_down(arena, before, &running).await;
        if taken.is_err() {
            for disk in running.iter().flat_map(|node| arena.disks.of(node.0)) {
                arena.disks.keep_power(disk);
            }
        }
        taken?;
        let saving: Vec<_> = running
            .iter()
            .filter_map(|node| Saving::begin(&arena.disks, node.0))
            .collect();
        let mut losses = JoinSet::new();
        for disk in running.iter().flat_map(|node| arena.disks.of(node.0)) {
            let (disks, survival, draw) = (arena.disks.clone(), self.survival, self.draw_of(disk));
            losses.spawn(async move { (disk, disks.power_off(disk, survival, draw).await) });
        }
        let mut failed = None;
        while let Some(lost) = losses.join_next().await {
            let (disk, lost) = lost.map_err(|error| error.to_string())?;
            let lost = Lost::of(disk, lost.map_err(|error| error.to_string()));
            failed = failed.or_else(|| lost.failed.clone());
            self.lost.push(lost);
        }
        self.lost.sort_by_key(|lost| lost.disk);
        for node in running.iter().filter(|node| self.has_kept_all(**node)) {
            arena.atlas.undo(&loss_of(*node));
        }
        self.images
            .extend(saving.into_iter().filter_map(Saving::end));
        failed.map_or(Ok(()), |reason| Err(Stopped::Failed(reason)))
    }

    /// Kills the nodes, whose power is gone, if it may go.
    async fn take_down(
        &mut self,
        arena: &Arena,
        before: Option<ClusterState>,
        running: &[BrokerId],
    ) -> Result<(), Stopped> {
        // Noted first: if one of them cannot be killed, the others still have to be healed.
        self.killed.extend(running);
        kill_all(arena, running).await?;
        self.ask_atlas(arena, before, running).await
    }

    /// What is left if the power of `nodes`, which are down, goes; in atlas mode, whether it may.
    /// Otherwise the flush policy decides what it may take, and no promise stands on what is left.
    async fn ask_atlas(
        &mut self,
        arena: &Arena,
        before: Option<ClusterState>,
        nodes: &[BrokerId],
    ) -> Result<(), Stopped> {
        let losses: Vec<Loss> = nodes.iter().copied().map(loss_of).collect();
        let permitted = arena.atlas.permit(arena, before, &losses).await;
        if permitted.is_err() && self.lost.is_empty() {
            self.atlas = Permit::nothing_taken();
        }
        self.atlas = permitted.map_err(Stopped::Refused)?;
        if !arena.atlas.is_strict() {
            self.atlas.detail.remove("atlas");
        }
        Ok(())
    }

    /// Ends the loss at the group that did not lose its power: if the atlas refused it and any lost
    /// its own `earlier`, that is gone all the same; so is what is gone where it failed.
    ///
    /// # Errors
    /// The reason, if there is nothing else to tell.
    fn cut_short(&mut self, earlier: bool, stopped: Stopped) -> Result<(), String> {
        match stopped {
            Stopped::Refused(reason) if earlier => {
                self.cut_short = Some(reason);
                Ok(())
            }
            Stopped::Failed(reason) if self.has_taken() => {
                self.failed = Some(reason);
                Ok(())
            }
            Stopped::Refused(reason) | Stopped::Failed(reason) => Err(reason),
        }
    }

    /// Whether every disk of `node` came back with all that a broker misses.
    fn has_kept_all(&self, node: BrokerId) -> bool {
        let mut of_node = self.lost.iter().filter(|lost| lost.disk.node == node.0);
        of_node.all(|lost| matches!(&lost.effect, Some(effect) if effect.missed == 0))
    }

    fn silence(&mut self, arena: &Arena, node: BrokerId) {
        let layer = *self.layer.get_or_insert_with(|| arena.links.layer());
        for link in arena.links.of(Endpoint::of(node)) {
            let cut = Policy::Cut(Cut::BOTH, AtHeal::Forget);
            arena.links.impose(layer, link, cut);
            if self.silenced.iter().all(|(known, _)| *known != link) {
                self.silenced.push((link, arena.links.counts(link)));
            }
        }
    }

    /// Another draw for each disk, the same in every run of the plan.
    fn draw_of(&self, disk: DiskId) -> u64 {
        let number = u64::from(disk.node.unsigned_abs()) << 32 | u64::from(disk.directory);
        self.draw
            .wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// Ends of connections that were reset on the silent links: goodbyes that somebody heard.
    fn goodbyes(&self, arena: &Arena) -> u64 {
        let heard = |(link, before): &(LinkId, LinkCounts)| {
            arena.links.counts(*link).since(before).get(Count::Reset)
        };
        self.silenced.iter().map(heard).sum()
    }

    /// Whether anything is gone that a broker misses, or may be.
    fn has_taken(&self) -> bool {
        let took = |lost: &Lost| lost.effect.as_ref().is_none_or(|effect| effect.missed > 0);
        self.lost.iter().any(took)
    }

    /// What became of what was not fsynced. Where nothing is gone the machine was lost all the
    /// same, so that promises have to bear a crash; as a loss of power it had no effect.
    fn effect(&self, gone: &str) -> Effect {
        let mut told: Vec<String> = self.lost.iter().filter_map(Lost::tell).collect();
        let rest = self.cut_short.iter();
        told.extend(rest.map(|reason| format!("it stopped before the rest: {reason}")));
        let failed = self.failed.iter();
        told.extend(failed.map(|reason| format!("it failed before it was done: {reason}")));
        if !self.has_taken() {
            let what = match self.lost.iter().all(|lost| lost.tell().is_none()) {
                true => "everything was fsynced",
                false => "nothing is gone that a broker misses",
            };
            told.push(format!("{what}: it was no more than a crash"));
            return Effect::Vacuous(format!("{gone}; {}", told.join("; ")));
        }
        told.push(self.atlas.words.clone());
        Effect::Seen(format!(
            "{gone}; no peer heard a goodbye; {}",
            told.join("; ")
        ))
    }
}

/// All copies of a node are lost with its power. Votes are always fsynced.
fn loss_of(node: BrokerId) -> Loss {
    Loss {
        node,
        copies: Copies::All,
        vote: false,
    }
}

impl Fault for PowerLoss {
    fn setup(&mut self, _arena: &Arena, targets: &[Endpoint]) {
        self.targets = brokers(targets);
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            for node in &self.targets {
                if arena.disks.of(node.0).is_empty() {
                    return Err(format!(
                        "node {node} has no faulty disk, so nothing of it would be lost; the plan \
                         needs `cluster.disk`"
                    ));
                }
            }
            for (number, nodes) in self.groups().into_iter().enumerate() {
                if number > 0 {
                    sleep(self.stagger).await;
                }
                let earlier = !self.lost.is_empty();
                if let Err(stopped) = self.cut_power(arena, &nodes).await {
                    return self.cut_short(earlier, stopped);
                }
            }
            if self.killed.is_empty() {
                return Err("none of the targets was running".into());
            }
            Ok(())
        })
    }

    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect> {
        Box::pin(async {
            let gone = match prove_gone(arena, &self.killed).await {
                Effect::Seen(gone) => gone,
                vacuous @ Effect::Vacuous(_) => return vacuous,
            };
            match self.goodbyes(arena) {
                0 => self.effect(&gone),
                heard => Effect::Vacuous(format!(
                    "{heard} ends of connections of {} were reset: peers heard a goodbye",
                    names(&self.killed)
                )),
            }
        })
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let powered: Vec<_> = self
                .killed
                .iter()
                .map(|node| power_on(arena, *node))
                .collect();
            self.down.clear();
            if let Some(layer) = self.layer.take() {
                arena.links.lift(layer);
            }
            for (node, powered) in self.killed.iter().zip(&powered) {
                if powered.is_ok() {
                    start_again(arena, Endpoint::of(*node))?;
                }
            }
            powered.into_iter().collect()
        })
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let watch = async {
                for node in &self.killed {
                    arena.atlas.watch(arena, *node).await;
                }
            };
            let (serving, ()) = tokio::join!(prove_serving(arena, &self.killed), watch);
            serving?;
            self.killed
                .iter()
                .for_each(|node| arena.atlas.is_back(*node));
            self.failed.clone().map_or(Ok(()), Err)
        })
    }

    fn detail(&self) -> Map<String, Value> {
        let mut detail = self.atlas.detail.clone();
        detail.insert("survival".to_owned(), json!(self.survival));
        detail.insert("disks".to_owned(), json!(self.lost));
        detail.insert("images".to_owned(), json!(self.images));
        if let Some(reason) = &self.cut_short {
            detail.insert("cut-short".to_owned(), json!(reason));
        }
        if let Some(reason) = &self.failed {
            detail.insert("failed".to_owned(), json!(reason));
        }
        detail
    }
}

#[cfg(test)]
mod tests {
    use checkers::contract::Contract;
    use checkers::history::{
        Action, FaultClass, Header, History, NemesisEvent, Op, OpType, Phase, Settings,
    };

    use super::*;

    /// Whether records that one copy was enough for may be gone, by what the fault told of its
    /// disk.
    fn may_lose(lost: Result<PowerLossEffect, String>) -> bool {
        let disk = DiskId {
            node: 1,
            directory: 0,
        };
        let mut fault = PowerLoss::new(Survival::None, Duration::ZERO, 1);
        fault.lost = vec![Lost::of(disk, lost)];
        let op = |index, phase, detail| Op {
            index,
            time: 0,
            process: 0,
            kind: OpType::Info,
            action: Action::Nemesis(Box::new(NemesisEvent {
                fault: "power-loss".to_owned(),
                class: FaultClass::PowerLoss,
                phase,
                target: json!(["n1"]),
                detail,
            })),
            error: None,
            node: None,
        };
        let told = Value::Object(fault.detail());
        let ops = vec![
            op(0, Phase::Inject, Value::Null),
            op(1, Phase::Vacuous, told),
        ];
        let settings = Settings {
            min_insync_replicas: 1,
            ..Settings::default()
        };
        let header = Header::new(settings, Value::Null);
        let history = History::from_ops(header, ops).expect("a history");
        let promise = Contract::of(&history).promise(checkers::anomaly::Kind::LostWrite);
        !promise.forbidden
    }

    #[test]
    fn a_loss_of_power_that_took_nothing_had_no_effect() {
        let effect = |losses: &[Result<(u64, u64), &str>]| {
            let mut fault = PowerLoss::new(Survival::None, Duration::ZERO, 1);
            let lost = |(directory, lost): (usize, &Result<(u64, u64), &str>)| {
                let effect = |&(lost, missed)| PowerLossEffect {
                    unsynced: 3,
                    lost,
                    missed,
                    ..PowerLossEffect::default()
                };
                let directory = directory as u32;
                let lost = lost.as_ref().map(effect);
                Lost::of(
                    DiskId { node: 1, directory },
                    lost.map_err(ToString::to_string),
                )
            };
            fault.lost = losses.iter().enumerate().map(lost).collect();
            fault.effect("node 1 is gone")
        };
        let is_vacuous = |losses: &[_]| match effect(losses) {
            Effect::Vacuous(reason) => reason.contains("no more than a crash"),
            Effect::Seen(_) => false,
        };
        assert!(is_vacuous(&[Ok((0, 0)), Ok((0, 0))]));
        assert!(is_vacuous(&[Ok((3, 0)), Ok((0, 0))]), "only a note went");
        assert!(!is_vacuous(&[Ok((0, 0)), Ok((1, 1))]), "a name counts");
        assert!(!is_vacuous(&[Ok((0, 0)), Err("the mount hangs")]));
    }

    /// What the first node of a staggered loss lost.
    fn lost(missed: u64) -> Vec<Lost> {
        let disk = DiskId {
            node: 1,
            directory: 0,
        };
        let effect = PowerLossEffect {
            unsynced: 3,
            lost: 2,
            missed,
            ..PowerLossEffect::default()
        };
        vec![Lost::of(disk, Ok(effect))]
    }

    #[test]
    fn what_a_staggered_loss_took_before_it_was_refused_is_told() {
        let refused = || "no good copy would be left of t-0".to_owned();
        let second_refused = |missed| {
            let mut fault = PowerLoss::new(Survival::None, Duration::from_secs(1), 1);
            fault.lost = lost(missed);
            let injected = fault.cut_short(true, Stopped::Refused(refused()));
            let told = fault.detail().get("cut-short").cloned();
            assert_eq!((injected, told), (Ok(()), Some(json!(refused()))));
            fault.effect("node 1 is gone")
        };
        match second_refused(1) {
            Effect::Seen(told) => {
                assert!(told.contains("lost 2 of 3"), "{told}");
                assert!(told.contains(&refused()), "{told}");
            }
            vacuous @ Effect::Vacuous(_) => panic!("node 1 lost two operations: {vacuous:?}"),
        }
        match second_refused(0) {
            Effect::Vacuous(told) => assert!(told.contains(&refused()), "{told}"),
            seen @ Effect::Seen(_) => panic!("nobody misses anything: {seen:?}"),
        }
        let mut first = PowerLoss::new(Survival::None, Duration::from_secs(1), 1);
        let injected = first.cut_short(false, Stopped::Refused(refused()));
        assert_eq!(injected, Err(refused()));
        assert_eq!(first.detail().get("cut-short"), None);
    }

    #[test]
    fn a_staggered_loss_that_fails_midway_passes_for_none_that_was_refused() {
        let failed = || "node 2 ignores SIGKILL".to_owned();
        let mut fault = PowerLoss::new(Survival::None, Duration::from_secs(1), 1);
        let injected = fault.cut_short(true, failed().into());
        assert_eq!(injected, Err(failed()));
        assert_eq!(fault.detail().get("cut-short"), None);
        fault.lost = lost(0);
        let injected = fault.cut_short(true, failed().into());
        assert_eq!(injected, Err(failed()), "nobody misses anything");
    }

    #[test]
    fn what_a_staggered_loss_took_before_it_failed_is_told() {
        let failed = || "node 2 ignores SIGKILL".to_owned();
        let mut fault = PowerLoss::new(Survival::None, Duration::from_secs(1), 1);
        fault.lost = lost(1);
        assert_eq!(fault.cut_short(true, failed().into()), Ok(()));
        let told = fault.detail().get("failed").cloned();
        assert_eq!(told, Some(json!(failed())));
        match fault.effect("node 1 is gone") {
            Effect::Seen(told) => assert!(told.contains(&failed()), "{told}"),
            vacuous @ Effect::Vacuous(_) => panic!("node 1 lost two operations: {vacuous:?}"),
        }
    }

    #[test]
    fn a_disk_that_could_not_be_rolled_back_may_have_lost_anything() {
        assert!(may_lose(Err("the mount hangs".to_owned())));
        assert!(!may_lose(Ok(PowerLossEffect::default())));
    }
}
