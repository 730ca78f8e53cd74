//! Operations a second from memory: linearizability alone, every anomaly together, and the whole
//! way from JSON; the same for a group of consumers with 64 partitions. One thread.
//! The load is that of the reference: half sends, half polls of up to ten records, one in twenty a
//! read of the end; ten clients; one send in a hundred in doubt.
//! Times are those on the CPU, so that a shared machine gives the figures of a quiet one.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks")]

#[path = "../tests/simulate/mod.rs"]
mod simulate;
#[path = "../tests/simulate/group/mod.rs"]
mod simulate_group;
#[path = "../tests/simulate/splitmix.rs"]
mod splitmix;

use std::hint::black_box;
use std::time::{Duration, Instant};

use checkers::contract::Contract;
use checkers::history::{CommitMode, History, OpType};
use checkers::{Prepared, check, check_prepared};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use simulate::Plan;
use simulate_group::GroupPlan;

const OPERATIONS: usize = 1_000_000;

/// The time that this thread was on a CPU, where the kernel tells.
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ')
        .next()?
        .parse()
        .ok()
        .map(Duration::from_nanos)
}

fn timed<T>(times: u64, job: impl Fn() -> T) -> Duration {
    let (cpu, wall) = (cpu_time(), Instant::now());
    (0..times).for_each(|_| drop(black_box(job())));
    cpu.and_then(|before| cpu_time()?.checked_sub(before))
        .unwrap_or_else(|| wall.elapsed())
}

fn benches(criterion: &mut Criterion) {
    for partitions in [1, 64] {
        let (seed, clients, operations) = (1, 10, OPERATIONS);
        let (doubtful, failed) = (1, 1);
        let plan = Plan {
            seed,
            clients,
            partitions,
            operations,
            doubtful,
            failed,
        };
        let history = simulate::history(plan);
        let operations = history.ops.len() as u64 / 2;
        let contract = Contract::of(&history);
        let prepared = Prepared::of(&history);
        let mut group = criterion.benchmark_group(format!("{partitions}-partitions"));
        group
            .sample_size(10)
            .throughput(Throughput::Elements(operations));
        group.bench_function("linearizability", |bench| {
            bench.iter_custom(|times| {
                timed(times, || {
                    assert!(black_box(&prepared).is_linearizable(&contract));
                })
            });
        });
        group.bench_function("all-anomalies", |bench| {
            bench.iter_custom(|times| {
                timed(times, || {
                    check_prepared(&history, black_box(&prepared), &contract)
                })
            });
        });
        group.bench_function("all-anomalies-and-prepare", |bench| {
            bench.iter_custom(|times| timed(times, || check(black_box(&history), &contract)));
        });
        if partitions == 64 {
            let mut json = b"{\"verdict-history\":1}\n".to_vec();
            for op in history.ops.iter().take(200_000) {
                serde_json::to_writer(&mut json, op).expect("writes");
                json.push(b'\n');
            }
            drop((history, prepared));
            group.throughput(Throughput::Elements(100_000));
            group.bench_function("read-json", |bench| {
                bench.iter_custom(|times| {
                    timed(times, || {
                        History::read(black_box(&json[..])).expect("reads")
                    })
                });
            });
        }
        group.finish();
    }
}

/// Members that poll, process record by record and commit.
fn groups(criterion: &mut Criterion) {
    let history = simulate_group::history(GroupPlan {
        seed: 1,
        mode: CommitMode::SyncAfter,
        clients: 8,
        partitions: 64,
        steps: 2 * OPERATIONS,
        cooperative: false,
        churn: 1,
        doubtful: 1,
        asks: 0,
        statics: false,
        stale: false,
    });
    let invoked = history.ops.iter().filter(|op| op.kind == OpType::Invoke);
    let operations = invoked.count() as u64;
    let contract = Contract::of(&history);
    let prepared = Prepared::of(&history);
    let mut group = criterion.benchmark_group("consumer-group");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(operations));
    group.bench_function("all-anomalies", |bench| {
        bench.iter_custom(|times| {
            timed(times, || {
                check_prepared(&history, black_box(&prepared), &contract)
            })
        });
    });
    group.bench_function("all-anomalies-and-prepare", |bench| {
        bench.iter_custom(|times| timed(times, || check(black_box(&history), &contract)));
    });
    group.finish();
}

criterion_group!(checkers, benches, groups);
criterion_main!(checkers);
