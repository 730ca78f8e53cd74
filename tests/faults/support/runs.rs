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
pub(crate) fn end_of(plan: Plan, results: &Path) -> Result<RunEnd, Failed> {
    let request = RunRequest {
        plan,
        results: results.to_owned(),
        keep: Keep::Always,
    };
    Ok(launch(&request, &Arc::new(Status::default()))?)
}

/// Carries out `plan` below `results`: its directory, and how it ended.
pub(crate) fn run(plan: Plan, results: &Path) -> Result<(Store, Summary), Failed> {
    let end = end_of(plan, results)?;
    let summary = end.summary.map_err(|failure| failure.to_string())?;
    Ok((end.store, summary))
}
