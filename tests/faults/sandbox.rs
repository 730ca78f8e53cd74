//! The sandbox itself: what is inside cannot get out, and nothing outlives it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use broker::id::BrokerId;
use harness::cli::Keep;
use harness::disk::DEVICE;
use harness::disk::journal::NameDurability;
use harness::disk::rule::{DiskAction, DiskPick, OperationClass};
use harness::doctor::{self, Ability};
use harness::plan::profile::PROFILES;
use harness::plan::{DiskPlan, Plan};
use harness::roles::{ROLE_VARIABLE, Role, SANDBOX_ROLE};
use harness::sandbox::{ProcessSpec, Program, Sandbox, Supervisor, enter, node_address};
use libtest_mimic::{Failed, Trial};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::disks::{DISK, Faulty, PLAIN, rule};
use crate::support::files::{How, Op};
use crate::support::runs::end_of;
use crate::support::{C1, N1, N2, Outcome, SOON, ensure, trial, until};

/// The first argument of this binary when it is the harness of a sandbox inside the sandbox.
pub(crate) const NESTED: &str = "--nested";
/// An address that no network of the sandbox leads to (TEST-NET-2).
const OUTSIDE: &str = "198.51.100.1:80";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("sandbox::namespaces_are_apart", namespaces_are_apart),
        trial(
            "sandbox::a_process_inside_cannot_reach_outside",
            cannot_reach_outside,
        ),
        trial("sandbox::this_is_a_private_pid_namespace", private_proc),
        trial("sandbox::kill_9_of_the_supervisor_leaves_nothing", || {
            leaves_nothing(Victim::Outer)
        }),
        trial("sandbox::kill_9_of_the_harness_leaves_nothing", || {
            leaves_nothing(Victim::Harness)
        }),
        trial(
            "sandbox::kill_9_of_the_harness_leaves_no_process_that_waits_for_its_disk",
            || leaves_nothing(Victim::ServesDisk),
        ),
        trial(
            "sandbox::a_plan_with_disks_is_refused_without_dev_fuse",
            refused_without_fuse,
        ),
        trial(
            "sandbox::sigterm_reaches_the_harness_once",
            sigterm_is_forwarded,
        ),
        trial("sandbox::the_doctor_finds_what_works_here", doctor_examines),
        trial("sandbox::the_exit_code_passes_through", exit_code_passes),
    ]
}

async fn namespaces_are_apart() -> Outcome {
    let sandbox = Sandbox::new([N1, N2, C1])?;
    let address = node_address(BrokerId(1));
    let _listener = sandbox.namespace(N1)?.listen(address)?;
    let connect = |to: SocketAddr| move || TcpStream::connect(to).map(drop);
    ensure(
        sandbox.namespace(N1)?.run(connect(address))?.is_ok(),
        "its own namespace",
    )?;
    let other = sandbox
        .namespace(C1)?
        .run(connect(address))?
        .map_err(|error| error.kind());
    ensure(
        other == Err(io::ErrorKind::ConnectionRefused),
        format!("{other:?}"),
    )?;
    let outside = sandbox.namespace(C1)?.run(connect(OUTSIDE.parse()?))?;
    let outside = outside.map_err(|error| error.kind());
    ensure(
        outside == Err(io::ErrorKind::NetworkUnreachable),
        format!("{outside:?}"),
    )
}

async fn cannot_reach_outside() -> Outcome {
    let sandbox = Sandbox::new([N1])?;
    let supervisor = Supervisor::new();
    let namespace = Some(Arc::clone(sandbox.namespace(N1)?));
    let spec = ProcessSpec::new(Program::Role(Role::Node), namespace).with_args(["reach", OUTSIDE]);
    supervisor.start(N1, spec)?;
    let exit = supervisor.wait(N1, SOON).await?;
    ensure(
        exit.code == Some(0),
        format!("the process reached {OUTSIDE}: {exit:?}"),
    )
}

async fn private_proc() -> Outcome {
    if !enter::proc_is_private() {
        println!("this container masks /proc; process lists show outer pids");
        return Ok(());
    }
    ensure(
        std::process::id() == 2,
        format!("pid {}", std::process::id()),
    )
}

#[derive(Clone, Copy, Debug)]
enum Victim {
    /// The process that was started.
    Outer,
    /// The one that became the harness.
    Harness,
    /// The harness, while its node waits for a disk that the harness serves.
    ServesDisk,
}

/// A sandbox in the sandbox with a node in it, all of whose processes carry `marker`.
fn start_nested(marker: &str, what: &str) -> Result<Child, Failed> {
    let mut child = Command::new("/proc/self/exe")
        .args([NESTED, what, marker])
        .env(ROLE_VARIABLE, SANDBOX_ROLE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().ok_or("stdout")?).read_line(&mut line)?;
    ensure(
        line.trim() == "ready",
        format!("the nested sandbox said {line:?}"),
    )?;
    Ok(child)
}

async fn leaves_nothing(victim: Victim) -> Outcome {
    let marker = format!("marker-{}-{victim:?}", std::process::id());
    let before = mounts()?;
    let what = match victim {
        Victim::ServesDisk => "linger-on-disk",
        Victim::Outer | Victim::Harness => "linger",
    };
    let mut child = start_nested(&marker, what)?;
    // Supervisor, init, harness and the node.
    let found = marked(&marker);
    ensure(found.len() == 4, format!("{found:?}"))?;
    let pid = match victim {
        Victim::Outer => child.id() as i32,
        Victim::Harness | Victim::ServesDisk => harness_of(child.id() as i32)?,
    };
    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    let status = child.wait()?;
    until("every process of the sandbox is gone", || {
        marked(&marker).is_empty()
    })
    .await?;
    ensure(!status.success(), format!("{status}"))?;
    // Other scenarios mount and unmount their own disks meanwhile.
    let after = mounts()?;
    let left: Vec<&String> = after.difference(&before).collect();
    until("every mount of the sandbox is gone", || {
        mounts().is_ok_and(|now| left.iter().all(|mount| !now.contains(*mount)))
    })
    .await
}

async fn sigterm_is_forwarded() -> Outcome {
    let marker = format!("marker-{}-term", std::process::id());
    let mut child = start_nested(&marker, "await-sigterm")?;
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM)?;
    let status = child.wait()?;
    ensure(status.code() == Some(42), format!("{status}"))?;
    until("every process of the sandbox is gone", || {
        marked(&marker).is_empty()
    })
    .await
}

async fn doctor_examines() -> Outcome {
    let findings = doctor::examine();
    for finding in &findings {
        println!("{finding}");
    }
    ensure(
        findings
            .iter()
            .all(|finding| finding.ability != Ability::No),
        "see above",
    )
}

async fn refused_without_fuse() -> Outcome {
    let mut child = start_nested("without-fuse", "without-fuse")?;
    let mut said = String::new();
    let stdout = child.stdout.take().ok_or("stdout")?;
    BufReader::new(stdout).read_to_string(&mut said)?;
    let status = child.wait()?;
    ensure(status.code() == Some(20), format!("{status}: {said}"))?;
    for wanted in [
        "/dev/fuse",
        "verdict doctor",
        "all disk faults but disk-quota",
    ] {
        ensure(said.contains(wanted), format!("no {wanted} in: {said}"))?;
    }
    ensure(said.contains("no node was started"), said)
}

/// Runs a plan with disks where the device is hidden by something that is none; exits like `run`.
fn run_without_fuse() -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder");
    let hider = folder.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&hider).expect("a socket");
    let none = None::<&str>;
    mount(Some(&hider), DEVICE, none, MsFlags::MS_BIND, none).expect("a bind mount");
    println!("ready");
    for finding in doctor::examine() {
        if finding.capability.contains("fuse") {
            assert_eq!(finding.ability, Ability::Limited, "{finding}");
            println!("{finding}");
        }
        if finding.capability.contains("disk-quota") {
            assert_eq!(finding.ability, Ability::Yes, "{finding}");
        }
    }
    let mut plan = Plan::draw_with(1, &PROFILES[0], 1_000);
    plan.cluster.disk = Some(DiskPlan {
        fsync_ms: 0,
        quota_mib: None,
        names: NameDurability::default(),
    });
    let end = end_of(plan, &folder.path().join("results"), Keep::Always).expect("it begins");
    let failure = end.summary.expect_err("it cannot be run");
    println!("{failure}");
    let log = end.store.node_log(1).join("node.log");
    if !log.exists() {
        println!("no node was started");
    }
    ExitCode::from(failure.exit())
}

async fn exit_code_passes() -> Outcome {
    let mut child = start_nested("exit", "exit-7")?;
    let status = child.wait()?;
    ensure(status.code() == Some(7), format!("{status}"))
}

/// The mounts that this process sees.
fn mounts() -> io::Result<BTreeSet<String>> {
    let text = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Pids whose command line contains `marker`.
fn marked(marker: &str) -> Vec<i32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(marker)
    })
    .collect()
}

/// The grandchild of the supervisor.
fn harness_of(supervisor: i32) -> Result<i32, Failed> {
    let child_of = |pid: i32| -> Result<i32, Failed> {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        Ok(children
            .split_whitespace()
            .next()
            .ok_or("no child")?
            .parse()?)
    };
    child_of(child_of(supervisor)?)
}

/// The harness of the nested sandbox: `--nested WHAT MARKER`.
pub(crate) fn run_nested() -> ExitCode {
    let what = std::env::args().nth(2).unwrap_or_default();
    let marker = std::env::args().nth(3).unwrap_or_default();
    match what.as_str() {
        "exit-7" => {
            println!("ready");
            return ExitCode::from(7);
        }
        "without-fuse" => return run_without_fuse(),
        _ => {}
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let sandbox = Sandbox::new([N1]).expect("a namespace");
        let namespace = Some(Arc::clone(sandbox.namespace(N1).expect("node 1")));
        let address = node_address(BrokerId(1)).to_string();
        let faulty = Faulty::new(PLAIN).expect("a disk");
        let mut spec = ProcessSpec::new(Program::Role(Role::Node), namespace);
        if what == "linger-on-disk" {
            let stalled = [
                Op::Open(0, "a".into(), How::New),
                Op::Write(0, b"1".to_vec()),
            ];
            let args = faulty.args(&stalled, &faulty.mounted()).expect("a script");
            spec = spec.with_args(args).with_args([&marker]);
        } else {
            spec = spec.with_args(["echo", &address, &marker]);
        }
        let stall = rule(OperationClass::Write, DiskPick::Every, DiskAction::Stall);
        let stall = faulty.disks.impose(DISK, stall).expect("a rule");
        let supervisor = Supervisor::new();
        supervisor.start(N1, spec).expect("node 1 starts");
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .expect("a signal handler");
        if what == "linger-on-disk" {
            let waits = || faulty.disks.effect(DISK, stall).held == 1;
            until("the node waits", waits).await.expect("it waits");
        }
        println!("ready");
        tokio::select! {
            _ = terminate.recv() => ExitCode::from(42),
            () = tokio::time::sleep(Duration::from_mins(2)) => ExitCode::FAILURE,
        }
    })
}
