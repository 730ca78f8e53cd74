//! What the nodes printed around the decisive moments of a witness.
//!
//! In: the lines of all nodes, the partition, the times of the witness. Out: at most
//! [`LINES_MAX`] lines, in the order of time.
//! Invariant: a line about the partition, or a warning, comes before one that is only near.

use crate::evidence::LogLine;
use crate::evidence::node_log::Line;

/// Lines that are told of one anomaly.
const LINES_MAX: usize = 12;
/// How far from a decisive moment a line may be, in milliseconds.
const AROUND_MS: u64 = 1_500;

/// The lines around `moments`, in milliseconds.
pub(super) fn around(lines: &[Line], partition: &str, moments: &[u64]) -> Vec<LogLine> {
    let distance = |at_ms: u64| moments.iter().map(|moment| moment.abs_diff(at_ms)).min();
    let mut near: Vec<(u8, u64, &Line)> = Vec::new();
    for line in lines {
        let Some(far) = line
            .at_ms
            .and_then(distance)
            .filter(|far| *far <= AROUND_MS)
        else {
            continue;
        };
        near.push((rank(line, partition), far, line));
    }
    near.sort_by_key(|(rank, far, _)| (*rank, *far));
    near.truncate(LINES_MAX);
    near.sort_by_key(|(_, _, line)| (line.at_ms, line.node));
    let told = near.into_iter().map(|(_, _, line)| LogLine {
        node: line.node,
        at_ms: line.at_ms.filter(|_| line.is_timed),
        text: line.text.clone(),
    });
    told.collect()
}

/// The smaller, the more a line has to say.
fn rank(line: &Line, partition: &str) -> u8 {
    let is_loud = line.text.starts_with("WARN") || line.text.starts_with("ERROR");
    let is_of_another = !line.is_about(partition) && line.text.contains("partition=");
    match (line.is_about(partition), is_loud) {
        (true, _) => 0,
        (false, true) if !is_of_another => 1,
        (false, false) if !is_of_another => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(node: i32, at_ms: u64, text: &str) -> Line {
        Line {
            node,
            at_ms: Some(at_ms),
            is_timed: true,
            text: text.to_owned(),
        }
    }

    #[test]
    fn lines_of_the_partition_come_first_and_all_are_in_the_order_of_time() {
        let mut lines: Vec<Line> = (0..30)
            .map(|n| {
                line(
                    1,
                    5_000 + n,
                    &format!("INFO x: leads partition=t-{}", n + 20),
                )
            })
            .collect();
        lines.push(line(
            2,
            6_400,
            "INFO x: truncates its log partition=t-1 end=5",
        ));
        lines.push(line(3, 4_000, "WARN y: no quorum"));
        lines.push(line(3, 9_000, "ERROR z: much later"));
        let told = around(&lines, "t-1", &[5_000, 5_010]);
        assert_eq!(told.len(), LINES_MAX);
        assert_eq!(
            told.first().map(|line| &*line.text),
            Some("WARN y: no quorum")
        );
        let last = told.last().expect("lines");
        assert_eq!((last.node, last.at_ms), (2, Some(6_400)));
        assert!(around(&lines, "t-1", &[20_000]).is_empty());
    }
}
