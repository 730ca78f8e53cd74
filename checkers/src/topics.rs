//! Judging a run of several topics: each by its own contract, the run by the worst of them.
//!
//! In: a history. Out: one verdict for each topic, and one for all.
//! Invariant: the verdict for all is never better than that of any topic, and every anomaly that
//! breaks a promise counts in it.

use crate::anomaly::Kind;
use crate::check::{EXAMPLES_MAX, check};
use crate::contract::Contract;
use crate::history::History;
use crate::verdict::{Check, Counts, Validity, Verdict};

/// What one topic of a history says.
#[derive(Debug)]
pub struct TopicVerdict {
    /// The topic's name.
    pub topic: String,
    /// What was done to it.
    pub history: History,
    /// The judgement by its own contract.
    pub verdict: Verdict,
}

/// Judges every topic of a history by its own contract; none for a history of one topic.
pub fn check_topics(history: &History) -> Vec<TopicVerdict> {
    let judged = |(topic, history): (String, History)| TopicVerdict {
        topic,
        verdict: check(&history, &Contract::of(&history)),
        history,
    };
    history.by_topic().into_iter().map(judged).collect()
}

/// The verdict on all topics together; nothing without topics.
pub fn worst_of(topics: &[TopicVerdict]) -> Option<Verdict> {
    let worst = topics.iter().max_by_key(|topic| topic.verdict.validity)?;
    let mut whole = worst.verdict.clone();
    let all = || topics.iter().map(|topic| &topic.verdict);
    whole.counts = Counts::default();
    for verdict in all() {
        add(&mut whole.counts, &verdict.counts);
    }
    let checks = Kind::ALL.into_iter().flat_map(|kind| {
        let of_kind = all().flat_map(|verdict| &verdict.checks);
        let of_kind = of_kind.filter(|check| check.anomaly == kind).cloned();
        let (broken, mut others): (Vec<_>, Vec<_>) = of_kind.partition(Check::is_broken);
        if !broken.is_empty() {
            others.retain(|check| check.count > 0);
        }
        [merged(broken), merged(others)].into_iter().flatten()
    });
    whole.checks = checks.collect();
    let is_sound = whole.validity == Validity::Valid;
    whole.sentence = if is_sound {
        whole.kept_of(topics.len())
    } else {
        let of_worst = |topic: &&TopicVerdict| topic.verdict.validity == whole.validity;
        let others = topics.iter().filter(of_worst).count() - 1;
        let others = match others {
            0 => String::new(),
            1 => " One other topic is no better.".to_owned(),
            others => format!(" {others} other topics are no better."),
        };
        format!("{}: {}{others}", worst.topic, worst.verdict.sentence)
    };
    Some(whole)
}

/// One check for those of several topics: of those that found something, if there are any.
fn merged(checks: Vec<Check>) -> Option<Check> {
    let rank = |check: &Check| (check.count > 0, check.promise.forbidden);
    let worst = checks.iter().map(rank).max()?;
    let mut like_worst = checks.iter().filter(|check| rank(check) == worst).cloned();
    let mut whole = like_worst.next()?;
    for check in like_worst {
        whole.count += check.count;
        whole.examples.extend(check.examples);
    }
    whole.examples.truncate(EXAMPLES_MAX);
    whole.problem = checks.into_iter().find_map(|check| check.problem);
    Some(whole)
}

fn add(sum: &mut Counts, more: &Counts) {
    sum.events += more.events;
    sum.partitions += more.partitions;
    sum.acknowledged += more.acknowledged;
    sum.failed += more.failed;
    sum.unknown += more.unknown;
    sum.read += more.read;
    sum.end_reads += more.end_reads;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two topics; the one that is SENT has a record at offset 0 that a reader does not find: a
    /// later one took its place.
    const LOSS: &str = include_str!("../testdata/two-topics.jsonl");

    fn judged(lost_of: &str) -> (Vec<TopicVerdict>, Verdict) {
        let text = LOSS.replace("SENT", lost_of);
        let history = History::read(text.as_bytes()).expect("reads");
        let topics = check_topics(&history);
        let whole = worst_of(&topics).expect("two topics");
        (topics, whole)
    }

    #[test]
    fn what_one_topic_may_lose_another_must_keep() {
        let (topics, whole) = judged("weak");
        let codes: Vec<u8> = topics.iter().map(|t| t.verdict.exit_code()).collect();
        assert_eq!((codes, whole.exit_code()), (vec![0, 0], 0));
        assert!(whole.shows_loss(), "{}", whole.sentence);
        let (topics, whole) = judged("safe");
        let codes: Vec<u8> = topics.iter().map(|t| t.verdict.exit_code()).collect();
        assert_eq!((codes, whole.exit_code()), (vec![10, 0], 10));
        assert!(whole.sentence.starts_with("safe: "), "{}", whole.sentence);
        assert_eq!(whole.counts.acknowledged, 3, "of both");
    }
}
