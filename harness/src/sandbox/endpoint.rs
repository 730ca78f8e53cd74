//! The names and addresses of what runs in a sandbox: broker nodes and clients.
//!
//! In: an id from 1. Out: a name for people, and for nodes the one address that is the same in
//! every network namespace. Source: DESIGN §3.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use broker::id::BrokerId;
use serde::{Deserialize, Serialize};

/// The port that every node listens on inside its namespace.
pub const NODE_PORT: u16 = 9092;

/// A process slot of the sandbox; it keeps its name across restarts of the process in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Endpoint {
    /// A broker node, ids from 1 to 254.
    Node(i32),
    /// A client worker, ids from 1.
    Client(u32),
}

impl Endpoint {
    /// The endpoint of broker `id`.
    pub fn of(id: BrokerId) -> Self {
        Self::Node(id.0)
    }

    /// The broker id, if this is a node.
    pub fn broker(self) -> Option<BrokerId> {
        match self {
            Self::Node(id) => Some(BrokerId(id)),
            Self::Client(_) => None,
        }
    }

    /// True for a broker node.
    pub fn is_node(self) -> bool {
        matches!(self, Self::Node(_))
    }
}

/// The address of broker `id`: 127.0.1.id:9092, in every namespace.
pub fn node_address(id: BrokerId) -> SocketAddr {
    let last = u8::try_from(id.0).expect("invariant: node ids are 1 to 254");
    SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), NODE_PORT))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(f, "node-{id}"),
            Self::Client(id) => write!(f, "client-{id}"),
        }
    }
}

/// A name that is neither `node-N` nor `client-N`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown endpoint \"{0}\"; expected node-N or client-N with N from 1")]
pub struct UnknownEndpoint(pub String);

impl FromStr for Endpoint {
    type Err = UnknownEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownEndpoint(text.to_owned());
        let (kind, id) = text.split_once('-').ok_or_else(unknown)?;
        let id: u8 = id
            .parse()
            .ok()
            .filter(|id| (1..=254).contains(id))
            .ok_or_else(unknown)?;
        match kind {
            "node" => Ok(Self::Node(i32::from(id))),
            "client" => Ok(Self::Client(u32::from(id))),
            _ => Err(unknown()),
        }
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = UnknownEndpoint;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_addresses_follow_ids() {
        for endpoint in [Endpoint::Node(1), Endpoint::Node(254), Endpoint::Client(7)] {
            assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }
        for bad in ["", "node", "node-0", "node-255", "broker-1", "client--1"] {
            assert_eq!(
                bad.parse::<Endpoint>(),
                Err(UnknownEndpoint(bad.to_owned()))
            );
        }
        assert_eq!(node_address(BrokerId(3)).to_string(), "127.0.1.3:9092");
    }
}
