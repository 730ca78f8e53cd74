//! The fault `damage`: stop, change files, start again.
//!
//! In: nodes, log directories, a [`Damage`]. Effect: the process is gone, and each change as read
//! back from its file. Healing: a restart on what is left; a node that refuses it gets its own
//! files back, as an operator would give it from a backup.
//! Keeps: from the stop until healing nobody can start the node; files change in one step without
//! a pause, so that a fault that is dropped has changed all or nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use broker::id::BrokerId;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use crate::disk::rule::DiskId;
use crate::nemesis::atlas::{Copies, Loss, Permit, look};
use crate::nemesis::damage::change::{Change, carry_out};
use crate::nemesis::damage::copy::Copy;
use crate::nemesis::damage::victim::{Struck, Victim, is_refusal, told, unplug};
use crate::nemesis::damage::{Damage, FileKind};
use crate::nemesis::directory::DirectoryPick;
use crate::nemesis::files::list;
use crate::nemesis::kill::{prove_gone, start_again};
use crate::nemesis::{Arena, BoxFuture, Effect, Fault, brokers, power_on, wait_until_it_answers};
use crate::sandbox::{Endpoint, ProcessError};

/// How long a controlled shutdown may take before SIGKILL ends it.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);
/// Changes that the evidence names; `detail` has all.
const CHANGES_TOLD: usize = 4;

/// The fault `damage`.
#[derive(Debug)]
pub(crate) struct DamageFault {
    directory: DirectoryPick,
    damage: Damage,
    clean: bool,
    draw: u64,
    targets: Vec<BrokerId>,
    victims: Vec<Victim>,
    /// What the atlas says of it.
    atlas: Permit,
    told: Vec<String>,
}

/// A change as `detail` tells it.
#[derive(Serialize)]
struct Damaged<'a> {
    #[serde(flatten)]
    disk: DiskId,
    #[serde(flatten)]
    change: &'a Change,
}

impl DamageFault {
    pub(crate) fn new(directory: DirectoryPick, damage: Damage, clean: bool, draw: u64) -> Self {
        Self {
            directory,
            damage,
            clean,
            draw,
            targets: Vec::new(),
            victims: Vec::new(),
            atlas: Permit::default(),
            told: Vec::new(),
        }
    }

    /// The running nodes among the targets, unless another fault still damages them, and the
    /// directories that are meant.
    fn choose(&self, arena: &Arena) -> Result<Vec<Victim>, String> {
        let mut victims = Vec::new();
        for node in &self.targets {
            let endpoint = Endpoint::of(*node);
            if arena.supervisor.pid(endpoint).is_err() {
                continue;
            }
            let claim = arena.supervisor.claim(endpoint);
            let Some(claim) = claim.map_err(|error| error.to_string())? else {
                continue;
            };
            let all = arena.files.of(*node);
            let path = |disk| arena.files.path(disk);
            let disks = self.directory.resolve(&all, path, self.draw)?;
            let struck = |disk| {
                Some(Struck {
                    disk,
                    root: arena.files.path(disk)?,
                    from: None,
                    own: None,
                    changes: Vec::new(),
                })
            };
            victims.push(Victim {
                node: *node,
                directories: disks.into_iter().filter_map(struck).collect(),
                loss: None,
                is_lasting: self.damage.takes_copies() && !self.damage.is_of_directory(),
                down: None,
                claim: Some(claim),
                excused: None,
                printed: 0,
                noticed: Vec::new(),
            });
        }
        if victims.is_empty() {
            return Err("none of the targets was running and free of other damage".into());
        }
        Ok(victims)
    }

    async fn strike(&mut self, arena: &Arena) -> Result<(), String> {
        self.victims = self.choose(arena)?;
        self.take_earlier_copies(arena).await?;
        let losses = self.losses()?;
        let before = look(arena).await;
        let may_stop = arena.atlas.may_stop(arena, before.as_ref(), &losses);
        if may_stop.is_err() {
            // They run on.
            self.victims.clear();
        }
        may_stop?;
        self.stop(arena, self.clean).await?;
        for victim in &self.victims {
            unplug(arena, victim.node)?;
        }
        self.atlas = arena.atlas.permit(arena, before, &losses).await?;
        let changed = self.change(arena);
        if self.changes().next().is_none() {
            for loss in &losses {
                arena.atlas.undo(loss);
            }
            changed?;
            return Err("there was nothing to damage".into());
        }
        for (victim, loss) in self.victims.iter_mut().zip(losses) {
            victim.loss = Some(loss);
        }
        // What has changed is told, even if more should have.
        self.told.extend(changed.err());
        Ok(())
    }

    /// Copies what is to come back later, and lets the node run on.
    async fn take_earlier_copies(&mut self, arena: &Arena) -> Result<(), String> {
        match self.damage {
            Damage::Backup { at_rest: true, .. } => {
                self.stop(arena, true).await?;
                self.copy_all()?;
                for victim in &mut self.victims {
                    victim.down = None;
                    start_again(arena, Endpoint::of(victim.node))?;
                }
                for victim in &self.victims {
                    wait_until_it_answers(arena, victim.node).await?;
                }
            }
            Damage::Backup { .. } | Damage::RollBack { .. } => self.copy_all()?,
            _ => return Ok(()),
        }
        sleep(Duration::from_millis(self.damage.age_ms())).await;
        Ok(())
    }

    fn copy_all(&mut self) -> Result<(), String> {
        for struck in self
            .victims
            .iter_mut()
            .flat_map(|victim| &mut victim.directories)
        {
            struck.from = Some(Copy::of(&struck.root).map_err(told(&struck.root))?);
        }
        Ok(())
    }

    /// Stops the victims, in order if `clean`, and keeps them down.
    async fn stop(&mut self, arena: &Arena, clean: bool) -> Result<(), String> {
        for victim in &mut self.victims {
            let endpoint = Endpoint::of(victim.node);
            let down = arena.supervisor.hold_down(endpoint);
            victim.down = Some(down.map_err(|error| error.to_string())?);
            if clean {
                match arena.supervisor.terminate(endpoint, SHUTDOWN_LIMIT).await {
                    Err(ProcessError::Timeout { limit, .. }) => {
                        let node = victim.node;
                        self.told
                            .push(format!("node {node} ignored SIGTERM for {limit:?}"));
                    }
                    Ok(_) | Err(ProcessError::NotRunning(_)) => continue,
                    Err(error) => return Err(error.to_string()),
                }
            }
            match arena.supervisor.kill(endpoint).await {
                Ok(_) | Err(ProcessError::NotRunning(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// What would be lost, at most.
    fn losses(&self) -> Result<Vec<Loss>, String> {
        let loss = |victim: &Victim| -> Result<Loss, String> {
            let mut loss = Loss {
                node: victim.node,
                copies: Copies::Of(BTreeSet::new()),
                vote: false,
            };
            for struck in &victim.directories {
                let files = list(&struck.root).map_err(told(&struck.root))?;
                let of_topics = files.iter().filter(|path| {
                    FileKind::of(path) == Some(FileKind::Segment) && self.damage.takes_copies()
                });
                let folders = of_topics.filter_map(|path| path.parent()?.to_str());
                if let Copies::Of(partitions) = &mut loss.copies {
                    partitions.extend(folders.map(str::to_owned));
                }
                loss.vote |= struck.disk.directory == 0 && self.damage.takes_votes();
            }
            Ok(loss)
        };
        self.victims.iter().map(loss).collect()
    }

    fn change(&mut self, arena: &Arena) -> Result<(), String> {
        for victim in &mut self.victims {
            for struck in &mut victim.directories {
                let root = &struck.root;
                struck.own = Some(Copy::of(root).map_err(told(root))?);
                let number = u64::from(struck.disk.node.unsigned_abs()) << 32
                    | u64::from(struck.disk.directory);
                let draw = self.draw ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                if let Damage::Swap { keep_identity } = self.damage {
                    let other = neighbour(arena, struck.disk, draw)?;
                    let copy = Copy::beside(root, &other).map_err(told(&other))?;
                    if keep_identity {
                        copy.take(root, FileKind::Identity).map_err(told(root))?;
                    }
                    struck.from = Some(copy);
                }
                let from = struck.from.as_ref().map(Copy::path);
                let changes = carry_out(root, &self.damage, from, draw);
                struck.changes = changes.map_err(|error| struck.give_up(&error))?;
            }
        }
        Ok(())
    }

    fn changes(&self) -> impl Iterator<Item = Damaged<'_>> {
        let struck = self.victims.iter().flat_map(|victim| &victim.directories);
        struck.flat_map(|struck| {
            let disk = struck.disk;
            struck
                .changes
                .iter()
                .map(move |change| Damaged { disk, change })
        })
    }

    fn tell(&self) -> String {
        let told = |Damaged { disk, change }: Damaged<'_>| {
            let DiskId { node, directory } = disk;
            format!(
                "d{directory} of node {node}: {}: {}",
                change.file, change.what
            )
        };
        let mut parts: Vec<String> = self.changes().take(CHANGES_TOLD).map(told).collect();
        let more = self.changes().count() - parts.len();
        if more > 0 {
            parts.push(format!("and {more} more"));
        }
        parts.push(self.atlas.words.clone());
        parts.extend(self.told.iter().cloned());
        parts.join("; ")
    }
}

impl Fault for DamageFault {
    fn setup(&mut self, _arena: &Arena, targets: &[Endpoint]) {
        self.targets = brokers(targets);
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let struck = self.strike(arena).await;
            if struck.is_err() {
                // Nothing has changed, so nothing is missing.
                self.atlas = Permit::nothing_taken();
            }
            struck
        })
    }

    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect> {
        Box::pin(async {
            let nodes: Vec<BrokerId> = self.victims.iter().map(|victim| victim.node).collect();
            let (Effect::Seen(gone) | Effect::Vacuous(gone)) = prove_gone(arena, &nodes).await;
            Effect::Seen(format!("{}; {gone}", self.tell()))
        })
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let mut failed = Ok(());
            for victim in &mut self.victims {
                let endpoint = Endpoint::of(victim.node);
                victim.printed = arena.files.printed(victim.node);
                victim.excused = arena.supervisor.excuse(endpoint, Box::new(is_refusal)).ok();
                let powered = power_on(arena, victim.node);
                victim.down = None;
                let started = powered.and_then(|()| start_again(arena, endpoint));
                failed = failed.and(started);
            }
            failed
        })
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            for victim in &mut self.victims {
                let back = victim.come_back(arena).await;
                victim.excused = None;
                victim.claim = None;
                back?;
            }
            Ok(())
        })
    }

    fn detail(&self) -> Map<String, Value> {
        let mut detail = self.atlas.detail.clone();
        let changes: Vec<Damaged<'_>> = self.changes().collect();
        if !changes.is_empty() {
            detail.insert("damaged".to_owned(), json!(changes));
        }
        let noticed: Vec<&String> = self.victims.iter().flat_map(|v| &v.noticed).collect();
        if !noticed.is_empty() {
            detail.insert("noticed".to_owned(), json!(noticed));
        }
        detail
    }
}

/// The same log directory of another node, drawn.
fn neighbour(arena: &Arena, disk: DiskId, draw: u64) -> Result<PathBuf, String> {
    let others: Vec<BrokerId> = arena.files.nodes();
    let others: Vec<BrokerId> = others
        .into_iter()
        .filter(|node| node.0 != disk.node)
        .collect();
    let index = draw.checked_rem(others.len() as u64);
    let other = index.and_then(|index| others.get(index as usize));
    let path = other.and_then(|other| {
        let node = other.0;
        arena.files.path(DiskId { node, ..disk })
    });
    path.ok_or_else(|| "no other node has such a directory".to_owned())
}
