//! One history for each topic of a run, so that each can be judged by its own contract.
//!
//! In: a history whose header has the settings of several topics. Out: for each of them a history
//! of its own: what was done to it, and everything that concerns all: faults, admin, crashes.
//! Invariant: no record and no answer gets lost on the way: what names a topic that the header
//! does not have is in the first part, and a poll is in the parts of what it was assigned and of
//! what it returned.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::history::action::Action;
use crate::history::header::FINAL_READS;
use crate::history::key::Key;
use crate::history::op::{Op, OpType};
use crate::history::read::{History, NO_PARTNER};

impl History {
    /// The parts of a history of several topics, by the topics' names; none for one topic.
    pub fn by_topic(&self) -> Vec<(String, Self)> {
        let names: Vec<&String> = self.header.topics.keys().collect();
        let homes = Homes::of(self, &names);
        let part = |number: usize| homes.part(self, number);
        let parts = names.iter().enumerate();
        parts
            .map(|(number, name)| ((*name).clone(), part(number)))
            .collect()
    }
}

/// Where an operation belongs.
#[derive(Clone)]
enum Home {
    /// In every part.
    All,
    /// In these parts, which may be none: a poll of nobody's topic that returned nothing.
    Some(Vec<usize>),
}

impl Home {
    fn has(&self, part: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(parts) => parts.contains(&part),
        }
    }

    fn join(&mut self, other: &Self) {
        match (self, other) {
            (Self::Some(parts), Self::Some(more)) => parts.extend(more),
            (home, _) => *home = Self::All,
        }
    }
}

/// The homes of all operations of a history.
struct Homes<'a> {
    topics: FxHashMap<&'a str, usize>,
    names: Vec<&'a String>,
    of: Vec<Home>,
}

impl<'a> Homes<'a> {
    fn of(history: &'a History, names: &[&'a String]) -> Self {
        let topics = names.iter().enumerate();
        let mut homes = Self {
            topics: topics.map(|(n, name)| (name.as_str(), n)).collect(),
            names: names.to_vec(),
            of: Vec::with_capacity(history.ops.len()),
        };
        let mut assigned: FxHashMap<u64, Vec<usize>> = FxHashMap::default();
        for op in &history.ops {
            let home = homes.home(op, &mut assigned);
            homes.of.push(home);
        }
        // An invocation may not know what its completion knows, and the other way round.
        let alone = homes.of.clone();
        for (position, home) in homes.of.iter_mut().enumerate() {
            let partner = history.partner(position as u32);
            if let Some(other) = partner.and_then(|partner| alone.get(partner as usize)) {
                home.join(other);
            }
        }
        homes
    }

    fn number(&self, key: &Key) -> usize {
        self.topics.get(key.topic()).copied().unwrap_or(0)
    }

    /// The topic whose own final reads this value of an `admin` operation is about.
    fn read_at_last(&self, value: &Value) -> Option<usize> {
        let topic = value.get(FINAL_READS)?.as_str()?;
        self.topics.get(topic).copied()
    }

    fn home(&self, op: &Op, assigned: &mut FxHashMap<u64, Vec<usize>>) -> Home {
        let number = |key: &Key| self.number(key);
        let mut parts: Vec<usize> = match &op.action {
            Action::Send(sends) => sends.iter().map(|send| number(&send.key)).collect(),
            Action::Poll(poll) => poll.records.keys().map(number).collect(),
            Action::ListOffsets(bounds) => bounds.iter().map(|bound| number(&bound.key)).collect(),
            Action::Assign(keys) => keys.iter().map(number).collect(),
            Action::Seek(positions) => positions.keys().map(number).collect(),
            Action::Admin(value) => match self.read_at_last(value) {
                Some(topic) => vec![topic],
                None => return Home::All,
            },
            _ => return Home::All,
        };
        match (&op.action, op.kind) {
            (Action::Assign(_), OpType::Ok | OpType::Fail | OpType::Info) => {
                // Who takes another topic leaves the one before.
                let before = assigned.insert(op.process, parts.clone());
                parts.extend(before.into_iter().flatten());
            }
            (Action::Assign(_), OpType::Invoke) | (Action::Poll(_), _) => {
                parts.extend(assigned.get(&op.process).into_iter().flatten());
            }
            _ => {}
        }
        Home::Some(parts)
    }

    fn part(&self, history: &History, part: usize) -> History {
        let mut header = history.header.clone();
        header.topics = BTreeMap::new();
        header.replicas.retain(|key, _| self.number(key) == part);
        let settings = self.names.get(part).copied();
        if let Some(settings) = settings.and_then(|name| history.header.topics.get(name)) {
            header.settings = settings.clone();
        }
        let mut places: FxHashMap<u32, u32> = FxHashMap::default();
        let (mut ops, mut partners): (Vec<Op>, Vec<u32>) = (Vec::new(), Vec::new());
        for (position, (op, home)) in history.ops.iter().zip(&self.of).enumerate() {
            if !home.has(part) {
                continue;
            }
            let (position, place) = (position as u32, ops.len() as u32);
            places.insert(position, place);
            let partner = history.partner(position);
            let partner = partner.and_then(|partner| places.get(&partner).copied());
            if let Some(other) = partner.and_then(|partner| partners.get_mut(partner as usize)) {
                *other = place;
            }
            partners.push(partner.unwrap_or(NO_PARTNER));
            ops.push(self.narrowed(op, part));
        }
        History {
            header,
            ops,
            partners,
            truncated_line: history.truncated_line,
        }
    }

    /// The operation with nothing of other topics.
    fn narrowed(&self, op: &Op, part: usize) -> Op {
        let mut op = op.clone();
        let is_of = |key: &Key| self.number(key) == part;
        match &mut op.action {
            Action::Send(sends) => sends.retain(|send| is_of(&send.key)),
            Action::Poll(poll) => poll.records.retain(|key, _| is_of(key)),
            Action::ListOffsets(bounds) => bounds.retain(|bound| is_of(&bound.key)),
            Action::Assign(keys) => keys.retain(is_of),
            Action::Seek(positions) => positions.retain(|key, _| is_of(key)),
            Action::Admin(value) if self.read_at_last(value) == Some(part) => {
                *value = FINAL_READS.into();
            }
            _ => {}
        }
        op
    }
}

#[cfg(test)]
#[path = "by_topic_test.rs"]
mod by_topic_test;
