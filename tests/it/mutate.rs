//! Damage: turns good frames into bad ones, by a seed.

use broker::protocol::versions::SERVED;
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A source of damage.
pub(crate) struct Mutator {
    random: ChaCha8Rng,
    good: Vec<Bytes>,
}

impl Mutator {
    /// Damages the frames in `good`.
    pub(crate) fn new(seed: u64, good: Vec<Bytes>) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            good,
        }
    }

    /// Bytes to write to a connection: a frame of some kind, complete or not.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        match self.below(6) {
            0 => self.cut(),
            1 => self.wrong_length(),
            2 => self.random_body(),
            3 => self.random_bytes(),
            4 => self.huge_number(),
            _ => self.flipped(),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.random.next_u64() % bound as u64) as usize
    }

    fn pick(&mut self) -> Vec<u8> {
        let index = self.below(self.good.len());
        self.good[index].to_vec()
    }

    /// Some bytes of a good frame behind its length replaced.
    fn flipped(&mut self) -> Vec<u8> {
        let mut frame = self.pick();
        for _ in 0..=self.below(4) {
            let at = 4 + self.below(frame.len() - 4);
            frame[at] = self.random.next_u32() as u8;
        }
        frame
    }

    /// Four bytes somewhere in a good frame that are a length of two thousand million.
    fn huge_number(&mut self) -> Vec<u8> {
        let mut frame = self.pick();
        let at = 8 + self.below(frame.len() - 12);
        frame[at..at + 4].copy_from_slice(&i32::MAX.to_be_bytes());
        frame
    }

    /// The beginning of a good frame; half of the time its length says so.
    fn cut(&mut self) -> Vec<u8> {
        let mut frame = self.pick();
        frame.truncate(4 + self.below(frame.len() - 4));
        if self.below(2) == 0 {
            set_length(&mut frame);
        }
        frame
    }

    /// A good frame behind a length that is wrong.
    fn wrong_length(&mut self) -> Vec<u8> {
        let mut frame = self.pick();
        let length = match self.below(3) {
            0 => self.random.next_u32(),
            1 => self.below(2 * frame.len()) as u32,
            _ => 100 << 20,
        };
        frame[..4].copy_from_slice(&length.to_be_bytes());
        frame
    }

    /// The header of a served API, internal ones too, with a body of noise.
    fn random_body(&mut self) -> Vec<u8> {
        let row = SERVED[self.below(SERVED.len())];
        let version = row.min + self.below((row.max - row.min + 1) as usize) as i16;
        let mut frame = vec![0; 4];
        frame.extend((row.api as i16).to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend([0, 0, 0, 1, 0xff, 0xff]);
        // Small numbers decode as lengths and ids; they reach deeper than noise does.
        let noise = self.noise(200).into_iter();
        let smaller: Vec<_> = noise.map(|byte| byte >> self.below(8)).collect();
        frame.extend(smaller);
        set_length(&mut frame);
        frame
    }

    /// No frame at all, most of the time.
    fn random_bytes(&mut self) -> Vec<u8> {
        self.noise(100)
    }

    fn noise(&mut self, bound: usize) -> Vec<u8> {
        let mut noise = vec![0; self.below(bound)];
        self.random.fill_bytes(&mut noise);
        noise
    }
}

fn set_length(frame: &mut [u8]) {
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
}
