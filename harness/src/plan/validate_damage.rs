//! Which damage at rest and which limits of resources make no sense in a plan.
//!
//! In: a fault of a plan. Out: its first field that cannot be carried out, with the remedy.
//! Invariant: what passes here can have an effect on some cluster of this plan.

use crate::nemesis::{Damage, FaultSpec, FileKind, Place, Target};
use crate::plan::validate::{Complaint, out_of_range, range};
use crate::plan::validate_disk::holding;
use crate::plan::{Plan, ScheduledFault};

/// More would make a plan that nobody can read the effect of.
const FILES_MAX: u64 = 1_000;
/// Larger than any file of a run.
const BYTES_MAX: u64 = 1 << 30;

/// The first field that cannot be carried out; its path begins after `what`.
pub(super) fn complaint(plan: &Plan, fault: &ScheduledFault) -> Option<Complaint> {
    match &fault.what {
        FaultSpec::Damage {
            directory,
            damage,
            clean,
            ..
        } => amounts(damage)
            .or_else(|| place(damage))
            .or_else(|| left_by_stop(damage, *clean))
            .or_else(|| age(plan, fault, damage))
            .or_else(|| neighbour(plan, damage))
            .or_else(|| holding(plan, directory)),
        FaultSpec::FileLimit { files, .. } => {
            out_of_range([range("files", *files, 0, 1 << 20)].into_iter())
        }
        FaultSpec::AddressSpace { mebibytes, .. } => {
            out_of_range([range("mebibytes", *mebibytes, 0, 1 << 20)].into_iter())
        }
        FaultSpec::MinIsr { target, replicas } => min_isr(plan, target, *replicas),
        FaultSpec::Cpu { percent, .. } => {
            out_of_range([range("percent", *percent, 1, 99)].into_iter())
        }
        _ => None,
    }
}

/// What is stored is judged by the value that the plan has for a topic, so nothing may take it
/// while the value is another.
fn min_isr(plan: &Plan, target: &Target, replicas: i16) -> Option<Complaint> {
    if *target != Target::All {
        let remedy = "it concerns every partition; name the role all";
        return Some(Complaint::new("target", target, remedy));
    }
    let takes = |fault: &&ScheduledFault| fault.takes_data();
    if let Some(other) = plan.faults.iter().find(takes) {
        let other = other.what.name();
        let remedy = format!("the plan also has {other}, which is judged by one value; drop one");
        return Some(Complaint::new("fault", "min-isr", remedy));
    }
    out_of_range([range("replicas", replicas, 1, 9)].into_iter())
}

fn amounts(damage: &Damage) -> Option<Complaint> {
    let ranges = match damage {
        Damage::FlipBits {
            files_max, bits, ..
        } => vec![
            range("damage.files_max", *files_max, 1, FILES_MAX),
            range("damage.bits", *bits, 1, FILES_MAX),
        ],
        Damage::Truncate {
            files_max, bytes, ..
        }
        | Damage::ZeroTail {
            files_max, bytes, ..
        } => vec![
            range("damage.files_max", *files_max, 1, FILES_MAX),
            range("damage.bytes", *bytes, 1, BYTES_MAX),
        ],
        _ => vec![],
    };
    out_of_range(ranges.into_iter())
}

fn place(damage: &Damage) -> Option<Complaint> {
    let Damage::FlipBits { files, place, .. } = damage else {
        return None;
    };
    match place {
        Place::Anywhere => None,
        Place::Below(share) | Place::Above(share) => {
            out_of_range([range("damage.place", *share, 1, 99)].into_iter())
        }
        Place::Middle | Place::LastBatch => {
            let has_batches = matches!(files, FileKind::Segment | FileKind::MetadataLog);
            let remedy = "only the files segment and metadata-log consist of batches";
            (!has_batches).then(|| Complaint::new("damage.place", format!("{place:?}"), remedy))
        }
    }
}

/// Files that a node leaves only when it is stopped in one of the two ways.
fn left_by_stop(damage: &Damage, clean: bool) -> Option<Complaint> {
    let remedy = match (damage.files()?, clean) {
        (FileKind::ShutdownMarker, false) => {
            "without clean: true there is no marker of a clean shutdown to damage"
        }
        // Rolled back, one from before the stop is there.
        (FileKind::FlushedNote, true) if damage.age_ms() == 0 => {
            "a clean shutdown leaves no note to damage"
        }
        _ => return None,
    };
    Some(Complaint::new("clean", clean, remedy))
}

fn age(plan: &Plan, fault: &ScheduledFault, damage: &Damage) -> Option<Complaint> {
    let end = plan.time.workload_ms;
    let span = fault.at_ms.checked_add(fault.for_ms);
    let span = span.and_then(|span| span.checked_add(damage.age_ms()));
    let remedy =
        format!("at_ms, age_ms and for_ms together must not exceed time.workload_ms {end}");
    let is_late = span.is_none_or(|span| span > end);
    is_late.then(|| Complaint::new("damage.age_ms", damage.age_ms(), remedy))
}

fn neighbour(plan: &Plan, damage: &Damage) -> Option<Complaint> {
    let is_alone = plan.cluster.nodes < 2 && matches!(damage, Damage::Swap { .. });
    let remedy = "a cluster of one node has no other directory to swap with";
    is_alone.then(|| Complaint::new("damage.do", "swap", remedy))
}

/// Two faults `min-isr` at once: each would put back what the other has set.
pub(super) fn overlapping_changes(plan: &Plan) -> Option<Complaint> {
    let faults = plan.faults.iter().enumerate();
    let of_min_isr = faults.filter(|(_, fault)| matches!(fault.what, FaultSpec::MinIsr { .. }));
    let mut changes: Vec<(usize, &ScheduledFault)> = of_min_isr.collect();
    changes.sort_by_key(|(_, fault)| fault.at_ms);
    changes.windows(2).find_map(|pair| {
        let [(earlier, first), (later, second)] = pair else {
            return None;
        };
        let until = first.heal_ms(&plan.cluster)?;
        let remedy = format!(
            "faults[{earlier}] changes min.insync.replicas until {until}, and of two changes at \
             once each would put back what the other has set; it must begin later"
        );
        let complaint = Complaint::new(format!("faults[{later}].at_ms"), second.at_ms, remedy);
        (second.at_ms <= until).then_some(complaint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nemesis::{DirectoryPick, Target};
    use crate::plan::profile::PROFILES;

    fn remedy_of(what: FaultSpec) -> Option<String> {
        let plan = Plan::draw_with(1, &PROFILES[0], 5_000);
        let fault = ScheduledFault {
            at_ms: 1_000,
            for_ms: 1_000,
            draw: 0,
            when: None,
            what,
        };
        complaint(&plan, &fault)
            .map(|complaint| format!("{}: {}", complaint.field, complaint.value))
    }

    fn damage(damage: Damage) -> FaultSpec {
        FaultSpec::Damage {
            target: Target::Random,
            directory: DirectoryPick::Any,
            damage,
            clean: false,
        }
    }

    fn flips(files: FileKind, place: Place, bits: u32) -> FaultSpec {
        damage(Damage::FlipBits {
            files,
            files_max: 1,
            bits,
            place,
        })
    }

    fn min_isr_of(target: Target, replicas: i16) -> FaultSpec {
        FaultSpec::MinIsr { target, replicas }
    }

    #[test]
    fn nothing_takes_stored_records_while_min_isr_is_not_what_they_are_judged_by() {
        let loss = crate::plan::profile::find("power-loss-all").expect("a profile");
        let kill = crate::plan::profile::find("kill").expect("a profile");
        for (profile, is_refused) in [(kill, false), (loss, true)] {
            let mut plan = Plan::draw(3, profile);
            let changed = ScheduledFault {
                what: min_isr_of(Target::All, 1),
                for_ms: 1_000,
                ..plan.faults[0].clone()
            };
            plan.faults.push(changed);
            let checked = plan.check(std::path::Path::new("p.json"));
            let said = checked.err().map_or(String::new(), |said| said.to_string());
            assert_eq!(said.contains("judged by one value"), is_refused, "{said}");
        }
    }

    #[test]
    fn two_changes_of_min_isr_at_once_are_refused() {
        for (begins, is_refused) in [(0, true), (1_500, true), (2_000, true), (2_001, false)] {
            let mut plan = Plan::draw_with(1, crate::plan::profile::find("none").unwrap(), 5_000);
            let change = |at_ms| ScheduledFault {
                at_ms,
                for_ms: 1_000,
                draw: 0,
                when: None,
                what: min_isr_of(Target::All, 1),
            };
            plan.faults = vec![change(1_000), change(begins)];
            let said = plan.check(std::path::Path::new("p.json")).err();
            let said = said.map_or(String::new(), |said| said.to_string());
            assert_eq!(
                said.contains("at_ms") && said.contains("at once"),
                is_refused,
                "{said}"
            );
        }
    }

    #[test]
    fn what_could_never_act_is_refused_with_its_field() {
        let target = || Target::Random;
        let backup = |age_ms| Damage::Backup {
            age_ms,
            at_rest: false,
        };
        let note = |clean| FaultSpec::Damage {
            target: target(),
            directory: DirectoryPick::All,
            damage: Damage::Delete {
                files: FileKind::FlushedNote,
            },
            clean,
        };
        let elsewhere = FaultSpec::Damage {
            target: target(),
            directory: DirectoryPick::Holding {
                topic: "other".into(),
                partition: 0,
            },
            damage: Damage::Wipe,
            clean: false,
        };
        for (what, expected) in [
            (flips(FileKind::Segment, Place::Middle, 1), None),
            (
                flips(FileKind::Index, Place::Middle, 1),
                Some("damage.place: Middle"),
            ),
            (
                flips(FileKind::Index, Place::Above(100), 1),
                Some("damage.place: 100"),
            ),
            (
                flips(FileKind::Index, Place::Anywhere, 0),
                Some("damage.bits: 0"),
            ),
            (damage(backup(3_000)), None),
            (damage(backup(3_001)), Some("damage.age_ms: 3001")),
            (
                damage(backup(u64::MAX)),
                Some("damage.age_ms: 18446744073709551615"),
            ),
            (
                damage(Damage::Delete {
                    files: FileKind::ShutdownMarker,
                }),
                Some("clean: false"),
            ),
            (note(false), None),
            (note(true), Some("clean: true")),
            (elsewhere, Some("directory.holding.topic: \"other\"")),
            (
                FaultSpec::Cpu {
                    target: target(),
                    percent: 100,
                },
                Some("percent: 100"),
            ),
            (
                FaultSpec::FileLimit {
                    target: target(),
                    files: 0,
                },
                None,
            ),
            (min_isr_of(Target::All, 1), None),
            (min_isr_of(Target::All, 0), Some("replicas: 0")),
            (min_isr_of(target(), 1), Some("target: a random node")),
        ] {
            assert_eq!(remedy_of(what.clone()).as_deref(), expected, "{what:?}");
        }
    }
}
