//! The roles of a quorum member, one at a time.
//!
//! In: the transitions of the sibling files. Out: what the role says about leaders and timers.
//! Invariant: role, epoch and vote agree: a candidate, leader or resigned leader voted for itself.
//! Source: Kafka's `QuorumState` and its `EpochState`s.

mod candidate;
mod follower;
mod leader;
mod prospective;
mod resigned;
mod unattached;

pub(in crate::quorum) use candidate::Candidate;
pub(in crate::quorum) use follower::Follower;
pub(in crate::quorum) use leader::{Leader, Parked};
pub(in crate::quorum) use prospective::Prospective;
pub(in crate::quorum) use resigned::Resigned;
pub(in crate::quorum) use unattached::Unattached;

use crate::id::BrokerId;
use crate::time::Time;

/// What a member does at present.
#[derive(Debug)]
pub(super) enum Role {
    /// Knows an epoch but nobody to follow.
    Unattached(Unattached),
    /// Fetches from a leader.
    Follower(Follower),
    /// Sounds out whether it could win (pre-vote).
    Prospective(Prospective),
    /// Stands for election.
    Candidate(Candidate),
    /// Leads.
    Leader(Leader),
    /// Led this epoch and gave up.
    Resigned(Resigned),
    /// Lost its storage: takes part in nothing.
    Halted,
}

/// The leader of the present epoch, from the point of view of a node that does not follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FormerLeader {
    /// Nobody is known to have won this epoch.
    Unknown,
    /// It does not answer. Only its own word brings this node back to it.
    Silent(BrokerId),
    /// It said that it no longer leads. It cannot lead this epoch again.
    Resigned(BrokerId),
}

impl FormerLeader {
    fn id(self) -> Option<BrokerId> {
        match self {
            Self::Unknown => None,
            Self::Silent(leader) | Self::Resigned(leader) => Some(leader),
        }
    }
}

/// The name of a role, for logs and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleName {
    /// Knows an epoch but nobody to follow.
    Unattached,
    /// Fetches from a leader.
    Follower,
    /// Sounds out whether it could win (pre-vote).
    Prospective,
    /// Stands for election.
    Candidate,
    /// Leads.
    Leader,
    /// Led this epoch and gave up.
    Resigned,
    /// Lost its storage: takes part in nothing.
    Halted,
}

impl Role {
    pub(super) fn name(&self) -> RoleName {
        match self {
            Self::Unattached(_) => RoleName::Unattached,
            Self::Follower(_) => RoleName::Follower,
            Self::Prospective(_) => RoleName::Prospective,
            Self::Candidate(_) => RoleName::Candidate,
            Self::Leader(_) => RoleName::Leader,
            Self::Resigned(_) => RoleName::Resigned,
            Self::Halted => RoleName::Halted,
        }
    }

    /// The leader to follow or to name to others; not one that is gone.
    pub(super) fn leader(&self, me: BrokerId) -> Option<BrokerId> {
        match self {
            Self::Follower(follower) => Some(follower.leader),
            Self::Leader(_) => Some(me),
            _ => None,
        }
    }

    /// The leader that was elected in this epoch, as far as known, even if it is gone.
    pub(super) fn leader_of_epoch(&self, me: BrokerId) -> Option<BrokerId> {
        match self {
            Self::Unattached(unattached) => unattached.former_leader.id(),
            Self::Prospective(prospective) => prospective.former_leader.id(),
            Self::Resigned(_) => Some(me),
            _ => self.leader(me),
        }
    }

    /// Whether a leader is at work here, so that nobody else should stand (KIP-996).
    pub(super) fn hears_a_leader(&self) -> bool {
        match self {
            Self::Follower(follower) => follower.has_fetched,
            Self::Leader(_) => true,
            _ => false,
        }
    }

    /// When the role wants to be woken.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        match self {
            Self::Unattached(unattached) => Some(unattached.deadline),
            Self::Follower(follower) => Some(follower.next_timeout()),
            Self::Prospective(prospective) => Some(prospective.next_timeout()),
            Self::Candidate(candidate) => Some(candidate.next_timeout()),
            Self::Leader(leader) => leader.next_timeout(),
            Self::Resigned(resigned) => resigned.next_timeout(),
            Self::Halted => None,
        }
    }
}
