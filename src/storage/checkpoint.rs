//! The checkpoint files: offsets of partitions and leader epochs, as text.
//!
//! In: values; out: Kafka's format: a line with the version 0, a line with the number of entries,
//! one entry a line; then a line with a checksum, which Kafka's has not. Invariant: parsing is
//! strict, so a torn, flipped or foreign file is noticed. Source: Kafka's `CheckpointFile`,
//! `OffsetCheckpointFile`, `LeaderEpochCheckpointFile`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::str::FromStr;

use crate::id::TopicPartition;
use crate::log::{EpochCache, EpochEntry};
use crate::offset::Offset;

use super::sealed_text::{seal, unseal};

/// An offset for each log of a directory.
pub(super) type Offsets = BTreeMap<TopicPartition, Offset>;

/// The high watermarks.
pub(super) const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// The offsets below which logs are known to be durable.
pub(super) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// The first offset of each log that can be read.
pub(super) const LOG_STARTS: &str = "log-start-offset-checkpoint";

pub(super) fn format_offsets(offsets: &Offsets) -> String {
    let mut text = format!("0\n{}\n", offsets.len());
    for (log, offset) in offsets {
        let _ = writeln!(text, "{} {} {offset}", log.topic, log.partition);
    }
    seal(&text)
}

pub(super) fn parse_offsets(content: &[u8]) -> Result<Offsets, String> {
    let mut offsets = Offsets::new();
    for line in entries(content)? {
        let mut fields = line.split(' ');
        let topic = fields.next().filter(|topic| !topic.is_empty());
        let topic = topic.ok_or_else(|| format!("no topic in {line:?}"))?;
        let partition = number(&mut fields, line)?;
        let offset = number(&mut fields, line)?;
        end(&mut fields, line)?;
        offsets.insert(TopicPartition::new(topic, partition), offset);
    }
    Ok(offsets)
}

pub(super) fn format_epochs(epochs: &EpochCache) -> String {
    let mut text = format!("0\n{}\n", epochs.entries().len());
    for entry in epochs.entries() {
        let _ = writeln!(text, "{} {}", entry.epoch, entry.start_offset);
    }
    seal(&text)
}

pub(super) fn parse_epochs(content: &[u8]) -> Result<EpochCache, String> {
    let mut epochs = EpochCache::default();
    for line in entries(content)? {
        let mut fields = line.split(' ');
        let epoch = number(&mut fields, line)?;
        let start_offset = number(&mut fields, line)?;
        end(&mut fields, line)?;
        let entry = EpochEntry {
            epoch,
            start_offset,
        };
        let latest = epochs.entries().last();
        let grows = latest.is_none_or(|latest| {
            latest.epoch < entry.epoch && latest.start_offset < entry.start_offset
        });
        if !grows || !epochs.assign(entry.epoch, entry.start_offset) {
            return Err(format!("epochs must grow, but found {line:?}"));
        }
    }
    Ok(epochs)
}

fn entries(content: &[u8]) -> Result<Vec<&str>, String> {
    let text = unseal(content)?;
    let body = text.strip_suffix('\n').ok_or("the last line is cut off")?;
    let mut lines = body.split('\n');
    if lines.next() != Some("0") {
        return Err("the first line must be the version 0".to_owned());
    }
    let count = lines.next().and_then(|line| line.parse::<usize>().ok());
    let entries: Vec<&str> = lines.collect();
    if count != Some(entries.len()) {
        let found = entries.len();
        return Err(format!(
            "{found} entries, but the second line says {count:?}"
        ));
    }
    Ok(entries)
}

fn number<'a, T: FromStr>(
    fields: &mut impl Iterator<Item = &'a str>,
    line: &str,
) -> Result<T, String> {
    let field = fields.next().and_then(|field| field.parse().ok());
    field.ok_or_else(|| format!("a number is missing in {line:?}"))
}

fn end<'a>(fields: &mut impl Iterator<Item = &'a str>, line: &str) -> Result<(), String> {
    match fields.next() {
        None => Ok(()),
        Some(_) => Err(format!("too many fields in {line:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_have_kafkas_form_and_read_back() {
        let mut offsets = Offsets::new();
        offsets.insert(TopicPartition::new("a", 0), 5);
        offsets.insert(TopicPartition::new("b-1", 11), 0);
        let text = format_offsets(&offsets);
        assert_eq!(text, seal("0\n2\na 0 5\nb-1 11 0\n"));
        assert_eq!(parse_offsets(text.as_bytes()), Ok(offsets));
        assert_eq!(parse_offsets(seal("0\n0\n").as_bytes()), Ok(Offsets::new()));
    }

    #[test]
    fn every_cut_of_a_file_is_noticed() {
        let whole = seal("0\n2\n3 10\n7 25\n");
        parse_epochs(whole.as_bytes()).unwrap();
        for length in 0..whole.len() {
            assert!(
                parse_epochs(&whole.as_bytes()[..length]).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn foreign_content_is_refused() {
        for text in [
            "1\n0\n",
            "0\n-1\n",
            "0\n1\n",
            "0\n1\na b c\n",
            "0\n1\na 1 2 3\n",
            "0\n1\n 1 2\n",
        ] {
            assert!(parse_offsets(seal(text).as_bytes()).is_err(), "{text:?}");
        }
        for text in ["0\n2\n3 10\n3 11\n", "0\n2\n3 10\n4 10\n", "0\n1\n-1 0\n"] {
            assert!(parse_epochs(seal(text).as_bytes()).is_err(), "{text:?}");
        }
    }
}
