//! One node: its configuration file, its process, its last words.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use broker::id::BrokerId;

use crate::plan::Plan;
use crate::roles::Role;
use crate::run::failure::RunFailure;
use crate::run::store::Store;
use crate::sandbox::{Endpoint, Output, ProcessSpec, Program, Sandbox, node_address};

/// The id of every cluster under test.
const CLUSTER_ID: &str = "verdict";

/// The name of the file that a node prints into.
pub const LOG_FILE: &str = "node.log";

/// The name of the configuration file.
pub const CONFIG_FILE: &str = "node.properties";

/// Writes the configuration of the node at `endpoint`; how to start it.
pub fn prepare(
    plan: &Plan,
    sandbox: &Sandbox,
    store: &Store,
    endpoint: Endpoint,
) -> Result<ProcessSpec, RunFailure> {
    let Some(id) = endpoint.broker() else {
        return Err(RunFailure::Harness(format!("{endpoint} is no node")));
    };
    let of_disk = |disk| match plan.cluster.disk {
        Some(_) => store.mount_point(disk),
        None => store.backing(disk),
    };
    let log_dirs: Vec<PathBuf> = plan.cluster.disks_of(id.0).map(of_disk).collect();
    let config = store.node_config(id.0).join(CONFIG_FILE);
    store
        .write(&config, &properties(plan, id, &log_dirs))
        .map_err(RunFailure::harness)?;
    let namespace = sandbox.namespace(endpoint).map_err(RunFailure::harness)?;
    let mut spec = ProcessSpec::new(Program::Role(Role::Node), Some(Arc::clone(namespace)))
        .with_args(["--config".into(), config.into_os_string()]);
    if let Some(sabotage) = &plan.cluster.sabotage {
        spec = spec.with_args(["--sabotage", sabotage]);
    }
    let log = Output::Append(store.node_log(id.0).join(LOG_FILE));
    spec.stdout = log.clone();
    spec.stderr = log;
    Ok(spec)
}

/// The text of the configuration file of node `id`, whose logs are in `log_dirs`.
pub fn properties(plan: &Plan, id: BrokerId, log_dirs: &[PathBuf]) -> String {
    let address = node_address(id);
    let voters: Vec<String> = (1..=plan.cluster.nodes as i32)
        .map(|voter| format!("{voter}@{}", node_address(BrokerId(voter))))
        .collect();
    let log_dirs: Vec<String> = log_dirs
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let mut text = format!(
        "node.id={id}\ncluster.id={CLUSTER_ID}\nlisteners=PLAINTEXT://{address}\n\
         advertised.listeners=PLAINTEXT://{address}\ncontroller.quorum.voters={}\n\
         log.dirs={}\n",
        voters.join(","),
        log_dirs.join(",")
    );
    for (key, value) in &plan.cluster.broker_settings {
        writeln!(text, "{key}={value}").expect("invariant: writing to a string succeeds");
    }
    text
}

/// The last line that the node at `endpoint` printed.
pub fn last_words(store: &Store, endpoint: Endpoint) -> String {
    let Some(id) = endpoint.broker() else {
        return String::new();
    };
    let printed = fs::read(store.node_log(id.0).join(LOG_FILE)).unwrap_or_default();
    let printed = String::from_utf8_lossy(&printed);
    let last = printed.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or("none".to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::config::Settings;

    #[test]
    fn the_broker_takes_every_configuration_that_a_plan_makes() {
        for seed in 0..20 {
            let plan = Plan::draw(seed, &crate::plan::profile::PROFILES[0]);
            for id in 1..=3 {
                let text = properties(&plan, BrokerId(id), &["/a".into(), "/b".into()]);
                Settings::parse::<&str>(&text, &[]).expect("the broker takes it");
            }
        }
    }
}
