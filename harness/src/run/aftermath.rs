//! What became of the cluster after healing, as a whole and topic by topic.
//!
//! In: what each topic still lacked when its time was over. Out: the liveness of the run, and of
//! each topic. Invariant: one topic that stays silent says nothing about the others.

use std::collections::BTreeMap;

use checkers::verdict::Verdict;

use crate::cluster::view::{Lack, Missing};
use crate::run::summary::Liveness;

/// What became of the cluster after healing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aftermath {
    /// Of the whole.
    pub whole: Liveness,
    /// How long each topic took that served again, in milliseconds.
    after_ms: BTreeMap<String, u64>,
    missing: Missing,
}

impl Aftermath {
    /// The same for all topics.
    pub fn of_all(whole: Liveness) -> Self {
        Self {
            whole,
            after_ms: BTreeMap::new(),
            missing: Missing::new(),
        }
    }

    /// Of topics that served again so long after healing, but for those that lack something; the
    /// whole has recovered only if none does, and with the last one.
    pub fn of_topics(after_ms: BTreeMap<String, u64>, missing: Missing) -> Self {
        let last = after_ms.values().max().copied();
        let whole = match missing.values().next() {
            None => Liveness::Recovered {
                after_ms: last.unwrap_or(0),
            },
            Some(lack) => not_recovered(lack),
        };
        Self {
            whole,
            after_ms,
            missing,
        }
    }

    /// Of one topic.
    pub fn of(&self, topic: &str) -> Liveness {
        match self.missing.get(topic) {
            Some(lack) => not_recovered(lack),
            None => match self.after_ms.get(topic) {
                Some(&after_ms) => Liveness::Recovered { after_ms },
                None => self.whole.clone(),
            },
        }
    }

    /// Lets the verdict on a topic say whether it may lack what it lacks.
    pub fn weigh(&self, topic: &str, verdict: &mut Verdict) {
        if let Some(lack) = self.missing.get(topic) {
            let replicas = lack.silent.iter().map(|silent| silent.replicas.clone());
            verdict.weigh_silence(&replicas.collect::<Vec<_>>());
        }
    }
}

fn not_recovered(lack: &Lack) -> Liveness {
    Liveness::NotRecovered {
        reason: lack.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_stays_silent_says_nothing_about_the_others() {
        let missing = [("t".to_owned(), Lack::from("no leader".to_owned()))].into();
        let after_ms = |topics: &[(&str, u64)]| {
            let topics = topics.iter();
            topics
                .map(|(topic, ms)| ((*topic).to_owned(), *ms))
                .collect()
        };
        let aftermath = Aftermath::of_topics(after_ms(&[("u", 7), ("v", 900)]), missing);
        let silent = Liveness::NotRecovered {
            reason: "no leader".to_owned(),
        };
        assert_eq!((&aftermath.whole, &aftermath.of("t")), (&silent, &silent));
        assert_eq!(aftermath.of("u"), Liveness::Recovered { after_ms: 7 });
        assert_eq!(aftermath.of("v"), Liveness::Recovered { after_ms: 900 });
        let whole = Aftermath::of_topics(after_ms(&[("t", 7), ("u", 3)]), Missing::new());
        assert_eq!(whole.whole, Liveness::Recovered { after_ms: 7 });
        assert_eq!(Aftermath::of_all(silent.clone()).of("u"), silent);
    }
}
