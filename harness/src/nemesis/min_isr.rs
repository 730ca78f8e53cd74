//! `min.insync.replicas` of the topics under test changes under load, and changes back.
//!
//! Effect: DescribeConfigs tells the new value of topics that had another. Healing: the values of
//! before.
//! Keeps: the values of before are remembered outside the fault until they are set again, so that a
//! fault that is dropped in mid-injection is healed like any other.
//! Nothing that is stored is touched, so what was committed is kept whatever the value was; a plan
//! with faults that take stored records may not change it, for those are judged by one value.
//! Source: `faults.md` §1.8, S12.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use crate::nemesis::{Arena, BoxFuture, ClusterView, Effect, Fault, PROBE_PAUSE};
use crate::sandbox::Endpoint;

/// How long the controller may take to answer, while other faults may act.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The value of each topic, as DescribeConfigs tells it.
pub type MinIsr = BTreeMap<String, String>;

/// The values of before, as long as a fault has changed them. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Changed {
    before: Arc<Mutex<Option<MinIsr>>>,
    /// Who changes the values: healing that takes long does not mix with what comes next.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Changed {
    /// Changes the value of every topic to `wanted`; the values of before.
    async fn change(&self, view: &dyn ClusterView, wanted: &str) -> Result<MinIsr, String> {
        let _turn = self.turn.lock().await;
        let told = told(view).await?;
        // Told by a cluster that is changed already, they would not be those of before.
        let before = self.with(|before| before.get_or_insert(told).clone());
        let topics = before.keys();
        let wanted = topics.map(|topic| (topic.clone(), wanted.to_owned()));
        set(view, &wanted.collect()).await?;
        Ok(before)
    }

    /// Sets the values of before again, if any fault has changed them.
    ///
    /// # Errors
    /// Why they could not be set; they are kept for another attempt.
    pub async fn restore(&self, view: &dyn ClusterView) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        if let Some(before) = self.with(|before| before.clone()) {
            set(view, &before).await?;
            self.with(|before| *before = None);
        }
        Ok(())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Option<MinIsr>) -> T) -> T {
        act(&mut self.before.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The fault `min-isr`.
#[derive(Debug)]
pub(crate) struct MinIsrFault {
    wanted: String,
    before: MinIsr,
    /// The topics that were seen to have another value than before.
    changed: Vec<String>,
}

impl MinIsrFault {
    pub(crate) fn new(replicas: i16) -> Self {
        Self {
            wanted: replicas.to_string(),
            before: MinIsr::new(),
            changed: Vec::new(),
        }
    }

    /// What the values `now` show. A topic that had the value before shows nothing.
    fn compare(&mut self, now: &MinIsr) -> Effect {
        let (wanted, before) = (&self.wanted, values(&self.before));
        let is_changed = |(topic, value): &(&String, &String)| {
            *value == wanted
                && self
                    .before
                    .get(*topic)
                    .is_some_and(|before| before != wanted)
        };
        let changed = now.iter().filter(is_changed);
        self.changed = changed.map(|(topic, _)| topic.clone()).collect();
        let (changed, all) = (self.changed.len(), now.len());
        match changed {
            0 => Effect::Vacuous(format!(
                "DescribeConfigs tells {}, before it told {before}",
                values(now)
            )),
            _ => Effect::Seen(format!(
                "DescribeConfigs tells {wanted} for {changed} of {all} topics, before it told \
                 {before}"
            )),
        }
    }
}

impl Fault for MinIsrFault {
    fn setup(&mut self, _arena: &Arena, _targets: &[Endpoint]) {}

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let view = arena.view.as_ref();
            self.before = arena.min_isr.change(view, &self.wanted).await?;
            Ok(())
        })
    }

    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect> {
        Box::pin(async {
            match told(arena.view.as_ref()).await {
                Ok(now) => self.compare(&now),
                Err(reason) => Effect::Vacuous(reason),
            }
        })
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { arena.min_isr.restore(arena.view.as_ref()).await })
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let deadline = Instant::now() + ANSWER_LIMIT;
            loop {
                let now = told(arena.view.as_ref()).await?;
                if now == self.before {
                    return Ok(());
                }
                if Instant::now() >= deadline {
                    return Err(format!("DescribeConfigs still tells {}", values(&now)));
                }
                sleep(PROBE_PAUSE).await;
            }
        })
    }

    fn detail(&self) -> Map<String, Value> {
        Map::from_iter([
            ("min.insync.replicas".to_owned(), json!(self.wanted)),
            ("topics".to_owned(), json!(self.changed)),
        ])
    }
}

/// Each value once: `1, 2 and 3` as `1, 2, 3`.
fn values(of: &MinIsr) -> String {
    let values: BTreeSet<&str> = of.values().map(String::as_str).collect();
    let values: Vec<&str> = values.into_iter().collect();
    values.join(", ")
}

/// Asks until there is an answer.
async fn told(view: &dyn ClusterView) -> Result<MinIsr, String> {
    let deadline = Instant::now() + ANSWER_LIMIT;
    loop {
        match view.min_isr().await {
            Err(reason) if Instant::now() >= deadline => return Err(reason),
            Err(_) => sleep(PROBE_PAUSE).await,
            told => return told,
        }
    }
}

/// Asks until it is done: to set a value again that is set changes nothing.
async fn set(view: &dyn ClusterView, values: &MinIsr) -> Result<(), String> {
    let deadline = Instant::now() + ANSWER_LIMIT;
    loop {
        match view.set_min_isr(values).await {
            Err(reason) if Instant::now() >= deadline => return Err(reason),
            Err(_) => sleep(PROBE_PAUSE).await,
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nemesis::ClusterState;

    /// A cluster that stops to answer after so many changes.
    struct Brittle {
        now: Mutex<MinIsr>,
        left: Mutex<usize>,
    }

    impl ClusterView for Brittle {
        fn observe(&self) -> BoxFuture<'_, Result<ClusterState, String>> {
            Box::pin(async { Ok(ClusterState::default()) })
        }

        fn min_isr(&self) -> BoxFuture<'_, Result<MinIsr, String>> {
            Box::pin(async { Ok(self.now.lock().unwrap().clone()) })
        }

        fn set_min_isr<'a>(&'a self, values: &'a MinIsr) -> BoxFuture<'a, Result<(), String>> {
            Box::pin(async move {
                for (topic, value) in values {
                    tokio::task::yield_now().await;
                    if *self.left.lock().unwrap() == 0 {
                        std::future::pending::<()>().await;
                    }
                    *self.left.lock().unwrap() -= 1;
                    self.now
                        .lock()
                        .unwrap()
                        .insert(topic.clone(), value.clone());
                }
                Ok(())
            })
        }
    }

    fn cluster(left: usize) -> (Brittle, MinIsr) {
        let value = |(topic, value): (&str, &str)| (topic.to_owned(), value.to_owned());
        let before: MinIsr = [("a", "1"), ("b", "2"), ("c", "3")].map(value).into();
        let brittle = Brittle {
            now: Mutex::new(before.clone()),
            left: Mutex::new(left),
        };
        (brittle, before)
    }

    #[tokio::test]
    async fn a_change_that_is_dropped_in_the_middle_is_healed_by_whoever_heals() {
        let (view, before) = cluster(2);
        let changed = Changed::default();
        let all_hang = async {
            while *view.left.lock().unwrap() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = changed.change(&view, "3") => panic!("it hangs at the third topic"),
            () = all_hang => {}
        }
        assert_ne!(*view.now.lock().unwrap(), before);
        *view.left.lock().unwrap() = usize::MAX;
        assert_eq!(changed.restore(&view).await, Ok(()));
        assert_eq!(*view.now.lock().unwrap(), before);
    }

    #[test]
    fn only_the_topics_that_tell_another_value_than_before_are_changed() {
        let (_, before) = cluster(0);
        let mut fault = MinIsrFault::new(3);
        fault.before = before.clone();
        assert!(
            matches!(fault.compare(&before), Effect::Vacuous(_)),
            "c had it"
        );
        let mut now = before;
        now.insert("a".to_owned(), "3".to_owned());
        assert!(matches!(fault.compare(&now), Effect::Seen(_)));
        assert_eq!(
            fault.detail()["topics"],
            json!(["a"]),
            "b has not changed yet"
        );
    }

    #[tokio::test]
    async fn a_second_change_does_not_take_the_first_for_what_was_before() {
        let (view, before) = cluster(usize::MAX);
        let changed = Changed::default();
        assert_eq!(changed.change(&view, "1").await, Ok(before.clone()));
        assert_eq!(changed.change(&view, "3").await, Ok(before.clone()));
        assert_eq!(changed.restore(&view).await, Ok(()));
        assert_eq!(*view.now.lock().unwrap(), before);
        view.now
            .lock()
            .unwrap()
            .insert("a".to_owned(), "2".to_owned());
        assert_eq!(changed.restore(&view).await, Ok(()), "nothing is changed");
        assert_eq!(view.now.lock().unwrap()["a"], "2");
    }

    #[tokio::test]
    async fn a_change_waits_until_the_one_before_is_healed() {
        let (view, before) = cluster(usize::MAX);
        let changed = Changed::default();
        assert!(changed.change(&view, "1").await.is_ok());
        let (healed, again) = tokio::join!(changed.restore(&view), changed.change(&view, "3"));
        assert_eq!((healed, again), (Ok(()), Ok(before.clone())));
        assert!(view.now.lock().unwrap().values().all(|value| value == "3"));
        assert_eq!(changed.restore(&view).await, Ok(()));
        assert_eq!(*view.now.lock().unwrap(), before);
    }
}
