//! Names to numbers: consumers, members, groups, partitions, and the rows of a partition.

use super::{Builder, Held};
use crate::group::rows::{Consumer, Group, NEVER, Rows};
use crate::history::Key;

impl<'a> Builder<'a> {
    pub(super) fn number(&self, key: &Key) -> Option<usize> {
        self.keys.get(key).copied()
    }

    pub(super) fn consumer(&mut self, name: &'a str, process: u64) -> u32 {
        let next = self.groups.consumers.len() as u32;
        let number = *self.consumers.entry(name).or_insert(next);
        if number == next {
            self.held.push(Held::new());
            self.groups.consumers.push(Consumer {
                name: name.into(),
                group: 0,
                instance: None,
                topics: Vec::new(),
                subscribed: NEVER,
                ended: NEVER,
                crashed: false,
                events: Vec::new(),
                polls: Vec::new(),
                sent: Vec::new(),
                due: Vec::new(),
                acked: None,
                fenced: None,
            });
        }
        self.actors.insert(process, number);
        number
    }

    pub(super) fn member(&mut self, id: &'a str) -> u32 {
        let next = self.members.len() as u32;
        *self.members.entry(id).or_insert(next)
    }

    pub(super) fn group(&mut self, name: &'a str) -> u32 {
        let next = self.groups.all.len() as u32;
        let number = *self.names.entry(name).or_insert(next);
        if number == next {
            let (generations, partitions) = (Vec::new(), Vec::new());
            self.groups.all.push(Group {
                name: name.into(),
                generations,
                partitions,
            });
        }
        number
    }

    pub(super) fn rows(&mut self, group: u32, number: usize) -> &mut Rows {
        if self.groups.all.is_empty() {
            self.group("");
        }
        let partitions = self
            .groups
            .all
            .get_mut(group as usize)
            .map(|g| &mut g.partitions);
        let partitions = partitions.expect("invariant: numbers come from `group`");
        let place = *self.places.entry((group, number)).or_insert_with(|| {
            partitions.push(Rows {
                number,
                ..Rows::default()
            });
            partitions.len() - 1
        });
        partitions
            .get_mut(place)
            .expect("invariant: places come from here")
    }
}
