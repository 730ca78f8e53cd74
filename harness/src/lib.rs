//! The harness: real clusters of separate processes, broken on purpose, judged by their histories.
//!
//! It knows a broker only by its wire protocol, its signals, its links and its files. The shape of
//! a run is in `run`: plan, cluster up, assumptions, workload beside nemesis, heal, recovery,
//! final phase, history, checkers, verdict, report.

pub mod campaign;
pub mod cli;
pub mod cluster;
pub mod crash;
pub mod disk;
pub mod doctor;
pub mod evidence;
pub mod link;
pub mod matrix;
pub mod minimize;
pub mod nemesis;
pub mod plan;
pub mod recorder;
pub mod report;
pub mod roles;
pub mod run;
pub mod sandbox;
pub mod serve;
pub mod tmpfs;
pub mod worker;
pub mod workload;
