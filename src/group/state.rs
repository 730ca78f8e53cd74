//! One group: its state, its members and its committed offsets.
//!
//! Invariant: a member is in `members` exactly once, and its instance id, if any, in
//! `static_members`; the leader is a member. Source: Kafka's `ClassicGroup`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::member::Member;
use super::records::GroupMetadata;
use super::response::{CommittedOffset, DescribedGroup};
use crate::id::TopicPartition;
use crate::time::{Now, Time};

/// Where a group is between two generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody is in it; it may hold offsets.
    Empty,
    /// It waits for its members to join again.
    PreparingRebalance,
    /// It waits for its leader's assignment.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// What a group that prepares a rebalance waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinPhase {
    /// The first members of an empty group gather for a while; each newcomer extends it by
    /// `step`, out of what remains.
    Initial { until: Time, remaining: Duration },
    /// All known members shall join again, until then.
    Rejoin { until: Time },
}

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: String,
    /// The partition of `__consumer_offsets` that it lives in.
    pub(super) partition: i32,
    pub(super) state: State,
    /// Since when, in milliseconds since the Unix epoch; -1 if unknown.
    pub(super) state_millis: i64,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) generation_id: i32,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Instance id to member id.
    pub(super) static_members: BTreeMap<String, String>,
    /// Ids that were given out and have not joined yet, each with when it is forgotten.
    pub(super) pending_members: BTreeMap<String, Time>,
    pub(super) join_phase: Option<JoinPhase>,
    /// Somebody new came since the initial delay was last extended.
    pub(super) has_newcomer: bool,
    /// When members that owe a SyncGroup are removed.
    pub(super) sync_until: Option<Time>,
    /// The assignment that is being written, by generation.
    pub(super) assigning: Option<i32>,
    pub(super) offsets: BTreeMap<TopicPartition, CommittedOffset>,
    /// When the group must be looked at next, as the coordinator's alarms hold it.
    pub(super) alarm: Option<Time>,
    arrivals: u64,
}

impl Group {
    pub(super) fn new(id: &str, partition: i32, now: Now) -> Self {
        Self {
            id: id.to_owned(),
            partition,
            state: State::Empty,
            state_millis: now.wall_millis,
            protocol_type: None,
            protocol: None,
            generation_id: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeMap::new(),
            join_phase: None,
            has_newcomer: false,
            sync_until: None,
            assigning: None,
            offsets: BTreeMap::new(),
            alarm: None,
            arrivals: 0,
        }
    }

    /// A group from its record; its members' sessions begin anew.
    pub(super) fn loaded(id: &str, partition: i32, metadata: GroupMetadata, now: Now) -> Self {
        let mut group = Self::new(id, partition, now);
        let is_named = !metadata.protocol_type.is_empty();
        group.protocol_type = is_named.then_some(metadata.protocol_type);
        group.generation_id = metadata.generation_id;
        group.protocol.clone_from(&metadata.protocol);
        group.state_millis = metadata.state_millis;
        let protocol = metadata.protocol.unwrap_or_default();
        for member in metadata.members {
            let member = Member::loaded(member, &protocol, group.next_arrival());
            group.add(member, now.time);
        }
        if !group.members.is_empty() {
            group.state = State::Stable;
        }
        if let Some(leader) = metadata.leader.filter(|id| group.members.contains_key(id)) {
            group.leader = Some(leader);
        }
        group
    }

    pub(super) fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    pub(super) fn enter(&mut self, state: State, now: Now) {
        self.state = state;
        self.state_millis = now.wall_millis;
    }

    pub(super) fn add(&mut self, mut member: Member, now: Time) {
        member.session_ends = now + member.session_timeout;
        if let Some(instance) = &member.instance_id {
            self.static_members
                .insert(instance.clone(), member.member_id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.member_id.clone());
        }
        self.pending_members.remove(&member.member_id);
        self.members.insert(member.member_id.clone(), member);
    }

    pub(super) fn remove(&mut self, member_id: &str) -> Option<Member> {
        let member = self.members.remove(member_id)?;
        if let Some(instance) = &member.instance_id
            && self
                .static_members
                .get(instance)
                .is_some_and(|id| id == member_id)
        {
            self.static_members.remove(instance);
        }
        if self.leader.as_deref() == Some(member_id) {
            self.leader = self.first_member(|_| true);
        }
        Some(member)
    }

    /// The member that came first among those that `fits`.
    pub(super) fn first_member(&self, fits: impl Fn(&Member) -> bool) -> Option<String> {
        let fitting = self.members.values().filter(|member| fits(member));
        let first = fitting.min_by_key(|member| member.arrival);
        first.map(|member| member.member_id.clone())
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    pub(super) fn has_all_joined(&self) -> bool {
        let all = self.members.values().all(|member| member.joining.is_some());
        all && self.pending_members.is_empty()
    }

    /// How long the slowest member may take to join again.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        let timeouts = self.members.values().map(|member| member.rebalance_timeout);
        timeouts.max().unwrap_or_default()
    }

    /// The protocols that all members know.
    fn candidates(&self) -> BTreeSet<&str> {
        let mut members = self.members.values();
        let Some(first) = members.next() else {
            return BTreeSet::new();
        };
        let names = first.protocols.iter().map(|(name, _)| name.as_str());
        names
            .filter(|name| self.members.values().all(|member| member.knows(name)))
            .collect()
    }

    /// Whether a member with these protocols can be in the group, `except` being left out.
    pub(super) fn accepts(
        &self,
        protocol_type: &str,
        protocols: &[(String, Bytes)],
        except: &str,
    ) -> bool {
        if protocol_type.is_empty() || protocols.is_empty() {
            return false;
        }
        let mut others = self
            .members
            .values()
            .filter(|member| member.member_id != except);
        if self.state == State::Empty || self.members.is_empty() {
            return true;
        }
        let same_type = self.protocol_type.as_deref() == Some(protocol_type);
        let others: Vec<_> = others.by_ref().collect();
        let common = |name: &String| others.iter().all(|member| member.knows(name));
        same_type && protocols.iter().any(|(name, _)| common(name))
    }

    /// The protocol that most members would rather have; of several the first by name.
    pub(super) fn elect_protocol(&self) -> Option<String> {
        let candidates = self.candidates();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let names = member.protocols.iter().map(|(name, _)| name.as_str());
            if let Some(first) = names.into_iter().find(|name| candidates.contains(name)) {
                *votes.entry(first).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        let winner = votes.into_iter().find(|(_, count)| *count == most);
        winner.map(|(name, _)| name.to_owned())
    }

    /// The group's record, with these assignments, or those in force.
    pub(super) fn to_metadata(
        &self,
        assignments: Option<&BTreeMap<String, Bytes>>,
    ) -> GroupMetadata {
        let protocol = self.protocol.clone().unwrap_or_default();
        let assignment = |member: &Member| match assignments {
            Some(new) => new.get(&member.member_id).cloned().unwrap_or_default(),
            None => member.assignment.clone(),
        };
        let members = self.members.values();
        GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation_id: self.generation_id,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_millis: self.state_millis,
            members: members
                .map(|m| m.to_metadata(&protocol, assignment(m)))
                .collect(),
        }
    }

    pub(super) fn describe(&self) -> DescribedGroup {
        let in_use = self
            .protocol
            .as_deref()
            .filter(|_| self.state == State::Stable);
        let mut members: Vec<_> = self.members.values().collect();
        members.sort_by_key(|member| member.arrival);
        DescribedGroup {
            state: self.state.name(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: in_use.unwrap_or_default().to_owned(),
            members: members
                .iter()
                .map(|member| member.describe(in_use))
                .collect(),
        }
    }

    /// The earliest time at which something of this group is due.
    pub(super) fn next_due(&self) -> Option<Time> {
        let sessions = self.members.values().filter(|member| member.can_expire());
        let phase = self.join_phase.map(|phase| match phase {
            JoinPhase::Initial { until, .. } | JoinPhase::Rejoin { until } => until,
        });
        sessions
            .map(|member| member.session_ends)
            .chain(self.pending_members.values().copied())
            .chain(phase)
            .chain(self.sync_until)
            .min()
    }
}
