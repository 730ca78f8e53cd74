//! `docs/contracts.md`: the table of promises as a page.
//!
//! In: the table. Out: Markdown, one sentence per line. Invariant: the file in the repository is
//! this text; the test that compares them writes it anew with `VERDICT_WRITE_DOCS=1`.

use std::fmt::Write;

use crate::contract::clause::{Clause, Promised};
use crate::contract::{table, tolerance};

const HEAD: &str = "\
# Contracts

What is promised, by settings and by what happened: the table that the checkers judge by, that a
report quotes and that `verdict contract` prints.
This page is written from it (`checkers/src/contract/table/`); `VERDICT_WRITE_DOCS=1 cargo test \
-p verdict-checkers docs` writes it anew.

The first line of a promise that fits decides.
*Kept* means that the anomaly breaks the contract; *free* that it may happen, and that a run in \
which it does not happen has shown nothing about it.
Words in *italics* are filled in from the run.
`copies` is min(min.insync.replicas, replication.factor): the copies without which nothing is \
acknowledged with acks=all, and without which the high watermark stands still, so that no reader \
sees anything new, with any acks.
What happened to nodes is counted for each partition among those that have its copies; where a \
history does not name them, among all.
";

const RULE: &str = "
## How many brokers may fail

> replication factor ≥ min.insync.replicas + tolerated broker failures

With that many replicas of a partition down, acks=all is served.
With one more it is refused (NOT_ENOUGH_REPLICAS), and what was refused is not in the log.
What was acknowledged is on `copies` replicas, so it survives that fewer of them are lost for ever.
New leaders are named by the active controller, which needs a majority of the nodes that vote for \
it: with f brokers down, partitions stay available only if 2 · f < the number of controllers, so \
that surviving f failures takes 2 · f + 1 controllers, however many replicas there are.
Records that are not served meanwhile are kept all the same.
";

/// What no setting, or only a dear one, protects from.
pub const WEAKNESSES: &str = "
## Known weaknesses

- Kafka acknowledges before it fsyncs (`flush.messages` is unbounded by default): when `copies` \
nodes lose their power before the system has written back, acknowledged records may be lost, \
however many replicas there are.
`flush.messages=1` closes this, at the price of an fsync for each batch.
- The last replica standing: with min.insync.replicas=1 the last in-sync replica acknowledges \
alone, and what it acknowledged is lost with it.
With 2 or more, KIP-966 keeps the high watermark where it is, and a replica that stopped uncleanly \
may not lead before those that are eligible.
- A broker that was killed cannot tell that from a loss of power: it counts as one that may have \
lost something, so damage to one replica and kills of the others together may lose records.
- acks=1 and acks=0 promise nothing of what was acknowledged once leaders move; they are the \
controls of the matrix.
What a reader has seen is below the high watermark and stays all the same: two readers never \
contradict each other (`inconsistent-reads`).
";

/// The page.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    page.push_str(RULE);
    page.push('\n');
    page.push_str(&planner());
    page.push_str(WEAKNESSES);
    page.push_str("\n## Promises\n");
    for promised in table::promises() {
        promise(&mut page, promised);
    }
    page.push_str("\n### Every partition serves again once all faults are healed\n\n");
    page.push_str("Otherwise the run ends with exit code 11, unavailable.\n\n");
    clauses(&mut page, table::AVAILABLE_AFTER_HEAL);
    page
}

/// Copies for each number of failures.
fn planner() -> String {
    let mut text =
        "| failures to survive | acknowledged records are kept | and acks=all is served \
                    meanwhile |\n|---|---|---|\n"
            .to_owned();
    for failures in 0..=tolerance::SURVIVED_MAX {
        let answer = |availability| {
            tolerance::smallest(failures, availability).map_or_else(String::new, |settings| {
                let (copies, in_sync) = (settings.replication_factor, settings.min_insync_replicas);
                format!("replication factor {copies}, min.insync.replicas={in_sync}")
            })
        };
        let (durable, available) = (answer(false), answer(true));
        let controllers = 2 * failures + 1;
        let _ = writeln!(
            text,
            "| {failures} | {durable} | {available}, controllers: {controllers} |"
        );
    }
    text
}

fn promise(page: &mut String, promised: &Promised) {
    let names: Vec<String> = promised
        .kinds
        .iter()
        .map(|k| format!("`{}`", k.name()))
        .collect();
    let _ = writeln!(page, "\n### {}\n", promised.words);
    let _ = writeln!(page, "Otherwise: {}.\n", names.join(", "));
    clauses(page, promised.clauses);
}

fn clauses(page: &mut String, clauses: &[Clause]) {
    page.push_str("| if | then | because | source |\n|---|---|---|---|\n");
    for clause in clauses {
        let then = if clause.forbidden { "kept" } else { "free" };
        let because = clause.because.replace(['{', '}'], "*");
        let _ = writeln!(
            page,
            "| {} | {then} | {because} | {} |",
            clause.given.words, clause.source
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::Kind;

    #[test]
    fn docs_say_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/contracts.md");
        if std::env::var_os("VERDICT_WRITE_DOCS").is_some() {
            #[expect(
                clippy::disallowed_methods,
                reason = "the test that compares the page also writes it when asked to"
            )]
            std::fs::write(path, markdown()).expect("can be written");
        }
        let file = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            file == markdown(),
            "docs/contracts.md is not what checkers/src/contract/table/ says; write it anew: \
             VERDICT_WRITE_DOCS=1 cargo test -p verdict-checkers docs"
        );
    }

    #[test]
    fn every_anomaly_is_in_one_promise_and_every_promise_has_an_answer() {
        for kind in Kind::ALL {
            let promises = table::promises();
            let found = promises.filter(|promised| promised.kinds.contains(&kind));
            assert_eq!(found.count(), 1, "{}", kind.name());
        }
        for promised in table::promises() {
            let last = promised.clauses.last().expect("a clause");
            assert_eq!(last.given.words, "otherwise", "{}", promised.words);
        }
    }
}
