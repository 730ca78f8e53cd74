//! One lane for each client and kind of operation: a bar for what took effect, a cross for what
//! certainly did not, a diamond for what nobody knows; a density where there are too many.
//!
//! In: the digest of the history. Invariant: what failed or is in doubt is drawn with its own
//! shape at any density, so that a lane without crosses and diamonds had none.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::report::digest::{Act, Client, Deed, Digest, Outcome};
use crate::report::timeline::svg::{Canvas, Glyph, LEFT, RIGHT};
use crate::report::words::thousands;

const HEIGHT: f64 = 14.0;
/// Lanes that are drawn.
const LANES_MAX: usize = 48;
/// Operations over all lanes that are drawn one by one.
const DRAWN_MAX: usize = 8_000;
/// Operations of one lane that are drawn one by one: more would run into each other.
const DRAWN_OF_LANE_MAX: usize = 260;
/// The width of a column of a density.
const COLUMN: f64 = 3.0;

/// How many lanes and operations a picture has room for.
#[derive(Debug)]
pub(super) struct Room {
    lanes: usize,
    /// Operations of one lane that are drawn one by one.
    one_by_one: usize,
    left_out: usize,
}

impl Room {
    /// The room of a picture of these clients.
    pub(super) fn of(digest: &Digest) -> Self {
        let lanes: usize = digest
            .clients
            .iter()
            .map(|client| split(client).len())
            .sum();
        Self {
            lanes: LANES_MAX,
            one_by_one: DRAWN_OF_LANE_MAX.min(DRAWN_MAX / lanes.clamp(1, LANES_MAX)),
            left_out: 0,
        }
    }

    /// Takes the room of a lane, if there is any left; else the lane is counted as left out.
    pub(super) fn take(&mut self) -> bool {
        let has_room = self.lanes > 0;
        if has_room {
            self.lanes -= 1;
        } else {
            self.left_out += 1;
        }
        has_room
    }

    /// How many lanes had no room.
    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }
}

/// One lane for each deed of the client.
pub(super) fn lanes(canvas: &mut Canvas, client: &Client, room: &mut Room) {
    for (deed, acts) in split(client) {
        if room.take() {
            lane(canvas, &client.name, deed, &acts, room.one_by_one);
        }
    }
}

fn split(client: &Client) -> BTreeMap<Deed, Vec<Act>> {
    let mut by_deed: BTreeMap<Deed, Vec<Act>> = BTreeMap::new();
    for act in &client.acts {
        by_deed.entry(act.deed).or_default().push(*act);
    }
    by_deed
}

fn lane(canvas: &mut Canvas, client: &str, deed: Deed, acts: &[Act], max: usize) {
    let top = canvas.ground(HEIGHT);
    canvas.note(top + 10.5, &format!("{client} {}", deed.name()));
    let of = |outcome| acts.iter().filter(|act| act.outcome == outcome).count() as u64;
    canvas.open(&format!(
        "{client} {}: {} ok, {} failed, {} unknown",
        deed.name(),
        thousands(of(Outcome::Ok)),
        thousands(of(Outcome::Fail)),
        thousands(of(Outcome::Info))
    ));
    let middle = top + HEIGHT / 2.0;
    if acts.len() <= max {
        one_by_one(canvas, acts, middle);
    } else {
        dense(canvas, acts, middle);
    }
    signs(canvas, acts, middle);
    canvas.close();
    canvas.closer();
}

/// A bar from the invocation to the completion of each operation that took effect, and a dashed
/// line for how long nobody knew of the others.
fn one_by_one(canvas: &mut Canvas, acts: &[Act], middle: f64) {
    let (mut known, mut unknown) = (String::new(), String::new());
    for act in acts {
        let from = canvas.axis.x(act.from);
        let until = canvas.axis.x(act.until.unwrap_or(canvas.axis.end()));
        let path = match act.outcome {
            Outcome::Ok => &mut known,
            Outcome::Info => &mut unknown,
            Outcome::Fail => continue,
        };
        let _ = write!(
            path,
            "M{from:.1} {middle:.1}h{:.1}",
            (until - from).max(1.2)
        );
    }
    canvas.path("op-ok", &known);
    canvas.path("op-wait", &unknown);
}

/// How many took effect in each column of time, on a logarithmic scale.
fn dense(canvas: &mut Canvas, acts: &[Act], middle: f64) {
    let mut columns: BTreeMap<u32, u64> = BTreeMap::new();
    for act in acts.iter().filter(|act| act.outcome == Outcome::Ok) {
        *columns.entry(column(canvas, act)).or_default() += 1;
    }
    let most = columns.values().max().copied().unwrap_or(1) as f64;
    let mut path = String::new();
    for (column, number) in columns {
        let share = (1.0 + number as f64).ln() / (1.0 + most).ln();
        let half = (HEIGHT / 2.0 - 1.5) * share;
        let x = LEFT + f64::from(column) * COLUMN;
        let _ = write!(path, "M{x:.1} {:.1}v{:.1}", middle - half, 2.0 * half);
    }
    canvas.path("op-dense", &path);
}

/// A cross or a diamond for each that failed or is in doubt, at most one of each a column.
fn signs(canvas: &mut Canvas, acts: &[Act], middle: f64) {
    for (outcome, glyph, class) in [
        (Outcome::Fail, Glyph::Cross, "op-fail"),
        (Outcome::Info, Glyph::Diamond, "op-info"),
    ] {
        let mut columns: Vec<u32> = acts
            .iter()
            .filter(|act| act.outcome == outcome)
            .map(|act| column(canvas, act))
            .collect();
        columns.sort_unstable();
        columns.dedup();
        let sign = |column: &u32| glyph.path(LEFT + f64::from(*column) * COLUMN, middle);
        let path: String = columns.iter().map(sign).collect();
        canvas.path(class, &path);
    }
}

/// The column of the moment at which it was known how it ended, or of its begin if it never was.
fn column(canvas: &Canvas, act: &Act) -> u32 {
    let x = canvas.axis.x(act.until.unwrap_or(act.from));
    ((x.min(RIGHT) - LEFT) / COLUMN) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::timeline::svg::Axis;

    fn acts(number: u64, fail_every: u64) -> Vec<Act> {
        let act = |index: u64| Act {
            deed: Deed::Send,
            from: index * 1000,
            until: Some(index * 1000 + 500),
            outcome: if index % fail_every == 3 {
                Outcome::Fail
            } else {
                Outcome::Ok
            },
        };
        (0..number).map(act).collect()
    }

    fn drawn(acts: Vec<Act>) -> String {
        let end = acts.len() as u64 * 1000;
        let client = Client {
            name: "client-1".into(),
            acts,
        };
        let digest = Digest {
            clients: vec![client],
            ..Digest::default()
        };
        let mut canvas = Canvas::new(Axis::new(end));
        let mut room = Room::of(&digest);
        lanes(&mut canvas, &digest.clients[0], &mut room);
        assert_eq!(room.left_out(), 0);
        canvas.finish("", "")
    }

    #[test]
    fn few_operations_are_drawn_one_by_one_and_each_outcome_has_its_shape() {
        let picture = drawn(acts(10, 10));
        let bars = picture
            .lines()
            .find(|line| line.contains("op-ok"))
            .expect("bars");
        assert_eq!(bars.matches('M').count(), 9);
        assert!(
            picture.contains("op-fail") && !picture.contains("op-info"),
            "{picture}"
        );
        assert!(
            picture.contains("client-1 send: 9 ok, 1 failed, 0 unknown"),
            "{picture}"
        );
    }

    #[test]
    fn a_hundred_thousand_operations_are_a_density_that_still_shows_each_failure() {
        let picture = drawn(acts(100_000, 50_000));
        assert!(picture.contains("op-dense") && !picture.contains("op-ok"));
        let crosses = picture
            .lines()
            .find(|line| line.contains("op-fail"))
            .expect("crosses");
        assert_eq!(crosses.matches('M').count(), 2);
        assert!(picture.len() < 20_000, "{} bytes", picture.len());
    }
}
