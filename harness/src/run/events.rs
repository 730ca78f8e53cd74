//! `events.jsonl`: what the harness did and saw, on the clock of the history.
//!
//! The report draws its timeline from this file and the history alone. One JSON object a line,
//! `time` in nanoseconds since the start of the run, `event` names the kind. Lines are in the
//! order of their times, but for lines of the same instant.

use serde::{Deserialize, Serialize};

use crate::nemesis::DiskSample;
use crate::recorder::{Clock, LineSender};
use crate::workload::stats::{Counts, Latency};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since the start of the run.
    pub time: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// A phase of the run began.
    Phase {
        /// Which.
        phase: Phase,
    },
    /// A fault went on to its next phase.
    Fault {
        /// The position in the plan's list of faults, from 0.
        number: usize,
        /// The fault, as the history has it: name, class, phase, resolved target, proof.
        #[serde(flatten)]
        fault: checkers::history::NemesisEvent,
    },
    /// What every node does; every 250 ms and when a fault changes phase.
    Nodes {
        /// One entry for each node, by id.
        nodes: Vec<NodeSample>,
    },
    /// Who holds the partitions of a topic beside the plan's own; at first and when that changes.
    Partitions {
        /// The topic.
        topic: String,
        /// One entry for each partition, by index.
        partitions: Vec<PartitionSample>,
    },
    /// What a fault has done so far to the disks it acts on; every 250 ms and when it is healed.
    Disks {
        /// The position in the plan's list of faults, from 0.
        number: usize,
        /// One entry for each disk, with counts since the fault was injected.
        disks: Vec<DiskSample>,
    },
    /// Operations in the bucket of time that ends here; every 250 ms.
    Throughput {
        /// The length of the bucket in nanoseconds.
        bucket: u64,
        /// What was counted in the bucket.
        counts: Counts,
        /// Of the sends acknowledged in the bucket.
        latency: Latency,
    },
    /// Something worth reading beside the rest.
    Note {
        /// A sentence.
        text: String,
    },
}

/// The phases of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Processes start; the cluster does not serve yet.
    Start,
    /// The effective configuration is compared with the plan, and the clients start.
    Assumptions,
    /// Clients work, faults act.
    Workload,
    /// Every fault that still acts is ended.
    Heal,
    /// All nodes, all replicas in sync and progress are waited for.
    Recovery,
    /// Fresh clients read everything.
    Final,
    /// The history is judged.
    Check,
    /// The report is written.
    Report,
}

impl Phase {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Assumptions => "assumptions",
            Self::Workload => "workload",
            Self::Heal => "heal",
            Self::Recovery => "recovery",
            Self::Final => "final reads",
            Self::Check => "check",
            Self::Report => "report",
        }
    }
}

/// What one node does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSample {
    /// Its id.
    pub node: i32,
    /// What its process does.
    pub process: ProcessState,
    /// Whether it is the active controller.
    pub is_controller: bool,
    /// The partitions that it leads.
    pub leads: Vec<i32>,
    /// The leader epoch of each of those, in their order; runs of before epochs were sampled have
    /// none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub epochs: Vec<i32>,
    /// The partitions in whose ISR it is.
    pub in_sync: Vec<i32>,
}

/// Who holds a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionSample {
    /// Its index.
    pub partition: i32,
    /// Its leader, if it has one.
    pub leader: Option<i32>,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The replicas in sync.
    pub isr: Vec<i32>,
}

/// The same events with what the nodes do for `topic`, which is not the plan's own; those of runs
/// that did not sample it say that they do nothing.
pub fn about(events: &[Event], topic: &str) -> Vec<Event> {
    let mut held: &[PartitionSample] = &[];
    let mut about = Vec::with_capacity(events.len());
    for event in events {
        match &event.what {
            What::Partitions {
                topic: of,
                partitions,
            } if of == topic => held = partitions,
            What::Nodes { nodes } => {
                let nodes = nodes.iter().map(|node| node.with(held));
                about.push(Event {
                    time: event.time,
                    what: What::Nodes {
                        nodes: nodes.collect(),
                    },
                });
                continue;
            }
            _ => {}
        }
        about.push(event.clone());
    }
    about
}

impl NodeSample {
    /// The same node with other partitions.
    fn with(&self, held: &[PartitionSample]) -> Self {
        let led = || held.iter().filter(|held| held.leader == Some(self.node));
        let in_sync = held.iter().filter(|held| held.isr.contains(&self.node));
        Self {
            leads: led().map(|held| held.partition).collect(),
            epochs: led().map(|held| held.leader_epoch).collect(),
            in_sync: in_sync.map(|held| held.partition).collect(),
            ..self.clone()
        }
    }
}

/// What a node's process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessState {
    /// It runs.
    Running,
    /// It is stopped by a signal and will go on.
    Paused,
    /// It is gone.
    Dead,
}

/// Stamps events and hands them to the writer.
#[derive(Clone, Debug)]
pub struct EventLog {
    clock: Clock,
    lines: LineSender<Event>,
}

impl EventLog {
    /// Writes into `lines` with the time of `clock`.
    pub fn new(clock: Clock, lines: LineSender<Event>) -> Self {
        Self { clock, lines }
    }

    /// Appends what happened now.
    pub fn append(&self, what: What) {
        self.lines.append(Event {
            time: self.clock.now_nanos(),
            what,
        });
    }

    /// Appends a sentence.
    pub fn note(&self, text: impl Into<String>) {
        self.append(What::Note { text: text.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::rule::DiskId;
    use checkers::history::{FaultClass, NemesisEvent};

    #[test]
    fn events_read_back_as_written() {
        let fault = NemesisEvent {
            fault: "kill".to_owned(),
            class: FaultClass::ProcessCrash,
            phase: checkers::history::Phase::Inject,
            target: "n1".into(),
            detail: serde_json::Value::Null,
        };
        let node = NodeSample {
            node: 1,
            process: ProcessState::Paused,
            is_controller: true,
            leads: vec![0, 3],
            epochs: vec![4, 7],
            in_sync: vec![],
        };
        for what in [
            What::Phase {
                phase: Phase::Final,
            },
            What::Fault { number: 3, fault },
            What::Nodes { nodes: vec![node] },
            What::Disks {
                number: 3,
                disks: vec![DiskSample {
                    disk: DiskId {
                        node: 2,
                        directory: 1,
                    },
                    matched: 9,
                    hits: 8,
                    held: 7,
                }],
            },
            What::Throughput {
                bucket: 250_000_000,
                counts: Counts::default(),
                latency: Latency::default(),
            },
            What::Note {
                text: "hello".to_owned(),
            },
        ] {
            let event = Event { time: 7, what };
            let line = serde_json::to_string(&event).expect("serializes");
            assert_eq!(serde_json::from_str::<Event>(&line).expect(&line), event);
        }
    }

    #[test]
    fn what_nodes_do_for_another_topic_is_told_by_its_partitions() {
        let node = |node| NodeSample {
            node,
            process: ProcessState::Running,
            is_controller: false,
            leads: vec![5],
            epochs: vec![1],
            in_sync: vec![5],
        };
        let looks = |time| Event {
            time,
            what: What::Nodes {
                nodes: vec![node(1), node(2)],
            },
        };
        let held = |time, topic: &str, isr: &[i32]| Event {
            time,
            what: What::Partitions {
                topic: topic.to_owned(),
                partitions: vec![PartitionSample {
                    partition: 0,
                    leader: Some(2),
                    leader_epoch: 3,
                    isr: isr.to_vec(),
                }],
            },
        };
        let events = [
            looks(1),
            held(2, "u", &[1, 2]),
            held(2, "v", &[]),
            looks(3),
            held(4, "u", &[2]),
            looks(5),
        ];
        let about = about(&events, "u");
        let in_sync = about.iter().filter_map(|event| match &event.what {
            What::Nodes { nodes } => Some(nodes.iter().map(|node| node.in_sync.len()).collect()),
            _ => None,
        });
        let in_sync: Vec<Vec<usize>> = in_sync.collect();
        assert_eq!(in_sync, [[0, 0], [1, 1], [0, 1]]);
        let What::Nodes { nodes } = &about[3].what else {
            panic!("{about:?}")
        };
        assert_eq!(
            (&nodes[0].leads[..], &nodes[1].leads[..]),
            (&[][..], &[0][..])
        );
        assert_eq!(nodes[1].epochs, [3]);
    }
}
