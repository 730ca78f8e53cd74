//! The links: one user-space proxy for each directed link between a node or client and a node.
//!
//! In: policies, frame rules, resets. Out: a network that misbehaves as told, and the journal of
//! what it did. Link `i → j` carries the connections that `i` opens to `j`: its requests forward
//! and `j`'s responses backward. Cutting what *travels* from `i` to `j` therefore takes the
//! forward direction of `i → j` and the backward direction of `j → i`: see [`Links::cut`].
//! Keeps: each proxy listens on `j`'s own address inside `i`'s namespace and connects from inside
//! `j`'s, so neither side can tell, and there is no other way from one namespace to another.
//! Source: DESIGN §3.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;

use broker::id::BrokerId;

use crate::sandbox::{Endpoint, Sandbox, node_address};

mod connection;
mod frame_filter;
mod half;
pub mod journal;
pub mod policy;
mod probe;
mod proxy;
mod rule;

pub use journal::{Count, Journal, LinkCounts, LinkEvent};
pub use policy::{AtHeal, Cut, Direction, Policy};
pub(crate) use probe::API_VERSIONS;
pub use probe::Probe;
pub use rule::{ActiveRule, FrameAction, FrameHead, FramePick, FrameRule, FrameSide};

use proxy::Proxy;

/// A directed link; `to` is a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// Who connects.
    pub from: Endpoint,
    /// The node that is connected to.
    pub to: Endpoint,
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}→{}", self.from, self.to)
    }
}

/// What one fault imposes on links; layers of several faults add up and are lifted one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layer(u64);

/// All links of a run. Cheap to clone; the proxies stop when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Links(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    proxies: BTreeMap<LinkId, Arc<Proxy>>,
    journal: Arc<Journal>,
    tasks: Vec<AbortHandle>,
    layers: AtomicU64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Links {
    /// Starts a proxy for every pair of different endpoints whose second is a node. Must be called
    /// within a tokio runtime; `seed` fixes jitter and probabilities.
    ///
    /// # Errors
    /// Those of listening inside the namespaces.
    pub fn start(sandbox: &Sandbox, seed: u64) -> io::Result<Self> {
        let journal = Arc::new(Journal::default());
        let mut proxies = BTreeMap::new();
        let mut tasks = Vec::new();
        let pairs = sandbox.endpoints().flat_map(|from| {
            let to = sandbox
                .endpoints()
                .filter(move |to| to.is_node() && *to != from);
            to.map(move |to| LinkId { from, to })
        });
        for (id, number) in pairs.zip(1u64..) {
            let seed = seed.wrapping_mul(31).wrapping_add(number);
            let proxy = Arc::new(Proxy::new(id, sandbox, Arc::clone(&journal), seed)?);
            let listener = proxy.listen()?;
            tasks.push(tokio::spawn(Arc::clone(&proxy).serve(listener)).abort_handle());
            proxies.insert(id, proxy);
        }
        Ok(Self(Arc::new(Inner {
            proxies,
            journal,
            tasks,
            layers: AtomicU64::new(0),
        })))
    }

    /// Every link, in order.
    pub fn ids(&self) -> Vec<LinkId> {
        self.0.proxies.keys().copied().collect()
    }

    /// Every link that starts or ends at `endpoint`.
    pub fn of(&self, endpoint: Endpoint) -> Vec<LinkId> {
        self.ids()
            .into_iter()
            .filter(|id| id.from == endpoint || id.to == endpoint)
            .collect()
    }

    /// Every link that ends at `node`.
    pub fn to(&self, node: Endpoint) -> Vec<LinkId> {
        self.ids().into_iter().filter(|id| id.to == node).collect()
    }

    /// The links over which anything travels from `from` to `to`.
    pub fn carrying(&self, from: Endpoint, to: Endpoint) -> Vec<LinkId> {
        let ids = flow(from, to).map(|(id, _)| id);
        let known = |id: &LinkId| self.0.proxies.contains_key(id);
        ids.into_iter().filter(known).collect()
    }

    /// A new layer: what one fault imposes on any number of links, and lifts as a whole.
    pub fn layer(&self) -> Layer {
        Layer(self.0.layers.fetch_add(1, Ordering::Relaxed))
    }

    /// Adds a policy to a link, on top of what other layers impose on it.
    pub fn impose(&self, layer: Layer, link: LinkId, policy: Policy) {
        if let Some(proxy) = self.0.proxies.get(&link) {
            proxy.impose(layer, policy);
        }
    }

    /// Makes everything silent that travels from `from` to `to`; returns the links concerned.
    pub fn cut(&self, layer: Layer, from: Endpoint, to: Endpoint, at_heal: AtHeal) -> Vec<LinkId> {
        let known = flow(from, to)
            .into_iter()
            .filter(|(id, _)| self.0.proxies.contains_key(id));
        known
            .map(|(link, direction)| {
                self.impose(layer, link, Policy::Cut(Cut::only(direction), at_heal));
                link
            })
            .collect()
    }

    /// Removes all that `layer` imposed; held bytes flow on.
    pub fn lift(&self, layer: Layer) {
        for proxy in self.0.proxies.values() {
            proxy.lift(|other| other == layer);
        }
    }

    /// Removes every layer from every link.
    pub fn heal_all(&self) {
        for proxy in self.0.proxies.values() {
            proxy.lift(|_| true);
        }
    }

    /// What all layers make of a link together.
    pub fn policy(&self, link: LinkId) -> Policy {
        self.0
            .proxies
            .get(&link)
            .map(|proxy| proxy.policy())
            .unwrap_or_default()
    }

    /// Resets every established connection of a link with RST.
    pub fn reset(&self, link: LinkId) {
        if let Some(proxy) = self.0.proxies.get(&link) {
            proxy.reset();
        }
    }

    /// Adds a frame rule to a link; its counters tell what it did.
    pub fn add_rule(&self, layer: Layer, link: LinkId, rule: FrameRule) -> Option<Arc<ActiveRule>> {
        self.0
            .proxies
            .get(&link)
            .map(|proxy| proxy.add_rule(layer, rule))
    }

    /// What has happened on a link since the start.
    pub fn counts(&self, link: LinkId) -> LinkCounts {
        self.0
            .proxies
            .get(&link)
            .map(|proxy| proxy.counts())
            .unwrap_or_default()
    }

    /// What has happened on several links since the start, together.
    pub fn sum(&self, links: &[LinkId]) -> LinkCounts {
        links.iter().fold(LinkCounts::default(), |sum, link| {
            sum.plus(&self.counts(*link))
        })
    }

    /// The rare events of all links.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// Sends one ApiVersions request over a link as `from` would, and says what came back.
    ///
    /// # Errors
    /// If the link is unknown or no socket can be made.
    pub async fn probe(&self, link: LinkId, limit: Duration) -> io::Result<Probe> {
        let missing = || io::Error::other(format!("there is no link {link}"));
        self.0
            .proxies
            .get(&link)
            .ok_or_else(missing)?
            .probe(limit)
            .await
    }
}

/// Asks a node from inside its own namespace, past all links.
///
/// # Errors
/// If the sandbox has no such node or no socket can be made.
pub async fn probe_locally(
    sandbox: &Sandbox,
    node: BrokerId,
    limit: Duration,
) -> io::Result<Probe> {
    let socket = sandbox.namespace(Endpoint::of(node))?.tcp_socket()?;
    probe::ask(socket, node_address(node), limit).await
}

/// The directions of links that carry what travels from `from` to `to`.
fn flow(from: Endpoint, to: Endpoint) -> [(LinkId, Direction); 2] {
    [
        (LinkId { from, to }, Direction::Forward),
        (LinkId { from: to, to: from }, Direction::Backward),
    ]
}
