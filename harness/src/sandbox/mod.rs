//! The sandbox: a cluster of real processes without root, containers or SSH.
//!
//! In: the endpoints of a run. Out: a network namespace for each, sockets inside them, and
//! processes that are started, stopped and watched.
//! Keeps: nothing on the host is touched and nothing survives the harness, however it dies.
//! Source: DESIGN §3.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

pub mod endpoint;
pub mod enter;
mod init;
pub mod lease;
pub mod netns;
pub mod process;
pub mod supervisor;
pub(crate) mod sys;

pub use endpoint::{Endpoint, node_address};
pub use lease::{Claim, Down, Excused};
pub use netns::NetNs;
pub use process::{Output, Pipes, ProcessSpec, Program};
pub use supervisor::{Exit, ProcessError, Status, Supervisor};
pub use sys::Mapping;

/// The network namespaces of a run. Dropping it frees them once their processes have ended.
#[derive(Clone, Debug)]
pub struct Sandbox {
    namespaces: BTreeMap<Endpoint, Arc<NetNs>>,
}

impl Sandbox {
    /// One namespace for each endpoint. Only inside the sandbox (`roles::Place::Sandbox`).
    ///
    /// # Errors
    /// EPERM outside; ENOSPC when `user.max_net_namespaces` is reached.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> io::Result<Self> {
        let made = |at| NetNs::create().map(|ns| (at, Arc::new(ns)));
        let namespaces = endpoints.into_iter().map(made).collect::<io::Result<_>>()?;
        Ok(Self { namespaces })
    }

    /// One namespace for all endpoints: nodes and clients reach each other without a link between.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn shared(endpoints: impl IntoIterator<Item = Endpoint>) -> io::Result<Self> {
        let namespace = Arc::new(NetNs::create()?);
        let shared = |at| (at, Arc::clone(&namespace));
        Ok(Self {
            namespaces: endpoints.into_iter().map(shared).collect(),
        })
    }

    /// Every endpoint, in order.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint> {
        self.namespaces.keys().copied()
    }

    /// The namespace of `endpoint`.
    ///
    /// # Errors
    /// If the sandbox was made without it.
    pub fn namespace(&self, endpoint: Endpoint) -> io::Result<&Arc<NetNs>> {
        let missing = || io::Error::other(format!("the sandbox has no {endpoint}"));
        self.namespaces.get(&endpoint).ok_or_else(missing)
    }
}
