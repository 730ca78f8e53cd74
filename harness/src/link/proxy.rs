//! The proxy of one directed link: its listener, its state and its counters.
//!
//! In: policies and rules from the nemesis, connections from the namespace of `from`. Out: one
//! task for each connection. Keeps: a connection sees every change of the state, because all of it
//! is one watched value.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::link::connection;
use crate::link::journal::{Count, Counters, Journal, LinkCounts};
use crate::link::policy::{AtHeal, Policy};
use crate::link::probe::{self, Probe};
use crate::link::rule::{ActiveRule, FrameRule};
use crate::link::{Layer, LinkId};
use crate::sandbox::{NetNs, Sandbox, node_address};

/// How long accepting rests after it failed (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What a link does now.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkState {
    /// What all layers make of it together.
    pub(crate) policy: Policy,
    layers: Vec<(Layer, Policy)>,
    rules: Vec<(Layer, Arc<ActiveRule>)>,
    /// What the ends of connections no longer know of each other.
    pub(crate) age: Age,
}

/// How often the connections of a link have come to an end; one belongs to the age in which it was
/// accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Age {
    /// Grows by one at each reset; a connection resets when it sees it grow, cut or not.
    pub(crate) resets: u64,
    /// Grows by one each time that a cut healed with a reset: RST passes once no other cut holds.
    pub(crate) reboots: u64,
    /// Grows by one each time that an end forgot all connections: they are half-open from then on.
    pub(crate) forgotten: u64,
}

impl LinkState {
    pub(crate) fn active_rules(&self) -> Vec<Arc<ActiveRule>> {
        self.rules
            .iter()
            .map(|(_, rule)| Arc::clone(rule))
            .collect()
    }

    fn merge(&mut self) {
        self.policy = Policy::merged(self.layers.iter().map(|(_, policy)| policy));
    }

    /// Removes layers and their rules; true if there were any.
    fn lift(&mut self, lifted: &impl Fn(Layer) -> bool) -> bool {
        let before = self.layers.len() + self.rules.len();
        let ends_with = |at_heal| {
            let mut layers = self.layers.iter();
            u64::from(layers.any(|(layer, policy)| lifted(*layer) && policy.at_heal() == at_heal))
        };
        self.age.reboots += ends_with(AtHeal::Reset);
        self.age.forgotten += ends_with(AtHeal::Forget);
        self.layers.retain(|(layer, _)| !lifted(*layer));
        for (_, rule) in self.rules.extract_if(.., |(layer, _)| lifted(*layer)) {
            rule.retire();
        }
        self.merge();
        before > self.layers.len() + self.rules.len()
    }
}

/// One directed link.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) id: LinkId,
    pub(crate) seed: u64,
    pub(crate) counters: Counters,
    pub(crate) started: Instant,
    address: SocketAddr,
    from: Arc<NetNs>,
    to: Arc<NetNs>,
    state: watch::Sender<LinkState>,
    journal: Arc<Journal>,
}

impl Proxy {
    pub(crate) fn new(
        id: LinkId,
        sandbox: &Sandbox,
        journal: Arc<Journal>,
        seed: u64,
    ) -> io::Result<Self> {
        let node = id
            .to
            .broker()
            .ok_or_else(|| io::Error::other("a link ends at a node"))?;
        Ok(Self {
            id,
            seed,
            counters: Counters::default(),
            started: Instant::now(),
            address: node_address(node),
            from: Arc::clone(sandbox.namespace(id.from)?),
            to: Arc::clone(sandbox.namespace(id.to)?),
            state: watch::Sender::default(),
            journal,
        })
    }

    /// A listener on the node's address in the namespace of `from`.
    pub(crate) fn listen(&self) -> io::Result<TcpListener> {
        TcpListener::from_std(self.from.listen(self.address)?)
    }

    /// Accepts for ever; while the policy refuses, nothing listens.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut listener = Some(listener);
        let mut state = self.state.subscribe();
        // Dropping the set with this task ends every connection.
        let mut connections = JoinSet::new();
        loop {
            let refuses = state.borrow_and_update().policy == Policy::Refuse;
            match (&listener, refuses) {
                (Some(_), true) => listener = None,
                (None, false) => listener = self.listen().ok(),
                _ => {}
            }
            tokio::select! {
                changed = state.changed() => if changed.is_err() { return },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = accept(listener.as_ref()) => match accepted {
                    Ok(stream) => {
                        self.counters.add(Count::Accepted, 1);
                        connections.spawn(connection::run(Arc::clone(&self), stream));
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }

    /// A new connection to the node, from inside its own namespace.
    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        self.to.tcp_socket()?.connect(self.address).await
    }

    pub(crate) async fn probe(&self, limit: Duration) -> io::Result<Probe> {
        let socket: TcpSocket = self.from.tcp_socket()?;
        probe::ask(socket, self.address, limit).await
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    pub(crate) fn impose(&self, layer: Layer, policy: Policy) {
        self.state.send_modify(|state| {
            state.layers.push((layer, policy));
            state.merge();
        });
    }

    pub(crate) fn lift(&self, layers: impl Fn(Layer) -> bool) {
        self.state.send_if_modified(|state| state.lift(&layers));
    }

    pub(crate) fn policy(&self) -> Policy {
        self.state.borrow().policy.clone()
    }

    pub(crate) fn reset(&self) {
        self.state.send_modify(|state| state.age.resets += 1);
    }

    pub(crate) fn add_rule(&self, layer: Layer, rule: FrameRule) -> Arc<ActiveRule> {
        let rule = Arc::new(ActiveRule::new(rule, self.seed));
        self.state
            .send_modify(|state| state.rules.push((layer, Arc::clone(&rule))));
        rule
    }

    pub(crate) fn counts(&self) -> LinkCounts {
        self.counters.read()
    }

    /// Counts a rare event and keeps a sentence about it.
    pub(crate) fn record(&self, count: Count, what: impl Into<String>) {
        self.counters.add(count, 1);
        self.journal.record(self.id, what.into());
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        // Refusing: wait for the next change of the policy.
        None => std::future::pending().await,
    }
}
