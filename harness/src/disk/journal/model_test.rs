//! Random operations on a folder and on a model in memory: after a loss of power the folder is what
//! the model says it must be, or may be.
//!
//! The model never takes anything back: it applies what is durable, forwards, to the state at the
//! beginning. Which names have to be durable before others it finds by going through all pairs.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::disk::rule::Survival;

use super::operation::Step;
use super::rig_test::{Listing, Rig};
use super::survivors::{Fate, fates};

const NAMES: [&str; 4] = ["w", "x", "y", "z"];

/// An operation on drawn places; it is skipped where the state does not allow it.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Write(usize, u64, usize, u8),
    Append(usize, usize, u8),
    SetLength(usize, u64),
    Create(usize),
    MakeDirectory(usize),
    Link(usize, usize),
    Remove(usize),
    Rename(usize, usize),
    Exchange(usize, usize),
    Punch(usize, u64, u64),
    Copy(usize, usize, u64, u64),
    Sync(usize),
    SyncDirectory(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File(usize),
    Directory(usize),
}

#[derive(Clone, Debug, Default)]
struct State {
    directories: BTreeMap<usize, BTreeMap<String, Node>>,
    files: BTreeMap<usize, Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, u64, Vec<u8>),
    SetLength(usize, u64, bool),
    Insert(usize, String, Node),
    Remove(usize, String, Node),
    Rename((usize, String), (usize, String), Node, Option<Node>),
    Exchange((usize, String), (usize, String), Node, Node),
}

#[derive(Clone, Debug)]
struct Model {
    next: usize,
    live: State,
    durable: State,
    pending: BTreeMap<usize, Change>,
}

impl State {
    fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::Write(file, offset, bytes) => {
                let content = self.files.entry(file).or_default();
                let end = offset as usize + bytes.len();
                content.resize(content.len().max(end), 0);
                content[offset as usize..end].copy_from_slice(&bytes);
            }
            Change::SetLength(file, length, is_cut) => {
                let content = self.files.entry(file).or_default();
                if is_cut == (content.len() as u64 > length) {
                    content.resize(length as usize, 0);
                }
            }
            Change::Insert(directory, name, node) => self.insert(directory, name, node),
            Change::Remove(directory, name, _) => _ = self.names(directory).remove(&name),
            Change::Rename(from, to, node, _) => {
                self.names(from.0).remove(&from.1);
                self.insert(to.0, to.1, node);
            }
            Change::Exchange(one, other, first, second) => {
                self.insert(one.0, one.1, second);
                self.insert(other.0, other.1, first);
            }
        }
    }

    fn insert(&mut self, directory: usize, name: String, node: Node) {
        match node {
            Node::File(file) => _ = self.files.entry(file).or_default(),
            Node::Directory(inner) => _ = self.directories.entry(inner).or_default(),
        }
        self.names(directory).insert(name, node);
    }

    fn names(&mut self, directory: usize) -> &mut BTreeMap<String, Node> {
        self.directories.entry(directory).or_default()
    }

    fn listing(&self) -> Listing {
        let mut found = Listing::new();
        let mut todo = vec![(0, String::new())];
        while let Some((directory, path)) = todo.pop() {
            for (name, node) in self.directories.get(&directory).into_iter().flatten() {
                let path = format!("{path}{name}");
                match node {
                    Node::File(file) => {
                        found.insert(path, Some(self.files[file].clone()));
                    }
                    Node::Directory(inner) => {
                        todo.push((*inner, format!("{path}/")));
                        found.insert(path, None);
                    }
                }
            }
        }
        found
    }

    fn reachable(&self) -> BTreeSet<usize> {
        let nodes = self.directories.values().flat_map(BTreeMap::values);
        let file = |node: &Node| match node {
            Node::File(file) => Some(*file),
            Node::Directory(_) => None,
        };
        nodes.filter_map(file).collect()
    }
}

impl Change {
    fn file(&self) -> Option<usize> {
        match self {
            Self::Write(file, ..) | Self::SetLength(file, ..) => Some(*file),
            _ => None,
        }
    }

    /// The directories and files whose names it changes, which keeps changes in order.
    fn things(&self) -> BTreeSet<(bool, usize)> {
        let inode = |node: &Node| match node {
            Node::File(at) | Node::Directory(at) => (true, *at),
        };
        let entries = |at: usize| (false, at);
        let vanished = |node: &Node| match node {
            Node::Directory(at) => vec![(true, *at), entries(*at)],
            Node::File(at) => vec![(true, *at)],
        };
        match self {
            Self::Write(..) | Self::SetLength(..) => BTreeSet::new(),
            Self::Insert(directory, _, node) => [entries(*directory), inode(node)].into(),
            Self::Remove(directory, _, node) => [vec![entries(*directory)], vanished(node)]
                .concat()
                .into_iter()
                .collect(),
            Self::Rename(from, to, node, replaced) => {
                let mut things = vec![entries(from.0), entries(to.0), inode(node)];
                things.extend(replaced.iter().flat_map(vanished));
                things.into_iter().collect()
            }
            Self::Exchange(one, other, first, second) => [
                entries(one.0),
                entries(other.0),
                inode(first),
                inode(second),
            ]
            .into(),
        }
    }

    fn makes(&self) -> Option<(usize, &Node)> {
        match self {
            Self::Insert(directory, _, node) => Some((*directory, node)),
            _ => None,
        }
    }

    /// The file that it takes a name from.
    fn frees(&self) -> Option<usize> {
        match self {
            Self::Remove(_, _, Node::File(file))
            | Self::Rename(_, _, _, Some(Node::File(file))) => Some(*file),
            _ => None,
        }
    }
}

impl Model {
    fn new() -> Self {
        let mut state = State::default();
        state.directories.insert(0, BTreeMap::new());
        Self {
            next: 1,
            live: state.clone(),
            durable: state,
            pending: BTreeMap::new(),
        }
    }

    fn fresh(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    fn act(&mut self, change: Change) {
        self.live.apply(&change);
        let sequence = self.fresh();
        self.pending.insert(sequence, change);
        self.forget_the_unreachable();
    }

    /// The changes that must be durable before the creation of `node` leads to it.
    fn creations(&self, node: &Node) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        for (&sequence, change) in &self.pending {
            if let Some((directory, made)) = change.makes()
                && made == node
            {
                found.insert(sequence);
                found.extend(self.creations(&Node::Directory(directory)));
            }
        }
        found
    }

    fn sync(&mut self, file: usize) {
        let mine = |change: &Change| change.file() == Some(file);
        let synced: BTreeSet<usize> = self
            .pending
            .iter()
            .filter(|(_, change)| mine(change))
            .map(|(&sequence, _)| sequence)
            .collect();
        self.make_durable(&synced);
        self.make_names_durable(self.creations(&Node::File(file)));
    }

    fn sync_directory(&mut self, directory: usize) {
        let here = |change: &Change| change.things().contains(&(false, directory));
        let mut wanted = self.creations(&Node::Directory(directory));
        let inside = self.pending.iter().filter(|(_, change)| here(change));
        wanted.extend(inside.map(|(&sequence, _)| sequence));
        self.make_names_durable(wanted);
    }

    fn make_names_durable(&mut self, mut wanted: BTreeSet<usize>) {
        loop {
            let mut more = BTreeSet::new();
            for later in &wanted {
                let change = &self.pending[later];
                for (earlier, other) in self.pending.range(..later) {
                    if !change.things().is_disjoint(&other.things()) {
                        more.insert(*earlier);
                    }
                }
                if let Change::Rename(from, to, _, _) = change
                    && from.0 != to.0
                {
                    more.extend(self.creations(&Node::Directory(to.0)));
                }
                if let Change::Exchange(one, other, ..) = change
                    && one.0 != other.0
                {
                    more.extend(self.creations(&Node::Directory(one.0)));
                    more.extend(self.creations(&Node::Directory(other.0)));
                }
            }
            if more.is_subset(&wanted) {
                break;
            }
            wanted.extend(more);
        }
        self.make_durable(&wanted);
    }

    fn make_durable(&mut self, sequences: &BTreeSet<usize>) {
        for sequence in sequences {
            let change = self.pending.remove(sequence).unwrap();
            self.durable.apply(&change);
        }
        self.forget_the_unreachable();
    }

    /// Bytes of a file that nothing leads to, or may lead to again, are nobody's.
    fn forget_the_unreachable(&mut self) {
        let mut alive = self.live.reachable();
        alive.extend(self.pending.values().filter_map(Change::frees));
        let is_alive = |change: &Change| change.file().is_none_or(|file| alive.contains(&file));
        self.pending.retain(|_, change| is_alive(change));
    }

    /// Whether no change survives that needs one that does not.
    fn allows(&self, fates: &[Fate]) -> bool {
        let changes: Vec<&Change> = self.pending.values().collect();
        let is_kept = |index: usize| fates[index] != Fate::Lost;
        let mut pairs = (0..changes.len()).flat_map(|later| (0..later).map(move |e| (e, later)));
        pairs.all(|(earlier, later)| {
            let shared = !changes[earlier]
                .things()
                .is_disjoint(&changes[later].things());
            !shared || is_kept(earlier) || !is_kept(later)
        })
    }

    /// The state in which the changes of these fates survived.
    fn after(&self, fates: &[Fate]) -> State {
        let mut state = self.durable.clone();
        for (change, fate) in self.pending.values().zip(fates) {
            if *fate == Fate::Kept {
                state.apply(change);
            }
        }
        state
    }
}

/// The rig, the model, and what they have in common: paths.
pub(super) struct Pair {
    pub(super) rig: Rig,
    model: Model,
}

impl Pair {
    /// The drawn place: a name in one of the directories that exist now.
    fn place(&self, draw: usize) -> (usize, String, String) {
        let listing = self.model.live.listing();
        let folders = listing.iter().filter(|(_, content)| content.is_none());
        let mut folders: Vec<String> = folders.map(|(path, _)| format!("{path}/")).collect();
        folders.insert(0, String::new());
        let folder = folders[draw / NAMES.len() % folders.len()].clone();
        let name = NAMES[draw % NAMES.len()];
        (
            self.directory(&folder),
            name.to_owned(),
            format!("{folder}{name}"),
        )
    }

    fn directory(&self, path: &str) -> usize {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.fold(0, |at, part| match self.model.live.directories[&at][part] {
            Node::Directory(inner) => inner,
            Node::File(_) => panic!("{path} is a file"),
        })
    }

    fn node(&self, place: &(usize, String, String)) -> Option<Node> {
        self.model.live.directories[&place.0].get(&place.1).cloned()
    }

    fn file(&self, draw: usize) -> Option<(usize, String)> {
        let place = self.place(draw);
        match self.node(&place) {
            Some(Node::File(file)) => Some((file, place.2)),
            _ => None,
        }
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Write(at, offset, count, fill) => self.write(at, Some(offset), count, fill),
            Act::Append(at, count, fill) => self.write(at, None, count, fill),
            Act::SetLength(at, length) => {
                if let Some((file, path)) = self.file(at) {
                    let is_cut = (self.model.live.files[&file].len() as u64) > length;
                    self.rig.set_length(&path, length);
                    self.model.act(Change::SetLength(file, length, is_cut));
                }
            }
            Act::Create(at) | Act::MakeDirectory(at) => {
                self.create(at, matches!(act, Act::MakeDirectory(_)));
            }
            Act::Link(old, new) => {
                let new = self.place(new);
                if let (Some((file, old)), None) = (self.file(old), self.node(&new)) {
                    self.rig.link(&old, &new.2);
                    self.model
                        .act(Change::Insert(new.0, new.1, Node::File(file)));
                }
            }
            Act::Remove(at) => self.remove(at),
            Act::Rename(old, new) => self.rename(old, new),
            Act::Exchange(one, other) => self.exchange(one, other),
            Act::Punch(at, offset, count) => self.punch(at, offset, count),
            Act::Copy(from, to, offset, count) => self.copy(from, to, offset, count),
            Act::Sync(at) => {
                if let Some((file, path)) = self.file(at) {
                    self.rig.sync(&path);
                    self.model.sync(file);
                }
            }
            Act::SyncDirectory(at) => {
                let place = self.place(at);
                let folder = place.2.rsplit_once('/').map_or("", |(folder, _)| folder);
                self.rig.sync_directory(folder);
                self.model.sync_directory(place.0);
            }
        }
    }

    fn write(&mut self, at: usize, offset: Option<u64>, count: usize, fill: u8) {
        let Some((file, path)) = self.file(at) else {
            return;
        };
        let end = self.model.live.files[&file].len() as u64;
        let offset = offset.unwrap_or(end);
        let bytes = vec![fill; count];
        self.rig.write(&path, offset, &bytes);
        self.model.act(Change::Write(file, offset, bytes));
    }

    fn create(&mut self, at: usize, is_directory: bool) {
        let place = self.place(at);
        if self.node(&place).is_some() {
            return;
        }
        let id = self.model.fresh();
        let node = if is_directory {
            self.rig.make_directory(&place.2);
            Node::Directory(id)
        } else {
            self.rig.create(&place.2);
            Node::File(id)
        };
        self.model.act(Change::Insert(place.0, place.1, node));
    }

    fn is_empty(&self, node: &Node) -> bool {
        match node {
            Node::File(_) => true,
            Node::Directory(inner) => self.model.live.directories[inner].is_empty(),
        }
    }

    fn remove(&mut self, at: usize) {
        let place = self.place(at);
        if let Some(node) = self.node(&place)
            && self.is_empty(&node)
        {
            self.rig.remove(&place.2);
            self.model.act(Change::Remove(place.0, place.1, node));
        }
    }

    fn rename(&mut self, old: usize, new: usize) {
        let (from, to) = (self.place(old), self.place(new));
        let Some(node) = self.node(&from) else {
            return;
        };
        let replaced = self.node(&to);
        let same_kind = |other: &Node| {
            matches!(node, Node::File(_)) == matches!(other, Node::File(_)) && *other != node
        };
        let is_possible = replaced
            .iter()
            .all(|other| same_kind(other) && self.is_empty(other));
        // A directory does not move into itself.
        if is_possible && !format!("{}/", to.2).starts_with(&format!("{}/", from.2)) {
            self.rig.rename(&from.2, &to.2);
            let change = Change::Rename((from.0, from.1), (to.0, to.1), node, replaced);
            self.model.act(change);
        }
    }

    fn exchange(&mut self, one: usize, other: usize) {
        let (one, other) = (self.place(one), self.place(other));
        let (Some(first), Some(second)) = (self.node(&one), self.node(&other)) else {
            return;
        };
        let (here, there) = (format!("{}/", one.2), format!("{}/", other.2));
        if first != second && !here.starts_with(&there) && !there.starts_with(&here) {
            self.rig.exchange(&one.2, &other.2);
            let change = Change::Exchange((one.0, one.1), (other.0, other.1), first, second);
            self.model.act(change);
        }
    }

    fn punch(&mut self, at: usize, offset: u64, count: u64) {
        let Some((file, path)) = self.file(at) else {
            return;
        };
        let length = self.model.live.files[&file].len() as u64;
        let count = count.min(length.saturating_sub(offset));
        if count > 0 {
            self.rig.punch(&path, offset, count);
            let zeroes = vec![0; count as usize];
            self.model.act(Change::Write(file, offset, zeroes));
        }
    }

    fn copy(&mut self, from: usize, to: usize, offset: u64, count: u64) {
        let (Some((source, from)), Some((file, to))) = (self.file(from), self.file(to)) else {
            return;
        };
        let content = &self.model.live.files[&source];
        let count = count.min((content.len() as u64).saturating_sub(offset));
        if count > 0 && source != file {
            let copied = content[offset as usize..(offset + count) as usize].to_vec();
            self.rig.copy(&from, &to, offset, count);
            self.model.act(Change::Write(file, offset, copied));
        }
    }

    pub(super) fn run(acts: &[Act]) -> Self {
        let mut pair = Self {
            rig: Rig::new(),
            model: Model::new(),
        };
        for act in acts {
            pair.act(act);
            assert_eq!(pair.rig.listing(), pair.model.live.listing(), "{act:?}");
        }
        pair
    }
}

fn act() -> impl Strategy<Value = Act> {
    let at = 0..16usize;
    let two = (0..16usize, 0..16usize);
    prop_oneof![
        3 => (at.clone(), 0..1500u64, 1..1300usize, 1..9u8)
            .prop_map(|(at, offset, count, fill)| Act::Write(at, offset, count, fill)),
        4 => (at.clone(), 1..1300usize, 1..9u8)
            .prop_map(|(at, count, fill)| Act::Append(at, count, fill)),
        2 => (at.clone(), 0..2000u64).prop_map(|(at, length)| Act::SetLength(at, length)),
        6 => at.clone().prop_map(Act::Create),
        2 => at.clone().prop_map(Act::MakeDirectory),
        1 => two.clone().prop_map(|(old, new)| Act::Link(old, new)),
        3 => at.clone().prop_map(Act::Remove),
        4 => two.clone().prop_map(|(old, new)| Act::Rename(old, new)),
        2 => two.clone().prop_map(|(one, other)| Act::Exchange(one, other)),
        2 => (at.clone(), 0..1500u64, 1..1300u64)
            .prop_map(|(at, offset, count)| Act::Punch(at, offset, count)),
        2 => (two, 0..1500u64, 1..1300u64)
            .prop_map(|((from, to), offset, count)| Act::Copy(from, to, offset, count)),
        2 => at.clone().prop_map(Act::Sync),
        1 => at.prop_map(Act::SyncDirectory),
    ]
}

pub(super) fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(act(), 0..60)
}

/// Of a torn write each sector is as before or as written, and only that file is in between.
fn assert_torn(found: &Listing, before: &Listing, after: &Listing) {
    assert!(found.keys().eq(before.keys()));
    for (path, content) in found {
        let (Some(found), Some(before), Some(after)) = (content, &before[path], &after[path])
        else {
            continue;
        };
        assert!(found.len() >= before.len().min(after.len()) && found.len() <= after.len());
        for (sector, bytes) in found.chunks(512).enumerate() {
            let same = |other: &[u8]| {
                let at = |index| other.get(sector * 512 + index).copied().unwrap_or(0);
                bytes
                    .iter()
                    .enumerate()
                    .all(|(index, byte)| at(index) == *byte)
            };
            assert!(same(before) || same(after), "{path}, sector {sector}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_but_what_is_durable_is_left(acts in acts()) {
        let mut pair = Pair::run(&acts);
        let effect = pair.rig.journal.roll_back(Survival::None, 0).unwrap();
        prop_assert_eq!(pair.rig.listing(), pair.model.durable.listing());
        prop_assert_eq!(effect.unsynced as usize, pair.model.pending.len());
    }

    #[test]
    fn what_survives_is_a_state_that_may_be(
        acts in acts(),
        survival in prop_oneof![
            Just(Survival::Prefix), Just(Survival::Torn), Just(Survival::Subset(500)),
            Just(Survival::Subset(900)), Just(Survival::Subset(1000)),
        ],
        draw in any::<u64>(),
    ) {
        let mut pair = Pair::run(&acts);
        let mut undone = pair.rig.journal.undo().unwrap();
        prop_assert_eq!(pair.rig.listing(), pair.model.durable.listing());
        let fates = fates(&undone.steps, &undone.paths, survival, draw);
        prop_assert_eq!(fates.len(), pair.model.pending.len());
        prop_assert!(pair.model.allows(&fates), "{:?}", fates);
        undone.survive(survival, draw).unwrap();
        let expected = pair.model.after(&fates).listing();
        let found = pair.rig.listing();
        match fates.iter().position(|fate| matches!(fate, Fate::Torn(_))) {
            None => prop_assert_eq!(&found, &expected),
            Some(at) => {
                let mut whole = fates.clone();
                whole[at] = Fate::Kept;
                let is_write = matches!(undone.steps[at], Step::Write { .. });
                prop_assert!(is_write);
                assert_torn(&found, &expected, &pair.model.after(&whole).listing());
            }
        }
        let mut again = Pair::run(&acts);
        again.rig.journal.roll_back(survival, draw).unwrap();
        prop_assert_eq!(found, again.rig.listing(), "the same draw, another state");
    }
}
