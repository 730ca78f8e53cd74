//! Time: sessions, rebalances, pending members, expiry.
//!
//! Each group has one alarm, at or before the earliest time at which anything of it is due.
//! Invariant: a heartbeat only moves the session's end, so an alarm may ring early and is set anew.

use super::Coordinator;
use super::state::{Group, JoinPhase, State};
use crate::time::{Now, Time};

impl Coordinator {
    /// When `handle_timeout` must be called next.
    pub fn next_timeout(&self) -> Option<Time> {
        let alarm = self.alarms.first().map(|(time, _)| *time);
        alarm.into_iter().chain(self.expire_at).min()
    }

    /// Time has reached `next_timeout`.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.expire_at.is_some_and(|at| at <= now.time) {
            self.expire_at = Some(now.time + self.settings.retention_check_interval);
            self.expire(now);
        }
        let due = self.alarms.iter().take_while(|(time, _)| *time <= now.time);
        for group_id in due.map(|(_, id)| id.clone()).collect::<Vec<_>>() {
            self.ring(now, &group_id);
            self.note_alarm(&group_id);
        }
    }

    /// Sets the group's alarm; only an earlier one moves what is set.
    pub(super) fn note_alarm(&mut self, group_id: &str) {
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        let due = group.next_due();
        let is_earlier = match (due, group.alarm) {
            (Some(due), Some(alarm)) => due < alarm,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if !is_earlier {
            return;
        }
        if let Some(alarm) = group.alarm.take() {
            self.alarms.remove(&(alarm, group_id.to_owned()));
        }
        if let Some(due) = due {
            group.alarm = Some(due);
            self.alarms.insert((due, group_id.to_owned()));
        }
    }

    fn ring(&mut self, now: Now, group_id: &str) {
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        if let Some(alarm) = group.alarm.take() {
            self.alarms.remove(&(alarm, group_id.to_owned()));
        }
        let pending_before = group.pending_members.len();
        group.pending_members.retain(|_, until| *until > now.time);
        let forgot = group.pending_members.len() != pending_before;
        for member_id in dead_members(group, now.time) {
            self.remove_member(now, group_id, &member_id);
        }
        if forgot {
            self.try_complete_join(now, group_id);
        }
        self.ring_phases(now, group_id);
    }

    fn ring_phases(&mut self, now: Now, group_id: &str) {
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        let phase_over = group.join_phase.is_some_and(|phase| match phase {
            JoinPhase::Initial { until, .. } | JoinPhase::Rejoin { until } => until <= now.time,
        });
        if phase_over && group.state == State::PreparingRebalance {
            return self.join_phase_is_over(now, group_id);
        }
        if group.sync_until.is_some_and(|until| until <= now.time) {
            group.sync_until = None;
            let silent = group.members.values().filter(|member| member.owes_sync);
            let silent: Vec<_> = silent.map(|member| member.member_id.clone()).collect();
            for member_id in silent {
                self.remove_member(now, group_id, &member_id);
            }
        }
    }
}

/// Members whose session is over.
fn dead_members(group: &Group, now: Time) -> Vec<String> {
    let dead = |member: &&super::member::Member| member.can_expire() && member.session_ends <= now;
    let dead = group.members.values().filter(dead);
    dead.map(|member| member.member_id.clone()).collect()
}
