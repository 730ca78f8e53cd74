//! Small scenarios of a loss of power, each with what the disk shows afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::disk::rule::Survival;

use super::operation::Step;
use super::rig_test::{Listing, Rig};
use super::survivors::{Fate, fates};
use super::{Limits, NameDurability, Unsynced};

fn expected(files: &[(&str, &str)]) -> Listing {
    let file = |(name, text): &(&str, &str)| {
        let content = (!name.ends_with('/')).then(|| text.as_bytes().to_vec());
        (name.trim_end_matches('/').to_owned(), content)
    };
    files.iter().map(file).collect()
}

/// A folder with the durable file `log`, the file `old` and the directory `d` with a file `d/in`.
fn filled(root: &Path) {
    fs::write(root.join("log"), "0123456789").unwrap();
    fs::write(root.join("old"), "old").unwrap();
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/in"), "in").unwrap();
}

const FILLED: &[(&str, &str)] = &[
    ("log", "0123456789"),
    ("old", "old"),
    ("d/", ""),
    ("d/in", "in"),
];

/// After `act` and a loss of all that is not durable, the folder holds `files`.
#[track_caller]
fn check(act: impl FnOnce(&mut Rig), files: &[(&str, &str)]) {
    let mut rig = Rig::with(filled);
    act(&mut rig);
    let unsynced = rig.journal.unsynced().operations;
    let effect = rig.journal.roll_back(Survival::None, 1).unwrap();
    assert_eq!(rig.listing(), expected(files));
    assert_eq!((effect.unsynced, effect.lost), (unsynced, unsynced));
    assert_eq!(rig.journal.unsynced(), Unsynced::default());
}

/// After `act` everything is as it was.
#[track_caller]
fn check_undone(act: impl FnOnce(&mut Rig)) {
    check(act, FILLED);
}

/// `FILLED` with other contents or more files.
fn with<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    FILLED.iter().chain(changes).copied().collect()
}

#[test]
fn bytes_that_were_not_synced_are_gone() {
    check_undone(|rig| {
        rig.append("log", b"abc");
        rig.write("log", 2, b"XYZ");
        rig.write("log", 3, b"again, and beyond the end");
    });
    check(
        |rig| {
            rig.append("log", b"abc");
            rig.sync("log");
            rig.append("log", b"def");
        },
        &with(&[("log", "0123456789abc")]),
    );
}

#[test]
fn a_length_that_was_not_synced_is_as_before() {
    check_undone(|rig| rig.set_length("log", 3));
    check_undone(|rig| rig.set_length("log", 5000));
    check_undone(|rig| {
        rig.set_length("log", 3);
        rig.append("log", b"other bytes, more than there were");
        rig.set_length("log", 1);
    });
}

#[test]
fn names_come_and_go_with_the_sync_of_their_directory() {
    check_undone(|rig| {
        rig.create("new");
        rig.append("new", b"new");
    });
    check(
        |rig| {
            rig.create("new");
            rig.append("new", b"new");
            rig.sync_directory("");
        },
        &with(&[("new", "")]),
    );
    check(
        |rig| {
            rig.remove("old");
            rig.sync_directory("");
        },
        &[("log", "0123456789"), ("d/", ""), ("d/in", "in")],
    );
    check_undone(|rig| rig.remove("old"));
}

#[test]
fn a_new_file_that_is_synced_keeps_its_name_and_the_directories_above() {
    let act = |rig: &mut Rig| {
        rig.make_directory("p");
        rig.create("p/new");
        rig.append("p/new", b"new");
        rig.sync("p/new");
    };
    check(act, &with(&[("p/", ""), ("p/new", "new")]));
}

#[test]
fn where_only_directories_make_names_durable_a_synced_file_may_have_none() {
    let strict = NameDurability::DirectoryOnly;
    let mut rig = Rig::with_journal(filled, |journal| journal.with_names(strict));
    rig.create("new");
    rig.append("new", b"new");
    rig.sync("new");
    rig.journal.roll_back(Survival::None, 1).unwrap();
    assert_eq!(rig.listing(), expected(FILLED));
}

#[test]
fn a_replacement_is_whole_or_not_at_all() {
    let replace = |rig: &mut Rig| {
        rig.create("old.tmp");
        rig.append("old.tmp", b"fresh");
        rig.sync("old.tmp");
        rig.rename("old.tmp", "old");
    };
    check(replace, &with(&[("old.tmp", "fresh")]));
    check(
        |rig| {
            replace(rig);
            rig.sync_directory("");
        },
        &with(&[("old", "fresh")]),
    );
}

#[test]
fn a_file_that_came_and_went_leaves_nothing() {
    check_undone(|rig| {
        rig.create("brief");
        rig.append("brief", b"x");
        rig.remove("brief");
    });
    check_undone(|rig| {
        rig.make_directory("brief");
        rig.create("brief/f");
        rig.remove("brief/f");
        rig.remove("brief");
    });
}

#[test]
fn a_name_that_was_given_anew_goes_back_to_its_first_file() {
    check_undone(|rig| {
        rig.remove("old");
        rig.create("old");
        rig.append("old", b"another");
    });
    check(
        |rig| {
            rig.remove("old");
            rig.create("old");
            rig.append("old", b"another");
            rig.sync("old");
        },
        // The new name cannot be durable without the removal of the old one.
        &with(&[("old", "another")]),
    );
}

#[test]
fn directories_move_and_vanish_with_what_is_in_them() {
    check_undone(|rig| {
        rig.rename("d", "e");
        rig.create("e/more");
        rig.remove("e/in");
    });
    check_undone(|rig| {
        rig.remove("d/in");
        rig.remove("d");
        rig.make_directory("d");
        rig.create("d/other");
    });
    check(
        |rig| {
            rig.rename("d", "e");
            rig.create("e/more");
            rig.sync_directory("");
        },
        &[
            ("log", "0123456789"),
            ("old", "old"),
            ("e/", ""),
            ("e/in", "in"),
        ],
    );
}

#[test]
fn a_move_between_directories_never_loses_the_file() {
    let act = |rig: &mut Rig| {
        rig.make_directory("e");
        rig.rename("d/in", "e/in");
        rig.sync_directory("d");
    };
    let moved = &[
        ("log", "0123456789"),
        ("old", "old"),
        ("d/", ""),
        ("e/", ""),
        ("e/in", "in"),
    ];
    check(act, moved);
}

#[test]
fn hard_links_share_bytes_and_vanish_alone() {
    check_undone(|rig| {
        rig.link("log", "second");
        rig.append("second", b"abc");
        rig.remove("log");
    });
    check(
        |rig| {
            rig.link("log", "second");
            rig.sync_directory("");
            rig.append("second", b"abc");
            rig.sync("second");
            rig.remove("log");
        },
        &with(&[("log", "0123456789abc"), ("second", "0123456789abc")]),
    );
    // The last name must not be durably gone while the other is not durably there.
    check(
        |rig| {
            rig.link("d/in", "second");
            rig.remove("d/in");
            rig.sync_directory("d");
        },
        &[
            ("log", "0123456789"),
            ("old", "old"),
            ("d/", ""),
            ("second", "in"),
        ],
    );
}

#[test]
fn a_hole_and_a_copy_are_writes() {
    check_undone(|rig| {
        rig.punch("log", 2, 5);
        rig.copy("log", "old", 1, 9);
        rig.punch("log", 0, 10);
    });
    let files = [
        ("log", "01\0\0\0\0\x00789"),
        ("old", "o1"),
        ("d/", ""),
        ("d/in", "in"),
    ];
    check(
        |rig| {
            rig.punch("log", 2, 5);
            rig.sync("log");
            rig.copy("log", "old", 1, 1);
            rig.set_length("old", 2);
            rig.sync("old");
            rig.copy("log", "old", 0, 10);
        },
        &files,
    );
}

#[test]
fn an_exchange_happens_on_both_sides_or_on_none() {
    check_undone(|rig| rig.exchange("log", "d/in"));
    check_undone(|rig| {
        rig.exchange("old", "d");
        rig.append("d", "not a directory".as_bytes());
        rig.rename("old/in", "log");
        rig.exchange("d", "log");
    });
    let exchanged = [
        ("log", "in"),
        ("old", "old"),
        ("d/", ""),
        ("d/in", "0123456789"),
    ];
    for folder in ["", "d"] {
        check(
            |rig| {
                rig.exchange("log", "d/in");
                rig.sync_directory(folder);
                rig.exchange("log", "old");
            },
            &exchanged,
        );
    }
    check(
        |rig| {
            rig.make_directory("e");
            rig.create("e/new");
            rig.exchange("e/new", "log");
            rig.sync_directory("");
        },
        &[
            ("log", ""),
            ("old", "old"),
            ("d/", ""),
            ("d/in", "in"),
            ("e/", ""),
            ("e/new", "0123456789"),
        ],
    );
}

#[test]
fn symbolic_links_are_names_too() {
    check_undone(|rig| rig.symlink("log", "latest"));
    check_undone(|rig| {
        rig.symlink("log", "latest");
        rig.symlink("nowhere", "l2");
        rig.rename("l2", "latest");
        rig.remove("latest");
    });
}

#[test]
fn a_removal_that_failed_is_not_remembered() {
    let mut rig = Rig::with(filled);
    rig.announce_removal("d");
    rig.journal.cancel();
    rig.announce_removal("old");
    rig.journal.cancel();
    assert_eq!(rig.journal.unsynced(), Unsynced::default());
    let metadata = fs::metadata(rig.root.join("old")).unwrap();
    assert_eq!(metadata.nlink(), 1, "nothing is left in the graveyard");
    rig.journal.roll_back(Survival::None, 1).unwrap();
    assert_eq!(rig.listing(), expected(FILLED));
}

#[test]
fn what_a_failed_sync_should_have_written_stays_lost() {
    check_undone(|rig| {
        rig.append("log", b"abc");
        rig.write("log", 0, b"X");
        rig.fail_sync("log");
        rig.append("log", b"def");
    });
    check(
        |rig| {
            rig.append("log", b"abc");
            rig.write("log", 4, b"ABC");
            rig.fail_sync("log");
            rig.append("log", b"def");
            rig.write("log", 5, b"Y");
            rig.sync("log");
        },
        &with(&[("log", "01234Y6789\0\0\0def")]),
    );
}

#[test]
fn a_slow_sync_makes_durable_only_what_came_before_it_was_asked_for() {
    check(
        |rig| {
            let (file, root) = (rig.inode("log"), rig.inode(""));
            rig.append("log", b"abc");
            rig.create("early");
            let mark = rig.journal.mark();
            rig.append("log", b"def");
            rig.create("late");
            rig.journal.did_sync(file, mark);
            rig.journal.did_sync_directory(root, mark);
        },
        &with(&[("log", "0123456789abc"), ("early", "")]),
    );
}

#[test]
fn a_slow_sync_that_fails_loses_only_what_came_before_it_was_asked_for() {
    check(
        |rig| {
            let file = rig.inode("log");
            rig.append("log", b"abc");
            let mark = rig.journal.mark();
            rig.append("log", b"def");
            rig.journal.forget_writes(file, mark);
            rig.sync("log");
        },
        &with(&[("log", "0123456789\0\0\0def")]),
    );
}

#[test]
fn a_slow_sync_leaves_nothing_out_that_was_joined_meanwhile() {
    let limits = Limits {
        operations: 8,
        ..Limits::default()
    };
    let mut rig = Rig::with_journal(filled, |journal| journal.with_limits(limits));
    let file = rig.inode("log");
    rig.append("log", b"abc");
    let mark = rig.journal.mark();
    for _ in 0..8 {
        rig.append("log", b"x");
    }
    rig.journal.did_sync(file, mark);
    rig.journal.roll_back(Survival::None, 1).unwrap();
    let held = rig.listing().remove("log").flatten().unwrap();
    assert!(held.starts_with(b"0123456789abc"), "{held:?}");
}

#[test]
fn lost_writes_are_not_among_the_survivors() {
    for draw in 0..50 {
        let mut rig = Rig::with(filled);
        rig.append("log", b"abc");
        rig.fail_sync("log");
        rig.append("log", b"def");
        rig.journal.roll_back(Survival::Subset(1000), draw).unwrap();
        assert_eq!(
            rig.listing(),
            expected(&with(&[("log", "0123456789\0\0\0def")]))
        );
    }
}

#[test]
fn a_parked_file_is_told_from_one_with_two_names() {
    let mut rig = Rig::with(filled);
    let inode = rig.inode("old");
    rig.remove("old");
    assert!(rig.journal.is_parked(inode));
    rig.sync_directory("");
    assert!(!rig.journal.is_parked(inode));
}

#[test]
fn a_prefix_ends_anywhere_and_draws_repeat() {
    let mut lengths = BTreeSet::new();
    for draw in 0..60 {
        let run = || {
            let mut rig = Rig::with(filled);
            for _ in 0..5 {
                rig.append("log", b"+");
            }
            let effect = rig.journal.roll_back(Survival::Prefix, draw).unwrap();
            let length = rig.listing()["log"].clone().unwrap().len();
            assert_eq!(effect.lost_bytes as usize, 15 - length);
            assert_eq!(effect.files.is_empty(), effect.lost == 0);
            length
        };
        let length = run();
        assert_eq!(length, run());
        lengths.insert(length);
    }
    assert_eq!(lengths, (10..=15).collect());
}

#[test]
fn a_torn_write_leaves_some_whole_sectors() {
    let mut seen = BTreeSet::new();
    for draw in 0..100 {
        let mut rig = Rig::new();
        rig.create("f");
        rig.append("f", &[1; 100]);
        rig.sync("f");
        rig.append("f", &[2; 1500]);
        let effect = rig.journal.roll_back(Survival::Torn, draw).unwrap();
        let bytes = rig.listing()["f"].clone().unwrap();
        assert!(bytes.len() >= 100 && bytes[..100] == [1; 100]);
        assert!(bytes.len() <= 1600);
        let mut sectors: Vec<_> = bytes[100..].iter().enumerate().collect();
        sectors.sort_by_key(|(at, _)| (at + 100) / 512);
        for sector in sectors.chunk_by(|a, b| (a.0 + 100) / 512 == (b.0 + 100) / 512) {
            assert!(sector.windows(2).all(|pair| pair[0].1 == pair[1].1));
        }
        assert_ne!(bytes, [vec![1; 100], vec![2; 1500]].concat());
        let arrived = bytes.contains(&2);
        assert_eq!((effect.lost, effect.torn), (1, u64::from(arrived)));
        seen.insert(bytes);
    }
    assert!(seen.len() > 5, "{} different states", seen.len());
}

#[test]
fn a_write_that_a_broker_does_without_is_torn_seldom_if_there_is_another() {
    let torn = |has_record: bool, draw| {
        let mut rig = Rig::with(filled);
        for round in 0..20 {
            rig.create("flushed-offset-note.tmp");
            rig.write("flushed-offset-note.tmp", 0, &[b'n'; 1500]);
            rig.rename("flushed-offset-note.tmp", "flushed-offset-note");
            if has_record && round % 10 == 5 {
                rig.append("log", &[b'r'; 1500]);
            }
        }
        let undone = rig.journal.undo().unwrap();
        let log = rig.inode("log");
        let fates = fates(&undone.steps, &undone.paths, Survival::Torn, draw);
        let at = fates.iter().position(|fate| matches!(fate, Fate::Torn(_)));
        let at = at.unwrap();
        let is_record = matches!(undone.steps[at], Step::Write { inode, .. } if inode == log);
        (at, is_record)
    };
    let drawn = |has_record, draws| (0..draws).map(move |draw| torn(has_record, draw));
    let (records, notes): (Vec<_>, Vec<_>) = drawn(true, 160).partition(|(_, is)| *is);
    let seldom = 160 / 16..=160 / 5;
    assert!(seldom.contains(&notes.len()), "{} of 160", notes.len());
    let different = |drawn: Vec<(usize, bool)>| drawn.into_iter().collect::<BTreeSet<_>>().len();
    assert!(different(notes) > 5);
    assert_eq!(different(records), 2, "either of the two");
    let (records, notes): (Vec<_>, Vec<_>) = drawn(false, 20).partition(|(_, is)| *is);
    assert!(records.is_empty() && different(notes) > 5);
}

#[test]
fn a_full_journal_joins_appends_before_it_writes_back() {
    let limits = Limits {
        operations: 100,
        ..Limits::default()
    };
    let mut rig = Rig::with_journal(filled, |journal| journal.with_limits(limits));
    for _ in 0..500 {
        rig.append("log", b"0");
        rig.append("old", b"1");
    }
    assert!(rig.journal.unsynced().operations <= 100);
    assert_eq!(rig.journal.unsynced().bytes, 1000, "nothing is durable");
    for round in 0..300 {
        rig.write("log", round % 7, b"x");
    }
    assert!(rig.journal.unsynced().operations <= 100);
    rig.journal.roll_back(Survival::None, 1).unwrap();
    let log = rig.listing()["log"].clone().unwrap();
    assert!(log.starts_with(b"xxxxxxx"), "the oldest became durable");
}

#[test]
fn the_graveyard_vanishes_with_the_journal() {
    let rig = Rig::with(filled);
    let graveyard = rig.root.with_file_name(".d0.graveyard");
    assert!(graveyard.is_dir());
    let Rig {
        journal, _folder, ..
    } = rig;
    drop(journal);
    assert!(!graveyard.exists());
}

#[test]
fn what_is_synced_after_the_power_went_is_gone() {
    check(
        |rig| {
            rig.append("log", b"ab");
            rig.sync("log");
            rig.append("log", b"cd");
            rig.journal.lose_power();
            rig.sync("log");
            rig.create("new");
            rig.sync_directory("");
        },
        &with(&[("log", "0123456789ab")]),
    );
}

#[test]
fn what_is_synced_is_durable_if_the_power_stayed() {
    let mut rig = Rig::with(filled);
    rig.append("log", b"ab");
    rig.journal.lose_power();
    rig.sync("log");
    assert_ne!(rig.journal.unsynced(), Unsynced::default());
    rig.journal.keep_power();
    assert_eq!(rig.journal.unsynced(), Unsynced::default());
    rig.append("log", b"cd");
    rig.sync("log");
    assert_eq!(rig.journal.unsynced(), Unsynced::default());
}

#[test]
fn only_files_that_a_broker_does_without_are_not_missed() {
    let lose = |act: &dyn Fn(&mut Rig)| {
        let mut rig = Rig::with(filled);
        act(&mut rig);
        let effect = rig.journal.roll_back(Survival::None, 1).unwrap();
        (effect.lost > 0, effect.missed)
    };
    let note = |rig: &mut Rig| {
        rig.create("flushed-offset-note.tmp");
        rig.write("flushed-offset-note.tmp", 0, b"t 0 7");
        rig.rename("flushed-offset-note.tmp", "flushed-offset-note");
    };
    assert_eq!(lose(&note), (true, 0));
    let twice = |rig: &mut Rig| {
        note(rig);
        note(rig);
    };
    assert_eq!(lose(&twice), (true, 0), "the first one has no name left");
    let index = |rig: &mut Rig| {
        rig.create("d/0.index");
        rig.write("d/0.index", 0, b"01234567");
    };
    assert_eq!(lose(&index), (true, 0));
    let record = |rig: &mut Rig| {
        twice(rig);
        rig.write("log", 10, b"more");
    };
    assert_eq!(lose(&record), (true, 1));
}
