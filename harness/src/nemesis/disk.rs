//! Faults of log directories: one rule on one or more faulty disks.
//!
//! In: which directories of the targets, and the rule. Effect: what the rule says it did, in
//! operations, bytes and time; a rule that hit nothing is vacuous. Healing: the rule is lifted,
//! and a node that it drove out is put back as an operator would.
//! Keeps: a node may end by itself only as Kafka's does, when the fault has hit the directory of
//! its metadata log, or all of them. Source: `faults.md` §1.3; Kafka's `LogDirFailureHandler`.

use broker::id::BrokerId;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::disk::RuleId;
use crate::disk::rule::{DiskAction, DiskId, DiskRule, RuleEffect};
use crate::nemesis::directory::{DirectoryPick, folders};
use crate::nemesis::kill::prove_serving;
use crate::nemesis::repair::{HALTED, Repair, may_end_node};
use crate::nemesis::{Arena, BoxFuture, DiskSample, Effect, Fault, brokers};
use crate::sandbox::{Endpoint, Excused, Exit};

/// The fault `disk`.
#[derive(Debug)]
pub(crate) struct DiskFault {
    directory: DirectoryPick,
    rule: DiskRule,
    draw: u64,
    targets: Vec<BrokerId>,
    imposed: Vec<Imposed>,
    excused: Vec<Excused>,
    repair: Repair,
}

/// The rule at work on one disk.
#[derive(Clone, Debug, Serialize)]
struct Imposed {
    #[serde(flatten)]
    disk: DiskId,
    #[serde(skip)]
    rule: RuleId,
    /// The folders in it when the rule was imposed: its logs.
    holds: Vec<String>,
    #[serde(flatten)]
    effect: RuleEffect,
}

impl DiskFault {
    pub(crate) fn new(directory: DirectoryPick, rule: DiskRule, draw: u64) -> Self {
        Self {
            directory,
            rule,
            draw,
            targets: Vec::new(),
            imposed: Vec::new(),
            excused: Vec::new(),
            repair: Repair::default(),
        }
    }

    /// Imposes the rule on each chosen directory of `node`.
    fn impose(&mut self, arena: &Arena, node: BrokerId) -> Result<(), String> {
        let of = |reason| format!("node {node}: {reason}");
        let disks = arena.disks.of(node.0);
        let backing = |disk| arena.disks.backing(disk);
        let chosen = self.directory.resolve(&disks, backing, self.draw);
        let holds = |disk| backing(disk).map(|root| folders(&root)).unwrap_or_default();
        let mut imposed = Vec::new();
        for disk in chosen.map_err(of)? {
            let rule = arena.disks.impose(disk, self.rule.clone());
            let rule = rule.map_err(|error| error.to_string())?;
            let effect = RuleEffect::default();
            imposed.push(Imposed {
                disk,
                rule,
                holds: holds(disk),
                effect,
            });
        }
        self.excuse(arena, node, disks.len(), &imposed);
        self.imposed.extend(imposed);
        Ok(())
    }

    /// A node whose metadata log, or whose last directory, fails has to end: that is no surprise.
    fn excuse(&mut self, arena: &Arena, node: BrokerId, directories: usize, imposed: &[Imposed]) {
        let (disks, imposed) = (arena.disks.clone(), imposed.to_vec());
        let (action, patience) = (self.rule.action, arena.stall_timeout);
        let is_hit = move |on: &Imposed| {
            let did = disks.effect(on.disk, on.rule);
            may_end_node(&action, &did, patience)
        };
        let excuse = move |exit: &Exit| {
            let hit: Vec<_> = imposed.iter().filter(|on| is_hit(on)).collect();
            let metadata = hit.iter().any(|on| on.disk.directory == 0);
            exit.code == Some(HALTED) && (metadata || hit.len() == directories)
        };
        let excused = arena
            .supervisor
            .excuse(Endpoint::of(node), Box::new(excuse));
        self.excused.extend(excused);
    }

    /// The nodes on whose disks the rule acts.
    fn nodes(&self) -> Vec<BrokerId> {
        let mut nodes: Vec<_> = self
            .imposed
            .iter()
            .map(|on| BrokerId(on.disk.node))
            .collect();
        nodes.dedup();
        nodes
    }
}

impl Fault for DiskFault {
    fn setup(&mut self, _arena: &Arena, targets: &[Endpoint]) {
        self.targets = brokers(targets);
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let mut refusals = Vec::new();
            for node in self.targets.clone() {
                refusals.extend(self.impose(arena, node).err());
            }
            if self.imposed.is_empty() {
                return Err(refusals.join("; "));
            }
            Ok(())
        })
    }

    fn look(&mut self, arena: &Arena) -> Vec<DiskSample> {
        let sample = |on: &mut Imposed| {
            on.effect = arena.disks.effect(on.disk, on.rule);
            DiskSample {
                disk: on.disk,
                matched: on.effect.matched,
                hits: on.effect.hits,
                held: on.effect.held,
            }
        };
        self.imposed.iter_mut().map(sample).collect()
    }

    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect> {
        self.look(arena);
        let verb = verb(&self.rule.action);
        let told: Vec<_> = self.imposed.iter().map(|on| tell(on, verb)).collect();
        let told = told.join("; ");
        let is_seen = self.imposed.iter().any(|on| on.effect.hits > 0);
        let effect = if is_seen {
            Effect::Seen(told)
        } else {
            Effect::Vacuous(told)
        };
        Box::pin(async { effect })
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            for on in &mut self.imposed {
                on.effect = arena.disks.lift(on.disk, on.rule);
            }
            for node in self.nodes() {
                self.repair.restart_halted(arena, node)?;
            }
            Ok(())
        })
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let was_hit = |node: &BrokerId| {
                let mut imposed = self.imposed.iter();
                imposed.any(|on| on.disk.node == node.0 && on.effect.hits > 0)
            };
            let (hit, missed): (Vec<_>, Vec<_>) = self.nodes().into_iter().partition(was_hit);
            for node in hit {
                self.repair.until_whole(arena, node, &self.rule).await?;
            }
            prove_serving(arena, &missed).await
        })
    }

    fn detail(&self) -> Map<String, Value> {
        Map::from_iter([
            ("rule".to_owned(), json!(self.rule)),
            ("disks".to_owned(), json!(self.imposed)),
            ("repaired".to_owned(), json!(self.repair.told())),
        ])
    }
}

/// What a rule did, or why it did nothing.
fn tell(on: &Imposed, verb: &str) -> String {
    let did = &on.effect;
    let at = format!("d{} of node {}", on.disk.directory, on.disk.node);
    let matched = did.matched;
    if matched == 0 {
        return format!("{at}: no such operation on such a file came");
    }
    if did.hits == 0 {
        return format!("{at}: none of {matched} operations was {verb}");
    }
    let mut told = vec![format!("{at}: {} of {matched} operations {verb}", did.hits)];
    let parts = [
        (did.bytes, "bytes"),
        (did.held, "held now"),
        (did.held_ms_max, "ms the longest"),
    ];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    told.extend(parts.map(|(number, what)| format!("{number} {what}")));
    told.extend(did.first.as_ref().map(|first| format!("first {first}")));
    told.join(", ")
}

/// What the action does to an operation, as a participle.
fn verb(action: &DiskAction) -> &'static str {
    match action {
        DiskAction::Stall => "held",
        DiskAction::OnOff { .. } => "held while the disk was off",
        DiskAction::Slow { .. } => "slowed down",
        DiskAction::Error { .. } => "refused",
        DiskAction::Full { .. } => "refused for want of space",
        DiskAction::Short => "cut short",
        DiskAction::Torn { .. } => "torn",
        DiskAction::Lie => "lied about",
        DiskAction::FlipOnRead => "answered with a flipped bit",
    }
}
