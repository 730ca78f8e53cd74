//! What must hold before a run means anything: the settings in effect are the planned ones.
//!
//! In: a cluster that serves. Out: nothing, or what differs. A run with other settings than its
//! plan says would be judged by the wrong contract.

use std::collections::BTreeMap;

use broker::id::BrokerId;

use crate::cluster::Cluster;
use crate::run::failure::RunFailure;

impl Cluster {
    /// Compares the effective settings of all brokers and of the topic with the plan, and stores
    /// those of the brokers beside their configuration.
    pub async fn check_assumptions(&self) -> Result<(), RunFailure> {
        for id in 1..=self.plan.cluster.nodes as i32 {
            let effective = self.observer.broker_settings(BrokerId(id)).await;
            let effective = effective.map_err(|error| cannot(&format!("n{id}"), &error))?;
            let lines: Vec<String> = effective
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let path = self.store.node_config(id).join("effective.properties");
            self.store
                .write(&path, &(lines.join("\n") + "\n"))
                .map_err(RunFailure::harness)?;
            differs(
                &format!("n{id}"),
                &self.plan.cluster.broker_settings,
                &effective,
            )?;
        }
        let wanted = self.plan.cluster.min_insync_replicas.to_string();
        let wanted = BTreeMap::from([("min.insync.replicas".to_owned(), wanted)]);
        let effective = self.observer.topic_settings().await;
        differs(
            "the topic",
            &wanted,
            &effective.map_err(|error| cannot("the topic", &error))?,
        )
    }
}

fn cannot(whose: &str, error: &str) -> RunFailure {
    RunFailure::Harness(format!("the settings of {whose} cannot be read: {error}"))
}

/// An error that names the first setting that is not as wanted.
fn differs(
    whose: &str,
    wanted: &BTreeMap<String, String>,
    effective: &BTreeMap<String, String>,
) -> Result<(), RunFailure> {
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
