//! The effects of the quorum: what it asks its composition to do, and what answers each.
//!
//! In: decisions of the core. Out: `Effect`s in order. Invariant (persist before send): a `Send`
//! or `Reply` leaves the outbox only after every write it depends on was reported durable; a
//! crash can therefore never take back what a peer was told. Source: KIP-595; openraft's
//! `Command` for the shape.

use bytes::Bytes;

use crate::id::BrokerId;
use crate::offset::{LeaderEpoch, Offset};
use crate::quorum::log::Batch;
use crate::quorum::message::{Request, Response};
use crate::quorum::snapshot::{Snapshot, SnapshotId};

/// Names a write. Tokens grow by one with each write; the writes happen in the order of tokens.
pub type Token = u64;

/// Names an incoming request; the composition chooses it and finds the requester by it.
pub type ReplyToken = u64;

/// Names an outgoing conversation; a response brings it back unchanged. A repeated request may
/// carry the value of the first.
pub type Correlation = u64;

/// What this node must remember of elections across restarts (Kafka's `quorum-state` file).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ElectionState {
    /// The newest epoch this node has seen; 0 before the first election.
    pub epoch: LeaderEpoch,
    /// Whom it voted for in that epoch.
    pub voted_for: Option<BrokerId>,
}

/// What the composition must do.
///
/// The five writes (those with a token) go to the metadata log directory in order, each with its
/// fsync, and are answered by `Quorum::handle_persisted` with the greatest token that is durable,
/// or by `Quorum::handle_storage_failed`. Fsyncs of neighbouring writes may be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Replace the quorum-state file atomically (write, fsync, rename, fsync the directory).
    PersistState {
        /// Answer with this.
        token: Token,
        /// The new content.
        state: ElectionState,
    },
    /// Append to the metadata log, whose end is the first batch's base offset.
    AppendLog {
        /// Answer with this.
        token: Token,
        /// Contiguous batches.
        batches: Vec<Batch>,
    },
    /// Remove the records at and after `to` from the metadata log.
    TruncateLog {
        /// Answer with this.
        token: Token,
        /// The new end.
        to: Offset,
    },
    /// Write a snapshot file atomically; older snapshots and the log before its end may go then.
    SaveSnapshot {
        /// Answer with this.
        token: Token,
        /// The snapshot, complete.
        snapshot: Snapshot,
    },
    /// Drop the whole metadata log; the next batch has base offset `at.end_offset`.
    RestartLog {
        /// Answer with this.
        token: Token,
        /// The snapshot that replaces the log; it is durable before this write.
        at: SnapshotId,
    },
    /// Send a request. A response is handed to `Quorum::handle_response`; a failure may be told
    /// to `Quorum::handle_request_failed`, which makes a failover after a kill much faster.
    Send {
        /// The receiver.
        to: BrokerId,
        /// Comes back with the response.
        correlation: Correlation,
        /// The request.
        request: Request,
    },
    /// Answer an incoming request. Unanswered: an answer that got lost is not missed.
    Reply {
        /// The token `Quorum::handle_request` was called with.
        reply_to: ReplyToken,
        /// The answer.
        response: Response,
    },
    /// Replace the applied state by this snapshot: at start and after a download. Unanswered.
    LoadSnapshot {
        /// The snapshot; `Committed` continues at its end.
        snapshot: Snapshot,
    },
    /// Apply these batches: they are committed. In order, without gap or repetition in the life
    /// of a process. Unanswered.
    Committed {
        /// The batches, leader-change markers included.
        batches: Vec<Batch>,
        /// The end of the last batch: the high watermark.
        upto: Offset,
    },
    /// The known leader or the epoch changed. Unanswered.
    LeaderChanged {
        /// The leader, if known; possibly this node.
        leader: Option<BrokerId>,
        /// The epoch.
        epoch: LeaderEpoch,
    },
    /// This node was elected. It may propose now; it may act as controller once `is_active`.
    BecameLeader {
        /// The epoch it leads.
        epoch: LeaderEpoch,
        /// The offset of its leader-change marker.
        epoch_start_offset: Offset,
    },
    /// This node no longer leads. Its proposals that were not reported committed may still
    /// commit: their outcome is unknown.
    LostLeadership {
        /// The epoch it led.
        epoch: LeaderEpoch,
    },
    /// The node refuses everything from now on; restart the process after mending the cause.
    Halted {
        /// What happened, for the log.
        reason: HaltReason,
    },
}

/// Why a node stopped taking part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HaltReason {
    /// A write failed: what is on disk is unknown.
    #[error("a write to the metadata log directory failed, so this node left the quorum")]
    StorageFailed,
    /// The leader's log contradicts what this node knows to be committed.
    #[error(
        "the leader's log diverges at offset {leader_end} but records up to {high_watermark} are \
         committed: a voter lost fsynced data"
    )]
    CommittedRecordsDiverge {
        /// Where the logs part.
        leader_end: Offset,
        /// The high watermark of this node.
        high_watermark: Offset,
    },
}

/// Collects effects and holds messages back until their writes are durable.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    ready: Vec<Effect>,
    held: Vec<(Token, Effect)>,
    issued: Token,
    issued_state: Token,
    durable: Token,
    holds_nothing: bool,
}

impl Outbox {
    /// An outbox; one that `holds_nothing` is the planted bug that sends too early.
    pub(super) fn new(holds_nothing: bool) -> Self {
        Self {
            holds_nothing,
            ..Self::default()
        }
    }

    /// Queues an effect that depends on no write.
    pub(super) fn push(&mut self, effect: Effect) {
        self.ready.push(effect);
    }

    /// Queues the write of the election state.
    pub(super) fn persist_state(&mut self, state: ElectionState) {
        let token = self.next_token();
        self.issued_state = token;
        self.ready.push(Effect::PersistState { token, state });
    }

    /// Queues a write of the log or a snapshot and returns its token.
    pub(super) fn write(&mut self, effect: impl FnOnce(Token) -> Effect) -> Token {
        let token = self.next_token();
        self.ready.push(effect(token));
        token
    }

    /// Sends a request once all writes issued so far are durable. A request to the same peer that
    /// is still held is dropped: this one supersedes it.
    pub(super) fn send(&mut self, to: BrokerId, correlation: Correlation, request: Request) {
        self.held.retain(
            |(_, held)| !matches!(held, Effect::Send { to: earlier, .. } if *earlier == to),
        );
        self.hold(
            self.issued,
            Effect::Send {
                to,
                correlation,
                request,
            },
        );
    }

    /// Sends a request that rests on the election state alone once that is durable.
    pub(super) fn send_with_state(
        &mut self,
        to: BrokerId,
        correlation: Correlation,
        request: Request,
    ) {
        let effect = Effect::Send {
            to,
            correlation,
            request,
        };
        self.hold(self.issued_state, effect);
    }

    /// Replies once all writes issued so far are durable.
    pub(super) fn reply(&mut self, reply_to: ReplyToken, response: Response) {
        self.hold(self.issued, Effect::Reply { reply_to, response });
    }

    /// Replies once the election state is durable: for answers that show flushed records only.
    pub(super) fn reply_with_flushed(&mut self, reply_to: ReplyToken, response: Response) {
        self.hold(self.issued_state, Effect::Reply { reply_to, response });
    }

    /// Takes note that all writes up to `token` are durable and releases what waited for them.
    pub(super) fn persisted(&mut self, token: Token) {
        assert!(
            token <= self.issued,
            "invariant: write {token} was reported durable, but only {} were issued",
            self.issued
        );
        self.durable = self.durable.max(token);
        let durable = self.durable;
        let released = self.held.extract_if(.., |(needs, _)| *needs <= durable);
        self.ready.extend(released.map(|(_, effect)| effect));
    }

    /// Drops every held message: what they depend on will never be durable.
    pub(super) fn drop_held(&mut self) {
        self.held.clear();
    }

    /// Hands over the effects that may happen now.
    pub(super) fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.ready)
    }

    fn next_token(&mut self) -> Token {
        self.issued += 1;
        self.issued
    }

    fn hold(&mut self, needs: Token, effect: Effect) {
        if needs <= self.durable || self.holds_nothing {
            self.ready.push(effect);
        } else {
            self.held.push((needs, effect));
        }
    }
}

/// A committed proposal's place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The end of its last record, exclusive: it is committed once `Committed.upto` reaches this
    /// while the node still leads `epoch`.
    pub end_offset: Offset,
    /// The epoch it was proposed in.
    pub epoch: LeaderEpoch,
}

/// This node cannot take proposals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the leader of the metadata quorum in epoch {epoch}; known leader: {leader:?}")]
pub struct NotLeader {
    /// Whom to ask, if known.
    pub leader: Option<BrokerId>,
    /// The epoch this node knows.
    pub epoch: LeaderEpoch,
}

/// What a restart found on disk.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The quorum-state file.
    pub state: ElectionState,
    /// The newest complete snapshot.
    pub snapshot: Option<Snapshot>,
    /// The metadata log in order. It may begin before the snapshot's end.
    pub batches: Vec<Batch>,
}

/// The bytes of one proposal, opaque to the quorum.
pub type Payload = Bytes;
