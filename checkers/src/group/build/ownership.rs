//! Who owned what, and where owners started: what rebalance listeners were told.

use super::{Builder, Held, Span};
use crate::group::rows::{Claim, NEVER, ResumeRow, Stint, Told};
use crate::history::{OpType, Rebalance, RebalanceEvent, Resume, Subscribe};

impl<'a> Builder<'a> {
    pub(super) fn subscribe(&mut self, subscribe: &'a Subscribe, span: Span<'_>) {
        let number = self.consumer(&subscribe.consumer, span.process);
        let group = self.group(&subscribe.group);
        self.pollers.insert(span.process, number);
        if let Some(consumer) = self.groups.consumers.get_mut(number as usize) {
            consumer.group = group;
            consumer.subscribed = consumer.subscribed.min(span.invoked);
            consumer.instance.clone_from(&subscribe.instance);
            consumer.topics.extend(subscribe.topics.iter().cloned());
            let refused = span.is(OpType::Fail);
            consumer.ended = if refused { span.completed } else { NEVER };
        }
    }

    /// Everything that it holds is free from here on.
    pub(super) fn end(&mut self, number: u32, at: u32, crashed: bool) {
        let held = self.held.get_mut(number as usize).map(std::mem::take);
        let Some(consumer) = self.groups.consumers.get_mut(number as usize) else {
            return;
        };
        (consumer.ended, consumer.crashed) = (consumer.ended.min(at), crashed);
        let group = consumer.group;
        for (partition, stint) in held.unwrap_or_default() {
            self.close(group, partition, stint, at);
        }
    }

    fn close(&mut self, group: u32, partition: usize, stint: usize, at: u32) {
        if let Some(stint) = self.rows(group, partition).stints.get_mut(stint) {
            stint.to = stint.to.min(at);
        }
    }

    pub(super) fn rebalance(&mut self, event: &'a Rebalance, process: u64, at: u32) {
        let number = self.consumer(&event.consumer, process);
        let (group, member) = (self.group(&event.group), self.member(&event.member));
        let mut held = self
            .held
            .get_mut(number as usize)
            .map_or_else(Held::new, std::mem::take);
        let assigned = event.event == RebalanceEvent::Assigned;
        let keys: Vec<usize> = event
            .partitions
            .iter()
            .filter_map(|k| self.number(k))
            .collect();
        for partition in keys {
            if assigned {
                let stints = &mut self.rows(group, partition).stints;
                held.entry(partition).or_insert_with(|| {
                    stints.push(Stint {
                        consumer: number,
                        from: at,
                        to: NEVER,
                    });
                    stints.len() - 1
                });
            } else if let Some(stint) = held.remove(&partition) {
                self.close(group, partition, stint, at);
                self.disown(group, (partition, stint), event.generation);
            }
        }
        if assigned {
            for (partition, stint) in &held {
                let claim = Claim {
                    consumer: number,
                    generation: event.generation,
                    at,
                    stint: *stint,
                };
                self.rows(group, *partition).claims.push(claim);
            }
        }
        let told = Told {
            at,
            generation: event.generation,
            member,
            assigned,
            lost: event.event == RebalanceEvent::Lost,
            holds: held.len() as u32,
        };
        if let Some(place) = self.held.get_mut(number as usize) {
            *place = held;
        }
        if let Some(consumer) = self.groups.consumers.get_mut(number as usize) {
            consumer.group = group;
            consumer.events.push(told);
        }
    }

    /// What goes in the very generation that it was thought to be kept in was not kept.
    fn disown(&mut self, group: u32, (partition, stint): (usize, usize), generation: i32) {
        let rows = self.rows(group, partition);
        let from = rows.stints.get(stint).map_or(0, |stint| stint.from);
        let last = rows.claims.iter().rposition(|claim| claim.stint == stint);
        let kept = last.filter(|place| {
            let claim = rows.claims.get(*place);
            claim.is_some_and(|claim| claim.generation == generation && claim.at != from)
        });
        if let Some(place) = kept {
            rows.claims.remove(place);
        }
    }

    pub(super) fn resume(&mut self, resume: &'a Resume, process: u64, at: u32) {
        let consumer = self.consumer(&resume.consumer, process);
        let group = self.group(&resume.group);
        let Some(partition) = self.number(&resume.key) else {
            return;
        };
        let held = self
            .held
            .get(consumer as usize)
            .and_then(|held| held.get(&partition).copied());
        let rows = self.rows(group, partition);
        // Only what follows its own assignment is bounded in time.
        let stint = held.and_then(|stint| rows.stints.get(stint));
        let since = stint.map_or(0, |stint| stint.from);
        let earlier = rows
            .resumes
            .iter()
            .rev()
            .find(|row| row.consumer == consumer);
        let is_first = stint.is_some() && earlier.is_none_or(|row| row.at < since);
        rows.resumes.push(ResumeRow {
            consumer,
            generation: resume.generation,
            offset: resume.offset,
            source: resume.source,
            at,
            since,
            is_first,
        });
    }
}
