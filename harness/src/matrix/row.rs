//! The rows of the matrix: what a user configures and is promised something for.

use std::fmt;
use std::str::FromStr;

use checkers::history::{Acks, CommitMode, Settings};

use crate::cli::Flush;

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// What a log keeps: `acks=all rf=3 min.isr=2 flush=never`.
    Durability {
        /// `acks` of the producers.
        acks: Acks,
        /// Copies of each partition.
        replication_factor: u32,
        /// `min.insync.replicas` of the topic.
        min_insync_replicas: u32,
        /// What is fsynced before it is acknowledged.
        flush: Flush,
    },
    /// What a group skips and repeats: `mode=sync-after`, with acks=all, three copies, two in sync.
    Mode(CommitMode),
}

/// The rows that one run covers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pack {
    /// Every combination of acks, replication factor and min.insync.replicas, each with a topic of
    /// its own, under one flush policy.
    Durability(Flush),
    /// One commit mode.
    Mode(CommitMode),
}

/// Copies of a partition that rows have, and `min.insync.replicas` that they have.
const COPIES: [u32; 3] = [1, 2, 3];

impl Row {
    /// Every row, in the order of the page.
    pub fn all() -> Vec<Self> {
        Pack::ALL.into_iter().flat_map(Pack::rows).collect()
    }

    /// The row of these settings; one with more copies than rows have is in no matrix.
    pub fn of(settings: &Settings) -> Self {
        let copies = (settings.replication_factor, settings.min_insync_replicas);
        match &settings.group {
            Some(group) if settings.acks == Acks::All && copies == (3, 2) => Self::Mode(group.mode),
            _ => Self::Durability {
                acks: settings.acks,
                replication_factor: copies.0,
                min_insync_replicas: copies.1,
                flush: if settings.flush_every_message {
                    Flush::Every
                } else {
                    Flush::Never
                },
            },
        }
    }

    /// The pack that covers it.
    pub fn pack(self) -> Pack {
        match self {
            Self::Durability { flush, .. } => Pack::Durability(flush),
            Self::Mode(mode) => Pack::Mode(mode),
        }
    }
}

impl Pack {
    /// Every pack.
    pub const ALL: [Self; 7] = [
        Self::Mode(CommitMode::AutoInLoop),
        Self::Mode(CommitMode::AutoHandoff),
        Self::Mode(CommitMode::SyncAfter),
        Self::Mode(CommitMode::AsyncAfter),
        Self::Mode(CommitMode::SyncBefore),
        Self::Durability(Flush::Never),
        Self::Durability(Flush::Every),
    ];

    /// Its rows.
    pub fn rows(self) -> Vec<Row> {
        let flush = match self {
            Self::Mode(mode) => return vec![Row::Mode(mode)],
            Self::Durability(flush) => flush,
        };
        let mut rows = Vec::new();
        for acks in [Acks::Zero, Acks::One, Acks::All] {
            for replication_factor in COPIES {
                for min_insync_replicas in COPIES {
                    rows.push(Row::Durability {
                        acks,
                        replication_factor,
                        min_insync_replicas,
                        flush,
                    });
                }
            }
        }
        rows
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Durability {
                acks,
                replication_factor,
                min_insync_replicas,
                flush,
            } => write!(
                f,
                "acks={} rf={replication_factor} min.isr={min_insync_replicas} flush={}",
                word_of(*acks),
                match flush {
                    Flush::Never => "never",
                    Flush::Every => "every",
                }
            ),
            Self::Mode(mode) => write!(f, "mode={}", mode.name()),
        }
    }
}

impl fmt::Display for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Durability(Flush::Never) => f.write_str("durability flush=never"),
            Self::Durability(Flush::Every) => f.write_str("durability flush=every"),
            Self::Mode(mode) => write!(f, "mode={}", mode.name()),
        }
    }
}

impl FromStr for Row {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::all();
        let found = known.iter().copied().find(|row| row.to_string() == text);
        found.ok_or_else(|| {
            format!(
                "no row is called `{text}`; write one such as \
                 `acks=all rf=3 min.isr=2 flush=never` or `mode=sync-after`"
            )
        })
    }
}

impl FromStr for Pack {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|pack| pack.to_string() == text);
        found.ok_or_else(|| {
            let names: Vec<String> = Self::ALL.iter().map(|pack| format!("`{pack}`")).collect();
            format!(
                "no rows are called `{text}`; there are {}",
                names.join(", ")
            )
        })
    }
}

fn word_of(acks: Acks) -> &'static str {
    match acks {
        Acks::Zero => "0",
        Acks::One => "1",
        Acks::All => "all",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_one_name_that_leads_back_to_it() {
        let rows = Row::all();
        assert_eq!(rows.len(), 5 + 2 * 27);
        for row in rows {
            assert_eq!(row.to_string().parse(), Ok(row));
            assert!(row.pack().rows().contains(&row));
        }
        assert!("acks=2".parse::<Row>().is_err());
    }

    #[test]
    fn settings_lead_to_their_row() {
        let mut settings = Settings::default();
        let name = |settings: &Settings| Row::of(settings).to_string();
        assert_eq!(name(&settings), "acks=all rf=3 min.isr=2 flush=never");
        settings.group = Some(checkers::history::GroupSettings::default());
        let mode = CommitMode::default().name();
        assert_eq!(name(&settings), format!("mode={mode}"));
        settings.replication_factor = 5;
        assert!(name(&settings).parse::<Row>().is_err(), "in no matrix");
    }
}
