//! Whether the healed cluster is whole again: all nodes, all replicas in sync.
//!
//! In: looks at a cluster without faults. Out: when each topic was whole, or what it still lacked
//! when its own time was over. The liveness half of a run: availability after healing is a promise.
//! Invariant: no topic waits for another; a topic that may stay silent is given up only after it
//! has lacked the same leaders, and nothing else, for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::cluster::view::{Lack, Missing};
use crate::cluster::{Cluster, LOOK};
use crate::plan::TopicPlan;

/// How long a topic is watched that lacks nothing but leaders that it may lack for ever.
const SILENCE_PATIENCE: Duration = Duration::from_secs(2);

/// The cluster was not available again in time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not available again {waited:?} after healing: {missing}")]
pub struct NotRecovered {
    /// How long it had.
    pub waited: Duration,
    /// What was missing at the end.
    pub missing: String,
}

/// What became of a topic after healing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It is waited for.
    Waits,
    /// It is whole.
    Whole,
    /// Some partitions have no leader, and may have none for ever; the others are whole.
    Silent(Lack),
    /// Its time is over.
    Lacks(Lack),
}

/// The watch over the topics of one cluster.
#[derive(Debug)]
pub struct Watch {
    begin: Instant,
    deadline: Instant,
    /// What each topic lacks, and since when it is just that.
    lacks: BTreeMap<String, (Lack, Instant)>,
    stands: BTreeMap<String, Stand>,
}

impl Watch {
    /// From now on, until `deadline` at the latest.
    pub fn new(topics: impl Iterator<Item = String>, now: Instant, deadline: Instant) -> Self {
        Self {
            begin: now,
            deadline,
            lacks: BTreeMap::new(),
            stands: topics.map(|topic| (topic, Stand::Waits)).collect(),
        }
    }

    /// Takes in what topics lack at this moment; what has been decided stays so.
    pub fn look(
        &mut self,
        now: Instant,
        missing: &Missing,
        may_stay: impl Fn(&str, &Lack) -> bool,
    ) {
        for (topic, stand) in &mut self.stands {
            let Some(lack) = missing.get(topic) else {
                self.lacks.remove(topic);
                if *stand == Stand::Waits {
                    *stand = Stand::Whole;
                }
                continue;
            };
            let known = self.lacks.entry(topic.clone());
            let (known, since) = known.or_insert_with(|| (lack.clone(), now));
            if known != lack {
                (*known, *since) = (lack.clone(), now);
            }
            if *stand != Stand::Waits {
                continue;
            }
            let is_silent = now >= *since + SILENCE_PATIENCE && may_stay(topic, lack);
            // What may be silent is weighed later; the partitions that have a leader are asked.
            if is_silent || now >= self.deadline && !lack.is_more_than_silence() {
                *stand = Stand::Silent(after(now - self.begin, lack));
            } else if now >= self.deadline {
                *stand = Stand::Lacks(after(now - self.begin, lack));
            }
        }
    }

    /// Gives up every topic that is still waited for.
    pub fn give_up(&mut self, reason: &str) {
        for stand in self.stands.values_mut() {
            if *stand == Stand::Waits {
                *stand = Stand::Lacks(reason.to_owned().into());
            }
        }
    }

    /// What has become of each topic so far.
    pub fn stands(&self) -> &BTreeMap<String, Stand> {
        &self.stands
    }

    /// Whether no topic is waited for any more.
    pub fn is_over(&self) -> bool {
        !self.stands.values().any(|stand| *stand == Stand::Waits)
    }
}

/// The same lack, with how long it was waited for.
fn after(waited: Duration, lack: &Lack) -> Lack {
    let waited = Duration::from_secs(waited.as_secs());
    let missing = lack.reason.clone();
    Lack {
        reason: NotRecovered { waited, missing }.to_string(),
        silent: lack.silent.clone(),
    }
}

impl Cluster {
    /// Looks until something has become of every topic; `tell` hears of each look.
    pub async fn watch(
        &self,
        deadline: Instant,
        may_stay: impl Fn(&str, &Lack) -> bool,
        tell: impl Fn(&BTreeMap<String, Stand>),
    ) {
        let topics = self.plan.topics().into_iter().map(|topic| topic.name);
        let mut watch = Watch::new(topics, Instant::now(), deadline);
        loop {
            let missing = self.lacks().await;
            watch.look(Instant::now(), &missing, &may_stay);
            // A node that is gone for good explains more than what is missing because of it.
            if let Some(death) = self.first_death().filter(|_| !watch.is_over()) {
                watch.give_up(&death);
            }
            tell(watch.stands());
            if watch.is_over() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until every topic is whole; what those lack that are not at the deadline.
    pub async fn wait_until_whole(&self, deadline: Instant) -> Missing {
        loop {
            let missing = self.lacks().await;
            if missing.is_empty() || Instant::now() >= deadline {
                return missing;
            }
            if let Some(death) = self.first_death() {
                return self.all_lack(&death);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What topics lack at this moment.
    pub async fn lacks(&self) -> Missing {
        match self.observer.look().await {
            Ok(view) => view.lacks(&self.plan),
            Err(error) => self.all_lack(&error),
        }
    }

    fn all_lack(&self, reason: &str) -> Missing {
        let topics = self.plan.topics().into_iter();
        let lack = |topic: TopicPlan| (topic.name, reason.to_owned().into());
        topics.map(lack).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::Silent;

    fn silent(partition: i32) -> Lack {
        Lack {
            reason: format!("partition {partition} has no leader"),
            silent: vec![Silent {
                topic: "t".to_owned(),
                partition,
                replicas: vec!["n1".to_owned()],
            }],
        }
    }

    fn missing(lacks: &[(&str, Lack)]) -> Missing {
        let lacks = lacks.iter();
        lacks
            .map(|(topic, lack)| ((*topic).to_owned(), lack.clone()))
            .collect()
    }

    fn watch(begin: Instant) -> Watch {
        let topics = ["t", "u"].into_iter().map(str::to_owned);
        Watch::new(topics, begin, begin + Duration::from_secs(10))
    }

    fn may_be_silent(_: &str, lack: &Lack) -> bool {
        !lack.is_more_than_silence()
    }

    #[test]
    fn a_topic_that_lacks_something_holds_up_no_other() {
        let begin = Instant::now();
        let mut watch = watch(begin);
        let lack = missing(&[("t", "1 of 3 replicas in sync".to_owned().into())]);
        watch.look(begin, &lack, may_be_silent);
        assert_eq!(watch.stands()["u"], Stand::Whole);
        assert_eq!(watch.stands()["t"], Stand::Waits);
        watch.look(begin + Duration::from_secs(9), &lack, may_be_silent);
        assert!(!watch.is_over(), "it has all of its time");
        watch.look(begin + Duration::from_secs(10), &lack, may_be_silent);
        let Stand::Lacks(lack) = &watch.stands()["t"] else {
            panic!("{watch:?}")
        };
        assert_eq!(
            lack.reason,
            "not available again 10s after healing: 1 of 3 replicas in sync"
        );
    }

    #[test]
    fn at_the_deadline_the_partitions_that_have_a_leader_are_still_to_be_asked() {
        let begin = Instant::now();
        let mut watch = watch(begin);
        let deadline = begin + Duration::from_secs(10);
        watch.look(begin, &missing(&[("t", silent(1))]), |_, _| false);
        watch.look(deadline, &missing(&[("t", silent(1))]), |_, _| false);
        assert!(matches!(&watch.stands()["t"], Stand::Silent(lack) if lack.is_silent(1)));
    }

    #[test]
    fn silence_is_believed_once_nothing_has_changed_for_a_while() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut watch = watch(begin);
        // Its nodes come back one by one: what it lacks is another thing each time.
        let nodes = missing(&[("t", "n2 not registered".to_owned().into())]);
        watch.look(at(0), &nodes, may_be_silent);
        watch.look(at(2_500), &missing(&[("t", silent(1))]), may_be_silent);
        watch.look(at(4_000), &missing(&[("t", silent(0))]), may_be_silent);
        watch.look(at(5_900), &missing(&[("t", silent(0))]), may_be_silent);
        assert_eq!(watch.stands()["t"], Stand::Waits);
        watch.look(at(6_000), &missing(&[("t", silent(0))]), |_, _| false);
        assert_eq!(watch.stands()["t"], Stand::Waits, "it may not be silent");
        watch.look(at(6_000), &missing(&[("t", silent(0))]), may_be_silent);
        assert!(matches!(&watch.stands()["t"], Stand::Silent(lack) if lack.is_silent(0)));
    }
}
