//! What a checker found: a full count, and the earliest few in detail.
//!
//! "Earliest" is by the event that completes the proof, so that the first finding is the shortest
//! prefix of the history that already shows the anomaly.

/// One anomaly, in terms of positions in the history.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// The offsets in question, first and last; equal for one.
    pub(crate) offsets: (i64, i64),
    /// The operations that prove it, in the order of the proof.
    pub(crate) witness: Vec<Seen>,
    /// The sentence for the report.
    pub(crate) explanation: String,
}

/// One operation of a witness, and what it shows.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Its invocation or completion.
    pub(crate) event: u32,
    /// For the reader: `acknowledges 17 at offset 5`.
    pub(crate) shows: String,
}

impl Seen {
    pub(crate) fn new(event: u32, shows: impl Into<String>) -> Self {
        Self {
            event,
            shows: shows.into(),
        }
    }
}

/// The findings of one checker over all partitions.
#[derive(Debug)]
pub(crate) struct Findings {
    /// How many there are.
    pub(crate) count: u64,
    /// Why the checker could not decide, if so.
    pub(crate) problem: Option<String>,
    /// Whether something is wrong that no later event can mend, although it may be late only with
    /// most anomalies of this kind.
    pub(crate) is_final: bool,
    kept: Vec<(u32, usize, Finding)>,
    kept_max: usize,
    partition: usize,
}

impl Findings {
    /// Keeps at most `kept_max` in detail.
    pub(crate) fn new(kept_max: usize) -> Self {
        Self {
            count: 0,
            problem: None,
            is_final: false,
            kept: Vec::new(),
            kept_max,
            partition: 0,
        }
    }

    /// What is reported from here on belongs to this partition.
    pub(crate) fn enter(&mut self, partition: usize) {
        self.partition = partition;
    }

    /// Counts an anomaly that event `at` proved; `make` runs only if it is kept.
    pub(crate) fn report(&mut self, at: u32, make: impl FnOnce() -> Finding) {
        self.count += 1;
        let place = self.kept.partition_point(|(kept_at, ..)| *kept_at <= at);
        if place < self.kept_max {
            self.kept.insert(place, (at, self.partition, make()));
            self.kept.truncate(self.kept_max);
        }
    }

    /// Notes that there is something that cannot be decided.
    pub(crate) fn give_up(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    /// The kept findings, earliest first, each with its partition.
    pub(crate) fn into_kept(self) -> impl Iterator<Item = (usize, Finding)> {
        self.kept
            .into_iter()
            .map(|(_, partition, finding)| (partition, finding))
    }
}
