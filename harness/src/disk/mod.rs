//! The faulty disk: a file system of our own under every log directory of every node.
//!
//! In: rules from the nemesis. Out: what the brokers see, and proof of what was done to them.
//! Invariant: without rules a broker cannot tell it from the machine's own file system.

pub mod rule;
