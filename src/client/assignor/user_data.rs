//! What the sticky assignors put into a subscription's user data, and what they read from it.
//!
//! ```text
//! sticky              previous assignment [topic, [i32]] | v1 generation i32
//! cooperative-sticky  generation i32
//! ```
//! In: a subscription. Out: the member's claim: the partitions it had, and in which generation.
//! Invariant: bytes that cannot be read claim nothing, since a member may have any history; only
//! its stickiness suffers. A cooperative member claims in the subscription itself (versions 1 and
//! 2), and tells the generation here to leaders that read an older version.
//! Source: Kafka's `StickyAssignor` and `CooperativeStickyAssignor`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::client::assignor::Subscription;
use crate::client::assignor::protocol::{Reader, put_partitions};
use crate::id::TopicPartition;

/// Kafka's number for "no generation", older than every other.
pub(super) const NO_GENERATION: i32 = -1;

/// What a member says that it had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) partitions: Vec<TopicPartition>,
    pub(super) generation_id: i32,
}

impl Claim {
    const fn nothing() -> Self {
        Self {
            partitions: Vec::new(),
            generation_id: NO_GENERATION,
        }
    }
}

pub(super) fn encode_sticky(partitions: &[TopicPartition], generation_id: i32) -> Bytes {
    let mut out = BytesMut::new();
    put_partitions(&mut out, partitions);
    out.put_i32(generation_id);
    out.freeze()
}

pub(super) fn encode_cooperative(generation_id: i32) -> Bytes {
    Bytes::copy_from_slice(&generation_id.to_be_bytes())
}

/// The claim of an eager member: it has given up everything before it joins, so only its user data
/// tells what it had.
pub(super) fn sticky_claim(subscription: &Subscription) -> Claim {
    let Some(user_data) = &subscription.user_data else {
        return Claim::nothing();
    };
    let mut reader = Reader::new(user_data.clone());
    match reader.partitions("previous assignment") {
        Ok(partitions) => Claim {
            partitions,
            // Version 0 ends here.
            generation_id: reader.i32("generation id").unwrap_or(NO_GENERATION),
        },
        Err(error) => {
            tracing::warn!(%error, "a member's sticky user data is unreadable; it claims nothing");
            Claim::nothing()
        }
    }
}

/// The claim of a cooperative member: what it still holds.
pub(super) fn cooperative_claim(subscription: &Subscription) -> Claim {
    let in_user_data = || {
        let user_data = subscription.user_data.clone()?;
        Reader::new(user_data).i32("generation id").ok()
    };
    let generation_id = subscription.generation_id.or_else(in_user_data);
    Claim {
        partitions: subscription.owned.clone(),
        generation_id: generation_id.unwrap_or(NO_GENERATION),
    }
}
