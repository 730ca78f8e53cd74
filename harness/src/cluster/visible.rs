//! Whether consumers may read all that the leaders have.
//!
//! In: a cluster after its last send. Out: partitions whose high watermark stays behind the end of
//! their leader's log. Invariant: a record that is only not replicated yet, as one that acks=1 has
//! acknowledged may be, is neither read too early nor taken for lost.

use std::sync::Arc;
use std::time::Duration;

use broker::id::TopicPartition;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::observer::Observer;
use crate::cluster::view::Missing;
use crate::cluster::{Cluster, LOOK};
use crate::plan::TopicPlan;

/// How many partitions are asked about at once.
const AT_ONCE: usize = 32;

/// A partition that consumers cannot read to the end of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// The partition.
    pub partition: TopicPartition,
    /// What consumers may read ends here, if a leader says so.
    pub high_watermark: Option<i64>,
    /// The log of its leader ends here, if one says so.
    pub log_end_offset: Option<i64>,
}

/// The end of a leader's log and then its high watermark, as far as they are told.
type Ends = (Option<i64>, Option<i64>);

impl Cluster {
    /// Waits until the high watermark of every partition has come to the end of its leader's log;
    /// those that do not come so far within `limit`. What has no leader is left out.
    pub async fn wait_until_visible(&self, missing: &Missing, limit: Duration) -> Vec<Hidden> {
        let deadline = Instant::now() + limit;
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut asked = JoinSet::new();
        for partition in self.plan.topics().iter().flat_map(partitions) {
            let lack = missing.get(&*partition.topic);
            if lack.is_some_and(|lack| lack.is_silent(partition.partition)) {
                continue;
            }
            let (observer, turns) = (self.observer.clone(), Arc::clone(&turns));
            asked.spawn(async move {
                let ends = || ends(observer.clone(), Arc::clone(&turns), partition.clone());
                let (log_end_offset, high_watermark) = hidden(deadline, ends).await?;
                Some(Hidden {
                    partition: partition.clone(),
                    high_watermark,
                    log_end_offset,
                })
            });
        }
        asked.join_all().await.into_iter().flatten().collect()
    }
}

/// Asks when it is its turn.
async fn ends(observer: Observer, turns: Arc<Semaphore>, partition: TopicPartition) -> Ends {
    let _turn = turns.acquire().await;
    let log_end_offset = observer.log_end_offset(&partition).await;
    let high_watermark = observer.high_watermark(&partition).await;
    (log_end_offset.ok(), high_watermark.ok())
}

/// Asks at least twice, and until all is visible or the time is over; the last answer if it is
/// not. Both ends are asked for anew, for another leader's log may end elsewhere.
async fn hidden<F: Future<Output = Ends>>(deadline: Instant, ends: impl Fn() -> F) -> Option<Ends> {
    let mut looks = 0;
    loop {
        let told = ends().await;
        if let (Some(log_end_offset), Some(high_watermark)) = told
            && high_watermark >= log_end_offset
        {
            return None;
        }
        looks += 1;
        if looks > 1 && Instant::now() >= deadline {
            return Some(told);
        }
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

    /// What is left when the answers are these, one after the other, and the time is over.
    async fn left(answers: &[Ends]) -> (Option<Ends>, usize) {
        let asked = Cell::new(0);
        let ends = || {
            let place = asked.get().min(answers.len() - 1);
            asked.set(asked.get() + 1);
            std::future::ready(answers[place])
        };
        (hidden(Instant::now(), ends).await, asked.get())
    }

    #[tokio::test]
    async fn what_becomes_visible_is_not_hidden_whoever_leads() {
        let (before, after) = ((Some(9), Some(3)), (Some(9), Some(9)));
        assert_eq!(left(&[after]).await, (None, 1));
        assert_eq!(left(&[before, after]).await, (None, 2));
        assert_eq!(
            left(&[before, (Some(7), Some(7))]).await,
            (None, 2),
            "another leader"
        );
    }

    #[tokio::test]
    async fn what_stays_hidden_is_told_with_how_far_it_can_be_read() {
        for stays in [
            (Some(9), Some(3)),
            (Some(0), None),
            (None, Some(4)),
            (None, None),
        ] {
            assert_eq!(left(&[stays]).await, (Some(stays), 2));
        }
    }
}
