//! What the page needs of a history: who did what when, and who owned what, made in one pass.
//!
//! In: the lines of a history, as a stream. Out: for each client the begin, the end and the
//! outcome of its operations, and for each member of a group the spans in which it owned a
//! partition. Records and offsets are dropped, so that memory is some 40 bytes an operation.
//! Invariant: an operation that nobody completed has an unknown outcome, as for the checkers.

mod acts;
mod members;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use checkers::history::{Op, Reader};

pub use acts::{Act, Client, Deed, Outcome};
pub use members::{End, Member, Span};

/// What the page needs of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// The clients, in the order of their numbers.
    pub clients: Vec<Client>,
    /// The members of groups, one entry for each client; its lives follow each other.
    pub members: Vec<Member>,
    /// When each generation of a group was first heard of.
    pub generations: BTreeMap<i32, u64>,
    /// Lines that were read.
    pub lines: u64,
    /// Why the history is not in here, or not all of it.
    pub problem: Option<String>,
}

impl Digest {
    /// The digest of the history at `path`. A history that cannot be read to its end gives what
    /// was read, and says so.
    pub fn read(path: &Path) -> Self {
        let (mut clients, mut members) = (acts::Clients::default(), members::Members::default());
        let mut lines = 0;
        let problem = each_op(path, |op| {
            lines += 1;
            clients.hear(op);
            members.hear(op);
        });
        let (members, generations) = members.finish();
        Self {
            clients: clients.finish(),
            members,
            generations,
            lines,
            problem: problem.err(),
        }
    }
}

/// Hands over every line, and says what stopped it.
fn each_op(path: &Path, mut hear: impl FnMut(&Op)) -> Result<(), String> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| format!("{shown}: {error}"))?;
    let mut reader =
        Reader::new(BufReader::new(file)).map_err(|error| format!("{shown}: {error}"))?;
    loop {
        match reader.next_op() {
            Ok(Some(op)) => hear(&op),
            Ok(None) => return Ok(()),
            Err(error) => return Err(format!("{shown}: {error}")),
        }
    }
}

/// Names in the order of the numbers in them: `client-2` before `client-10`.
fn natural(name: &str) -> (String, u64) {
    let digits = name.len() - name.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (word, number) = name.split_at(digits);
    (word.to_owned(), number.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(lines: &str) -> Digest {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("history.jsonl");
        std::fs::write(&path, format!("{{\"verdict-history\":1}}\n{lines}")).expect("written");
        Digest::read(&path)
    }

    /// One line of a history.
    fn line(index: u64, process: u64, kind: &str, action: &str, node: &str) -> String {
        format!(
            "{{\"index\":{index},\"time\":{},\"process\":{process},\"type\":\"{kind}\",\
             {action},\"node\":\"{node}\"}}\n",
            index * 10
        )
    }

    const SEND: &str = r#""f":"send","value":[["send","t-0",1]]"#;
    const POLL: &str = r#""f":"poll","value":[["poll"]]"#;

    #[test]
    fn operations_have_their_client_their_time_and_their_outcome() {
        let digest = digest(
            &[
                line(0, 1, "invoke", SEND, "client-10"),
                line(1, 2, "invoke", POLL, "client-2"),
                line(2, 1, "fail", SEND, "client-10"),
                line(3, 3, "invoke", POLL, "c4.1"),
                line(4, 3, "ok", POLL, "c4.1"),
                line(5, 4, "invoke", POLL, "c4.2"),
            ]
            .concat(),
        );
        assert_eq!(digest.problem, None);
        let names: Vec<&str> = digest.clients.iter().map(|client| &*client.name).collect();
        assert_eq!(names, ["c4", "client-2", "client-10"]);
        let act = |deed, from, until, outcome| Act {
            deed,
            from,
            until,
            outcome,
        };
        assert_eq!(
            digest.clients[0].acts,
            [
                act(Deed::Poll, 30, Some(40), Outcome::Ok),
                act(Deed::Poll, 50, None, Outcome::Info)
            ],
            "the lives of a client follow each other, and what is never answered is unknown"
        );
        assert_eq!(
            digest.clients[2].acts,
            [act(Deed::Send, 0, Some(20), Outcome::Fail)]
        );
    }

    #[test]
    fn members_own_from_assignment_to_revocation_loss_or_death() {
        let history = include_str!("../../../../checkers/testdata/group-lost/minimal.jsonl");
        let body: String = history
            .lines()
            .skip(1)
            .flat_map(|line| [line, "\n"])
            .collect();
        let digest = digest(&body);
        assert_eq!(digest.problem, None);
        let ends: Vec<End> = digest
            .members
            .iter()
            .flat_map(|member| member.spans.iter().map(|span| span.end))
            .collect();
        assert_eq!(ends, [End::Crashed, End::Open]);
    }

    #[test]
    fn a_history_that_ends_in_rubbish_gives_what_came_before_and_the_line() {
        let good = line(0, 1, "invoke", POLL, "c");
        let digest = digest(&format!("{good}rubbish\n{{}}\n"));
        assert_eq!(digest.clients.len(), 1);
        let problem = digest.problem.expect("a problem");
        assert!(
            problem.contains("history.jsonl") && problem.contains('3'),
            "{problem}"
        );
    }
}
