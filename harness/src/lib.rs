//! A Jepsen-style harness: real clusters of Kafka-like brokers, broken on purpose, judged by
//! their histories.

pub mod link;
pub mod nemesis;
pub mod roles;
pub mod sandbox;
