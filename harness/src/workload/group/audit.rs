//! A client that is no member and asks again and again what the group has committed.
//!
//! Members only learn what is committed when they begin; a coordinator that shows an old offset
//! for a moment would pass unnoticed, because the next commit covers it up.

use std::sync::Arc;
use std::time::Duration;

use crate::workload::process::Process;
use crate::workload::session::Session;
use crate::workload::worker::Worker;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks until the group's work is over.
pub async fn audit(session: Arc<Session>, auditor: Arc<Worker>) {
    let Some(plan) = session.plan.workload.group.clone() else {
        return;
    };
    let partitions: Vec<i32> = (0..session.plan.cluster.partitions).collect();
    let mut process = Process::new(&session, auditor.endpoint().to_string());
    while !session.roster.is_over() {
        if auditor.revive().await.is_ok() {
            let driver = auditor.driver();
            // That nobody answers is told by the history; the next question comes all the same.
            let _ = process.committed(&driver, &plan.group, &partitions).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
