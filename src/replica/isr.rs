//! The in-sync replicas: what is committed, what is proposed, whom the high watermark waits for.
//!
//! In: proposals of the leader, answers of the controller, registrations. Out: the committed ISR
//! and the maximal one. Invariant: `maximal_isr` contains every ISR that the controller may have
//! committed for this version of the registration, so the high watermark never passes a replica
//! that may be elected. Source: KIP-497, KIP-841, KIP-903; Kafka's `PartitionState`.

use std::collections::BTreeSet;

use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::replica::{AlterPartitionRequest, AlterPartitionToken, LeaderRecoveryState};
use crate::time::Time;

/// What the controller is known to have committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommittedIsr {
    pub(super) isr: BTreeSet<BrokerId>,
    pub(super) recovery: LeaderRecoveryState,
}

/// What the leader proposes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proposal {
    /// `joining` has caught up.
    Expand { joining: BrokerId },
    /// `leaving` have fallen behind.
    Shrink { leaving: BTreeSet<BrokerId> },
    /// The leader elected uncleanly confirms its log.
    Recover,
}

/// What becomes of the request that carries a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Sent, not answered.
    InFlight,
    /// Lost or refused for a while: repeat at this time.
    RepeatAt(Time),
    /// Refused for good: a newer registration is on its way and decides.
    AwaitsMetadata,
}

/// The ISR as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PartitionState {
    /// No proposal is under way.
    Committed(CommittedIsr),
    /// A proposal is under way; the controller may or may not have committed it.
    Pending(PendingChange),
}

/// A proposal and what it builds upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PendingChange {
    pub(super) committed: CommittedIsr,
    pub(super) proposal: Proposal,
    pub(super) request: AlterPartitionRequest,
    pub(super) delivery: Delivery,
}

impl PartitionState {
    pub(super) fn committed(&self) -> &CommittedIsr {
        match self {
            Self::Committed(committed) => committed,
            Self::Pending(pending) => &pending.committed,
        }
    }

    /// The committed ISR and whoever may have joined it. A shrinking ISR is the old one until the
    /// controller confirms.
    pub(super) fn maximal_isr(&self) -> BTreeSet<BrokerId> {
        let mut isr = self.committed().isr.clone();
        if let Self::Pending(PendingChange {
            proposal: Proposal::Expand { joining },
            ..
        }) = self
        {
            isr.insert(*joining);
        }
        isr
    }

    /// The pending change that `token` names, if it is still the one under way (KAFKA-12686).
    pub(super) fn pending(&mut self, token: AlterPartitionToken) -> Option<&mut PendingChange> {
        match self {
            Self::Pending(pending) if pending.request.token == token => Some(pending),
            _ => None,
        }
    }

    /// When a lost request is due again.
    pub(super) fn repeat_at(&self) -> Option<Time> {
        match self {
            Self::Pending(PendingChange {
                delivery: Delivery::RepeatAt(time),
                ..
            }) => Some(*time),
            _ => None,
        }
    }
}

/// What to do about an error of AlterPartition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterError {
    /// The change was not made and will not be: forget it.
    Revert,
    /// The change is moot or was made: wait for the registration that says so.
    AwaitMetadata,
    /// The change may or may not have been made: repeat it.
    Repeat,
}

/// Kafka's table of AlterPartition errors, from the leader's side.
pub(super) fn after_error(code: ErrorCode) -> AfterError {
    match code {
        ErrorCode::OperationNotAttempted | ErrorCode::IneligibleReplica => AfterError::Revert,
        ErrorCode::FencedLeaderEpoch
        | ErrorCode::InvalidUpdateVersion
        | ErrorCode::InvalidRequest
        | ErrorCode::UnknownTopicId
        | ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NewLeaderElected => AfterError::AwaitMetadata,
        _ => AfterError::Repeat,
    }
}
