//! The table of promises: for each anomaly, when it breaks the contract and why.
//!
//! In: nothing; it is data: conditions (`given`), and clauses by what they are about. Out: what
//! `Contract::promise` decides by, what the report says and what `docs/contracts.md` shows.
//! Invariant: every anomaly is in one promise, and the last clause of each fits always.
//! Source: Kafka's replication protocol as in KIP-98, KIP-101 and KIP-966; `docs/durability.md`.

mod available;
mod given;
mod group;
mod log;

pub(super) use available::AVAILABLE_AFTER_HEAL;
pub(super) use log::{ACKNOWLEDGED, COMMITTED};

use crate::contract::clause::Promised;

/// Every promise, in the order of the page and of the report.
pub(super) fn promises() -> impl Iterator<Item = &'static Promised> {
    let parts = [log::PROMISES, available::PROMISES, group::PROMISES];
    parts.into_iter().flatten()
}
