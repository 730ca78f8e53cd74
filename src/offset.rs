//! Offsets and epochs: the integers that order everything.
//!
//! The chain that every replica keeps at all times is
//! `log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset`.
//! Ends are exclusive; a name that begins with `last_` is inclusive. `docs/offsets.md` says who
//! moves which pointer.

/// The position of a record in its partition's log. `-1` on the wire means "none".
pub type Offset = i64;

/// The epoch of a partition's leader; it grows with every election.
pub type LeaderEpoch = i32;

/// The version of a partition's registration; it grows with every change of it.
pub type PartitionEpoch = i32;

/// The epoch of one life of a broker: the offset of its registration in the metadata log.
pub type BrokerEpoch = i64;

/// The id that `InitProducerId` hands out.
pub type ProducerId = i64;

/// The epoch of a producer id.
pub type ProducerEpoch = i16;

/// "No leader epoch" on the wire and in the epoch cache's answers.
pub const NO_LEADER_EPOCH: LeaderEpoch = -1;

/// "No offset" on the wire.
pub const NO_OFFSET: Offset = -1;

/// "No producer id": a batch of a producer that is not idempotent.
pub const NO_PRODUCER_ID: ProducerId = -1;

/// "No broker epoch" on the wire.
pub const NO_BROKER_EPOCH: BrokerEpoch = -1;
