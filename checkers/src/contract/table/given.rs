//! The conditions of the table of promises, each with its words.
//!
//! In: the situation of a run. Out: whether a clause fits.
//! Invariant: a condition is a function of the situation alone, and says in words what it asks.

use crate::contract::clause::Given;
use crate::history::{Acks, CommitMode, FaultClass};

pub(super) const UNCLEAN_ELECTION: Given = Given {
    words: "unclean.leader.election.enable=true, and a leader may have moved",
    holds: |s| s.settings().unclean_leader_election && s.was_disturbed(),
};
pub(super) const SPARED: Given = Given {
    words: "data was damaged, each time with a good copy of everything acknowledged left",
    holds: |s| s.taken().is_empty() && !s.spared().is_empty(),
};
pub(super) const FLUSHED: Given = Given {
    words: "power was lost, and what was lost with it was not acknowledged",
    holds: |s| s.taken().is_empty() && !s.without_power().is_empty(),
};
pub(super) const NOTHING_TAKEN: Given = Given {
    words: "no node came back with less than it had stored",
    holds: |s| s.taken().is_empty(),
};
pub(super) const NOTHING_STRUCK: Given = Given {
    words: "no node lost power or had its data damaged",
    holds: |s| s.taken().is_empty() && s.spared().is_empty() && s.without_power().is_empty(),
};
pub(super) const TOO_FEW_STRUCK: Given = Given {
    words: "fewer nodes than copies came back with less than they had stored, or stopped uncleanly",
    holds: |s| s.taken().len() + s.unclean().len() < s.copies(),
};
pub(super) const UNCLEAN_TOO: Given = Given {
    words: "they are as many as copies only with those that stopped uncleanly",
    holds: |s| s.taken().len() < s.copies(),
};
pub(super) const LAST_STANDING: Given = Given {
    words: "one copy is enough: the last replica standing commits alone",
    holds: |s| s.copies() == 1,
};
pub(super) const ACKS_ZERO: Given = Given {
    words: "acks=0",
    holds: |s| s.settings().acks == Acks::Zero,
};
pub(super) const ACKS_ONE: Given = Given {
    words: "acks=1",
    holds: |s| s.settings().acks == Acks::One,
};
pub(super) const ACKS_ONE_DISTURBED: Given = Given {
    words: "acks=1, there are followers, and a leader may have moved",
    holds: |s| {
        let settings = s.settings();
        settings.acks == Acks::One && settings.replication_factor > 1 && s.was_disturbed()
    },
};
pub(super) const COMMITTED_LOST: Given = Given {
    words: "what a reader has seen may be lost",
    holds: |s| !s.committed().forbidden,
};
pub(super) const ACKNOWLEDGED_KEPT: Given = Given {
    words: "what was acknowledged is kept",
    holds: |s| s.acknowledged().forbidden,
};
pub(super) const OFFSETS_LOST: Given = Given {
    words: "`__consumer_offsets` may have lost commits that were seen",
    holds: |s| !s.offsets().forbidden,
};
pub(super) const NOT_IDEMPOTENT: Given = Given {
    words: "enable.idempotence=false",
    holds: |s| !s.settings().idempotence,
};
pub(super) const OVERTAKING: Given = Given {
    words: "enable.idempotence=false, and several requests may be in flight",
    holds: |s| !s.settings().idempotence && s.settings().max_in_flight > 1,
};
pub(super) const UNBOUNDED: Given = Given {
    words: "the run has no bound on waiting",
    holds: |s| s.settings().available_within_ms.is_none(),
};
pub(super) const ONLY_FULL: Given = Given {
    words: "nothing happened but log directories without space, and faults of clients",
    holds: |s| s.had_only(&[FaultClass::DiskFull, FaultClass::Client]),
};
pub(super) const ONLY_HANGING: Given = Given {
    words: "nothing happened but log directories that hang, and faults of clients",
    holds: |s| s.had_only(&[FaultClass::DiskStall, FaultClass::Client]),
};
pub(super) const NO_SPARE_COPY: Given = Given {
    words: "min.insync.replicas needs every copy",
    holds: |s| s.tolerated() == 0,
};
pub(super) const NO_CONTROLLER: Given = Given {
    words: "half of the nodes that vote for the controller were down, or more",
    holds: |s| s.may_lack_controller(),
};
pub(super) const HUNG_TOGETHER: Given = Given {
    words: "log directories of several nodes hung at once, or a node had to be started again",
    holds: |s| s.hung_together().is_some(),
};
pub(super) const WITHIN_TOLERANCE: Given = Given {
    words: "nothing happened but that brokers were down, no more than are tolerated",
    holds: |s| {
        let only = [
            FaultClass::Stop,
            FaultClass::ProcessCrash,
            FaultClass::Client,
        ];
        s.had_only(&only) && s.down().len() as u32 <= s.tolerated()
    },
};
pub(super) const SILENCED: Given = Given {
    words: "as many copies as were needed may be damaged",
    holds: |s| s.silenced().is_some(),
};
pub(super) const AUTO_IN_LOOP: Given = Given {
    words: "mode auto-in-loop",
    holds: |s| s.mode() == CommitMode::AutoInLoop,
};
pub(super) const AUTO_HANDOFF: Given = Given {
    words: "mode auto-handoff",
    holds: |s| s.mode() == CommitMode::AutoHandoff,
};
pub(super) const COMMIT_AFTER: Given = Given {
    words: "mode sync-after or async-after",
    holds: |s| matches!(s.mode(), CommitMode::SyncAfter | CommitMode::AsyncAfter),
};
pub(super) const SYNC_BEFORE: Given = Given {
    words: "mode sync-before",
    holds: |s| s.mode() == CommitMode::SyncBefore,
};
