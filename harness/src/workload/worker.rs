//! One client process under test: started, opened, and revived when it has died.
//!
//! In: an endpoint of the sandbox and the clients to open. Out: the driver to call.
//! Invariant: a revived worker is a fresh process with fresh clients; whoever finds it dead revives
//! it once, however many logical processes share it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::roles::Role;
use crate::sandbox::{Endpoint, Output, Pipes, ProcessSpec, Program, Sandbox, Supervisor};
use crate::worker::driver::{CallError, Driver};
use crate::worker::protocol::{Command, OpenOptions, Outcome};

/// How long a worker may take to open its clients once.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// How long opening is tried again.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);

/// Between two tries.
const OPEN_PAUSE: Duration = Duration::from_millis(50);

/// A worker that does not come up. A fault of the harness, not of the cluster.
#[derive(Debug, Error)]
#[error("{endpoint} does not start: {reason}")]
pub struct WorkerFailure {
    /// Which.
    pub endpoint: Endpoint,
    /// Why.
    pub reason: String,
}

/// A client process under test.
#[derive(Debug)]
pub struct Worker {
    endpoint: Endpoint,
    supervisor: Supervisor,
    options: Mutex<OpenOptions>,
    driver: Mutex<Arc<Driver>>,
    reviving: tokio::sync::Mutex<()>,
}

impl Worker {
    /// Starts the process in its namespace and opens its clients; its stderr goes into `logs`.
    pub async fn start(
        sandbox: &Sandbox,
        supervisor: &Supervisor,
        endpoint: Endpoint,
        options: OpenOptions,
        logs: &Path,
    ) -> Result<Arc<Self>, WorkerFailure> {
        let fail = |reason: String| WorkerFailure { endpoint, reason };
        let namespace = sandbox
            .namespace(endpoint)
            .map_err(|error| fail(error.to_string()))?;
        let mut spec = ProcessSpec::new(Program::Role(Role::Worker), Some(Arc::clone(namespace)));
        spec.piped_stdin = true;
        spec.stdout = Output::Piped;
        spec.stderr = Output::Append(logs.join(format!("{endpoint}.log")));
        let pipes = supervisor
            .start(endpoint, spec)
            .map_err(|error| fail(error.to_string()))?;
        let driver = drive(endpoint, pipes)?;
        open(endpoint, &driver, &options).await?;
        Ok(Arc::new(Self {
            endpoint,
            supervisor: supervisor.clone(),
            options: Mutex::new(options),
            driver: Mutex::new(driver),
            reviving: tokio::sync::Mutex::default(),
        }))
    }

    /// Where it runs.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The driver of its present life.
    pub fn driver(&self) -> Arc<Driver> {
        Arc::clone(&self.driver.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Starts it again if it has died.
    pub async fn revive(&self) -> Result<(), WorkerFailure> {
        let _turn = self.reviving.lock().await;
        let is_running = self.supervisor.pid(self.endpoint).is_ok();
        if is_running && !self.driver().is_gone() {
            return Ok(());
        }
        let fail = |reason: String| WorkerFailure {
            endpoint: self.endpoint,
            reason,
        };
        if is_running {
            let killed = self.supervisor.kill(self.endpoint).await;
            killed.map_err(|error| fail(error.to_string()))?;
        }
        let pipes = self
            .supervisor
            .restart(self.endpoint)
            .map_err(|error| fail(error.to_string()))?;
        let driver = drive(self.endpoint, pipes)?;
        let options = self.options().clone();
        open(self.endpoint, &driver, &options).await?;
        *self.driver.lock().unwrap_or_else(PoisonError::into_inner) = driver;
        Ok(())
    }

    /// Changes what its next life opens.
    pub fn change(&self, change: impl FnOnce(&mut OpenOptions)) {
        change(&mut self.options());
    }

    fn options(&self) -> std::sync::MutexGuard<'_, OpenOptions> {
        self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process at once; what was open in it is unknown.
    pub async fn kill(&self) {
        // It may have died already, which is as good.
        let _ = self.supervisor.kill(self.endpoint).await;
    }
}

fn drive(endpoint: Endpoint, pipes: Pipes) -> Result<Arc<Driver>, WorkerFailure> {
    match (pipes.stdin, pipes.stdout) {
        (Some(stdin), Some(stdout)) => Ok(Arc::new(Driver::start(stdin, stdout))),
        _ => Err(WorkerFailure {
            endpoint,
            reason: "it has no pipes".to_owned(),
        }),
    }
}

/// Opens the clients, patiently: a client that starts amid faults may find no broker at first.
async fn open(
    endpoint: Endpoint,
    driver: &Driver,
    options: &OpenOptions,
) -> Result<(), WorkerFailure> {
    let patience = Instant::now() + OPEN_PATIENCE;
    loop {
        let (reason, is_final) = match driver
            .call(Command::Open(Box::new(options.clone())), OPEN_DEADLINE)
            .await
        {
            Ok(Outcome::Ok(_)) => return Ok(()),
            Ok(Outcome::Error(error)) => (error.message, false),
            Err(error @ CallError::Deadline(_)) => (error.to_string(), false),
            Err(error @ CallError::Gone(_)) => (error.to_string(), true),
        };
        if is_final || Instant::now() >= patience {
            return Err(WorkerFailure { endpoint, reason });
        }
        tokio::time::sleep(OPEN_PAUSE).await;
    }
}
