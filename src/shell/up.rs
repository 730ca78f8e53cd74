//! A plain cluster in this process, on ports of 127.0.0.1, for a person's own clients.
//!
//! In: how many nodes, where, and their settings. Out: the line of bootstrap servers once the
//! cluster serves. Invariant: when `up` returns, all nodes have ended and nothing is left but the
//! data directory.

use std::path::PathBuf;

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::limits;
use super::node::{Node, NodeError, Status};
use super::signal::{Shutdown, Stop};
use crate::config::{ConfigError, Settings};

/// What cluster to start.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// How many nodes; their ids begin at 1.
    pub nodes: u16,
    /// The port of the first node; the others follow.
    pub base_port: u16,
    /// Where each node gets a directory of its own.
    pub data: PathBuf,
    /// Settings of every node, `key=value`.
    pub overrides: Vec<String>,
}

/// Why a cluster did not come up, or did not go down cleanly.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The ports do not fit.
    #[error("{nodes} nodes from port {base_port} on do not fit: choose a smaller --base-port")]
    Ports {
        /// How many nodes.
        nodes: u16,
        /// The first port.
        base_port: u16,
    },
    /// A node failed.
    #[error("node {id}: {source}")]
    Node {
        /// Its id.
        id: u16,
        /// What happened.
        source: NodeError,
    },
    /// A node ended before it was told to.
    #[error("node {0} ended by itself; its log says why")]
    Ended(u16),
    /// The process lacks something.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

/// Settings that a small cluster on one machine starts and fails over quickly with. They come
/// first, so that overrides win.
pub const FAST: &[&str] = &[
    "broker.heartbeat.interval.ms=200",
    "broker.session.timeout.ms=1500",
    "controller.quorum.election.timeout.ms=150",
    "controller.quorum.fetch.timeout.ms=500",
    "controller.quorum.request.timeout.ms=500",
    "replica.lag.time.max.ms=3000",
    "replica.fetch.wait.max.ms=100",
    "replica.fetch.backoff.ms=50",
    "replica.socket.timeout.ms=2000",
];

/// The settings of the nodes of a cluster on 127.0.0.1.
pub fn cluster_settings(options: &UpOptions) -> Result<Vec<Settings>, UpError> {
    let UpOptions {
        nodes,
        base_port,
        ref data,
        ref overrides,
    } = *options;
    let too_many = UpError::Ports { nodes, base_port };
    base_port.checked_add(nodes).ok_or(too_many)?;
    let port = |id: u16| base_port + id - 1;
    let voters: Vec<_> = (1..=nodes)
        .map(|id| format!("{id}@127.0.0.1:{}", port(id)))
        .collect();
    let mut all = Vec::new();
    for id in 1..=nodes {
        let directory = data.join(format!("node-{id}"));
        let mut pairs: Vec<String> = FAST.iter().map(ToString::to_string).collect();
        pairs.push(format!("default.replication.factor={}", nodes.min(3)));
        pairs.extend(overrides.iter().cloned());
        pairs.push(format!("node.id={id}"));
        pairs.push(format!("log.dirs={}", directory.display()));
        pairs.push(format!("listeners=PLAINTEXT://127.0.0.1:{}", port(id)));
        pairs.push(format!("controller.quorum.voters={}", voters.join(",")));
        all.push(Settings::parse("", &pairs)?);
    }
    Ok(all)
}

/// Runs a cluster until SIGINT or SIGTERM. `ready` gets the bootstrap servers once all serve.
pub fn up(options: &UpOptions, ready: impl FnOnce(&str)) -> Result<(), UpError> {
    let settings = cluster_settings(options)?;
    limits::raise_open_files();
    let runtime = Runtime::new()?;
    let mut nodes = Vec::new();
    for (id, settings) in (1..).zip(settings) {
        match Node::start(settings) {
            Ok(node) => nodes.push(node),
            Err(source) => {
                stop_all(nodes, Stop::Controlled)?;
                return Err(UpError::Node { id, source });
            }
        }
    }
    let served = runtime.block_on(serve(&nodes, ready));
    let stopped = stop_all(nodes, Stop::Controlled);
    served.and(stopped)
}

async fn serve(nodes: &[Node], ready: impl FnOnce(&str)) -> Result<(), UpError> {
    let mut shutdown = Shutdown::on_signals()?;
    let servers: Vec<_> = nodes
        .iter()
        .map(|node| node.address().to_string())
        .collect();
    let all_serve = async {
        for node in nodes {
            let _ = node
                .status()
                .wait_for(|status| *status == Status::Serving)
                .await;
        }
        ready(&servers.join(","));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = all_serve => Ok(()),
        ended = any_ended(nodes) => Err(UpError::Ended(ended)),
        _ = shutdown.wait_beyond(Stop::No) => Ok(()),
    }
}

async fn any_ended(nodes: &[Node]) -> u16 {
    let mut ends = JoinSet::new();
    for (id, node) in (1..).zip(nodes) {
        let mut status = node.status();
        ends.spawn(async move {
            let _ = status.wait_for(|status| *status == Status::Stopped).await;
            id
        });
    }
    ends.join_next().await.and_then(Result::ok).unwrap_or(0)
}

fn stop_all(nodes: Vec<Node>, stop: Stop) -> Result<(), UpError> {
    for node in &nodes {
        node.stopper().stop(stop);
    }
    let mut result = Ok(());
    for (id, node) in (1..).zip(nodes) {
        if let Err(source) = node.join() {
            result = Err(UpError::Node { id, source });
        }
    }
    result
}
