//! Which name operations a file system cannot keep without keeping others.
//!
//! In: name operations in the order in which they were done. Out: what an fsync makes durable with
//! what it was asked for, and what is gone with what is gone.
//! Invariant: within one directory, and for one file, names never survive out of order, and no
//! file loses its last name to half of a move. Between directories there is no order. That is less
//! than journaling file systems keep (ext4 and XFS commit all names in one order), so whatever a
//! real one may do is possible here. Source: rename(2), fsync(2), ext4's jbd2.

use std::collections::{BTreeMap, BTreeSet};

use super::operation::{NameChange, NodeKind};

/// What keeps the operations on it in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thing {
    /// The entries of a directory.
    Entries(u64),
    /// The names of a file or directory.
    Inode(u64),
}

/// All that `change` is in order with.
fn touches(change: &NameChange) -> Vec<Thing> {
    let mut things = match change {
        NameChange::Create { at, inode, .. } => {
            vec![Thing::Entries(at.parent), Thing::Inode(*inode)]
        }
        NameChange::Remove { at, .. } => vec![Thing::Entries(at.parent)],
        NameChange::Rename {
            from, to, inode, ..
        } => vec![
            Thing::Entries(from.parent),
            Thing::Entries(to.parent),
            Thing::Inode(*inode),
        ],
        NameChange::Exchange { one, other } => vec![
            Thing::Entries(one.at.parent),
            Thing::Entries(other.at.parent),
            Thing::Inode(one.inode),
            Thing::Inode(other.inode),
        ],
    };
    if let Some(gone) = change.gone() {
        things.push(Thing::Inode(gone.inode));
        things.extend(gone.directory.map(|_| Thing::Entries(gone.inode)));
    }
    things
}

/// The sequence numbers of `wanted` and of everything that has to be durable before them.
pub(super) fn closure(
    names: &BTreeMap<u64, NameChange>,
    mut wanted: BTreeSet<u64>,
) -> BTreeSet<u64> {
    let mut needed = BTreeSet::new();
    let mut all = BTreeSet::new();
    for (&sequence, change) in names.iter().rev() {
        let things = touches(change);
        if !wanted.contains(&sequence) && !things.iter().any(|thing| needed.contains(thing)) {
            continue;
        }
        all.insert(sequence);
        needed.extend(things);
        for directory in moved_into(change) {
            // Else the file would be neither here nor there.
            wanted.extend(creations(names, directory));
        }
    }
    all
}

/// The directories into which `change` moves something from another one.
fn moved_into(change: &NameChange) -> Vec<u64> {
    match change {
        NameChange::Rename { from, to, .. } if from.parent != to.parent => vec![to.parent],
        NameChange::Exchange { one, other } if one.at.parent != other.at.parent => {
            vec![one.at.parent, other.at.parent]
        }
        _ => Vec::new(),
    }
}

/// The creation of `inode`, of the directory that holds it, and so on upwards.
pub(super) fn creations(names: &BTreeMap<u64, NameChange>, inode: u64) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    let mut todo = vec![inode];
    while let Some(inode) = todo.pop() {
        for (&sequence, change) in names {
            let NameChange::Create { at, inode: new, .. } = change else {
                continue;
            };
            if *new == inode && found.insert(sequence) {
                todo.push(at.parent);
            }
        }
    }
    found
}

/// Decides in order which names survive when some are gone.
#[derive(Debug, Default)]
pub(super) struct Casualties(BTreeSet<Thing>);

impl Casualties {
    /// Whether `change` may survive after all that is gone.
    pub(super) fn allows(&self, change: &NameChange) -> bool {
        !touches(change).iter().any(|thing| self.0.contains(thing))
    }

    /// `change` is gone.
    pub(super) fn add(&mut self, change: &NameChange) {
        self.0.extend(touches(change));
        if let NameChange::Create {
            inode,
            kind: NodeKind::Directory,
            ..
        } = change
        {
            // What was moved into it would be lost.
            self.0.insert(Thing::Entries(*inode));
        }
    }
}

/// The changes of the entries of a directory.
pub(super) fn in_directory(names: &BTreeMap<u64, NameChange>, inode: u64) -> BTreeSet<u64> {
    let here = |change: &NameChange| touches(change).contains(&Thing::Entries(inode));
    let found = names.iter().filter(|(_, change)| here(change));
    found.map(|(&sequence, _)| sequence).collect()
}
