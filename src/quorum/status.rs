//! What a member knows of itself and its leader, for those who ask.
//!
//! In: nothing. Out: plain getters. Invariant: none changes anything.

use crate::id::BrokerId;
use crate::offset::{LeaderEpoch, Offset};
use crate::quorum::Quorum;
use crate::quorum::log::LogEnd;
use crate::quorum::message::Leadership;
use crate::quorum::role::{Role, RoleName};
use crate::quorum::snapshot::SnapshotId;

impl Quorum {
    /// This node.
    pub fn id(&self) -> BrokerId {
        self.config.id
    }

    /// The leader of the epoch, if known; possibly this node.
    pub fn leader(&self) -> Option<BrokerId> {
        self.role.leader(self.config.id)
    }

    /// The newest epoch this node has seen.
    pub fn epoch(&self) -> LeaderEpoch {
        self.state.epoch
    }

    /// Epoch and leader, as responses carry them.
    pub fn leadership(&self) -> Leadership {
        Leadership {
            epoch: self.epoch(),
            leader: self.leader(),
        }
    }

    /// The end of the records known to be committed. It never falls in the life of a process.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The end of the log, flushed or not, and the epoch of its last record.
    pub fn log_end(&self) -> LogEnd {
        self.log.end()
    }

    /// The offset after the last record of the log, flushed or not.
    pub fn log_end_offset(&self) -> Offset {
        self.log.end().offset
    }

    /// The snapshot that the log continues; offset and epoch 0 if there is none.
    pub fn log_start(&self) -> SnapshotId {
        self.log.start()
    }

    /// Whether this node leads.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// Whether this node leads and has committed, and reported as committed, everything of
    /// earlier epochs and its own marker: the controller may act.
    pub fn is_active(&self) -> bool {
        matches!(&self.role, Role::Leader(leader) if self.delivered > leader.epoch_start_offset)
    }

    /// Whether this node left the quorum because of its storage.
    pub fn is_halted(&self) -> bool {
        matches!(self.role, Role::Halted)
    }

    /// Whether a shutdown need not wait any longer for the others to take over.
    pub fn has_withdrawn(&self) -> bool {
        self.withdrawn
            && match &self.role {
                Role::Leader(_) => false,
                Role::Resigned(resigned) => resigned.unacknowledged.is_empty(),
                _ => true,
            }
    }

    /// The role, for logs and reports.
    pub fn role(&self) -> RoleName {
        self.role.name()
    }
}
