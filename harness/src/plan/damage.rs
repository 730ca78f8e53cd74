//! Damage at rest, drawn: what a node finds in its log directories when it starts again.
//!
//! In: a source of draws and whom it meets. Out: faults `damage`. Invariant: only what belongs to
//! topics is damaged; votes and identities are matters of plans of their own.
//! Source: `faults.md` §1.3, D12, D16 to D18; §1.1, P10 and P11.

use rand::{Rng, RngExt};

use crate::nemesis::{Damage, DirectoryPick, FaultSpec, FileKind, Place, Target};
use crate::plan::disk::pick;

/// Files that a broker can make again from others.
const DERIVED: &[FileKind] = &[
    FileKind::Index,
    FileKind::ProducerSnapshot,
    FileKind::EpochCheckpoint,
    FileKind::HighWatermarkCheckpoint,
    FileKind::RecoveryPointCheckpoint,
    FileKind::FlushedNote,
    FileKind::LogStartCheckpoint,
];

/// Bits, tails and files of topics, mostly those of segments.
pub(crate) fn corrupt(rng: &mut impl Rng, target: Target) -> FaultSpec {
    let (files, files_max) = (FileKind::Segment, rng.random_range(1..4));
    let bytes = rng.random_range(1..3_000);
    let damage = match rng.random_range(0..10) {
        0..5 => Damage::FlipBits {
            files,
            files_max,
            bits: rng.random_range(1..4),
            place: pick(
                rng,
                &[
                    Place::Middle,
                    Place::Middle,
                    Place::LastBatch,
                    Place::Anywhere,
                ],
            ),
        },
        5 => Damage::Truncate {
            files,
            files_max,
            bytes,
        },
        6 => Damage::ZeroTail {
            files,
            files_max,
            bytes,
        },
        7 => Damage::FlipBits {
            files: pick(rng, DERIVED),
            files_max,
            bits: rng.random_range(1..4),
            place: Place::Anywhere,
        },
        8 => Damage::RollBack {
            files: pick(rng, DERIVED),
            age_ms: rng.random_range(200..800),
        },
        _ => Damage::Delete {
            files: pick(rng, DERIVED),
        },
    };
    let directory = pick(rng, &[DirectoryPick::All, DirectoryPick::Data]);
    // A clean stop leaves no note to damage.
    let may_be_clean = damage.files() != Some(FileKind::FlushedNote);
    FaultSpec::Damage {
        target,
        directory,
        damage,
        clean: rng.random_ratio(1, 3) && may_be_clean,
    }
}

/// A directory that is empty, old, or another node's. The metadata log is only ever gone as a
/// whole: a node that comes back with an old one forgets what it voted.
pub(super) fn replace(rng: &mut impl Rng, target: Target) -> FaultSpec {
    let (directory, damage) = match rng.random_range(0..6) {
        0 => (DirectoryPick::All, Damage::Wipe),
        1 => {
            let age_ms = rng.random_range(300..1_200);
            let at_rest = rng.random_ratio(1, 2);
            (DirectoryPick::Data, Damage::Backup { age_ms, at_rest })
        }
        2 => {
            let keep_identity = rng.random_ratio(1, 2);
            (DirectoryPick::Data, Damage::Swap { keep_identity })
        }
        _ => (DirectoryPick::Data, Damage::Wipe),
    };
    FaultSpec::Damage {
        target,
        directory,
        damage,
        clean: rng.random_ratio(1, 4),
    }
}

/// The same fault with a copy that is no older than the workload leaves time for.
pub(crate) fn fit(mut what: FaultSpec, age_ms_max: u64) -> FaultSpec {
    if let FaultSpec::Damage {
        damage: Damage::RollBack { age_ms, .. } | Damage::Backup { age_ms, .. },
        ..
    } = &mut what
    {
        *age_ms = age_ms_max.min(*age_ms);
    }
    what
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn every_kind_of_derived_file_is_drawn_and_the_note_only_where_there_is_one() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut drawn = BTreeSet::new();
        for _ in 0..1_000 {
            let what = corrupt(&mut rng, Target::Node { id: 1 });
            let FaultSpec::Damage { damage, clean, .. } = what else {
                panic!("no damage: {what:?}");
            };
            let files = damage.files().expect("files");
            assert!(files != FileKind::FlushedNote || !clean, "{damage:?}");
            drawn.insert(files);
        }
        let wanted = DERIVED
            .iter()
            .chain(&[FileKind::Segment, FileKind::FlushedNote]);
        assert_eq!(drawn, wanted.copied().collect());
    }
}
