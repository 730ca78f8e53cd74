//! What only the whole history tells: generations, and until when an effect must have come.

use std::collections::BTreeSet;

use super::{Builder, due};
use crate::group::rows::{CommitRow, Generation, Group, Groups, NEVER};

impl Builder<'_> {
    pub(super) fn finish(mut self) -> Groups {
        self.generations();
        self.untouched();
        due::fill(&mut self.groups, self.history);
        for group in &mut self.groups.all {
            group.partitions.sort_unstable_by_key(|rows| rows.number);
            let mut partitions = std::mem::take(&mut group.partitions);
            for rows in &mut partitions {
                for commit in &mut rows.commits {
                    commit.effect_by = effect_by(group, commit);
                }
                for resume in &mut rows.resumes {
                    resume.since = resume.since.min(group.after(resume.generation));
                }
            }
            group.partitions = partitions;
        }
        self.groups
    }

    fn generations(&mut self) {
        let mut told: Vec<(u32, i32, &str, u32)> = Vec::new();
        for consumer in &self.groups.consumers {
            let who = consumer.instance.as_deref().unwrap_or(&consumer.name);
            let assigned = consumer.events.iter().filter(|told| told.assigned);
            told.extend(assigned.map(|told| (consumer.group, told.generation, who, told.at)));
        }
        told.sort_unstable();
        for same in told.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let Some((group, number, ..)) = same.first().copied() else {
                continue;
            };
            let members = same.chunk_by(|a, b| a.2 == b.2).count() as u64;
            let first = same.iter().map(|told| told.3).min().unwrap_or(NEVER);
            if let Some(group) = self.groups.all.get_mut(group as usize) {
                group.generations.push(Generation {
                    number,
                    first,
                    members,
                });
            }
        }
        for group in &mut self.groups.all {
            let mut first = NEVER;
            for generation in group.generations.iter_mut().rev() {
                first = first.min(generation.first);
                generation.first = first;
            }
        }
    }

    /// Rows for the partitions of a subscribed topic that no member ever touched.
    fn untouched(&mut self) {
        let numbers: Vec<(String, usize)> = self
            .keys
            .iter()
            .map(|(key, number)| (key.topic().to_owned(), *number))
            .collect();
        let wanted: Vec<(u32, String)> = self
            .groups
            .consumers
            .iter()
            .flat_map(|c| c.topics.iter().map(move |topic| (c.group, topic.clone())))
            .collect();
        let wanted: BTreeSet<_> = wanted.into_iter().collect();
        for (group, topic) in wanted {
            for (_, number) in numbers.iter().filter(|(of, _)| *of == topic) {
                self.rows(group, *number);
            }
        }
    }
}

/// A commit has its effect before it is acknowledged, and before the next generation begins: a
/// coordinator refuses the commits of an older one.
fn effect_by(group: &Group, commit: &CommitRow) -> u32 {
    let known = if commit.is_acked {
        commit.completed
    } else {
        NEVER
    };
    let next = if commit.generation < 0 {
        NEVER
    } else {
        group.after(commit.generation)
    };
    if next < commit.invoked {
        known
    } else {
        known.min(next)
    }
}
