//! The doctor's probes: each does the thing itself, in a child of its own, within two seconds.
//!
//! In: a name. Out: what works, or the step that failed and the kernel's answer.
//! Keeps: a probe that hangs is killed; what it built dies with it.
//!
//! The child prints `ok TAB detail` or `failed TAB step TAB errno`, and its stdout closes when
//! the last process of its sandbox is gone.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use broker::id::BrokerId;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::link::{LinkId, Links, Probe};
use crate::roles::{PROBE_ROLE, ROLE_VARIABLE};
use crate::sandbox::enter::{self, EnterError, PARENT_VARIABLE};
use crate::sandbox::{Endpoint, Sandbox, node_address};

/// How long one probe may take.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

mod disk;
mod tmpfs;

/// What is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// Supervisor, init and harness in new namespaces.
    Namespaces,
    /// Two network namespaces, and a question over the link between them.
    Links,
    /// A process that would live on dies with the harness.
    Kill,
    /// `/proc` shows the sandbox only.
    Proc,
    /// A user namespace with an identity map, also when root does not need one.
    UserNamespace,
    /// A faulty disk is mounted and works.
    Fuse,
    /// A log directory on a tmpfs fills up, and has room again.
    Tmpfs,
    /// Not a probe: the process that works on that disk.
    OnDisk,
    /// Not a probe: the process that would live on.
    Sleep,
}

const NAMES: [(Name, &str); 9] = [
    (Name::Namespaces, "namespaces"),
    (Name::Links, "links"),
    (Name::Kill, "kill"),
    (Name::Proc, "proc"),
    (Name::UserNamespace, "user-namespace"),
    (Name::Fuse, "fuse"),
    (Name::Tmpfs, "tmpfs"),
    (Name::OnDisk, "on-disk"),
    (Name::Sleep, "sleep"),
];

/// How a probe ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It works; what was seen.
    Works(String),
    /// It does not.
    Fails(Failure),
}

/// The step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) step: String,
    pub(crate) errno: Option<Errno>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            Some(errno) => write!(f, "{} failed: {errno}", self.step),
            None => write!(f, "{} failed", self.step),
        }
    }
}

/// Runs a probe in a child and waits for it.
pub(crate) fn ask(name: Name) -> Outcome {
    run_child(name).unwrap_or_else(|error| {
        let errno = error.raw_os_error().map(Errno::from_raw);
        Outcome::Fails(Failure {
            step: "starting the probe".to_owned(),
            errno,
        })
    })
}

fn run_child(name: Name) -> io::Result<Outcome> {
    let mut child = Command::new("/proc/self/exe")
        .arg(text_of(name))
        .env(ROLE_VARIABLE, PROBE_ROLE)
        .env_remove(PARENT_VARIABLE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let mut stdout = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("no stdout"))?;
    let (send, text) = sync_channel(1);
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stdout.read_to_string(&mut text);
        let _ = send.send(text);
    });
    let text = text.recv_timeout(LIMIT);
    // The group holds whatever is left of it, also on time: nothing then.
    let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
    child.wait()?;
    Ok(text.map_or_else(
        |_| {
            Outcome::Fails(Failure {
                step: "time limit".to_owned(),
                errno: None,
            })
        },
        |text| parse(&text),
    ))
}

pub(super) fn parse(text: &str) -> Outcome {
    let mut fields = text.lines().next_back().unwrap_or_default().split('\t');
    let kind = fields.next();
    let first = fields.next().unwrap_or("an unknown step").to_owned();
    if kind == Some("ok") {
        return Outcome::Works(first);
    }
    let errno = fields
        .next()
        .and_then(|code| code.parse().ok())
        .map(Errno::from_raw);
    Outcome::Fails(Failure { step: first, errno })
}

pub(super) fn text_of(name: Name) -> &'static str {
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or("", |(_, text)| text)
}

/// The child's side: probes what the first argument names, and prints the outcome.
pub(crate) fn run() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let name = NAMES
        .iter()
        .find(|(_, text)| *text == wanted)
        .map(|(name, _)| *name);
    let outcome = match name {
        Some(Name::Namespaces) => enter::become_sandbox()
            .map_err(from_enter)
            .map(|()| "all five"),
        Some(Name::Links) => probe_links().map(|()| "a question over a link is answered"),
        Some(Name::Kill) => probe_kill().map(|()| "the kernel kills what is inside"),
        Some(Name::Proc) => probe_proc().map(|()| "shows the sandbox only"),
        Some(Name::UserNamespace) => probe_user_namespace().map(|()| "an identity map is accepted"),
        Some(Name::Fuse) => {
            disk::probe().map(|()| "a faulty disk mounts; written, fsynced and mapped")
        }
        Some(Name::Tmpfs) => {
            tmpfs::probe().map(|()| "its size is lowered and raised while it is in use")
        }
        Some(Name::OnDisk) => disk::work().map(|()| "done"),
        Some(Name::Sleep) => {
            std::thread::sleep(LIMIT * 2);
            return ExitCode::SUCCESS;
        }
        None => Err(Failure {
            step: format!("probe {wanted}"),
            errno: None,
        }),
    };
    match outcome {
        Ok(detail) => println!("ok\t{detail}"),
        Err(Failure { step, errno }) => {
            println!("failed\t{step}\t{}", errno.map_or(0, |errno| errno as i32));
        }
    }
    ExitCode::SUCCESS
}

fn probe_links() -> Result<(), Failure> {
    enter::become_sandbox().map_err(from_enter)?;
    let (node, client) = (Endpoint::Node(1), Endpoint::Client(1));
    let sandbox = Sandbox::new([node, client]).map_err(at("a network namespace"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(at("a runtime"))?;
    runtime.block_on(async {
        let links = Links::start(&sandbox, 0).map_err(at("a link proxy"))?;
        let address = node_address(BrokerId(1));
        let listener = sandbox.namespace(node).and_then(|ns| ns.listen(address));
        let listener = listener.and_then(tokio::net::TcpListener::from_std);
        let listener = listener.map_err(at("a listener"))?;
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let read = stream.read(&mut [0; 64]).await?;
            stream.write_all(&[0; 8]).await.map(|()| read)
        });
        let link = LinkId {
            from: client,
            to: node,
        };
        match links
            .probe(link, LIMIT)
            .await
            .map_err(at("a question over a link"))?
        {
            Probe::Answered => Ok(()),
            _ => Err(Failure {
                step: "a question over a link".to_owned(),
                errno: None,
            }),
        }
    })
}

/// Leaves a process behind that holds stdout open: the parent sees the end only if it dies.
fn probe_kill() -> Result<(), Failure> {
    enter::become_sandbox().map_err(from_enter)?;
    let survivor = Command::new("/proc/self/exe")
        .arg(text_of(Name::Sleep))
        .env(ROLE_VARIABLE, PROBE_ROLE)
        .process_group(0)
        .spawn();
    survivor.map(drop).map_err(at("starting a process"))
}

fn probe_proc() -> Result<(), Failure> {
    enter::become_sandbox().map_err(from_enter)?;
    let masked = || Failure {
        step: "mounting /proc".to_owned(),
        errno: Some(Errno::EPERM),
    };
    if enter::proc_is_private() {
        Ok(())
    } else {
        Err(masked())
    }
}

fn probe_user_namespace() -> Result<(), Failure> {
    let uid = geteuid();
    let fail = |step: &str, errno| Failure {
        step: step.to_owned(),
        errno: Some(errno),
    };
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| fail("unshare", errno))?;
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")).map_err(at("/proc/self/uid_map"))
}

pub(super) fn from_enter(error: EnterError) -> Failure {
    at(error.step)(error.error)
}

pub(super) fn at(step: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| {
        let errno = error.raw_os_error().map(Errno::from_raw);
        Failure {
            step: step.to_owned(),
            errno,
        }
    }
}
