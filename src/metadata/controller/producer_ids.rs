//! Blocks of producer ids.
//!
//! In: AllocateProducerIds (67). Out: a block that was never handed out before.
//! Invariant: an id is handed out once in the life of the cluster, because the end of the last
//! block is a record. Source: Kafka's `ProducerIdControlManager`.

use super::{ApiError, Controller, Decision};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::metadata::record::MetadataRecord;
use crate::offset::{BrokerEpoch, Offset, ProducerId};

/// The number of ids in a block.
const BLOCK_SIZE: i32 = 1000;

/// A broker asks for producer ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocateProducerIds {
    /// The broker that asks.
    pub broker_id: BrokerId,
    /// The life of it that asks.
    pub broker_epoch: BrokerEpoch,
}

/// Producer ids that belong to one broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first id.
    pub first: ProducerId,
    /// How many ids the block holds.
    pub count: i32,
}

impl Controller {
    /// Hands out the next block.
    ///
    /// # Errors
    /// `BROKER_ID_NOT_REGISTERED`, `STALE_BROKER_EPOCH`; `UNKNOWN_SERVER_ERROR` if no id is left.
    pub fn handle_allocate_producer_ids(
        &mut self,
        next_offset: Offset,
        request: AllocateProducerIds,
    ) -> Decision<Result<ProducerIdBlock, ApiError>> {
        let mut draft = self.draft(next_offset);
        let AllocateProducerIds {
            broker_id,
            broker_epoch,
        } = request;
        if let Err(refusal) = self.check_broker_epoch(broker_id, broker_epoch) {
            return self.decide(draft, Err(refusal));
        }
        let first = self.image.next_producer_id();
        let Some(next_producer_id) = first.checked_add(i64::from(BLOCK_SIZE)) else {
            let refusal = ApiError::new(ErrorCode::UnknownServerError, "no producer id is left");
            return self.decide(draft, Err(refusal));
        };
        draft.push(MetadataRecord::ProducerIds {
            broker_id,
            broker_epoch,
            next_producer_id,
        });
        self.decide(
            draft,
            Ok(ProducerIdBlock {
                first,
                count: BLOCK_SIZE,
            }),
        )
    }
}
