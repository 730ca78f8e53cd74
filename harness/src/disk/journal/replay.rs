//! Does the operations again that survive a loss of power.
//!
//! In: a folder in its durable state, the operations that were not durable, and their fates.
//! Out: the folder as the disk shows it when the power is back.
//! Invariant: sectors of 512 bytes are atomic; the length of a torn write may arrive before its
//! bytes, which then are zero or what was there before.

use std::fs::File;
use std::io;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::operation::Step;
use super::spill::{Span, Spill};
use super::survivors::Fate;
use super::tree::Tree;

const SECTOR_BYTES: u64 = 512;

/// Applies each of `steps` as far as its fate allows.
pub(super) fn replay(
    tree: &mut Tree,
    steps: &[Step],
    fates: &[Fate],
    spill: &Spill,
) -> io::Result<()> {
    for (step, fate) in steps.iter().zip(fates) {
        match (step, fate) {
            (_, Fate::Lost) => {}
            (Step::Name(change), _) => tree.redo(change)?,
            (Step::Write { inode, .. } | Step::SetLength { inode, .. }, _) => {
                if let Some(file) = tree.open(*inode)? {
                    change_file(&file, step, *fate, spill)?;
                }
            }
        }
    }
    Ok(())
}

fn change_file(file: &File, step: &Step, fate: Fate, spill: &Spill) -> io::Result<()> {
    match *step {
        Step::Write { offset, bytes, .. } => match fate {
            Fate::Torn(seed) => write_sectors(file, offset, bytes, seed, spill),
            _ => spill.put_back(bytes, file, offset),
        },
        Step::SetLength { length, is_cut, .. } => {
            // Without the writes before it the file may be too short to be cut.
            if is_cut == (file.metadata()?.len() > length) {
                file.set_len(length)?;
            }
            Ok(())
        }
        Step::Name(_) => Ok(()),
    }
}

/// Writes some sectors of a write, never all.
fn write_sectors(
    file: &File,
    offset: u64,
    bytes: Span,
    seed: u64,
    spill: &Spill,
) -> io::Result<()> {
    let end = offset + bytes.length;
    let torn = Torn::draw(offset, bytes.length, seed);
    for sector in torn.arrived {
        let from = offset.max(sector * SECTOR_BYTES);
        let to = end.min((sector + 1) * SECTOR_BYTES);
        let part = Span {
            at: bytes.at + (from - offset),
            length: to - from,
        };
        spill.put_back(part, file, from)?;
    }
    if torn.is_length_kept && file.metadata()?.len() < end {
        file.set_len(end)?;
    }
    Ok(())
}

/// What arrives of a torn write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Torn {
    /// The sectors of the file that arrive.
    arrived: Vec<u64>,
    /// Whether the file is as long as if all had.
    is_length_kept: bool,
}

impl Torn {
    /// Whether any of it arrives.
    pub(super) fn arrives(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// What `seed` lets arrive of the `length` bytes at `offset`: never all.
    pub(super) fn draw(offset: u64, length: u64, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let sectors = offset / SECTOR_BYTES..(offset + length).div_ceil(SECTOR_BYTES);
        if sectors.is_empty() {
            let arrived = Vec::new();
            let is_length_kept = false;
            return Self {
                arrived,
                is_length_kept,
            };
        }
        let missing = rng.random_range(sectors.clone());
        Self {
            arrived: sectors
                .filter(|sector| rng.random::<bool>() && *sector != missing)
                .collect(),
            is_length_kept: rng.random::<bool>(),
        }
    }
}
