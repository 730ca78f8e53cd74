//! Progress after healing: a fresh producer gets a record acknowledged in every partition.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::view::Silent;
use crate::workload::log::Clients;
use crate::workload::process::Process;
use crate::workload::session::Session;

/// The pause after an attempt that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// The size of the payloads that prove progress, in bytes.
const PAYLOAD_BYTES: usize = 64;

impl Clients {
    /// Sends to every partition that is not `silent` with a fresh producer until each has
    /// acknowledged one record; a sentence about what is missing at the deadline.
    pub async fn prove_progress(
        &self,
        session: &Arc<Session>,
        silent: &[Silent],
        deadline: Instant,
    ) -> Result<(), String> {
        let Some(worker) = self.producers.first() else {
            return Ok(());
        };
        worker.kill().await;
        let mut process = Process::new(session, worker.endpoint().to_string());
        let is_silent = |index: i32| silent.iter().any(|silent| silent.partition == index);
        for partition in (0..session.plan.cluster.partitions).filter(|index| !is_silent(*index)) {
            loop {
                let revived = worker.revive().await;
                let driver = worker.driver();
                if revived.is_ok()
                    && process
                        .send(&driver, partition, PAYLOAD_BYTES)
                        .await
                        .is_ok()
                {
                    break;
                }
                if Instant::now() >= deadline {
                    return Err(format!("partition {partition} acknowledges no record"));
                }
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
        Ok(())
    }
}
