//! The way into a run: its directory, its thread in the observer's namespace, its runtime.
//!
//! The harness's own client shares the address of every node with all other clients, so the whole
//! runtime lives in the namespace of one more client.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sched::{CloneFlags, setns};

use crate::cli::Keep;
use crate::cluster::node_endpoints;
use crate::crash::save;
use crate::disk::Disks;
use crate::plan::Plan;
use crate::run::failure::RunFailure;
use crate::run::interrupt::Interrupt;
use crate::run::lifecycle;
use crate::run::stage::Stage;
use crate::run::status::Status;
use crate::run::store::Store;
use crate::run::summary::Summary;
use crate::sandbox::{Endpoint, Sandbox};
use crate::tmpfs::TmpfsMounts;
use crate::workload::log::client_endpoints;

/// The observer's client number.
pub const OBSERVER: Endpoint = Endpoint::Client(200);

/// Threads of the runtime: the links copy bytes on one while the workload goes on on another.
const RUNTIME_THREADS: usize = 2;

/// What to run.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The plan.
    pub plan: Plan,
    /// Where the result directory is made.
    pub results: PathBuf,
    /// When the nodes' data stay.
    pub keep: Keep,
}

/// How a run ended, and where it is stored.
#[derive(Debug)]
pub struct RunEnd {
    /// The result directory.
    pub store: Store,
    /// The verdict, or why there is none.
    pub summary: Result<Summary, RunFailure>,
    /// Whether the user asked to end, so that no further run may begin.
    pub is_interrupted: bool,
}

/// Carries out one run inside the sandbox and returns when nothing of it is left running.
pub fn launch(request: &RunRequest, status: &Arc<Status>) -> Result<RunEnd, RunFailure> {
    let plan = Arc::new(request.plan.clone());
    let time = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    let store = Store::create(
        &request.results,
        &time,
        &plan.profile,
        plan.seed,
        plan.cluster.nodes,
    )
    .map_err(|error| RunFailure::Unusable(error.to_string()))?;
    let interrupted = AtomicBool::new(false);
    let tmpfs = TmpfsMounts::default();
    let summary = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("run".to_owned())
            .spawn_scoped(scope, || {
                run_in_namespace(&plan, &store, status, &interrupted, &tmpfs)
            });
        let joined = thread.map_err(RunFailure::harness)?.join();
        joined.unwrap_or_else(|_| Err(RunFailure::Harness("the harness panicked".to_owned())))
    });
    let is_kept = match request.keep {
        Keep::Always => true,
        Keep::Failed => !summary.as_ref().is_ok_and(Summary::is_kept),
        Keep::Never => false,
    };
    if let Err(error) = tmpfs.unmount_all(is_kept) {
        eprintln!("verdict: the files of a log directory on a tmpfs are not kept: {error}");
    }
    if !is_kept {
        for id in 1..=plan.cluster.nodes as i32 {
            // What cannot be removed is only disk space.
            let _ = std::fs::remove_dir_all(store.node_data(id));
            save::remove_all(&store.node(id));
        }
    }
    Ok(RunEnd {
        store,
        summary,
        is_interrupted: interrupted.into_inner(),
    })
}

fn run_in_namespace(
    plan: &Arc<Plan>,
    store: &Store,
    status: &Arc<Status>,
    interrupted: &AtomicBool,
    tmpfs: &TmpfsMounts,
) -> Result<Summary, RunFailure> {
    let endpoints = node_endpoints(plan)
        .chain(client_endpoints(plan))
        .chain([OBSERVER]);
    let sandbox = Sandbox::new(endpoints).map_err(|error| {
        RunFailure::MachineCannot(format!("network namespaces are refused: {error}"))
    })?;
    enter_observer(&sandbox)?;
    // Ends after the runtime, and with it the processes that use the disks, however that ends.
    let disks = Mounts(Disks::default());
    let for_threads = sandbox.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("harness")
        .on_thread_start(move || {
            enter_observer(&for_threads).expect("invariant: one thread of it has entered before");
        })
        .enable_all()
        .build()
        .map_err(RunFailure::harness)?;
    let summary = runtime.block_on(async {
        let interrupt = Interrupt::listen().map_err(RunFailure::harness)?;
        let stage = Stage::set(plan, store, status, sandbox, &disks.0, tmpfs)?;
        let summary = lifecycle(&stage, &interrupt).await;
        interrupted.store(interrupt.has_come(), Ordering::Relaxed);
        summary
    });
    runtime.shutdown_background();
    summary
}

/// The disks of a run, which do not outlive it.
struct Mounts(Disks);

impl Drop for Mounts {
    fn drop(&mut self) {
        self.0.unmount_all();
    }
}

fn enter_observer(sandbox: &Sandbox) -> Result<(), RunFailure> {
    let namespace = sandbox.namespace(OBSERVER).map_err(RunFailure::harness)?;
    let descriptor = namespace.descriptor().map_err(RunFailure::harness)?;
    setns(descriptor, CloneFlags::CLONE_NEWNET)
        .map_err(|error| RunFailure::MachineCannot(format!("setns is refused: {error}")))
}
