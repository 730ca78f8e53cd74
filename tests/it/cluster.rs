//! A cluster of nodes in this process, which can be killed, stopped and started again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use broker::client::{Acks, Admin, Producer, ProducerRecord};
use broker::config::Settings;
use broker::shell::{FAST, Node, Status, Stop};
use bytes::Bytes;
use tempfile::TempDir;

use crate::clients::Clients;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A loopback address that no other cluster uses. A node that restarts needs its port again, and
/// on 127.0.0.1 an outgoing connection of anybody may have taken it meanwhile.
fn own_address() -> Ipv4Addr {
    static CLUSTERS: AtomicU8 = AtomicU8::new(1);
    let [low, high, ..] = std::process::id().to_le_bytes();
    Ipv4Addr::new(
        127,
        1 + high % 254,
        low,
        CLUSTERS.fetch_add(1, Ordering::Relaxed),
    )
}

/// A cluster; dropping it kills its nodes.
pub(crate) struct Cluster {
    data: TempDir,
    addresses: Vec<SocketAddr>,
    extra: Vec<String>,
    nodes: Vec<Option<Node>>,
}

impl Cluster {
    /// Starts `count` nodes with ids from 1 and these settings on top of the fast ones.
    pub(crate) fn start(count: usize, extra: &[&str]) -> Self {
        let address = own_address();
        let listeners: Vec<_> = (0..count)
            .map(|_| TcpListener::bind((address, 0)).unwrap())
            .collect();
        let addresses = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
        let mut cluster = Self {
            data: TempDir::new().unwrap(),
            addresses,
            extra: extra.iter().map(ToString::to_string).collect(),
            nodes: (0..count).map(|_| None).collect(),
        };
        for (index, listener) in listeners.into_iter().enumerate() {
            let settings = cluster.settings(index);
            cluster.nodes[index] = Some(Node::start_on(settings, listener).unwrap());
        }
        cluster
    }

    /// The log directory of node `id`.
    pub(crate) fn data_of(&self, id: i32) -> std::path::PathBuf {
        self.data.path().join((id - 1).to_string())
    }

    fn settings(&self, index: usize) -> Settings {
        let voters: Vec<_> = self
            .addresses
            .iter()
            .enumerate()
            .map(|(index, address)| format!("{}@{address}", index + 1))
            .collect();
        let mut pairs: Vec<String> = FAST.iter().map(ToString::to_string).collect();
        pairs.extend(self.extra.iter().cloned());
        pairs.push(format!("node.id={}", index + 1));
        pairs.push(format!(
            "log.dirs={}",
            self.data.path().join(index.to_string()).display()
        ));
        pairs.push(format!("listeners=PLAINTEXT://{}", self.addresses[index]));
        pairs.push(format!("controller.quorum.voters={}", voters.join(",")));
        Settings::parse("", &pairs).unwrap()
    }

    /// The addresses of all nodes.
    pub(crate) fn bootstrap(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Waits until every running node serves.
    pub(crate) async fn serving(&self) {
        for node in self.nodes.iter().flatten() {
            let mut status = node.status();
            let serving = status.wait_for(|status| *status == Status::Serving);
            tokio::time::timeout(PATIENCE, serving)
                .await
                .unwrap()
                .unwrap();
        }
    }

    /// Ends node `id` as if it had been killed.
    pub(crate) fn kill(&mut self, id: i32) {
        self.nodes[id as usize - 1].take().unwrap().kill();
    }

    /// Ends node `id` by a controlled shutdown.
    pub(crate) fn stop(&mut self, id: i32) {
        let node = self.nodes[id as usize - 1].take().unwrap();
        node.stopper().stop(Stop::Controlled);
        node.join().unwrap();
    }

    /// Starts node `id` again.
    pub(crate) fn restart(&mut self, id: i32) {
        let index = id as usize - 1;
        self.nodes[index] = Some(Node::start(self.settings(index)).unwrap());
    }

    /// Clients of this cluster.
    pub(crate) fn clients(&self) -> Clients {
        Clients::of(self.bootstrap())
    }

    pub(crate) async fn admin(&self) -> Admin {
        self.clients().admin().await
    }

    pub(crate) async fn producer(&self, acks: Acks) -> Producer {
        self.clients().producer(acks).await
    }

    /// Reads everything that a partition holds, by a fresh consumer.
    pub(crate) async fn read_all(&self, topic: &str, partition: i32) -> Vec<String> {
        self.clients().read_all(topic, partition).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.nodes.drain(..).flatten() {
            node.kill();
        }
    }
}

/// A record for a partition.
pub(crate) fn record(topic: &str, partition: i32, value: impl Into<String>) -> ProducerRecord {
    ProducerRecord {
        topic: topic.into(),
        partition: Some(partition),
        key: None,
        value: Some(Bytes::from(value.into())),
        headers: Vec::new(),
        timestamp: None,
    }
}
