//! Which part of the one binary this process is: command line, sandbox, node or worker.
//!
//! In: the environment variable `VERDICT_ROLE`, set by the parent, and the roles' functions.
//! Out: returns only where `main` should go on; nodes and workers end inside.
//! Keeps: runs before any thread exists, because entering namespaces demands it.
//! Test binaries (`harness = false`) take part by calling [`dispatch`] first thing in `main`.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use crate::doctor::probe;
use crate::sandbox::enter;

/// The variable that tells a re-executed binary its role. Never inherited: see [`dispatch`].
pub const ROLE_VARIABLE: &str = "VERDICT_ROLE";
/// The role that becomes supervisor, init and harness.
pub const SANDBOX_ROLE: &str = "sandbox";
/// The role that runs one probe of the doctor.
pub(crate) const PROBE_ROLE: &str = "probe";
/// The exit code of a role that is unknown (a fault of the harness itself).
const EXIT_HARNESS_ERROR: u8 = 21;
/// The exit code when the machine refuses the sandbox.
pub const EXIT_MACHINE_CANNOT: u8 = 20;

/// A role that the harness starts by re-executing its own binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A broker node.
    Node,
    /// A client process under test.
    Worker,
}

impl Role {
    /// The value of `VERDICT_ROLE`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Worker => "worker",
        }
    }
}

/// What each role runs; the arguments exclude the program's name.
#[derive(Clone, Copy)]
pub struct Roles {
    /// A broker node, with the arguments of the `broker` command.
    pub node: fn(Vec<OsString>) -> ExitCode,
    /// A client worker.
    pub worker: fn(Vec<OsString>) -> ExitCode,
}

/// Where `main` goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the host, as the user started it; `sandbox::enter` leads inside.
    Host,
    /// Inside the sandbox, as pid 2, with the same command line, still single-threaded.
    Sandbox,
}

/// Decides the role of this process. Call it first thing in `main`, before any thread.
///
/// # Errors
/// `Err` holds the exit code with which `main` must return at once.
pub fn dispatch(roles: &Roles) -> Result<Place, ExitCode> {
    let Some(role) = std::env::var_os(ROLE_VARIABLE) else {
        return Ok(Place::Host);
    };
    let arguments = || std::env::args_os().skip(1).collect();
    if role == SANDBOX_ROLE {
        return enter_here();
    }
    if role == OsStr::new(Role::Node.name()) {
        return Err((roles.node)(arguments()));
    }
    if role == OsStr::new(Role::Worker.name()) {
        return Err((roles.worker)(arguments()));
    }
    if role == OsStr::new(PROBE_ROLE) {
        return Err(probe::run());
    }
    eprintln!("{ROLE_VARIABLE}={} is no role; unset it", role.display());
    Err(ExitCode::from(EXIT_HARNESS_ERROR))
}

fn enter_here() -> Result<Place, ExitCode> {
    match enter::become_sandbox() {
        Ok(()) => Ok(Place::Sandbox),
        Err(refusal) => {
            eprintln!("{refusal}");
            Err(ExitCode::from(EXIT_MACHINE_CANNOT))
        }
    }
}
