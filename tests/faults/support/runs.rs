//! A whole run from a plan, as `verdict run` does it.

use std::path::Path;
use std::sync::Arc;

use harness::cli::Keep;
use harness::plan::Plan;
use harness::run::launch::RunEnd;
use harness::run::status::Status;
use harness::run::store::Store;
use harness::run::summary::Summary;
use harness::run::{RunRequest, launch};
use libtest_mimic::Failed;

/// Carries out `plan` below `results`, whatever comes of it.
pub(crate) fn end_of(plan: Plan, results: &Path, keep: Keep) -> Result<RunEnd, Failed> {
    let request = RunRequest {
        plan,
        results: results.to_owned(),
        keep,
    };
    Ok(launch(&request, &Arc::new(Status::default()))?)
}

/// Carries out `plan` below `results`: its directory without the nodes' data, and how it ended.
pub(crate) fn run(plan: Plan, results: &Path) -> Result<(Store, Summary), Failed> {
    concluded(end_of(plan, results, Keep::Never)?)
}

/// The same with the nodes' data.
pub(crate) fn run_and_keep(plan: Plan, results: &Path) -> Result<(Store, Summary), Failed> {
    concluded(end_of(plan, results, Keep::Always)?)
}

fn concluded(end: RunEnd) -> Result<(Store, Summary), Failed> {
    let summary = end.summary.map_err(|failure| failure.to_string())?;
    Ok((end.store, summary))
}
