//! `verdict doctor`: which faults this machine allows, why not, and the one command that would.
//!
//! In: probes that really do it, each in a child of its own with a time limit. Out: a table or
//! JSON, and the refusal with which `run` ends (exit code 20).
//! Keeps: judges by doing, never by versions; settings are read only to name the cause.
//! Source: `sandbox.md` §7.

use std::fmt;
use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;
use serde::Serialize;

use crate::roles::EXIT_MACHINE_CANNOT;

mod diagnose;
pub(crate) mod probe;

use diagnose::{Facts, diagnose};
use probe::{Name, Outcome};

/// File descriptors that a run of five nodes and twenty clients may need.
const OPEN_FILES_MIN: u64 = 1024;
/// Free bytes in the working directory under which long runs may fill it.
const FREE_BYTES_MIN: u64 = 2 << 30;

/// Whether the machine can do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// It can.
    Yes,
    /// It cannot, and `run` needs it.
    No,
    /// It cannot or hardly, and only some faults fall away.
    Limited,
}

/// One line of the doctor's report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was tried.
    pub capability: &'static str,
    /// Whether it works.
    pub ability: Ability,
    /// What was seen.
    pub result: String,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The one command or setting that would allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

/// Why no sandbox can be made here, and the cure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this machine refuses the sandbox: {result}; cause: {cause}; cure: {cure}")]
pub struct Refusal {
    /// The step that failed.
    pub result: String,
    /// Why.
    pub cause: String,
    /// The one command or setting that would allow it.
    pub cure: String,
}

/// Tries the whole sandbox once, in a child.
///
/// # Errors
/// The refusal to print before ending with exit code 20.
pub fn require_sandbox() -> Result<(), Refusal> {
    match probe::ask(Name::Links) {
        Outcome::Works(_) => Ok(()),
        Outcome::Fails(failure) => {
            let (cause, cure) = diagnose(&failure, &Facts::read());
            Err(Refusal {
                result: failure.to_string(),
                cause,
                cure,
            })
        }
    }
}

/// Prints the report; exit code 0 if the sandbox works, else 20.
pub fn run(as_json: bool) -> ExitCode {
    let findings = examine();
    if as_json {
        let text = serde_json::to_string_pretty(&findings);
        println!("{}", text.expect("invariant: findings are plain data"));
    } else {
        for finding in &findings {
            println!("{finding}");
        }
    }
    let refused = findings
        .iter()
        .any(|finding| finding.ability == Ability::No);
    ExitCode::from(if refused { EXIT_MACHINE_CANNOT } else { 0 })
}

/// Tries everything.
pub fn examine() -> Vec<Finding> {
    let facts = Facts::read();
    let probed = [
        ("namespaces", Name::Namespaces, Ability::No),
        (
            "network namespaces, lo, link proxies",
            Name::Links,
            Ability::No,
        ),
        ("nothing survives the harness", Name::Kill, Ability::No),
        ("private /proc", Name::Proc, Ability::Limited),
        ("user namespaces", Name::UserNamespace, Ability::Limited),
        ("/dev/fuse (disk faults)", Name::Fuse, Ability::Limited),
        (
            "tmpfs of limited size (disk-quota)",
            Name::Tmpfs,
            Ability::Limited,
        ),
    ];
    let mut findings: Vec<_> = probed
        .into_iter()
        .map(|(capability, name, otherwise)| examined(capability, name, otherwise, &facts))
        .collect();
    findings.extend([open_files(), cores(), free_disk()]);
    findings
}

fn examined(capability: &'static str, name: Name, otherwise: Ability, facts: &Facts) -> Finding {
    match probe::ask(name) {
        Outcome::Works(result) => Finding {
            capability,
            ability: Ability::Yes,
            result,
            cause: None,
            cure: None,
        },
        Outcome::Fails(failure) => {
            let (cause, cure) = diagnose(&failure, facts);
            let result = failure.to_string();
            let (cause, cure) = (Some(cause), Some(cure));
            Finding {
                capability,
                ability: otherwise,
                result,
                cause,
                cure,
            }
        }
    }
}

fn open_files() -> Finding {
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard);
    let cure = "raise the hard limit, e.g. `ulimit -Hn 65536` as root".to_owned();
    let enough = hard >= OPEN_FILES_MIN;
    measured("open files", enough, format!("hard limit {hard}"), cure)
}

fn cores() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cure = "use a machine with two or more cores; runs are slower on one".to_owned();
    measured("cores", cores >= 2, format!("{cores}"), cure)
}

fn free_disk() -> Finding {
    let free = statvfs(".").map_or(0, |disk| disk.blocks_available() * disk.fragment_size());
    let cure = "free some space, or run in another directory".to_owned();
    measured(
        "free disk here",
        free >= FREE_BYTES_MIN,
        format!("{} MiB", free >> 20),
        cure,
    )
}

fn measured(capability: &'static str, enough: bool, result: String, cure: String) -> Finding {
    let ability = if enough {
        Ability::Yes
    } else {
        Ability::Limited
    };
    let cause = (!enough).then(|| "too little".to_owned());
    Finding {
        capability,
        ability,
        result,
        cause,
        cure: (!enough).then_some(cure),
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.ability {
            Ability::Yes => "yes",
            Ability::No => "NO",
            Ability::Limited => "limited",
        };
        write!(f, "{mark:<8} {:<40} {}", self.capability, self.result)?;
        for (name, text) in [("cause", &self.cause), ("cure", &self.cure)] {
            if let Some(text) = text {
                write!(f, "\n{:9}{name}: {text}", "")?;
            }
        }
        Ok(())
    }
}
