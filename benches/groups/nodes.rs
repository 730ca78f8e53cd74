//! Real nodes in this process.

use std::net::{SocketAddr, TcpListener};

use broker::config::Settings;
use broker::shell::{FAST, Node, Status};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A cluster with its data.
pub(crate) struct Nodes {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) runtime: Runtime,
    running: Vec<Node>,
    _data: TempDir,
}

impl Nodes {
    /// Starts `count` nodes and waits until all of them serve.
    pub(crate) fn start(count: usize) -> Self {
        let data = tempfile::tempdir().unwrap();
        let listeners: Vec<_> = (0..count)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let addresses: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
        let voters: Vec<_> = addresses
            .iter()
            .enumerate()
            .map(|(index, address)| format!("{}@{address}", index + 1))
            .collect();
        let node = |(index, listener): (usize, TcpListener)| {
            let mut pairs: Vec<String> = FAST.iter().map(ToString::to_string).collect();
            pairs.extend([
                "group.initial.rebalance.delay.ms=0".to_owned(),
                format!("node.id={}", index + 1),
                format!("log.dirs={}", data.path().join(index.to_string()).display()),
                format!("listeners=PLAINTEXT://{}", listener.local_addr().unwrap()),
                format!("controller.quorum.voters={}", voters.join(",")),
            ]);
            Node::start_on(Settings::parse("", &pairs).unwrap(), listener).unwrap()
        };
        let nodes: Vec<_> = listeners.into_iter().enumerate().map(node).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        for node in &nodes {
            let mut status = node.status();
            let serving = status.wait_for(|status| *status == Status::Serving);
            runtime.block_on(serving).unwrap();
        }
        Self {
            addresses,
            runtime,
            running: nodes,
            _data: data,
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in self.running.drain(..) {
            node.kill();
        }
    }
}
