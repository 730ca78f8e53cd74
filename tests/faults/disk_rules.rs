//! The faulty disk with faults: what a process sees, what is stored, and what the counters say.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::disk::rule::{
    DiskAction, DiskErrno, DiskPick, DiskRule, FileClass, OperationClass, RuleEffect, Survival,
};
use harness::disk::{DiskOptions, RuleId};
use harness::roles::Role;
use harness::sandbox::{ProcessSpec, Program, Supervisor};
use libtest_mimic::{Failed, Trial};

use crate::support::disks::{DISK, Faulty, PLAIN, rule};
use crate::support::files::{How, Op};
use crate::support::{N1, Outcome, ensure, trial, until};

const EIO: DiskAction = DiskAction::Error {
    errno: DiskErrno::Eio,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("disk_rules::an_error_is_returned_exactly_there", errors),
        trial(
            "disk_rules::questions_and_attributes_are_hit_too",
            questions,
        ),
        trial("disk_rules::mapped_memory_survives_only_by_msync", mapped),
        trial(
            "disk_rules::a_full_disk_writes_what_fits_and_is_freed",
            full,
        ),
        trial("disk_rules::a_quota_is_a_size", quota),
        trial(
            "disk_rules::short_and_torn_writes_leave_their_beginning",
            cut_writes,
        ),
        trial(
            "disk_rules::a_bit_flips_on_read_and_is_right_afterwards",
            flips,
        ),
        trial("disk_rules::a_failed_fsync_loses_for_good", failed_fsync),
        trial("disk_rules::an_fsync_that_lies_keeps_nothing", lying_fsync),
        trial("disk_rules::an_fsync_takes_its_time", slow_fsync),
        trial(
            "disk_rules::a_slow_disk_and_one_that_is_off_and_on_only_delay",
            delays,
        ),
        trial("disk_rules::a_stall_ends_when_it_is_lifted", stall_and_lift),
        trial(
            "disk_rules::a_killed_process_does_not_wait_for_its_disk",
            stall_and_kill,
        ),
        trial(
            "disk_rules::a_stalled_process_that_ignores_sigterm_is_killed",
            stall_and_stop,
        ),
        trial("disk_rules::power_goes_and_comes_back", power),
        trial("disk_rules::rules_outlive_the_power", rules_outlive_power),
        trial("disk_rules::no_child_inherits_the_device", close_on_exec),
    ]
}

fn open(slot: u8, path: &str, how: How) -> Op {
    Op::Open(slot, path.to_owned(), how)
}

fn write(slot: u8, bytes: &str) -> Op {
    Op::Write(slot, bytes.as_bytes().to_vec())
}

fn expect<S: AsRef<str>>(lines: &[S], wanted: &[&str]) -> Outcome {
    let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    ensure(lines == wanted, format!("{lines:?}, not {wanted:?}"))
}

fn impose(faulty: &Faulty, rule: DiskRule) -> Result<RuleId, Failed> {
    Ok(faulty.disks.impose(DISK, rule)?)
}

fn lift(faulty: &Faulty, id: RuleId, hits: u64, bytes: u64) -> Result<RuleEffect, Failed> {
    let effect = faulty.disks.lift(DISK, id);
    let is_so = (effect.hits, effect.bytes, effect.held) == (hits, bytes, 0);
    ensure(
        is_so,
        format!("{effect:?}, not {hits} hits and {bytes} bytes"),
    )?;
    ensure(
        effect == faulty.disks.effect(DISK, id),
        "the effect of a rule stays as it was when it was lifted",
    )?;
    Ok(effect)
}

async fn errors() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    let id = impose(&faulty, rule(OperationClass::Write, DiskPick::Nth(2), EIO))?;
    let ops = [
        open(0, "a", How::Append),
        write(0, "1"),
        write(0, "2"),
        write(0, "3"),
    ];
    let lines = faulty.on_disk(&ops)?;
    expect(&lines[..4], &["ok", "1", "EIO", "1"])?;
    let effect = lift(&faulty, id, 1, 1)?;
    ensure(effect.matched == 3, format!("{effect:?}"))?;
    ensure(
        effect.first.as_deref() == Some("write of a"),
        format!("{effect:?}"),
    )?;
    ensure(
        fs::read(faulty.backing().join("a"))? == b"13",
        "one write is missing",
    )?;
    for (operation, errno, op) in [
        (OperationClass::Open, "EIO", open(0, "a", How::Read)),
        (OperationClass::Create, "EIO", open(0, "new", How::New)),
        (OperationClass::Create, "EIO", Op::Mkdir("d".into(), 0o755)),
        (
            OperationClass::Rename,
            "EIO",
            Op::Rename("a".into(), "b".into()),
        ),
        (OperationClass::Remove, "EIO", Op::Unlink("a".into())),
    ] {
        let mut rule = rule(operation, DiskPick::Every, EIO);
        // Not the folder in which the process works.
        rule.files = vec![FileClass::Other, FileClass::Directory];
        if operation == OperationClass::Open {
            rule.files.pop();
        }
        let id = impose(&faulty, rule)?;
        let lines = faulty.on_disk(&[op])?;
        ensure(
            lines.first().is_some_and(|line| line == errno),
            format!("{lines:?}"),
        )?;
        lift(&faulty, id, 1, 0)?;
        ensure(faulty.backing().join("a").is_file(), "nothing happened")?;
    }
    Ok(())
}

async fn questions() -> Outcome {
    use OperationClass::{GetAttributes, ListDirectory, SetAttributes};
    let name = || "a".to_owned();
    let faulty = Faulty::new(PLAIN)?;
    faulty.on_disk(&[
        open(0, "a", How::New),
        write(0, "1"),
        Op::Symlink(name(), "s".to_owned()),
    ])?;
    for (operation, class, ops) in [
        (
            GetAttributes,
            FileClass::Other,
            // What was written makes the kernel forget what it knew.
            vec![open(0, "a", How::Both), write(0, "2"), Op::StatOpen(0)],
        ),
        (
            GetAttributes,
            FileClass::Other,
            vec![open(0, "a", How::Both), Op::SeekHole(0, 0)],
        ),
        (
            GetAttributes,
            FileClass::Other,
            vec![Op::ReadLink("s".to_owned())],
        ),
        (GetAttributes, FileClass::Other, vec![Op::GetXattr(name())]),
        (GetAttributes, FileClass::Other, vec![Op::ListXattr(name())]),
        (GetAttributes, FileClass::Directory, vec![Op::Space]),
        (
            SetAttributes,
            FileClass::Other,
            vec![Op::Chmod(name(), 0o600)],
        ),
        (SetAttributes, FileClass::Other, vec![Op::Times(name(), 9)]),
        (
            SetAttributes,
            FileClass::Other,
            vec![Op::SetXattr(name(), "value".to_owned())],
        ),
        (
            SetAttributes,
            FileClass::Other,
            vec![Op::RemoveXattr(name())],
        ),
        (
            ListDirectory,
            FileClass::Directory,
            vec![Op::List(".".to_owned())],
        ),
    ] {
        let mut rule = rule(operation, DiskPick::Every, EIO);
        rule.files = vec![class];
        let id = impose(&faulty, rule)?;
        let lines = faulty.on_disk(&ops)?;
        ensure(
            lines.last().is_some_and(|line| line == "EIO"),
            format!("{ops:?}: {lines:?}"),
        )?;
        lift(&faulty, id, 1, 0)?;
    }
    let lines = faulty.on_disk(&[
        Op::Stat(name()),
        Op::Time(name()),
        Op::ListXattr(name()),
        Op::List(".".to_owned()),
    ])?;
    let untouched = [
        "RegularFile 644 links 1 size 1",
        "now",
        "\"\"",
        "[\"a\", \"s\"]",
    ];
    expect(&lines, &untouched)?;
    let mut stall = rule(GetAttributes, DiskPick::Every, DiskAction::Stall);
    stall.files = vec![FileClass::Other];
    let id = impose(&faulty, stall)?;
    let child = faulty.start(&[Op::ReadLink("s".to_owned())], &faulty.mounted())?;
    until("the question is held", || held(&faulty, id) == 1).await?;
    lift(&faulty, id, 1, 0)?;
    expect(&Faulty::lines(child)?, &["\"a\""])
}

async fn mapped() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    let lines = faulty.on_disk(&with_durable_name([
        Op::Map(0, 0, b"D".to_vec()),
        Op::MapUnsynced(0, 1, b"UR".to_vec()),
    ]))?;
    expect(&lines[5..], &["\"Durable\"", "\"DURable\""])?;
    let lost = faulty.disks.power_off(DISK, Survival::None, 0).await?;
    ensure(
        lost.lost > 0,
        format!("the end of a mapping writes: {lost:?}"),
    )?;
    let left = fs::read(faulty.backing().join("a"))?;
    ensure(
        left == b"Durable",
        format!("{:?}", left.escape_ascii().to_string()),
    )
}

async fn full() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    faulty.on_disk(&[open(0, "old", How::New), Op::Fill(0, 0, 5_000)])?;
    let action = DiskAction::Full {
        left_bytes: 10_000,
        errno: DiskErrno::Enospc,
    };
    let mut all = rule(OperationClass::Write, DiskPick::Every, action);
    all.operations.clear();
    let id = impose(&faulty, all)?;
    let lines = faulty.on_disk(&[
        open(0, "a", How::Append),
        Op::Fill(0, 0, 6_000),
        Op::Fill(0, 6_000, 6_000),
        write(0, "x"),
        Op::WriteAt(0, 0, b"y".to_vec()),
        open(1, "b", How::New),
        Op::Mkdir("d".into(), 0o755),
        Op::SetLength(0, 20_000),
        Op::Unlink("old".into()),
        write(0, "x"),
        open(1, "b", How::New),
    ])?;
    // O_APPEND makes pwrite append, so that the second y is one byte too many as well.
    expect(
        &lines[..11],
        &[
            "ok", "6000", "4000", "ENOSPC", "ENOSPC", "ENOSPC", "ENOSPC", "ENOSPC", "ok", "1", "ok",
        ],
    )?;
    ensure(
        fs::metadata(faulty.backing().join("a"))?.len() == 10_001,
        "its length",
    )?;
    lift(&faulty, id, 6, 2_002)?;
    let lines = faulty.on_disk(&[open(0, "a", How::Append), Op::Fill(0, 0, 90_000)])?;
    expect(&lines[..2], &["ok", "90000"])
}

async fn quota() -> Outcome {
    let faulty = Faulty::new(DiskOptions {
        quota: Some(1 << 20),
        ..PLAIN
    })?;
    let lines = faulty.on_disk(&[
        open(0, "a", How::New),
        Op::Fill(0, 0, 1_000_000),
        Op::Fill(0, 1_000_000, 100_000),
        Op::Fill(0, 0, 500_000),
        Op::Fill(0, 1_048_576, 1),
        Op::Space,
        Op::SetLength(0, 48_576),
        Op::Space,
    ])?;
    expect(
        &lines[..8],
        &[
            "ok",
            "1000000",
            "48576",
            "500000",
            "ENOSPC",
            "of 1048576 0 free",
            "ok",
            "of 1048576 999424 free",
        ],
    )
}

async fn cut_writes() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    let short = rule(OperationClass::Write, DiskPick::Nth(1), DiskAction::Short);
    let id = impose(&faulty, short.clone())?;
    let lines = faulty.on_disk(&[
        open(0, "a", How::New),
        write(0, "0123456789"),
        write(0, "X"),
    ])?;
    expect(&lines[..3], &["ok", "5", "1"])?;
    lift(&faulty, id, 1, 5)?;
    ensure(
        fs::read(faulty.backing().join("a"))? == b"01234X",
        "the first half",
    )?;
    let id = impose(&faulty, short)?;
    let lines = faulty.on_disk(&[open(0, "c", How::New), write(0, "X")])?;
    expect(&lines[..2], &["ok", "1"])?;
    // One byte has no half.
    lift(&faulty, id, 0, 0)?;
    let torn = DiskAction::Torn { bytes: 5 };
    let id = impose(&faulty, rule(OperationClass::Write, DiskPick::Nth(1), torn))?;
    let lines = faulty.on_disk(&[open(0, "b", How::New), write(0, "hello world")])?;
    expect(&lines[..2], &["ok", "EIO"])?;
    lift(&faulty, id, 1, 6)?;
    ensure(
        fs::read(faulty.backing().join("b"))? == b"hello",
        "the first bytes",
    )
}

async fn flips() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    let read = [open(0, "a", How::Read), Op::Read(0, 0, 3_000)];
    let written = faulty.on_disk(&[
        open(0, "a", How::New),
        Op::Fill(0, 0, 3_000),
        Op::Read(0, 0, 3_000),
    ])?;
    let right = written.get(2).ok_or("a line")?;
    let flip = rule(
        OperationClass::Read,
        DiskPick::Every,
        DiskAction::FlipOnRead,
    );
    let id = impose(&faulty, flip)?;
    let seen = || {
        faulty
            .on_disk(&read)
            .ok()
            .and_then(|lines| lines.into_iter().nth(1))
    };
    // The kernel is told to forget what it has cached, which takes a moment.
    until("a flipped bit is seen", || {
        seen().is_some_and(|line| line != *right)
    })
    .await?;
    let effect = faulty.disks.lift(DISK, id);
    ensure(
        effect.hits >= 1 && effect.hits == effect.bytes,
        format!("{effect:?}"),
    )?;
    until("the bit is right again", || {
        seen().is_some_and(|line| line == *right)
    })
    .await?;
    let stored = faulty.run(&read, &faulty.backing())?;
    ensure(
        stored.get(1) == Some(right),
        "what is stored was always right",
    )
}

/// Makes the names durable, so that only bytes can be lost.
fn with_durable_name(then: impl IntoIterator<Item = Op>) -> Vec<Op> {
    let first = [
        open(0, "a", How::New),
        write(0, "durable"),
        Op::Sync(0),
        open(1, ".", How::Directory),
        Op::Sync(1),
    ];
    first.into_iter().chain(then).collect()
}

async fn failed_fsync() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    let id = impose(&faulty, rule(OperationClass::Sync, DiskPick::Nth(2), EIO))?;
    let lines = faulty.on_disk(&with_durable_name([
        write(0, " lost"),
        Op::Sync(0),
        Op::Sync(0),
        Op::Read(0, 0, 20),
        write(0, " kept"),
        Op::Sync(0),
    ]))?;
    expect(
        &lines[5..11],
        &["5", "EIO", "ok", "\"durable lost\"", "5", "ok"],
    )?;
    lift(&faulty, id, 1, 5)?;
    faulty.disks.power_off(DISK, Survival::None, 0).await?;
    let left = fs::read(faulty.backing().join("a"))?;
    ensure(
        left == b"durable\0\0\0\0\0 kept",
        format!(
            "what no fsync wrote reads as a hole: {:?}",
            left.escape_ascii().to_string()
        ),
    )
}

async fn lying_fsync() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    let lie = rule(OperationClass::Sync, DiskPick::From(2), DiskAction::Lie);
    let id = impose(&faulty, lie)?;
    let lines = faulty.on_disk(&with_durable_name([write(0, " lie"), Op::Sync(0)]))?;
    expect(&lines[5..7], &["4", "ok"])?;
    lift(&faulty, id, 1, 4)?;
    let lost = faulty.disks.power_off(DISK, Survival::None, 0).await?;
    ensure((lost.lost, lost.lost_bytes) == (1, 4), format!("{lost:?}"))?;
    ensure(
        fs::read(faulty.backing().join("a"))? == b"durable",
        "the lie is gone",
    )
}

async fn slow_fsync() -> Outcome {
    let fsync = Duration::from_millis(60);
    let faulty = Faulty::new(DiskOptions { fsync, ..PLAIN })?;
    let begin = Instant::now();
    let lines = faulty.on_disk(&[open(0, "a", How::New), write(0, "1"), Op::Sync(0)])?;
    expect(&lines[..3], &["ok", "1", "ok"])?;
    ensure(
        begin.elapsed() >= fsync,
        "an fsync takes as long as the disk's options say",
    )?;
    let lost = faulty.disks.power_off(DISK, Survival::None, 0).await?;
    ensure(
        lost.lost_bytes == 0,
        format!("what is fsynced is durable: {lost:?}"),
    )
}

async fn delays() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    let slow = DiskAction::Slow {
        mean_ms: 50,
        jitter_ms: 10,
    };
    let on_and_off = DiskAction::OnOff {
        off_ms: 100,
        on_ms: 100,
    };
    for (action, least_ms) in [(slow, 40), (on_and_off, 1)] {
        let every = rule(OperationClass::Write, DiskPick::Every, action);
        let id = impose(&faulty, every)?;
        let ops = [open(0, "a", How::New), write(0, "1"), Op::Read(0, 0, 5)];
        // A process that takes long to start finds the disk on as well as off.
        until("a write is held", || {
            let lines = faulty.on_disk(&ops).unwrap_or_default();
            assert_eq!(
                lines.get(..3),
                Some(&["ok", "1", "\"1\""].map(str::to_owned)[..])
            );
            faulty.disks.effect(DISK, id).held_ms_max >= least_ms
        })
        .await?;
        let hits = faulty.disks.effect(DISK, id).hits;
        lift(&faulty, id, hits, 0)?;
    }
    Ok(())
}

fn stall() -> DiskRule {
    rule(OperationClass::Write, DiskPick::From(2), DiskAction::Stall)
}

const WRITES: usize = 3;

fn three_writes() -> Vec<Op> {
    vec![
        open(0, "a", How::New),
        write(0, "1"),
        write(0, "2"),
        write(0, "3"),
    ]
}

fn held(faulty: &Faulty, id: RuleId) -> u64 {
    faulty.disks.effect(DISK, id).held
}

async fn stall_and_lift() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    let id = impose(&faulty, stall())?;
    let child = faulty.start(&three_writes(), &faulty.mounted())?;
    until("the second write is held", || held(&faulty, id) == 1).await?;
    ensure(
        fs::read(faulty.backing().join("a"))? == b"1",
        "a held write is not done",
    )?;
    // Another file, another operation: not held.
    expect(
        &faulty.on_disk(&[Op::Mkdir("d".into(), 0o755)])?[..1],
        &["ok"],
    )?;
    lift(&faulty, id, 1, 0)?;
    let lines = Faulty::lines(child)?;
    expect(&lines[..=WRITES], &["ok", "1", "1", "1"])?;
    ensure(
        fs::read(faulty.backing().join("a"))? == b"123",
        "all is done",
    )
}

/// A node that waits for its stalled disk, under a supervisor that knows the disk.
async fn stalled_node(faulty: &Faulty) -> Result<(Supervisor, RuleId), Failed> {
    let id = impose(faulty, stall())?;
    let supervisor = Supervisor::on(faulty.disks.clone());
    let args = faulty.args(&three_writes(), &faulty.mounted())?;
    let spec = ProcessSpec::new(Program::Role(Role::Node), None).with_args(args);
    supervisor.start(N1, spec)?;
    until("the second write is held", || held(faulty, id) == 1).await?;
    Ok((supervisor, id))
}

async fn stall_and_kill() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    let (supervisor, id) = stalled_node(&faulty).await?;
    let exit = supervisor.kill(N1).await?;
    ensure(exit.signal == Some(9), format!("{exit:?}"))?;
    ensure(held(&faulty, id) == 0, "nothing is held for a dead process")?;
    ensure(
        fs::read(faulty.backing().join("a"))? == b"1",
        "what was held was not done",
    )?;
    // The rule stays: the next process meets it.
    let again = faulty.start(&[open(0, "b", How::New), write(0, "1")], &faulty.mounted())?;
    until("the disk still stalls", || held(&faulty, id) == 1).await?;
    lift(&faulty, id, 2, 0)?;
    Faulty::lines(again).map(drop)
}

async fn stall_and_stop() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    let (supervisor, _) = stalled_node(&faulty).await?;
    // After SIGTERM it waits where SIGKILL alone does not reach it.
    supervisor.stop_all(Duration::from_millis(50)).await;
    until("the process is gone", || supervisor.pid(N1).is_err()).await
}

async fn power() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    faulty.on_disk(&with_durable_name([
        write(0, " lost"),
        open(2, "b", How::New),
        Op::Rename("a".into(), "c".into()),
    ]))?;
    let lost = faulty.disks.power_off(DISK, Survival::None, 0).await?;
    ensure(lost.lost == 3, format!("a write and two names: {lost:?}"))?;
    let names: Vec<_> = fs::read_dir(faulty.backing())?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<std::io::Result<_>>()?;
    ensure(names == ["a"], format!("{names:?}"))?;
    // Without power the folder is the machine's own, and empty.
    ensure(
        fs::read_dir(faulty.mounted())?.count() == 0,
        "it is not mounted",
    )?;
    let twice = faulty.disks.power_off(DISK, Survival::None, 0).await;
    ensure(twice.is_err(), "power goes once")?;
    faulty.disks.power_on(DISK)?;
    ensure(faulty.disks.power_on(DISK).is_err(), "power comes once")?;
    let lines = faulty.on_disk(&[open(0, "a", How::Both), Op::Read(0, 0, 20), write(0, "D")])?;
    expect(&lines[..3], &["ok", "\"durable\"", "1"])?;
    // Changed by somebody else while nobody has it mounted.
    faulty.disks.unmount(DISK)?;
    fs::write(faulty.backing().join("a"), "damaged")?;
    faulty.disks.power_on(DISK)?;
    let lines = faulty.on_disk(&[open(0, "a", How::Both), Op::Read(0, 0, 20)])?;
    expect(&lines[..2], &["ok", "\"damaged\""])
}

async fn rules_outlive_power() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    let id = impose(&faulty, rule(OperationClass::Write, DiskPick::Every, EIO))?;
    faulty.disks.power_off(DISK, Survival::Prefix, 0).await?;
    faulty.disks.power_on(DISK)?;
    let lines = faulty.on_disk(&[open(0, "a", How::New), write(0, "12")])?;
    expect(&lines[..2], &["ok", "EIO"])?;
    lift(&faulty, id, 1, 2).map(drop)
}

async fn close_on_exec() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    let is_device = |entry: std::io::Result<fs::DirEntry>| {
        let target = entry.and_then(|entry| fs::read_link(entry.path()));
        target.is_ok_and(|target| target.ends_with("dev/fuse"))
    };
    // Other tests may have disks of their own meanwhile.
    let mine = fs::read_dir("/proc/self/fd")?.filter_map(|entry| is_device(entry).then_some(()));
    ensure(mine.count() >= 1, "the harness has the device open")?;
    let child = Command::new("ls").args(["-l", "/proc/self/fd"]).output()?;
    let listed = String::from_utf8(child.stdout)?;
    ensure(listed.contains("/proc"), format!("a list: {listed}"))?;
    ensure(
        !listed.contains("fuse"),
        format!("a child has the device: {listed}"),
    )?;
    let lines = faulty.on_disk(&[Op::Descriptors])?;
    ensure(
        !lines.concat().contains("fuse"),
        format!("a node has the device: {lines:?}"),
    )
}
