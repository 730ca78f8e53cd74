//! What must hold before a run means anything: the settings in effect are the planned ones.
//!
//! In: a cluster that serves. Out: nothing, or what differs. A run with other settings than its
//! plan says would be judged by the wrong contract.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::id::BrokerId;
use tokio::time::Instant;

use crate::cluster::{Cluster, LOOK};
use crate::run::failure::RunFailure;

/// How long an answer may take with all its retries.
const PATIENCE: Duration = Duration::from_secs(5);

impl Cluster {
    /// Compares the effective settings of all brokers and topics with the plan, and stores
    /// those of the brokers beside their configuration.
    pub async fn check_assumptions(&self) -> Result<(), RunFailure> {
        for id in 1..=self.plan.cluster.nodes as i32 {
            let whose = format!("n{id}");
            let settings = || self.observer.broker_settings(BrokerId(id));
            let effective = patiently(&whose, settings).await?;
            let lines: Vec<String> = effective
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let path = self.store.node_config(id).join("effective.properties");
            self.store
                .write(&path, &(lines.join("\n") + "\n"))
                .map_err(RunFailure::harness)?;
            differs(&whose, &self.plan.cluster.broker_settings, &effective)?;
        }
        for topic in self.plan.topics() {
            let whose = format!("topic {}", topic.name);
            let wanted = topic.min_insync_replicas.to_string();
            let wanted = BTreeMap::from([("min.insync.replicas".to_owned(), wanted)]);
            let settings = || self.observer.topic_settings(&topic.name);
            let effective = patiently(&whose, settings).await?;
            differs(&whose, &wanted, &effective)?;
        }
        Ok(())
    }
}

type Settings = BTreeMap<String, String>;

/// Asks until there is an answer; an election just after the start is no failure.
async fn patiently<F>(whose: &str, ask: impl Fn() -> F) -> Result<Settings, RunFailure>
where
    F: Future<Output = Result<Settings, String>>,
{
    let patience = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(settings) => return Ok(settings),
            Err(error) if Instant::now() >= patience => {
                let message = format!("the settings of {whose} cannot be read: {error}");
                return Err(RunFailure::Harness(message));
            }
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// An error that names the first setting that is not as wanted.
fn differs(whose: &str, wanted: &Settings, effective: &Settings) -> Result<(), RunFailure> {
    for (key, value) in wanted {
        let found = effective.get(key);
        if found != Some(value) {
            let found = found.map_or("absent", String::as_str);
            let message = format!("{key} of {whose} is {found} in effect, the plan says {value}");
            return Err(RunFailure::Harness(message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_not_in_effect_is_named() {
        let map = |value: &str| BTreeMap::from([("a.b".to_owned(), value.to_owned())]);
        assert!(differs("n1", &map("1"), &map("1")).is_ok());
        let message = |effective| differs("n1", &map("1"), &effective).map_err(|e| e.to_string());
        let other = Err("a.b of n1 is 2 in effect, the plan says 1".to_owned());
        assert_eq!(message(map("2")), other);
        let absent = Err("a.b of n1 is absent in effect, the plan says 1".to_owned());
        assert_eq!(message(BTreeMap::new()), absent);
    }
}
