//! The run that is replayed or minimised: its plan, and what it broke.
//!
//! In: a result directory, or a plan file. Out: the plan and the signatures of what it broke; none
//! without a verdict beside the plan.
//! Invariant: what cannot be read is told in one line with the file and the remedy.

use std::fs;
use std::path::{Path, PathBuf};

use crate::campaign::signature::{Signature, signatures};
use crate::plan::Plan;
use crate::run::summary::Summary;

/// A run of the past.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its directory.
    pub directory: PathBuf,
    /// Its plan.
    pub plan: Plan,
    /// What it broke; nothing if it has no verdict.
    pub broke: Option<Vec<Signature>>,
}

impl Subject {
    /// Reads the run at `path`, a result directory or a plan in one.
    pub fn read(path: &Path) -> Result<Self, String> {
        let (directory, plan) = if path.is_dir() {
            (path.to_owned(), path.join("plan.json"))
        } else {
            let directory = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            (
                directory.unwrap_or(Path::new(".")).to_owned(),
                path.to_owned(),
            )
        };
        let plan = Plan::load(&plan).map_err(|error| error.to_string())?;
        if plan.cluster.sabotage.is_some() && !cfg!(feature = "sabotage") {
            let remedy = "this build has no planted bugs; build with --features sabotage";
            return Err(remedy.to_owned());
        }
        let verdict = directory.join("verdict.json");
        let broke = match fs::read_to_string(&verdict) {
            Ok(text) => Some(signatures(&parse(&verdict, &text)?)),
            Err(_) => None,
        };
        Ok(Self {
            directory,
            plan,
            broke,
        })
    }
}

/// The one failure that a search is about: with several, each step could keep another one. It is
/// the one with `id`, else the first that is no silence.
pub fn one_of(broke: &[Signature], id: Option<&str>) -> Result<Signature, String> {
    let found = match id {
        Some(id) => broke.iter().find(|signature| signature.id == id),
        None => {
            let safety = broke.iter().find(|signature| !signature.is_of_liveness());
            safety.or(broke.first())
        }
    };
    found.cloned().ok_or_else(|| {
        let known: Vec<&str> = broke.iter().map(|known| known.id.as_str()).collect();
        let asked = id.unwrap_or_default();
        format!(
            "--signature: the run has no failure {asked}; it has {}",
            known.join(", ")
        )
    })
}

fn parse(path: &Path, text: &str) -> Result<Summary, String> {
    serde_json::from_str(text).map_err(|error| {
        format!(
            "{}:{}: not a verdict: {error}; remove it to replay the plan alone",
            path.display(),
            error.line()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::fixture::signature;
    use crate::campaign::signature::UNAVAILABLE_AFTER_HEAL;
    use crate::plan::profile;

    #[test]
    fn a_search_is_about_one_failure() {
        let mut silence = signature("a");
        UNAVAILABLE_AFTER_HEAL.clone_into(&mut silence.anomaly);
        let broke = [silence, signature("b"), signature("c")];
        let one = |id| one_of(&broke, id).map(|signature| signature.id);
        assert_eq!(
            one(None).as_deref(),
            Ok("b"),
            "the first that is no silence"
        );
        assert_eq!(one(Some("a")).as_deref(), Ok("a"));
        let error = one(Some("d")).expect_err("not there");
        assert!(error.contains("no failure d; it has a, b, c"), "{error}");
        let only = one_of(&broke[..1], None).map(|signature| signature.id);
        assert_eq!(only.as_deref(), Ok("a"), "nothing else");
    }

    #[test]
    fn a_plan_without_a_verdict_reads_and_a_broken_verdict_is_told_with_its_line() {
        let directory = tempfile::tempdir().expect("a place");
        let path = directory.path().join("plan.json");
        let plan = Plan::draw(1, profile::find("kill").expect("a profile"));
        fs::write(&path, plan.to_json()).expect("written");
        for subject in [&path, &directory.path().to_owned()] {
            let read = Subject::read(subject).expect("reads");
            assert_eq!((read.plan, read.broke), (plan.clone(), None));
        }
        fs::write(directory.path().join("verdict.json"), "{\n\"format\":").expect("written");
        let error = Subject::read(&path).expect_err("half a verdict");
        assert!(error.contains("verdict.json:2: not a verdict"), "{error}");
        let error = Subject::read(&directory.path().join("none.json")).expect_err("no plan");
        assert!(error.contains("none.json: cannot read the plan"), "{error}");
    }
}
