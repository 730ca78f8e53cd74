//! Positions that have to be looked up in the log: the reset policy, beginnings and ends.
//!
//! In: wishes. Out: offsets. Every partition is looked up by itself, beside the consumer, so a
//! leader that does not answer holds up only its own partitions. Invariant: what was found is used
//! only if the position still waits for this very lookup. Source: Java's `OffsetFetcher`.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::consumer::group::ResumeSource;
use crate::client::consumer::offsets::{FoundOffset, OffsetQuery, list_offset};
use crate::client::consumer::position::Wanted;
use crate::client::consumer::{AutoOffsetReset, Consumer, no_position};
use crate::client::error::ClientError;
use crate::id::TopicPartition;

/// The lookups of one consumer.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    running: JoinSet<Lookup>,
    last_number: u64,
}

/// A lookup that has ended.
#[derive(Debug)]
pub(super) struct Lookup {
    partition: TopicPartition,
    number: u64,
    found: Result<FoundOffset, ClientError>,
}

impl Lookups {
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// The next that ends; none if none is under way.
    pub(super) async fn next(&mut self) -> Option<Lookup> {
        let ended = self.running.join_next().await?;
        Some(ended.expect("invariant: a lookup neither panics nor is aborted"))
    }
}

impl Consumer {
    /// Begins to look up every position that is a wish.
    ///
    /// # Errors
    /// `Invalid` with `AutoOffsetReset::None` and no position.
    pub(super) fn start_lookups(&mut self) -> Result<(), ClientError> {
        for (partition, position) in &mut self.positions {
            let query = match position.wanted {
                Wanted::At { .. } | Wanted::Committed => continue,
                Wanted::Beginning => OffsetQuery::Earliest,
                Wanted::End => OffsetQuery::Latest,
                Wanted::Unknown => match self.config.auto_offset_reset {
                    AutoOffsetReset::Earliest => OffsetQuery::Earliest,
                    AutoOffsetReset::Latest => OffsetQuery::Latest,
                    AutoOffsetReset::None => return Err(no_position(partition)),
                },
            };
            if position.lookup.is_some() {
                continue;
            }
            self.lookups.last_number += 1;
            let number = self.lookups.last_number;
            position.lookup = Some(number);
            let (cluster, partition) = (Arc::clone(&self.cluster), partition.clone());
            let backoff = self.config.retry_backoff;
            let deadline = Instant::now() + self.config.request_timeout;
            self.lookups.running.spawn(async move {
                let found = list_offset(&cluster, &partition, query, deadline, backoff).await;
                Lookup {
                    partition,
                    number,
                    found,
                }
            });
        }
        Ok(())
    }

    /// Takes in what was looked up; where that failed, metadata is asked for another leader and the
    /// next poll looks again.
    pub(super) async fn take_in_lookup(&mut self, lookup: Lookup) {
        let partition = lookup.partition;
        let waiting = self.positions.get_mut(&partition);
        let Some(position) = waiting.filter(|it| it.lookup == Some(lookup.number)) else {
            return;
        };
        let found = match lookup.found {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "no position");
                position.lookup = None;
                return self.refresh_assigned().await;
            }
        };
        let is_reset = position.wanted == Wanted::Unknown;
        position.want(Wanted::At {
            offset: found.offset,
            leader_epoch: found.leader_epoch,
        });
        if is_reset {
            self.tell_resumed(&partition, found.offset, ResumeSource::Reset)
                .await;
        }
    }
}
