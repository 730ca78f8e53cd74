//! What an operation does and where, in the words of a reader rather than in those of the file.

use std::collections::BTreeMap;

use checkers::history::{
    Action, Bound, CommitCall, Key, Position, RebalanceEvent, Record, ResumeSource,
};

use crate::report::words::{count, plain};

/// Records of one partition that are written out.
const RECORDS_MAX: usize = 6;

/// What it does: `send 294`.
pub(in crate::report) fn operation(action: &Action) -> String {
    match action {
        Action::Send(sends) => {
            let values: Vec<String> = sends.iter().map(|send| send.value.to_string()).collect();
            format!("send {}", values.join(", "))
        }
        Action::Poll(_) => "poll".to_owned(),
        Action::ListOffsets(asked) => match asked.first().map(|asked| asked.bound) {
            Some(Bound::Start) => "read the start of the log".to_owned(),
            _ => "read the end of the log".to_owned(),
        },
        Action::Assign(_) => "assign".to_owned(),
        Action::Seek(_) => "seek".to_owned(),
        Action::Subscribe(subscribe) => format!("{} subscribes", subscribe.consumer),
        Action::Leave(leave) => format!("{} leaves", leave.consumer),
        Action::Rebalance(told) => {
            let event = match told.event {
                RebalanceEvent::Assigned => "is assigned",
                RebalanceEvent::Revoked => "gives up",
                RebalanceEvent::Lost => "loses",
            };
            let generation = told.generation;
            format!("{} {event}, generation {generation}", told.consumer)
        }
        Action::Resume(resume) => {
            let source = match resume.source {
                ResumeSource::Committed => "the committed offset",
                ResumeSource::Reset => "auto.offset.reset",
            };
            format!("{} starts from {source}", resume.consumer)
        }
        Action::Process(process) => format!("{} processes", process.consumer),
        Action::Commit(commit) => {
            let call = match commit.mode {
                CommitCall::Sync => "commit_sync",
                CommitCall::Async => "commit_async",
                CommitCall::Auto => "auto commit",
            };
            let generation = commit.generation;
            format!("{} {call}, generation {generation}", commit.consumer)
        }
        Action::Committed(_) => "read the committed offset".to_owned(),
        Action::DeleteOffsets(_) => "delete the committed offset".to_owned(),
        Action::Crash(_) => "crash".to_owned(),
        Action::Admin(value) => plain(value),
        Action::Nemesis(event) => format!("fault {}", event.fault),
    }
}

/// Where, and what came back: `t-0 @ 42`, `t-0 28=581 29=584`.
pub(in crate::report) fn place(action: &Action) -> String {
    match action {
        Action::Send(sends) => join(sends, |send| match send.offset {
            Some(offset) => format!("{} @ {offset}", send.key),
            None => send.key.to_string(),
        }),
        Action::Poll(poll) => records(&poll.records),
        Action::Process(process) => records(&process.records),
        Action::ListOffsets(asked) => join(asked, |asked| match asked.offset {
            Some(offset) => format!("{} → {offset}", asked.key),
            None => asked.key.to_string(),
        }),
        Action::Assign(keys) => join(keys, Key::to_string),
        Action::Seek(moves) => join(moves, |(key, to)| match to {
            Position::Beginning => format!("{key} → beginning"),
            Position::End => format!("{key} → end"),
            Position::Offset(offset) => format!("{key} → {offset}"),
        }),
        Action::Subscribe(subscribe) => subscribe.topics.join(", "),
        Action::Rebalance(told) => join(&told.partitions, Key::to_string),
        Action::Resume(resume) => format!("{} @ {}", resume.key, resume.offset),
        Action::Commit(commit) => {
            join(&commit.offsets, |(key, offset)| format!("{key} → {offset}"))
        }
        Action::Committed(committed) => join(&committed.offsets, |(key, offset)| match offset {
            Some(offset) => format!("{key} → {offset}"),
            None => format!("{key} → none"),
        }),
        Action::DeleteOffsets(deleted) => join(&deleted.keys, Key::to_string),
        Action::Crash(reason) => reason.clone().unwrap_or_default(),
        Action::Nemesis(event) => plain(&event.target),
        Action::Leave(_) | Action::Admin(_) => String::new(),
    }
}

fn join<T>(items: impl IntoIterator<Item = T>, text: impl FnMut(T) -> String) -> String {
    items.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

/// `t-0 28=581 29=584`: offsets with the values that are there.
fn records(records: &BTreeMap<Key, Vec<Record>>) -> String {
    if records.is_empty() {
        return "no record".to_owned();
    }
    join(records, |(key, records)| {
        let shown = records.iter().take(RECORDS_MAX);
        let shown: Vec<String> = shown
            .map(|record| format!("{}={}", record.0, record.1))
            .collect();
        let shown = shown.join(" ");
        match records.len().saturating_sub(RECORDS_MAX) {
            0 => format!("{key} {shown}"),
            more => format!("{key} {shown} and {}", count(more as u64, "more record")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_read_as_sentences_and_places_as_offsets() {
        for (json, wanted) in [
            (
                r#"{"f":"send","value":[["send","t-0",[42,17]]]}"#,
                ("send 17", "t-0 @ 42"),
            ),
            (
                r#"{"f":"send","value":[["send","t-0",17]]}"#,
                ("send 17", "t-0"),
            ),
            (
                r#"{"f":"poll","value":[["poll",{"t-0":[[42,17],[43,9]]}]]}"#,
                ("poll", "t-0 42=17 43=9"),
            ),
            (r#"{"f":"poll","value":[["poll"]]}"#, ("poll", "no record")),
            (
                r#"{"f":"list-offsets","value":[["end","t-0",44]]}"#,
                ("read the end of the log", "t-0 → 44"),
            ),
            (
                r#"{"f":"commit","value":{"consumer":"c4.2","group":"g","mode":"sync",
                    "member":"m","generation":5,
                    "offsets":{"t-0":44}}}"#,
                ("c4.2 commit_sync, generation 5", "t-0 → 44"),
            ),
            (
                r#"{"f":"rebalance","value":{"consumer":"c4.2","group":"g",
                    "event":"lost","member":"m","generation":5,"partitions":["t-0"]}}"#,
                ("c4.2 loses, generation 5", "t-0"),
            ),
            (
                r#"{"f":"resume","value":{"consumer":"c4.2","group":"g","generation":5,
                    "key":"t-0","offset":17,"source":"reset"}}"#,
                ("c4.2 starts from auto.offset.reset", "t-0 @ 17"),
            ),
        ] {
            let action: Action = serde_json::from_str(json).expect(json);
            assert_eq!((&*operation(&action), &*place(&action)), wanted);
        }
    }
}
