//! The faulty disk without faults: no process can tell it from the machine's own file system.
//!
//! Each case runs on both and must print the same, which for the cases of the table is known.
//! Source: pjdfstest; rename(2), unlink(2), fallocate(2).

use std::fs;

use libtest_mimic::Trial;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::support::disks::{Faulty, PLAIN};
use crate::support::files::{How, Op, Owner};
use crate::support::{Outcome, ensure, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("disk_semantics::the_table_of_cases", the_table),
        trial("disk_semantics::random_operations", random_operations),
        trial(
            "disk_semantics::what_differs_from_a_native_disk_is_known",
            differences,
        ),
    ]
}

/// A name, operations, and what each prints.
type Case = (&'static str, Vec<Op>, &'static [&'static str]);

fn text(text: &str) -> String {
    text.to_owned()
}

fn open(slot: u8, path: &str, how: How) -> Op {
    Op::Open(slot, text(path), how)
}

fn write(slot: u8, bytes: &str) -> Op {
    Op::Write(slot, bytes.as_bytes().to_vec())
}

/// A file with some content.
fn file(path: &str, content: &str) -> [Op; 3] {
    [open(9, path, How::NewOnly), write(9, content), Op::Close(9)]
}

fn after(first: impl IntoIterator<Item = Op>, then: impl IntoIterator<Item = Op>) -> Vec<Op> {
    first.into_iter().chain(then).collect()
}

fn cases_of_names() -> Vec<Case> {
    let (rename, link) = (
        |from, to| Op::Rename(text(from), text(to)),
        |from, to| Op::Link(text(from), text(to)),
    );
    vec![
        (
            "a missing file is missing",
            vec![
                open(0, "a", How::Read),
                Op::Unlink(text("a")),
                Op::Stat(text("a")),
            ],
            &["ENOENT", "ENOENT", "ENOENT"],
        ),
        (
            "O_EXCL refuses what exists",
            after(file("a", "x"), [open(0, "a", How::NewOnly)]),
            &["ok", "1", "ok", "EEXIST"],
        ),
        (
            "a rename replaces, and the open old file lives on",
            after(
                after(file("a", "new"), file("b", "old")),
                [
                    open(0, "b", How::Both),
                    rename("a", "b"),
                    Op::StatOpen(0),
                    Op::Read(0, 0, 9),
                    open(1, "b", How::Read),
                    Op::Read(1, 0, 9),
                    Op::Stat(text("a")),
                ],
            ),
            &[
                "ok",
                "3",
                "ok",
                "ok",
                "3",
                "ok",
                "ok",
                "ok",
                "RegularFile 644 links 0 size 3",
                "\"old\"",
                "ok",
                "\"new\"",
                "ENOENT",
            ],
        ),
        (
            "RENAME_NOREPLACE refuses what exists",
            after(
                after(file("a", "1"), file("b", "2")),
                [
                    Op::RenameNew(text("a"), text("b")),
                    Op::RenameNew(text("a"), text("c")),
                    Op::Stat(text("c")),
                ],
            ),
            &[
                "ok",
                "1",
                "ok",
                "ok",
                "1",
                "ok",
                "EEXIST",
                "ok",
                "RegularFile 644 links 1 size 1",
            ],
        ),
        (
            "RENAME_EXCHANGE gives each the other's name, whatever they are",
            after(
                after(file("a", "1"), file("b", "22")),
                [
                    Op::Exchange(text("a"), text("b")),
                    Op::Mkdir(text("d"), 0o755),
                    Op::Exchange(text("d"), text("a")),
                    Op::Exchange(text("a"), text("a")),
                    Op::Exchange(text("b"), text("c")),
                    Op::Exchange(text("d"), text("a/d")),
                    Op::Exchange(text("a"), text("a/d")),
                    Op::Stat(text("b")),
                    Op::Stat(text("d")),
                    Op::List(text("a")),
                ],
            ),
            &[
                "ok",
                "1",
                "ok",
                "ok",
                "2",
                "ok",
                "ok",
                "ok",
                "ok",
                "ok",
                "ENOENT",
                "ENOENT",
                "-",
                "RegularFile 644 links 1 size 1",
                "RegularFile 644 links 1 size 2",
                "[]",
            ],
        ),
        (
            "a directory is not replaced by a file, nor one with entries by another",
            after(
                [
                    Op::Mkdir(text("d"), 0o755),
                    Op::Mkdir(text("e"), 0o700),
                    Op::Mkdir(text("e/f"), 0o755),
                ],
                after(
                    file("a", "1"),
                    [
                        rename("a", "d"),
                        rename("d", "a"),
                        rename("d", "e"),
                        Op::Rmdir(text("e")),
                        Op::Rmdir(text("a")),
                        Op::Unlink(text("d")),
                        rename("e", "d"),
                        Op::Stat(text("d")),
                        Op::List(text("d")),
                    ],
                ),
            ),
            &[
                "ok",
                "ok",
                "ok",
                "ok",
                "1",
                "ok",
                "EISDIR",
                "ENOTDIR",
                "ENOTEMPTY",
                "ENOTEMPTY",
                "ENOTDIR",
                "EISDIR",
                "ok",
                "Directory 700",
                "[\"f\"]",
            ],
        ),
        (
            "a directory does not go into itself",
            vec![
                Op::Mkdir(text("d"), 0o755),
                Op::Mkdir(text("d/e"), 0o755),
                rename("d", "d/e/f"),
            ],
            &["ok", "ok", "EINVAL"],
        ),
        (
            "hard links count, and share what is written",
            after(
                file("a", "1234"),
                [
                    link("a", "b"),
                    link("a", "b"),
                    Op::Stat(text("a")),
                    rename("a", "b"),
                    Op::Stat(text("a")),
                    open(0, "b", How::Truncate),
                    Op::Unlink(text("b")),
                    Op::StatOpen(0),
                    Op::Stat(text("a")),
                ],
            ),
            &[
                "ok",
                "4",
                "ok",
                "ok",
                "EEXIST",
                "RegularFile 644 links 2 size 4",
                "ok",
                "RegularFile 644 links 2 size 4",
                "ok",
                "ok",
                "RegularFile 644 links 1 size 0",
                "RegularFile 644 links 1 size 0",
            ],
        ),
        (
            "a directory has no second name",
            vec![Op::Mkdir(text("d"), 0o755), link("d", "e")],
            &["ok", "EPERM"],
        ),
        (
            "symbolic links lead, dangle and go in circles",
            after(
                file("a", "1"),
                [
                    Op::Symlink(text("a"), text("s")),
                    Op::ReadLink(text("s")),
                    Op::Stat(text("s")),
                    open(0, "s", How::Read),
                    Op::Read(0, 0, 5),
                    Op::Symlink(text("t"), text("t")),
                    open(1, "t", How::Read),
                    Op::Symlink(text("gone"), text("u")),
                    open(2, "u", How::Read),
                    link("s", "s2"),
                    Op::Stat(text("s2")),
                    Op::ReadLink(text("a")),
                ],
            ),
            &[
                "ok",
                "1",
                "ok",
                "ok",
                "\"a\"",
                "Symlink 777 links 1 size 1",
                "ok",
                "\"1\"",
                "ok",
                "ELOOP",
                "ok",
                "ENOENT",
                "ok",
                "Symlink 777 links 2 size 1",
                "EINVAL",
            ],
        ),
        (
            "a removed file that is open can be written, cut and read",
            after(
                file("a", "12345"),
                [
                    open(0, "a", How::Both),
                    Op::Unlink(text("a")),
                    Op::WriteAt(0, 5, b"678".to_vec()),
                    Op::SetLength(0, 7),
                    Op::Read(0, 0, 20),
                    Op::StatOpen(0),
                    Op::Sync(0),
                    open(1, "a", How::NewOnly),
                    Op::StatOpen(1),
                ],
            ),
            &[
                "ok",
                "5",
                "ok",
                "ok",
                "ok",
                "3",
                "ok",
                "\"1234567\"",
                "RegularFile 644 links 0 size 7",
                "ok",
                "ok",
                "RegularFile 644 links 1 size 0",
            ],
        ),
        (
            "names have an end",
            vec![
                open(0, &"n".repeat(255), How::NewOnly),
                open(1, &"n".repeat(256), How::NewOnly),
                Op::Mkdir("m".repeat(256), 0o755),
            ],
            &["ok", "ENAMETOOLONG", "ENAMETOOLONG"],
        ),
        (
            "a file is no directory and a directory no file",
            after(
                file("a", "1"),
                [
                    open(0, "a/b", How::New),
                    Op::Mkdir(text("a/d"), 0o755),
                    Op::Mkdir(text("d"), 0o755),
                    open(1, "d", How::Both),
                    open(2, "d", How::Directory),
                    Op::Sync(2),
                    Op::Mkdir(text("d"), 0o755),
                ],
            ),
            &[
                "ok", "1", "ok", "ENOTDIR", "ENOTDIR", "ok", "EISDIR", "ok", "ok", "EEXIST",
            ],
        ),
        (
            "pipes are made, permissions kept, also of directories that are sticky",
            vec![
                Op::Fifo(text("p")),
                Op::Stat(text("p")),
                Op::Mkdir(text("d"), 0o1777),
                Op::Chmod(text("d"), 0o1770),
                Op::Stat(text("d")),
                open(0, "f", How::New),
                Op::Chmod(text("f"), 0o4755),
                Op::Stat(text("f")),
                Op::Access(text("f")),
                Op::Access(text("g")),
            ],
            &[
                "ok",
                "Fifo 600 links 1 size 0",
                "ok",
                "ok",
                "Directory 1770",
                "ok",
                "ok",
                "RegularFile 4755 links 1 size 0",
                "ok",
                "ENOENT",
            ],
        ),
        (
            "extended attributes are kept by the file, not by its name",
            after(
                file("a", "1"),
                [
                    Op::GetXattr(text("a")),
                    Op::SetXattr(text("a"), text("value")),
                    rename("a", "b"),
                    Op::GetXattr(text("b")),
                    Op::ListXattr(text("b")),
                    Op::RemoveXattr(text("b")),
                    Op::RemoveXattr(text("b")),
                    Op::ListXattr(text("b")),
                ],
            ),
            &[
                "ok",
                "1",
                "ok",
                "ENODATA",
                "ok",
                "ok",
                "\"value\"",
                "\"user.verdict\\x00\"",
                "ok",
                "ENODATA",
                "\"\"",
            ],
        ),
    ]
}

fn cases_of_bytes() -> Vec<Case> {
    const KEEP_SIZE: u32 = 1;
    const PUNCH_HOLE: u32 = 2 | KEEP_SIZE;
    const ZERO_RANGE: u32 = 16;
    vec![
        (
            "appends go to the end, also after a cut and of two openers",
            vec![
                open(0, "a", How::Append),
                open(1, "a", How::Append),
                write(0, "abc"),
                write(1, "def"),
                Op::SetLength(0, 4),
                write(0, "X"),
                write(1, "Y"),
                Op::Read(0, 0, 20),
            ],
            &["ok", "ok", "3", "3", "ok", "1", "1", "\"abcdXY\""],
        ),
        (
            "a hole reads as zeroes",
            vec![
                open(0, "a", How::New),
                Op::WriteAt(0, 10_000, b"end".to_vec()),
                Op::Read(0, 0, 4),
                Op::SeekData(0, 0),
                Op::SeekHole(0, 0),
                Op::SetLength(0, 20_000),
                Op::Read(0, 9_999, 6),
                Op::StatOpen(0),
            ],
            &[
                "ok",
                "3",
                "\"\\x00\\x00\\x00\\x00\"",
                "8192",
                "0",
                "ok",
                "\"\\x00end\\x00\\x00\"",
                "RegularFile 644 links 1 size 20000",
            ],
        ),
        (
            "what is cut off does not come back",
            vec![
                open(0, "a", How::New),
                write(0, "secret"),
                Op::SetLength(0, 2),
                Op::SetLength(0, 6),
                Op::Read(0, 0, 9),
            ],
            &["ok", "6", "ok", "ok", "\"se\\x00\\x00\\x00\\x00\""],
        ),
        (
            "a file that is open for one thing is not open for the other",
            after(
                file("a", "1"),
                [
                    open(0, "a", How::Read),
                    write(0, "x"),
                    Op::SetLength(0, 9),
                    open(1, "a", How::Write),
                    Op::Read(1, 0, 1),
                    Op::WriteAt(1, 0, b"2".to_vec()),
                    Op::Read(0, 0, 1),
                ],
            ),
            &[
                "ok", "1", "ok", "ok", "EBADF", "EINVAL", "ok", "EBADF", "1", "\"2\"",
            ],
        ),
        (
            "space is allocated, punched and zeroed",
            vec![
                open(0, "a", How::New),
                Op::Allocate(0, 0, 0, 9_000),
                Op::StatOpen(0),
                Op::Allocate(0, KEEP_SIZE, 0, 90_000),
                Op::Fill(0, 0, 9_000),
                Op::Allocate(0, PUNCH_HOLE, 100, 50),
                Op::Allocate(0, ZERO_RANGE, 8_990, 20),
                Op::Read(0, 98, 4),
                Op::Read(0, 148, 4),
                Op::Read(0, 8_988, 4),
                Op::StatOpen(0),
                Op::Read(0, 0, 10_000),
            ],
            &[
                "ok",
                "ok",
                "RegularFile 644 links 1 size 9000",
                "ok",
                "9000",
                "ok",
                "ok",
                "\"\\x0e\\x0e\\x00\\x00\"",
                "\"\\x00\\x00\\x15\\x15\"",
                "\"\\x04\\x04\\x00\\x00\"",
                "RegularFile 644 links 1 size 9010",
                "-",
            ],
        ),
        (
            "a range is copied from file to file",
            vec![
                open(0, "a", How::New),
                Op::Fill(0, 0, 50_000),
                open(1, "b", How::New),
                Op::Copy(0, 1, 40_000),
                Op::StatOpen(1),
                Op::Read(1, 39_000, 2_000),
                Op::Copy(1, 0, 90_000),
            ],
            &[
                "ok",
                "50000",
                "ok",
                "40000",
                "RegularFile 644 links 1 size 40000",
                "-",
                "40000",
            ],
        ),
        (
            "mapped memory and writes see each other, and msync is an fsync",
            vec![
                open(0, "a", How::New),
                write(0, "0123456789"),
                Op::Map(0, 3, b"xyz".to_vec()),
                Op::Read(0, 0, 20),
                Op::WriteAt(0, 0, b"AB".to_vec()),
                Op::Map(0, 9, b"!".to_vec()),
                Op::Read(0, 0, 20),
            ],
            &[
                "ok",
                "10",
                "\"012xyz6789\"",
                "\"012xyz6789\"",
                "2",
                "\"AB2xyz678!\"",
                "\"AB2xyz678!\"",
            ],
        ),
        (
            "O_DSYNC and large writes write what they say",
            vec![
                open(0, "a", How::Sync),
                Op::Fill(0, 0, 3_000_000),
                Op::Fill(0, 2_999_999, 5),
                Op::Sync(0),
                Op::Read(0, 0, 4_000_000),
            ],
            &["ok", "3000000", "5", "ok", "-"],
        ),
        (
            "O_DIRECT reads and writes whole blocks, and what the cache holds is not older",
            vec![
                open(0, "a", How::Direct),
                Op::Fill(0, 0, 8_192),
                open(1, "a", How::Both),
                Op::Read(1, 4_000, 8),
                Op::WriteAt(1, 4_000, b"12345678".to_vec()),
                Op::Read(0, 0, 4_096),
                Op::Fill(0, 4_096, 4_096),
                Op::Read(1, 4_096, 4),
            ],
            &[
                "ok",
                "8192",
                "ok",
                "\";;;;<<<<\"",
                "8",
                "-",
                "4096",
                "\"\\x00\\x00\\x00\\x00\"",
            ],
        ),
        (
            "locks exclude",
            vec![
                open(0, "a", How::New),
                open(1, "a", How::Both),
                Op::Lock(0),
                Op::Lock(1),
                Op::Close(0),
                Op::Lock(1),
            ],
            &["ok", "ok", "ok", "EAGAIN", "ok", "ok"],
        ),
        (
            "locks of ranges exclude other processes and end with them",
            locks_of_ranges(),
            &[
                "ok",
                "ok",
                "ok, EAGAIN, ok, EAGAIN, EAGAIN",
                "ok",
                "EAGAIN",
                "ok",
                "EAGAIN",
                "ok",
                "ok, ok, ok",
            ],
        ),
        (
            "times are as they were set until something is written",
            after(
                file("a", "1"),
                [
                    Op::Times(text("a"), -7),
                    Op::Time(text("a")),
                    Op::Times(text("a"), 86_400),
                    open(0, "a", How::Both),
                    Op::Read(0, 0, 1),
                    rename_of("a", "b"),
                    Op::Time(text("b")),
                    write(0, "2"),
                    Op::Time(text("b")),
                    Op::Times(text("b"), 9),
                    Op::Map(0, 0, b"3".to_vec()),
                    Op::Time(text("b")),
                ],
            ),
            &[
                "ok",
                "1",
                "ok",
                "-7 -7 (5, 5)",
                "-7",
                "86400 86400 (5, 5)",
                "ok",
                "\"1\"",
                "ok",
                "86400",
                "1",
                "now",
                "9 9 (5, 5)",
                "\"3\"",
                "now",
            ],
        ),
        (
            "many names are listed once each",
            (0..300)
                .map(|i| {
                    open(
                        i as u8,
                        &format!("file-with-a-longer-name-{i:04}"),
                        How::NewOnly,
                    )
                })
                .chain([Op::List(text("."))])
                .collect(),
            &[],
        ),
    ]
}

fn rename_of(from: &str, to: &str) -> Op {
    Op::Rename(text(from), text(to))
}

/// As a JVM and RocksDB lock (the process), and as newer programs do (the open file).
fn locks_of_ranges() -> Vec<Op> {
    use Owner::{OpenFile, Process};
    vec![
        open(0, "a", How::New),
        Op::LockRange(0, Process, 0, 10),
        Op::Beside(vec![
            open(0, "a", How::Both),
            Op::LockRange(0, Process, 5, 1),
            Op::LockRange(0, Process, 10, 5),
            Op::LockRange(0, OpenFile, 9, 1),
            Op::LockRange(0, OpenFile, 10, 1),
        ]),
        open(1, "a", How::Both),
        Op::LockRange(1, OpenFile, 3, 1),
        Op::LockRange(1, OpenFile, 20, 1),
        Op::LockRange(0, OpenFile, 20, 1),
        // With it go all locks that the process has of the file.
        Op::Close(1),
        Op::Beside(vec![
            open(0, "a", How::Both),
            Op::LockRange(0, Process, 5, 1),
            Op::LockRange(0, OpenFile, 20, 1),
        ]),
    ]
}

/// What `docs/faults.md` says that this file system does not do as ext4 does.
async fn differences() -> Outcome {
    const COLLAPSE_RANGE: u32 = 8;
    const INSERT_RANGE: u32 = 32;
    let faulty = Faulty::new(PLAIN)?;
    let ops = [
        open(0, "a", How::Direct),
        Op::Fill(0, 0, 8_192),
        Op::Allocate(0, COLLAPSE_RANGE, 0, 4_096),
        Op::Allocate(0, INSERT_RANGE, 0, 4_096),
        open(1, ".", How::Temporary),
        // Not in blocks.
        Op::WriteAt(0, 1, b"x".to_vec()),
    ];
    let wanted = ["ok", "8192", "EOPNOTSUPP", "EOPNOTSUPP", "EOPNOTSUPP", "1"];
    let lines = faulty.on_disk(&ops)?;
    ensure(lines == wanted, format!("{lines:?}, not {wanted:?}"))
}

async fn the_table() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    for (number, (name, mut ops, wanted)) in cases_of_names()
        .into_iter()
        .chain(cases_of_bytes())
        .enumerate()
    {
        let place = number.to_string();
        ops.push(Op::Tree);
        let native = faulty.native().join(&place);
        fs::create_dir(&native)?;
        let natively = faulty.run(&ops, &native)?;
        // The harness itself must not make the folder: it would ask itself.
        faulty.on_disk(&[Op::Mkdir(place.clone(), 0o755)])?;
        let mounted = faulty.run(&ops, &faulty.mounted().join(&place))?;
        ensure(
            natively == mounted,
            format!("{name}:\n {natively:?}\n {mounted:?}"),
        )?;
        for (at, (wanted, got)) in wanted.iter().zip(&mounted).enumerate() {
            ensure(
                *wanted == "-" || wanted == got,
                format!(
                    "{name}: operation {at} {:?}: {got}, not {wanted}",
                    ops.get(at)
                ),
            )?;
        }
    }
    Ok(())
}

fn path() -> impl Strategy<Value = String> {
    // Few names, so that operations meet.
    prop::sample::select(vec!["a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a"]).prop_map(text)
}

fn how() -> impl Strategy<Value = How> {
    use How::{Append, Both, New, NewOnly, Read, Sync, Truncate, Write};
    prop::sample::select(vec![
        Read, Write, Both, New, New, NewOnly, Append, Truncate, Sync,
    ])
}

fn any_op() -> impl Strategy<Value = Op> {
    let slot = || 0..4u8;
    let bytes = || prop::collection::vec(b'a'..=b'z', 1..40);
    let at = || 0..20_000u64;
    prop_oneof![
        6 => (slot(), path(), how()).prop_map(|(slot, path, how)| Op::Open(slot, path, how)),
        2 => slot().prop_map(Op::Close),
        4 => (slot(), bytes()).prop_map(|(slot, bytes)| Op::Write(slot, bytes)),
        3 => (slot(), at(), bytes()).prop_map(|(slot, at, bytes)| Op::WriteAt(slot, at, bytes)),
        2 => (slot(), at(), 1..300_000u32).prop_map(|(slot, at, count)| Op::Fill(slot, at, count)),
        4 => (slot(), at(), 1..200_000u32).prop_map(|(slot, at, count)| Op::Read(slot, at, count)),
        2 => (slot(), at()).prop_map(|(slot, length)| Op::SetLength(slot, length)),
        2 => slot().prop_map(Op::Sync),
        2 => path().prop_map(Op::Stat),
        2 => slot().prop_map(Op::StatOpen),
        2 => path().prop_map(|path| Op::Mkdir(path, 0o755)),
        1 => path().prop_map(Op::List),
        1 => path().prop_map(Op::Rmdir),
        2 => path().prop_map(Op::Unlink),
        3 => (path(), path()).prop_map(|(from, to)| Op::Rename(from, to)),
        1 => (path(), path()).prop_map(|(from, to)| Op::RenameNew(from, to)),
        2 => (path(), path()).prop_map(|(from, to)| Op::Link(from, to)),
        1 => path().prop_map(|path| Op::Symlink(text("a"), path)),
        1 => (slot(), at(), 1..9_000u64).prop_map(|(slot, at, n)| Op::Allocate(slot, 0, at, n)),
        1 => (slot(), at(), 1..9_000u64).prop_map(|(slot, at, n)| Op::Allocate(slot, 3, at, n)),
        1 => (slot(), slot(), at()).prop_map(|(from, to, count)| Op::Copy(from, to, count)),
        1 => (slot(), b'a'..=b'z').prop_map(|(slot, byte)| Op::Map(slot, 0, vec![byte])),
        8 => any_op_of_few_programs(),
    ]
}

/// What a broker does not ask for, but a JVM, a RocksDB or an operator may.
fn any_op_of_few_programs() -> impl Strategy<Value = Op> {
    // Of their own, as these are read and written in whole blocks.
    let direct = || 4..6u8;
    let slot = || 0..4u8;
    let at = || 0..20_000u64;
    let block = || (0..5u64).prop_map(|block| block * 4_096);
    let blocks = || (1..30u32).prop_map(|blocks| blocks * 4_096);
    let modes = prop::sample::select(vec![0o700, 0o744, 0o755, 0o1777]);
    let owner = prop::sample::select(vec![Owner::Process, Owner::OpenFile]);
    prop_oneof![
        2 => (direct(), path()).prop_map(|(slot, path)| Op::Open(slot, path, How::Direct)),
        2 => (direct(), block(), blocks()).prop_map(|(slot, at, n)| Op::Fill(slot, at, n)),
        1 => (direct(), block(), blocks()).prop_map(|(slot, at, n)| Op::Read(slot, at, n)),
        1 => (slot(), at(), 1..9_000u64).prop_map(|(slot, at, n)| Op::Allocate(slot, 16, at, n)),
        1 => (slot(), at(), 1..9_000u64).prop_map(|(slot, at, n)| Op::Allocate(slot, 17, at, n)),
        1 => (path(), path()).prop_map(|(one, other)| Op::Exchange(one, other)),
        1 => (path(), modes).prop_map(|(path, mode)| Op::Chmod(path, mode)),
        1 => (path(), 0..100i64).prop_map(|(path, seconds)| Op::Times(path, seconds)),
        1 => path().prop_map(Op::Time),
        1 => (path(), "[a-c]{1,3}").prop_map(|(path, value)| Op::SetXattr(path, value)),
        1 => path().prop_map(Op::GetXattr),
        1 => path().prop_map(Op::ListXattr),
        1 => path().prop_map(Op::RemoveXattr),
        1 => slot().prop_map(Op::Lock),
        1 => (slot(), owner, 0..9i64).prop_map(|(slot, owner, at)| {
            Op::LockRange(slot, owner, at, 3)
        }),
    ]
}

fn without_link_counts(tree: &[String]) -> Vec<String> {
    let words = |line: &String| {
        let mut words: Vec<&str> = line.split(' ').collect();
        if let Some(at) = words.iter().position(|word| *word == "links") {
            words.drain(at..words.len().min(at + 2));
        }
        words.join(" ")
    };
    tree.iter().map(words).collect()
}

async fn random_operations() -> Outcome {
    let faulty = Faulty::new(PLAIN)?;
    let number = std::cell::Cell::new(0);
    let config = Config {
        cases: 96,
        failure_persistence: None,
        ..Config::default()
    };
    let ops = prop::collection::vec(any_op(), 1..80);
    let both = |mut ops: Vec<Op>| {
        let count = ops.len();
        ops.push(Op::Tree);
        let place = format!("r{}", number.replace(number.get() + 1));
        let native = faulty.native().join(&place);
        let fail = |error: libtest_mimic::Failed| {
            TestCaseError::fail(error.message().unwrap_or_default().to_owned())
        };
        fs::create_dir(&native).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let natively = faulty.run(&ops, &native).map_err(fail)?;
        let made = faulty.on_disk(&[Op::Mkdir(place.clone(), 0o755)]);
        made.map_err(fail)?;
        let mounted = faulty
            .run(&ops, &faulty.mounted().join(&place))
            .map_err(fail)?;
        prop_assert_eq!(&natively, &mounted);
        // What the harness finds in the backing folder is what the process saw.
        let again = faulty
            .run(&[Op::Tree], &faulty.backing().join(&place))
            .map_err(fail)?;
        // A removed name that is not durable yet keeps a link of its file outside the folder.
        let seen = natively.get(count..).unwrap_or_default();
        prop_assert_eq!(without_link_counts(seen), without_link_counts(&again));
        Ok(())
    };
    TestRunner::new(config)
        .run(&ops, both)
        .map_err(|error| error.to_string().into())
}
