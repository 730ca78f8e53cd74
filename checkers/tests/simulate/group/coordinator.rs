//! The coordinator: who is a member, which generation, what is committed.

use std::collections::BTreeSet;

use checkers::history::OpType;

use super::{Coordinator, Flight, Member, SESSION, World};

impl World {
    pub(super) fn remove(&mut self, member: usize) {
        let was = self.coordinator.members.remove(&member);
        if self.coordinator.joined.remove(&member) || was {
            self.coordinator.is_rebalancing = true;
        }
    }

    /// Expels the silent, and completes a rebalance that everybody joined.
    pub(super) fn coordinate(&mut self) {
        if self.coordinator.is_rebalancing || self.random(40) == 0 {
            self.expel();
        }
        let Coordinator {
            members,
            joined,
            is_rebalancing,
            ..
        } = &self.coordinator;
        if *is_rebalancing && !joined.is_empty() && members.is_subset(joined) {
            self.assign();
        }
    }

    pub(super) fn expel(&mut self) {
        let members: Vec<usize> = self
            .coordinator
            .members
            .union(&self.coordinator.joined)
            .copied()
            .collect();
        for member in members {
            let Member {
                is_gone,
                is_frozen,
                last_seen,
                ..
            } = self.members[member];
            if (is_gone || is_frozen) && self.random(4) == 0 {
                self.now = self.now.max(last_seen + SESSION + 1_000_000);
                let now = self.now;
                let seen = self
                    .members
                    .iter_mut()
                    .filter(|m| !m.is_gone && !m.is_frozen);
                seen.for_each(|member| member.last_seen = now);
                self.remove(member);
                self.members[member].has_joined = false;
            }
        }
    }

    /// The next generation: everybody gets a share; a cooperative share leaves out what another
    /// member still holds.
    pub(super) fn assign(&mut self) {
        let joined: Vec<usize> = std::mem::take(&mut self.coordinator.joined)
            .into_iter()
            .collect();
        let shares = joined.len();
        self.coordinator.given.clear();
        let (mut start, mut withheld) = (0, false);
        for (place, member) in joined.iter().enumerate() {
            let size =
                self.plan.partitions / shares + usize::from(place < self.plan.partitions % shares);
            let mut given: Vec<usize> = (start..start + size).collect();
            start += size;
            if self.plan.cooperative {
                let others = joined.iter().filter(|other| *other != member);
                let held: BTreeSet<usize> = others
                    .flat_map(|other| self.members[*other].owned.keys().copied())
                    .collect();
                withheld |= given.iter().any(|partition| held.contains(partition));
                given.retain(|partition| !held.contains(partition));
            }
            self.coordinator.given.insert(*member, given);
            self.members[*member].has_joined = false;
        }
        self.coordinator.generation += 1;
        self.coordinator.members = joined.into_iter().collect();
        self.coordinator.is_rebalancing = withheld;
    }

    /// The coordinator accepts a commit of its generation, and of no other.
    pub(super) fn take_effect(&mut self, flight: usize) {
        let Flight {
            member,
            commit,
            offsets,
            ..
        } = self.flights[flight].clone();
        let Coordinator {
            generation,
            members,
            committed,
            ..
        } = &mut self.coordinator;
        let fits = *generation == commit.generation && members.contains(&member);
        if fits {
            committed.extend(offsets);
            if self.plan.stale && self.flights.len().is_multiple_of(8) {
                let now = self.coordinator.committed.clone();
                self.coordinator.past.push(now);
            }
        }
        self.flights[flight].is_over = true;
        self.flights[flight].answer = Some(if fits { OpType::Ok } else { OpType::Fail });
    }

    /// The next life of a static member takes the place of the last one; whether that is all.
    pub(super) fn replace(&mut self, member: usize) -> bool {
        let client = self.members[member].client;
        let last = |other: &usize| self.members[*other].client == client && *other != member;
        let Coordinator {
            members, joined, ..
        } = &self.coordinator;
        let last = members.union(joined).copied().find(last);
        let Some(last) = last.filter(|_| self.plan.statics) else {
            return false;
        };
        let was = self.coordinator.members.remove(&last);
        self.coordinator.joined.remove(&last);
        if self.coordinator.is_rebalancing || !was {
            return false;
        }
        let given = self.coordinator.given.remove(&last).unwrap_or_default();
        self.coordinator.given.insert(member, given);
        self.coordinator.members.insert(member);
        true
    }
}
