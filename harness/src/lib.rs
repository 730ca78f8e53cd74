//! The harness: real clusters of separate processes, broken on purpose, judged by their histories.
//!
//! It knows a broker only by its wire protocol, its signals, its links and its files. The shape of
//! a run is in `run`: plan, cluster up, assumptions, workload beside nemesis, heal, recovery,
//! final phase, history, checkers, verdict, report.

/// The command line: arguments in, one command run, an exit code out.
pub mod cli {
    pub mod exit;
    pub mod seeds;
}
pub mod recorder;
pub mod roles;
/// The lifecycle of a run and the files that it leaves.
pub mod run {
    pub mod events;
    pub mod store;
}
pub mod sandbox;
pub mod worker;
/// What the clients of a run do.
pub mod workload {
    pub mod stats;
}
