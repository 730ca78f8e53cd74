//! Workloads: what the clients of a run do, and how it is recorded.
//!
//! `session` is what all tasks of a run share, `worker` a client process that can be revived,
//! `process` a logical process whose operations go into the history, `log` the workload on a
//! partitioned log, and `group` that of consumers that are members of a group.

pub mod classify;
pub mod group;
pub mod log;
pub mod process;
pub mod session;
pub mod stats;
pub mod worker;
