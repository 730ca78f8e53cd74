//! Takes back what was not durable, then does again what survives.
//!
//! In: the journal, with nobody else at the backing folder. Out: the folder as the disk shows it
//! when the power is back, and what was lost.
//! Invariant: in between the folder is exactly what was durable. Operations are taken back in
//! reverse, so what a write has to be done again with is what the file holds just before.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::disk::rule::{PowerLossEffect, Survival};

use super::Journal;
use super::missed::are_missed;
use super::operation::{Data, DataChange, NameChange, Step};
use super::replay::{Torn, replay};
use super::spill::{Span, Spill};
use super::survivors::{Fate, fates};
use super::tree::Tree;

/// How many paths an effect names.
const PATHS_MAX: usize = 100;
const ZEROES: [u8; 4096] = [0; 4096];

/// What [`Journal::undo`] took back.
#[derive(Debug)]
pub(super) struct Undone {
    /// The folder, which is in its durable state.
    pub(super) tree: Tree,
    /// What was taken back, in the order in which it was done.
    pub(super) steps: Vec<Step>,
    /// What each of them changed, within the folder.
    pub(super) paths: Vec<Option<PathBuf>>,
    /// The bytes of the steps.
    pub(super) spill: Spill,
}

impl Journal {
    /// Consumes what was recorded: rolls the backing folder back to what survives.
    pub fn roll_back(&mut self, survival: Survival, draw: u64) -> io::Result<PowerLossEffect> {
        self.put_off = None;
        if let Some((folder, bytes_max)) = self.save_to.take() {
            self.saved = Some(self.save(&folder, bytes_max));
        }
        let mut undone = match self.undone.take() {
            Some(undone) => undone,
            None => self.undo()?,
        };
        let effect = undone.survive(survival, draw)?;
        self.reset()?;
        Ok(effect)
    }

    /// Brings the backing folder into its durable state.
    pub(super) fn undo(&mut self) -> io::Result<Undone> {
        let tree = Tree::scan(&self.backing, &self.graveyard)?;
        for change in self.names.values() {
            tree.gather(change)?;
        }
        for change in self.data.values() {
            tree.gather_file(change.inode)?;
        }
        let mut undone = Undone {
            tree,
            steps: Vec::new(),
            paths: Vec::new(),
            spill: Spill::new(&self.graveyard)?,
        };
        while let Some(sequence) = self.last_sequence() {
            if let Some(change) = self.names.remove(&sequence) {
                undone.take_back_name(change)?;
            } else if let Some(change) = self.data.remove(&sequence) {
                undone.take_back_data(&change, &self.spill)?;
            }
        }
        undone.steps.reverse();
        undone.paths.reverse();
        Ok(undone)
    }

    fn last_sequence(&self) -> Option<u64> {
        let data = self.data.last_key_value().map(|(&sequence, _)| sequence);
        let name = self.names.last_key_value().map(|(&sequence, _)| sequence);
        data.max(name)
    }

    /// Forgets everything: what the folder holds now is durable.
    pub(super) fn reset(&mut self) -> io::Result<()> {
        self.data.clear();
        self.names.clear();
        self.by_file.clear();
        self.pins.clear();
        self.parked.clear();
        fs::remove_dir_all(&self.graveyard)?;
        fs::create_dir(&self.graveyard)?;
        self.graveyard_handle = File::open(&self.graveyard)?;
        self.spill = Spill::new(&self.graveyard)?;
        Ok(())
    }
}

impl Undone {
    /// Does again what survives; what does not.
    pub(super) fn survive(&mut self, survival: Survival, draw: u64) -> io::Result<PowerLossEffect> {
        let fates = fates(&self.steps, &self.paths, survival, draw);
        replay(&mut self.tree, &self.steps, &fates, &self.spill)?;
        Ok(self.effect(&fates))
    }

    pub(super) fn effect(&self, fates: &[Fate]) -> PowerLossEffect {
        let mut effect = PowerLossEffect {
            unsynced: self.steps.len() as u64,
            ..PowerLossEffect::default()
        };
        let mut paths = BTreeSet::new();
        let missed = are_missed(&self.steps, &self.paths);
        let steps = self.steps.iter().zip(&self.paths).zip(fates).zip(missed);
        for (((step, path), fate), is_missed) in steps {
            if *fate != Fate::Kept {
                effect.lost += 1;
                effect.missed += u64::from(is_missed);
                effect.torn += u64::from(is_torn(step, *fate));
                effect.lost_bytes += step.bytes();
                paths.extend(path.iter().map(|path| path.display().to_string()));
            }
        }
        effect.files = paths.into_iter().take(PATHS_MAX).collect();
        effect
    }

    fn take_back_name(&mut self, change: NameChange) -> io::Result<()> {
        let entry = match &change {
            NameChange::Create { at, .. } | NameChange::Remove { at, .. } => at,
            NameChange::Rename { to, .. } => to,
            NameChange::Exchange { other, .. } => &other.at,
        };
        self.paths.push(self.tree.entry_within(entry));
        self.tree.undo(&change)?;
        self.steps.push(Step::Name(change));
        Ok(())
    }

    fn take_back_data(&mut self, change: &DataChange, saved: &Spill) -> io::Result<()> {
        let Some(file) = self.tree.open(change.inode)? else {
            // No name leads to it, and none did when anything was last durable.
            return Ok(());
        };
        let step = match change.what {
            Data::Write { offset, length } => {
                let bytes = self.spill.keep(&file, offset, length)?;
                take_back_write(&file, change, offset, saved)?;
                Step::Write {
                    inode: change.inode,
                    offset,
                    bytes,
                    is_doomed: change.doomed.is_some(),
                }
            }
            Data::SetLength(length) => {
                file.set_len(change.length_before)?;
                if let Some(span) = change.saved {
                    saved.put_back(span, &file, length)?;
                }
                Step::SetLength {
                    inode: change.inode,
                    length,
                    is_cut: length < change.length_before,
                    is_doomed: change.doomed.is_some(),
                }
            }
        };
        self.paths.push(self.tree.path_within(change.inode));
        self.steps.push(step);
        Ok(())
    }
}

/// Whether some of a write that is gone arrived.
fn is_torn(step: &Step, fate: Fate) -> bool {
    match (step, fate) {
        (Step::Write { offset, bytes, .. }, Fate::Torn(seed)) => {
            Torn::draw(*offset, bytes.length, seed).arrives()
        }
        _ => false,
    }
}

/// Restores the bytes before a write, and the length unless a later fsync fixed it.
fn take_back_write(file: &File, change: &DataChange, offset: u64, saved: &Spill) -> io::Result<()> {
    let Some(doomed) = &change.doomed else {
        return restore(file, change, saved);
    };
    if !doomed.is_length_durable {
        return restore(file, change, saved);
    }
    let length = file.metadata()?.len();
    let saved_bytes = change.saved.map_or(0, |span| span.length);
    for &(start, end) in &doomed.ranges {
        let end = end.min(length);
        let middle = end.min(offset + saved_bytes).max(start);
        if let Some(span) = change.saved.filter(|_| middle > start) {
            let part = Span {
                at: span.at + (start - offset),
                length: middle - start,
            };
            saved.put_back(part, file, start)?;
        }
        zero(file, middle, end)?;
    }
    Ok(())
}

fn restore(file: &File, change: &DataChange, saved: &Spill) -> io::Result<()> {
    if file.metadata()?.len() > change.length_before {
        file.set_len(change.length_before)?;
    }
    match (change.saved, change.what) {
        (Some(span), Data::Write { offset, .. }) => saved.put_back(span, file, offset),
        _ => Ok(()),
    }
}

fn zero(file: &File, mut from: u64, to: u64) -> io::Result<()> {
    while from < to {
        let count = (to - from).min(ZEROES.len() as u64);
        file.write_all_at(ZEROES.get(..count as usize).unwrap_or_default(), from)?;
        from += count;
    }
    Ok(())
}
