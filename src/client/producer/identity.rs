//! The producer id, epoch and next sequence of one partition's task.
//!
//! Source: KIP-98 (idempotent producer), KIP-360 (a gap in the sequence is mended by a new epoch).

use kafka_protocol::messages::InitProducerIdRequest;

use crate::client::cluster::{Cluster, error_code};
use crate::client::error::ClientError;
use crate::offset::{NO_PRODUCER_ID, ProducerEpoch, ProducerId};

/// `InitProducerId` version in use; 3 and above would ask to bump an epoch, which a producer that
/// is not transactional does by itself.
const INIT_PRODUCER_ID_VERSION_MAX: i16 = 4;

/// A producer id and its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) producer_id: ProducerId,
    pub(super) epoch: ProducerEpoch,
}

/// The sequence of one partition.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    identity: Option<Identity>,
    next: i32,
    is_known: bool,
}

impl Sequence {
    /// The identity, if there is one.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Takes on a fresh identity; its sequence starts at zero.
    pub(super) fn adopt(&mut self, identity: Identity) {
        *self = Self {
            identity: Some(identity),
            ..Self::default()
        };
    }

    /// Whether the partition's log is known to hold a batch of the identity. Until then a broker
    /// takes any sequence for the first (KIP-360), so that a batch in flight behind the first
    /// could take its place for good when only the first is refused (KAFKA-14359).
    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    /// A batch of the identity was acknowledged.
    pub(super) fn acknowledge(&mut self) {
        self.is_known = true;
    }

    /// Takes `count` sequence numbers; they wrap behind `i32::MAX` to zero.
    pub(super) fn take(&mut self, count: i32) -> i32 {
        let base = self.next;
        self.next = (i64::from(base) + i64::from(count)).rem_euclid(1 << 31) as i32;
        base
    }

    /// Starts anew after a gap: the next epoch, or without an identity when epochs run out.
    pub(super) fn bump(&mut self) {
        let bumped = self.identity.and_then(|identity| {
            let epoch = identity
                .epoch
                .checked_add(1)
                .filter(|epoch| *epoch < ProducerEpoch::MAX)?;
            Some(Identity { epoch, ..identity })
        });
        *self = Self {
            identity: bumped,
            ..Self::default()
        };
    }
}

/// Asks any broker for a new producer id.
pub(super) async fn request_identity(cluster: &Cluster) -> Result<Identity, ClientError> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id(NO_PRODUCER_ID.into())
        .with_producer_epoch(-1);
    let mut last = ClientError::retriable("no broker is known");
    for (broker, _, _) in cluster.brokers() {
        let limit = cluster.request_timeout();
        match cluster
            .call(broker, &request, INIT_PRODUCER_ID_VERSION_MAX, limit)
            .await
        {
            Ok(response) => match error_code(response.error_code) {
                None => {
                    return Ok(Identity {
                        producer_id: response.producer_id.0,
                        epoch: response.producer_epoch,
                    });
                }
                Some(code) => last = ClientError::from_code(code, "no producer id"),
            },
            // Asking again is harmless: an id that nobody uses is lost, no more.
            Err(error) => last = ClientError::retriable(format!("no producer id: {error}")),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_wraps_behind_its_maximum() {
        let mut sequence = Sequence {
            identity: None,
            next: i32::MAX,
            is_known: true,
        };
        assert_eq!(sequence.take(2), i32::MAX);
        assert_eq!(sequence.take(1), 1);
    }

    #[test]
    fn a_bump_starts_the_next_epoch_at_zero() {
        let mut sequence = Sequence::default();
        sequence.adopt(Identity {
            producer_id: 7,
            epoch: 0,
        });
        sequence.take(10);
        sequence.acknowledge();
        sequence.bump();
        assert!(
            !sequence.is_known(),
            "no log holds a batch of the new epoch"
        );
        assert_eq!(
            sequence.identity(),
            Some(Identity {
                producer_id: 7,
                epoch: 1
            })
        );
        assert_eq!(sequence.take(1), 0);
    }

    #[test]
    fn the_last_epoch_asks_for_a_new_producer_id() {
        let mut sequence = Sequence::default();
        sequence.adopt(Identity {
            producer_id: 7,
            epoch: ProducerEpoch::MAX - 1,
        });
        sequence.bump();
        assert_eq!(sequence.identity(), None);
    }
}
