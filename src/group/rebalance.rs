//! From one generation to the next: who is waited for, how long, and what ends the waiting.
//!
//! Source: Kafka's `prepareRebalance`, `InitialDelayedJoin`, `completeClassicGroupJoin`,
//! `schedulePendingSync` (KAFKA-12890).

use std::time::Duration;

use super::join::{joined, refusal};
use super::member::Member;
use super::response::GroupResponse;
use super::state::{JoinPhase, State};
use super::{Coordinator, GroupEffect, sync};
use crate::config::sabotage::{Sabotage, planted};
use crate::error::ErrorCode;
use crate::time::Now;

/// How long, at least, a group of static members waits for one of them once all were late.
const AGAIN: Duration = Duration::from_secs(1);

impl Coordinator {
    /// Begins a rebalance unless one has begun, and ends it if nobody is missing.
    pub(super) fn prepare_rebalance(&mut self, now: Now, group_id: &str) {
        let delay = self.settings.initial_rebalance_delay;
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        if group.state == State::CompletingRebalance {
            // Whoever waits for an assignment must join again first.
            self.drop_syncs(group_id, ErrorCode::RebalanceInProgress);
        }
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        if group.state != State::PreparingRebalance {
            let timeout = group.rebalance_timeout();
            group.join_phase = Some(if group.state == State::Empty && !delay.is_zero() {
                group.has_newcomer = false;
                JoinPhase::Initial {
                    until: now.time + delay.min(timeout),
                    remaining: timeout.saturating_sub(delay),
                }
            } else {
                JoinPhase::Rejoin {
                    until: now.time + timeout,
                }
            });
            group.sync_until = None;
            group.assigning = None;
            for member in group.members.values_mut() {
                member.owes_sync = false;
            }
            group.enter(State::PreparingRebalance, now);
        }
        self.try_complete_join(now, group_id);
    }

    /// Ends the waiting if everybody is there; the initial delay always runs its course.
    pub(super) fn try_complete_join(&mut self, now: Now, group_id: &str) {
        let Some(group) = self.groups.get(group_id) else {
            return;
        };
        let rejoins = matches!(group.join_phase, Some(JoinPhase::Rejoin { .. }));
        let hasty = planted(Sabotage::RebalanceCompletesWithoutWaiting)
            || planted(Sabotage::TwoOwnersAfterMissedRebalance);
        if group.state == State::PreparingRebalance && rejoins && (group.has_all_joined() || hasty)
        {
            self.complete_join(now, group_id);
        }
    }

    /// The time to join is over, or the initial delay.
    pub(super) fn join_phase_is_over(&mut self, now: Now, group_id: &str) {
        let step = self.settings.initial_rebalance_delay;
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        if let Some(JoinPhase::Initial { remaining, .. }) = group.join_phase
            && group.has_newcomer
            && !remaining.is_zero()
        {
            group.has_newcomer = false;
            let more = step.min(remaining);
            group.join_phase = Some(JoinPhase::Initial {
                until: now.time + more,
                remaining: remaining.saturating_sub(more),
            });
            return;
        }
        self.complete_join(now, group_id);
    }

    /// Begins the next generation with those who joined.
    fn complete_join(&mut self, now: Now, group_id: &str) {
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        // Static members may be late; they keep their place until their session ends.
        let is_late = |m: &&Member| m.joining.is_none() && m.instance_id.is_none();
        let late = group
            .members
            .values()
            .filter(is_late)
            .map(|m| m.member_id.clone());
        if !planted(Sabotage::RebalanceCompletesWithoutWaiting) {
            for member_id in late.collect::<Vec<_>>() {
                group.remove(&member_id);
            }
        }
        // Only whoever joined can lead; static members may be away.
        let leader_joined =
            |id: &String| group.members.get(id).is_some_and(|m| m.joining.is_some());
        if !group.leader.as_ref().is_some_and(leader_joined) {
            let next = group.first_member(|member| member.joining.is_some());
            if next.is_none() && !group.members.is_empty() {
                // A client may say that a rebalance takes no time; time must pass nevertheless.
                let until = now.time + group.rebalance_timeout().max(AGAIN);
                group.join_phase = Some(JoinPhase::Rejoin { until });
                return;
            }
            group.leader = next;
        }
        group.join_phase = None;
        group.generation_id = group.generation_id.checked_add(1).unwrap_or(1);
        if group.members.is_empty() {
            group.protocol = None;
            group.leader = None;
            group.enter(State::Empty, now);
            return self.write_empty_group(now, group_id);
        }
        group.protocol = group.elect_protocol();
        group.enter(State::CompletingRebalance, now);
        group.sync_until = Some(now.time + group.rebalance_timeout());
        self.announce_generation(now, group_id);
    }

    /// Tells everybody who joined of the new generation.
    fn announce_generation(&mut self, now: Now, group_id: &str) {
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        let mut waiting = Vec::new();
        for member in group.members.values_mut() {
            if let Some(request) = member.joining.take() {
                member.session_ends = now.time + member.session_timeout;
                member.is_new = false;
                waiting.push((request, member.member_id.clone()));
            }
            member.owes_sync = true;
        }
        for (request, member_id) in waiting {
            let response = GroupResponse::Join(joined(group, &member_id));
            self.effects
                .push(GroupEffect::Respond { request, response });
        }
    }

    /// Answers all who wait for an assignment.
    pub(super) fn drop_syncs(&mut self, group_id: &str, error: ErrorCode) {
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        group.assigning = None;
        for member in group.members.values_mut() {
            member.assignment.clear();
            if let Some(request) = member.syncing.take() {
                let response = sync::refusal(error);
                self.effects
                    .push(GroupEffect::Respond { request, response });
            }
        }
    }

    /// A member goes, of its own or by force; the others share what it had.
    pub(super) fn remove_member(&mut self, now: Now, group_id: &str, member_id: &str) {
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        let Some(member) = group.remove(member_id) else {
            return;
        };
        let state = group.state;
        self.answer_waiting(&member, ErrorCode::UnknownMemberId);
        match state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(now, group_id),
            State::PreparingRebalance => self.try_complete_join(now, group_id),
            State::Empty => {}
        }
    }

    /// Answers what a member waits for.
    pub(super) fn answer_waiting(&mut self, member: &Member, error: ErrorCode) {
        if let Some(request) = member.joining {
            self.respond(request, refusal(error, &member.member_id));
        }
        if let Some(request) = member.syncing {
            self.respond(request, sync::refusal(error));
        }
    }
}
