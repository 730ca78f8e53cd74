//! What was read against what was sent: byte for byte, and in order in each partition.

use std::collections::BTreeMap;

use libtest_mimic::Failed;

use crate::text::Line;

/// A key and a value.
pub(crate) type Pair<'a> = (&'a [u8], &'a [u8]);

/// Checks the consumer's `output` against the lines `sent`; the partitions must agree exactly,
/// since an idempotent producer leaves no duplicate.
///
/// # Errors
/// The first difference.
pub(crate) fn compare(sent: &[Line], output: &[Vec<u8>]) -> Result<(), Failed> {
    let expected = by_partition(sent, output)?;
    let mut read: BTreeMap<i32, Vec<Pair>> = BTreeMap::new();
    for line in output {
        let (partition, key, value) = fields(line)?;
        read.entry(partition).or_default().push((key, value));
    }
    for (partition, expected) in &expected {
        let read = read.get(partition).map_or(&[][..], Vec::as_slice);
        let at = expected
            .iter()
            .zip(read)
            .position(|(expected, read)| expected != read);
        if let Some(at) = at {
            let show = |of: &[Pair]| of.get(at).map(|line| line.1.escape_ascii().to_string());
            let (wanted, got) = (show(expected), show(read));
            return Err(
                format!("partition {partition}, {at}: sent {wanted:?}, read {got:?}").into(),
            );
        }
        if expected.len() != read.len() {
            let (sent, read) = (expected.len(), read.len());
            return Err(format!("partition {partition}: {sent} sent, {read} read").into());
        }
    }
    Ok(())
}

/// The lines `sent` by partition: that in which their key is in the `records` that were read.
///
/// # Errors
/// A key that is in two partitions, or in none.
pub(crate) fn by_partition<'a>(
    sent: &'a [Line],
    records: impl IntoIterator<Item = &'a Vec<u8>>,
) -> Result<BTreeMap<i32, Vec<Pair<'a>>>, Failed> {
    let mut place_of_key = BTreeMap::new();
    for line in records {
        let (partition, key, _) = fields(line)?;
        let place = *place_of_key.entry(key).or_insert(partition);
        if place != partition {
            return Err(format!("{} is in {place} and {partition}", key.escape_ascii()).into());
        }
    }
    let mut sent_to: BTreeMap<i32, Vec<Pair>> = BTreeMap::new();
    for line in sent {
        let key = line.key.as_bytes();
        let place = *place_of_key
            .get(key)
            .ok_or_else(|| format!("{} was lost", line.key))?;
        sent_to.entry(place).or_default().push((key, &line.value));
    }
    Ok(sent_to)
}

/// Splits a line of a consumer.
pub(crate) fn fields(line: &[u8]) -> Result<(i32, &[u8], &[u8]), Failed> {
    let mut fields = line.splitn(3, |byte| *byte == b'\t');
    let (partition, key, value) = (fields.next(), fields.next(), fields.next());
    let partition = partition.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    match (partition, key, value) {
        (Some(partition), Some(key), Some(value)) => Ok((partition, key, value)),
        _ => Err(format!("no record: {}", line.escape_ascii()).into()),
    }
}
