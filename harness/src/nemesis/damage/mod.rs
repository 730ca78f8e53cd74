//! Damage at rest: the node is stopped, its files change, and it starts again.
//!
//! In: a node and a [`Damage`]. Out: which bytes of which files changed, read back afterwards.
//! Invariant: only files of nodes that are down change; nothing acts when nothing is there to
//! damage. Source: `faults.md` §1.3.

mod batches;
mod change;
#[cfg(test)]
mod change_test;
mod copy;
mod fault;
mod kind;
mod victim;
pub mod words;

pub(crate) use fault::DamageFault;
pub use words::{Damage, FileKind, Place};
