//! Which record or offset an anomaly is about.
//!
//! In: an anomaly with its witness. Out: the partition, the offset, and the value if the witness
//! says it; nothing for what is about a group or a silence.

use checkers::anomaly::Kind;
use checkers::history::{Action, Key, Op, Record, RecordValue};
use checkers::verdict::Anomaly;

/// What is looked for in the logs of the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// The partition.
    pub(super) key: Key,
    /// Where the record was, or should be.
    pub(super) offset: i64,
    /// What it carries.
    pub(super) value: Option<u64>,
}

impl Subject {
    /// The record or offset in question.
    pub(super) fn of(anomaly: &Anomaly) -> Option<Self> {
        let is_of_members = anomaly.kind.is_of_groups() && anomaly.kind != Kind::GroupLost;
        if is_of_members || !anomaly.is_placed() {
            return None;
        }
        let ops = anomaly.witness.iter();
        let ops = ops.flat_map(|step| [step.completion.as_ref(), step.invocation.as_ref()]);
        let mut ops = ops.flatten();
        let found = ops.find_map(|op| record_in(op, &anomaly.key, anomaly.offsets));
        let (offset, value) = found.unwrap_or((anomaly.offsets.0, None));
        Some(Self {
            key: anomaly.key.clone(),
            offset,
            value,
        })
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        let Self { key, offset, value } = self;
        match value {
            Some(value) => format!("value {value} at offset {offset} of {key}"),
            None => format!("offset {offset} of {key}"),
        }
    }
}

/// The record of `key` that `op` names, if it is one of those in question.
fn record_in(op: &Op, key: &Key, offsets: (i64, i64)) -> Option<(i64, Option<u64>)> {
    let among = |records: &[Record]| {
        let mut records = records.iter();
        records.find_map(|Record(offset, value)| {
            let RecordValue::Unique(value) = value else {
                return None;
            };
            let is_asked = (offsets.0..=offsets.1).contains(offset);
            is_asked.then_some((*offset, Some(*value)))
        })
    };
    match &op.action {
        Action::Send(sends) => sends.iter().find_map(|send| {
            let offset = send.offset.filter(|_| send.key == *key)?;
            let is_asked = (offsets.0..=offsets.1).contains(&offset);
            is_asked.then_some((offset, Some(send.value)))
        }),
        Action::Poll(poll) => among(poll.records.get(key)?),
        Action::Process(process) => among(process.records.get(key)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use checkers::verdict::Witness;

    fn anomaly(kind: Kind, offsets: (i64, i64), completion: &str) -> Anomaly {
        let completion = serde_json::from_str(completion).expect("an operation");
        Anomaly {
            kind,
            key: Key::new("t", 1),
            offsets,
            explanation: String::new(),
            witness: vec![Witness {
                shows: String::new(),
                invocation: None,
                completion: Some(completion),
                records_left_out: 0,
            }],
        }
    }

    #[test]
    fn the_record_is_the_first_that_the_witness_names_in_the_partition() {
        let acked = r#"{"index":9,"time":1,"process":3,"type":"ok","f":"send",
            "value":[["send","t-0",[29,5]],["send","t-1",[29,294]]]}"#;
        let lost = Subject::of(&anomaly(Kind::LostWrite, (29, 29), acked)).expect("a record");
        assert_eq!(lost.words(), "value 294 at offset 29 of t-1");
        let read = r#"{"index":9,"time":1,"process":3,"type":"ok","f":"poll",
            "value":[["poll",{"t-1":[[28,7],[30,8]]}]]}"#;
        let read_at = |offsets| Subject::of(&anomaly(Kind::Duplicate, offsets, read));
        assert_eq!(read_at((30, 31)).map(|s| s.value), Some(Some(8)));
        let unknown = read_at((29, 29)).expect("an offset");
        assert_eq!(unknown.words(), "offset 29 of t-1");
    }

    #[test]
    fn what_is_about_members_or_time_or_at_no_offset_has_no_record() {
        let op = r#"{"index":9,"time":1,"process":3,"type":"ok","f":"poll","value":[["poll"]]}"#;
        for kind in [
            Kind::DualOwner,
            Kind::StuckGroup,
            Kind::Unavailable,
            Kind::LostWrite,
        ] {
            assert_eq!(Subject::of(&anomaly(kind, (-1, -1), op)), None, "{kind:?}");
        }
    }
}
