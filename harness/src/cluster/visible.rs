//! Whether consumers may read all that the leaders have.
//!
//! In: a cluster after its last send. Out: partitions whose high watermark stays behind the end of
//! their leader's log. Invariant: a record that is only not replicated yet, as one that acks=1 has
//! acknowledged may be, is neither read too early nor taken for lost.

use std::future::Future;
use std::time::Duration;

use broker::id::TopicPartition;
use tokio::time::Instant;

use crate::cluster::view::Missing;
use crate::cluster::{Cluster, LOOK};
use crate::plan::TopicPlan;

/// A partition that consumers cannot read to the end of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// The partition.
    pub partition: TopicPartition,
    /// What consumers may read ends here, if a leader says so.
    pub high_watermark: Option<i64>,
    /// The log of its leader ended here after the last send.
    pub log_end_offset: i64,
}

impl Cluster {
    /// Waits until the high watermark of every partition has come to where the log of its leader
    /// ends now; those that do not come so far within `limit`. What has no leader is left out.
    pub async fn wait_until_visible(&self, missing: &Missing, limit: Duration) -> Vec<Hidden> {
        let deadline = Instant::now() + limit;
        let mut hidden = Vec::new();
        for partition in self.plan.topics().iter().flat_map(partitions) {
            let lack = missing.get(&*partition.topic);
            let is_silent = lack.is_some_and(|lack| lack.is_silent(partition.partition));
            if is_silent || Instant::now() >= deadline {
                continue;
            }
            // Of one that does not answer the final reads say what they could not read.
            if let Ok(log_end_offset) = self.observer.log_end_offset(&partition).await {
                hidden.push(Hidden {
                    partition,
                    high_watermark: None,
                    log_end_offset,
                });
            }
        }
        let ask = |partition| {
            let observer = self.observer.clone();
            async move { observer.high_watermark(&partition).await.ok() }
        };
        still_hidden(hidden, deadline, ask).await
    }
}

/// Asks for the high watermarks until all have come far enough, or the time is over.
async fn still_hidden<F: Future<Output = Option<i64>>>(
    mut hidden: Vec<Hidden>,
    deadline: Instant,
    ask: impl Fn(TopicPartition) -> F,
) -> Vec<Hidden> {
    loop {
        let mut left = Vec::new();
        for mut partition in hidden {
            partition.high_watermark = ask(partition.partition.clone()).await;
            let visible = partition.high_watermark;
            if visible.is_none_or(|visible| visible < partition.log_end_offset) {
                left.push(partition);
            }
        }
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        hidden = left;
        tokio::time::sleep(LOOK).await;
    }
}

fn partitions(topic: &TopicPlan) -> impl Iterator<Item = TopicPartition> + use<> {
    let name = topic.name.clone();
    (0..topic.partitions).map(move |index| TopicPartition::new(name.as_str(), index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn hidden(index: i32, log_end_offset: i64) -> Hidden {
        Hidden {
            partition: TopicPartition::new("t", index),
            high_watermark: None,
            log_end_offset,
        }
    }

    #[tokio::test]
    async fn what_becomes_visible_is_waited_for() {
        let asked = Cell::new(0);
        let ask = |_| {
            asked.set(asked.get() + 1);
            std::future::ready(Some(5 + asked.get()))
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        assert_eq!(still_hidden(vec![hidden(0, 8)], deadline, ask).await, []);
        assert_eq!(asked.get(), 3);
    }

    #[tokio::test]
    async fn what_stays_hidden_is_named_with_how_far_it_can_be_read() {
        let ask = |partition: TopicPartition| {
            let ends = [Some(3), Some(9), None];
            std::future::ready(ends[partition.partition as usize])
        };
        let all = vec![hidden(0, 4), hidden(1, 9), hidden(2, 0)];
        let left = still_hidden(all, Instant::now(), ask).await;
        let left: Vec<_> = left
            .iter()
            .map(|hidden| (hidden.partition.partition, hidden.high_watermark))
            .collect();
        assert_eq!(left, [(0, Some(3)), (2, None)]);
    }
}
