//! `min.insync.replicas` of the topics under test changes under load, and changes back.
//!
//! Effect: DescribeConfigs tells the new value of every topic. Healing: the values of before.
//! Nothing that is stored is touched, so what was committed is kept whatever the value was; a plan
//! with faults that take stored records may not change it, for those are judged by one value.
//! Source: `faults.md` §1.8, S12.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use crate::nemesis::{Arena, BoxFuture, Effect, Fault, PROBE_PAUSE};
use crate::sandbox::Endpoint;

/// How long the controller may take to answer, while other faults may act.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The value of each topic, as DescribeConfigs tells it.
pub type MinIsr = BTreeMap<String, String>;

/// The fault `min-isr`.
#[derive(Debug)]
pub(crate) struct MinIsrFault {
    wanted: String,
    before: MinIsr,
}

impl MinIsrFault {
    pub(crate) fn new(replicas: i16) -> Self {
        Self {
            wanted: replicas.to_string(),
            before: MinIsr::new(),
        }
    }
}

impl Fault for MinIsrFault {
    fn setup(&mut self, _arena: &Arena, _targets: &[Endpoint]) {}

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            self.before = told(arena).await?;
            let topics = self.before.keys();
            let wanted = topics.map(|topic| (topic.clone(), self.wanted.clone()));
            set(arena, &wanted.collect()).await
        })
    }

    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect> {
        Box::pin(async {
            let wanted = &self.wanted;
            let (topics, before) = (self.before.len(), values(&self.before));
            if self.before.values().all(|value| value == wanted) {
                return Effect::Vacuous(format!("it was {wanted} before"));
            }
            match told(arena).await {
                Ok(now) if now.values().all(|value| value == wanted) => Effect::Seen(format!(
                    "DescribeConfigs tells {wanted} for {topics} topics, before it told {before}"
                )),
                Ok(now) => Effect::Vacuous(format!("DescribeConfigs tells {}", values(&now))),
                Err(reason) => Effect::Vacuous(reason),
            }
        })
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { set(arena, &self.before).await })
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let deadline = Instant::now() + ANSWER_LIMIT;
            loop {
                let now = told(arena).await?;
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
        let detail = [("min.insync.replicas".to_owned(), json!(self.wanted))];
        detail.into_iter().collect()
    }
}

/// Each value once: `1, 2 and 3` as `1, 2, 3`.
fn values(of: &MinIsr) -> String {
    let values: BTreeSet<&str> = of.values().map(String::as_str).collect();
    let values: Vec<&str> = values.into_iter().collect();
    values.join(", ")
}

/// Asks until there is an answer.
async fn told(arena: &Arena) -> Result<MinIsr, String> {
    let deadline = Instant::now() + ANSWER_LIMIT;
    loop {
        match arena.view.min_isr().await {
            Err(reason) if Instant::now() >= deadline => return Err(reason),
            Err(_) => sleep(PROBE_PAUSE).await,
            told => return told,
        }
    }
}

/// Asks until it is done: to set a value again that is set changes nothing.
async fn set(arena: &Arena, values: &MinIsr) -> Result<(), String> {
    let deadline = Instant::now() + ANSWER_LIMIT;
    loop {
        match arena.view.set_min_isr(values).await {
            Err(reason) if Instant::now() >= deadline => return Err(reason),
            Err(_) => sleep(PROBE_PAUSE).await,
            done => return done,
        }
    }
}
