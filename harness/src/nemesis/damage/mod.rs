//! Damage at rest: the node is stopped, its files change, and it starts again.
//!
//! In: a node and a [`Damage`]. Out: which bytes of which files changed, read back afterwards.
//! Invariant: only files of nodes that are down change; nothing acts when nothing is there to
//! damage. Source: `faults.md` §1.3.

pub mod words;

pub use words::{Damage, FileKind, Place};

use crate::nemesis::{Arena, BoxFuture, Effect, Fault};
use crate::sandbox::Endpoint;

/// A fault that this build can name but not inject.
#[derive(Debug)]
pub(crate) struct Unbuilt;

impl Fault for Unbuilt {
    fn setup(&mut self, _arena: &Arena, _targets: &[Endpoint]) {}

    fn inject<'a>(&'a mut self, _arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Err("this build cannot inject it".to_owned()) })
    }

    fn prove_effect<'a>(&'a mut self, _arena: &'a Arena) -> BoxFuture<'a, Effect> {
        Box::pin(async { Effect::Vacuous("this build cannot inject it".to_owned()) })
    }

    fn heal<'a>(&'a mut self, _arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn prove_recovered<'a>(&'a mut self, _arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}
