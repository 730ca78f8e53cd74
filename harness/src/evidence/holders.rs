//! Who had a record when: what each node did with its partition, and whether it has it at the end.
//!
//! In: the looks at the nodes, their lines, the faults, and what their logs hold. Out: one row for
//! each node, from shortly before the first operation of the witness to shortly after its last.
//! Invariant: a moment is something that was seen; a log that ends before the offset lacks the
//! record, and of one that ends behind it only its records say more.

use checkers::history::{FaultClass, NemesisEvent, Phase};

use crate::evidence::Holder;
use crate::evidence::looks::Look;
use crate::evidence::node_log::Line;
use crate::evidence::segments::AllHeld;
use crate::evidence::subject::Subject;
use crate::run::events::{NodeSample, ProcessState};

/// How far a row goes beyond the operations of the witness, in milliseconds.
const AROUND_MS: u64 = 500;
/// Moments of one node: the last ones, which are nearest to the loss.
const MOMENTS_MAX: usize = 24;

/// Lines that say where the log of a partition ends, and what that was.
const ENDS: &[(&str, &str)] = &[
    ("the torn tail of a crash was cut off", "recovers"),
    ("truncates its log", "truncates"),
    ("starts its log anew", "starts anew"),
    (": leads partition=", "leads"),
    (": follows partition=", "follows"),
];

/// What is known of a run beside its verdict.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) nodes: u32,
    /// The looks at the nodes, and what they did for the subject's topic.
    pub(super) looks: &'a [Look],
    pub(super) lines: &'a [Line],
    /// The faults, with their times in nanoseconds.
    pub(super) faults: &'a [(u64, NemesisEvent)],
    pub(super) held: &'a AllHeld,
    /// When the last operation was over, in milliseconds.
    pub(super) end_ms: u64,
}

/// One row for each node; `moments` are the times of the witness, in milliseconds.
pub(super) fn holders(known: &Known<'_>, subject: &Subject, moments: &[u64]) -> Vec<Holder> {
    let first = moments.iter().min().copied().unwrap_or(0);
    let last = moments.iter().max().copied().unwrap_or(known.end_ms);
    let from_ms = first.saturating_sub(AROUND_MS);
    let window = from_ms..=(last + AROUND_MS).min(known.end_ms);
    let holder = |node: i32| {
        let held = known.held.get(&(node, subject.key.to_string()));
        let at_end = held.map(|held| held.has(subject.offset, subject.value));
        if !is_replica(known, subject, node) && held.is_none_or(|held| held.records.is_empty()) {
            return Holder {
                node,
                moments: vec![(from_ms, "has no replica".to_owned())],
                at_end,
            };
        }
        let mut moments = roles(known, subject, node, from_ms);
        moments.extend(losses(known, subject, node));
        moments.extend(ends(known, subject, node));
        moments.retain(|(at_ms, _)| window.contains(at_ms));
        moments.sort_by_key(|(at_ms, _)| *at_ms);
        moments.dedup_by(|later, earlier| says_no_more(&later.1, &earlier.1));
        moments.drain(..moments.len().saturating_sub(MOMENTS_MAX));
        if let Some(has) = at_end {
            let word = if has { "has it" } else { "lacks it" };
            moments.push((known.end_ms, word.to_owned()));
        }
        Holder {
            node,
            moments,
            at_end,
        }
    };
    (1..=known.nodes as i32).map(holder).collect()
}

/// Whether the later of two words that follow each other adds nothing: the same, the role that a
/// line has told already, or the same end of the log in another epoch.
fn says_no_more(later: &str, earlier: &str) -> bool {
    let end_of = |word: &str| {
        let (role, rest) = word.split_once(" in epoch ")?;
        Some((role.to_owned(), rest.split_once(": ")?.1.to_owned()))
    };
    let is_told = |role: &str| end_of(earlier).is_some_and(|(told, _)| told == role);
    let is_same_end = end_of(later).is_some_and(|end| Some(end) == end_of(earlier));
    later == earlier || is_told(later) || is_same_end
}

/// Whether the node ever had to do with the partition.
fn is_replica(known: &Known<'_>, subject: &Subject, node: i32) -> bool {
    let partition = subject.key.partition();
    let samples = known.looks.iter().flat_map(|look| &look.nodes);
    let mut samples = samples.filter(|sample| sample.node == node);
    let had = |sample: &NodeSample| {
        sample.leads.contains(&partition) || sample.in_sync.contains(&partition)
    };
    samples.any(had) || !ends(known, subject, node).is_empty()
}

/// What the node was for the partition, as often as that changed.
fn roles(known: &Known<'_>, subject: &Subject, node: i32, from_ms: u64) -> Vec<(u64, String)> {
    let mut moments: Vec<(u64, String)> = Vec::new();
    for look in known.looks {
        let Some(sample) = look.nodes.iter().find(|sample| sample.node == node) else {
            continue;
        };
        let word = role(sample, subject.key.partition());
        let at_ms = look.time / 1_000_000;
        match moments.last_mut() {
            Some((_, before)) if *before == word => {}
            // What it was when the row begins is told there.
            Some(before) if at_ms <= from_ms => *before = (from_ms, word.to_owned()),
            _ => moments.push((at_ms.max(from_ms), word.to_owned())),
        }
    }
    moments
}

fn role(sample: &NodeSample, partition: i32) -> &'static str {
    match sample.process {
        ProcessState::Dead => "down",
        ProcessState::Paused => "frozen",
        ProcessState::Running if sample.leads.contains(&partition) => "leads",
        ProcessState::Running if sample.in_sync.contains(&partition) => "in sync",
        ProcessState::Running => "out of sync",
    }
}

/// When the node lost what it had written, or had its files changed.
fn losses(known: &Known<'_>, subject: &Subject, node: i32) -> Vec<(u64, String)> {
    let name = format!("n{node}");
    let loss = |(time, fault): &(u64, NemesisEvent)| {
        let what = match fault.class {
            FaultClass::PowerLoss => power_words(fault, subject, node),
            FaultClass::Wipe | FaultClass::Corruption => fault.fault.clone(),
            FaultClass::LyingDisk => "its fsyncs lie".to_owned(),
            _ => return None,
        };
        let is_its = fault.phase == Phase::Prove && fault.nodes().any(|node| node == name);
        is_its.then_some((time / 1_000_000, what))
    };
    known.faults.iter().filter_map(loss).collect()
}

/// What of the partition's log was lost with the power.
fn power_words(fault: &NemesisEvent, subject: &Subject, node: i32) -> String {
    let disks = fault.detail.get("disks").and_then(|disks| disks.as_array());
    let mut disks = disks.into_iter().flatten();
    let log = format!("{}/", subject.key);
    let is_hit = disks.any(|disk| {
        let files = disk.get("files").and_then(|files| files.as_array());
        let mut files = files.into_iter().flatten().filter_map(|file| file.as_str());
        let is_its = disk.get("node").and_then(serde_json::Value::as_i64) == Some(i64::from(node));
        is_its && files.any(|file| file.starts_with(&log) && file.ends_with(".log"))
    });
    if is_hit {
        format!(
            "lost power, and with it what was not fsynced of {}",
            subject.key
        )
    } else {
        "lost power".to_owned()
    }
}

/// Where its log ended by its own words.
fn ends(known: &Known<'_>, subject: &Subject, node: i32) -> Vec<(u64, String)> {
    let partition = format!("partition={}", subject.key);
    let of_node = known.lines.iter();
    let of_node = of_node.filter(|line| line.node == node && line.is_about(&partition));
    let told = |line: &Line| {
        let mut known = ENDS.iter();
        let (_, what) = known.find(|(words, _)| line.text.contains(words))?;
        let end = line.number(" end=")?;
        let lacks = i64::try_from(end).is_ok_and(|end| end <= subject.offset);
        let lacks = if lacks { ", lacks it" } else { "" };
        let epoch = line.number("leader_epoch=");
        let epoch = epoch.map_or(String::new(), |epoch| format!(" in epoch {epoch}"));
        Some((
            line.at_ms?,
            format!("{what}{epoch}: its log ends at {end}{lacks}"),
        ))
    };
    of_node.filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::segments::Held;
    use checkers::history::Key;
    use serde_json::json;

    const SECOND: u64 = 1_000_000_000;

    fn look(time: u64, nodes: [(ProcessState, &[i32], &[i32]); 3]) -> Look {
        let sample =
            |(index, (process, leads, in_sync)): (usize, (_, &[i32], &[i32]))| NodeSample {
                node: index as i32 + 1,
                process,
                is_controller: false,
                leads: leads.to_vec(),
                in_sync: in_sync.to_vec(),
                epochs: Vec::new(),
            };
        Look {
            time: time * SECOND,
            nodes: nodes.into_iter().enumerate().map(sample).collect(),
        }
    }

    fn line(node: i32, at_ms: u64, text: &str) -> Line {
        Line {
            node,
            at_ms: Some(at_ms),
            is_timed: true,
            text: text.to_owned(),
        }
    }

    #[test]
    fn the_story_of_a_record_is_told_node_by_node() {
        use ProcessState::{Dead, Running};
        let looks = [
            look(
                1,
                [
                    (Running, &[0], &[0]),
                    (Running, &[], &[0]),
                    (Running, &[], &[]),
                ],
            ),
            look(
                2,
                [
                    (Running, &[0], &[0]),
                    (Running, &[], &[]),
                    (Running, &[], &[]),
                ],
            ),
            look(
                3,
                [(Dead, &[], &[]), (Running, &[0], &[0]), (Running, &[], &[])],
            ),
        ];
        let lines = [
            line(
                2,
                2_900,
                "INFO b: leads partition=t-0 leader_epoch=4 isr=[2] end=7",
            ),
            line(
                2,
                2_901,
                "INFO b: leads partition=t-01 leader_epoch=4 isr=[2] end=7",
            ),
            line(2, 2_905, "INFO b: leads partition=t-0 leader_epoch=5 end=7"),
            line(
                2,
                4_501,
                "INFO b: leads partition=t-0 leader_epoch=6 end=20",
            ),
            line(1, 3_500, "INFO b: truncates its log partition=t-0 end=9"),
        ];
        let disks = json!({"disks": [{"node": 1, "files": ["t-0/00.log"], "lost_bytes": 5}]});
        let fault = NemesisEvent {
            fault: "power-loss".to_owned(),
            class: FaultClass::PowerLoss,
            phase: Phase::Prove,
            target: json!(["n1"]),
            detail: disks,
        };
        let mut held = AllHeld::new();
        for node in 1..=3 {
            held.insert((node, "t-0".to_owned()), Held::default());
        }
        held.insert((1, "t-0".to_owned()), Held::of([(8, Some(70))]));
        let known = Known {
            nodes: 3,
            looks: &looks,
            lines: &lines,
            faults: &[(3 * SECOND + 1_000_000, fault)],
            held: &held,
            end_ms: 5_000,
        };
        let subject = Subject {
            key: Key::new("t", 0),
            offset: 8,
            value: Some(70),
        };
        let told = holders(&known, &subject, &[2_000, 4_000]);
        let words = |node: usize| -> Vec<(u64, &str)> {
            let moments = told[node].moments.iter();
            moments.map(|(at_ms, word)| (*at_ms, &**word)).collect()
        };
        assert_eq!(
            words(0),
            [
                (1_500, "leads"),
                (3_000, "down"),
                (3_001, "lost power, and with it what was not fsynced of t-0"),
                (3_500, "truncates: its log ends at 9"),
                (5_000, "has it"),
            ]
        );
        assert_eq!(
            words(1),
            [
                (1_500, "in sync"),
                (2_000, "out of sync"),
                (2_900, "leads in epoch 4: its log ends at 7, lacks it"),
                (5_000, "lacks it"),
            ]
        );
        assert_eq!(words(2), [(1_500, "has no replica")]);
        let at_end: Vec<_> = told.iter().map(|holder| holder.at_end).collect();
        assert_eq!(at_end, [Some(true), Some(false), Some(false)]);
    }
}
