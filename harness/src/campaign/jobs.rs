//! How many runs at the same time: as many as the machine has cores and memory for.
//!
//! In: what the machine says. Out: at least one.
//! Invariant: the limit of a container counts, not only the machine's memory.

use std::fs;

/// What one run needs at most, in MiB: five brokers, eight clients, the harness and its history.
const MEMORY_MIB: u64 = 700;

/// The most at the same time.
pub const JOBS_MAX: i64 = 256;

/// One for each core that there is memory for.
pub fn default() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let cgroup = |file| fs::read_to_string(format!("/sys/fs/cgroup/{file}")).unwrap_or_default();
    let limit = left(&cgroup("memory.max"), &cgroup("memory.current"));
    fitting(
        cores,
        [available(&meminfo), limit].into_iter().flatten().min(),
    )
}

fn fitting(cores: usize, free_mib: Option<u64>) -> usize {
    let by_memory = free_mib.map_or(u64::MAX, |free| free / MEMORY_MIB);
    cores
        .min(usize::try_from(by_memory).unwrap_or(usize::MAX))
        .max(1)
}

/// `MemAvailable` of `/proc/meminfo`, in MiB.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// What a control group has left, in MiB; nothing if it has no limit.
fn left(max: &str, current: &str) -> Option<u64> {
    let max: u64 = max.trim().parse().ok()?;
    let current: u64 = current.trim().parse().ok()?;
    Some(max.saturating_sub(current) >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_and_memory_bound_the_runs_at_the_same_time() {
        for (cores, free_mib, wanted) in [
            (8, None, 8),
            (8, Some(100_000), 8),
            (8, Some(1_500), 2),
            (8, Some(100), 1),
        ] {
            assert_eq!(fitting(cores, free_mib), wanted, "{cores} {free_mib:?}");
        }
        let meminfo = "MemTotal: 99 kB\nMemAvailable:    2097152 kB\n";
        assert_eq!(available(meminfo), Some(2_048));
        assert_eq!(left("2147483648\n", "1073741824\n"), Some(1_024));
        assert_eq!(left("max\n", "1073741824\n"), None);
        assert!(default() >= 1);
    }
}
