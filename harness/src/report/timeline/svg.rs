//! The canvas: a time axis, a growing stack of lanes, and the few shapes that they need.

use std::fmt::Write as _;

/// The width of the picture, in its own units.
const WIDTH: f64 = 1080.0;
/// Where the time axis begins: the labels stand left of it.
pub(super) const LEFT: f64 = 118.0;
const RIGHT: f64 = WIDTH - 14.0;
const AXIS_HEIGHT: f64 = 26.0;
/// The distances between two ticks that may be chosen, in seconds.
const TICKS: &[u64] = &[1, 2, 5, 10, 20, 30, 60, 120, 300, 600];
const TICKS_MAX: u64 = 16;

/// Time to horizontal position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    end: u64,
}

impl Axis {
    /// An axis from zero to `end`, in nanoseconds; `end` is positive.
    pub(super) fn new(end: u64) -> Self {
        Self { end }
    }

    /// The end of the axis.
    pub(super) fn end(self) -> u64 {
        self.end
    }

    /// The position of a moment.
    pub(super) fn x(self, nanos: u64) -> f64 {
        LEFT + (RIGHT - LEFT) * (nanos.min(self.end) as f64 / self.end as f64)
    }

    fn ticks(self) -> Vec<u64> {
        let seconds = self.end / 1_000_000_000;
        let step = TICKS
            .iter()
            .find(|step| seconds / **step <= TICKS_MAX)
            .copied();
        let step = step.unwrap_or(seconds.div_ceil(TICKS_MAX).max(1));
        (0..=seconds).step_by(step as usize).collect()
    }
}

/// A growing picture.
#[derive(Debug)]
pub(super) struct Canvas {
    pub(super) axis: Axis,
    body: String,
    bottom: f64,
}

impl Canvas {
    /// An empty picture.
    pub(super) fn new(axis: Axis) -> Self {
        Self {
            axis,
            body: String::new(),
            bottom: 4.0,
        }
    }

    /// Where the next lane begins.
    pub(super) fn bottom(&self) -> f64 {
        self.bottom
    }

    /// Takes a lane of this height and gives its top.
    pub(super) fn lane(&mut self, height: f64) -> f64 {
        let top = self.bottom;
        self.bottom += height + 8.0;
        top
    }

    /// A rectangle between two moments.
    pub(super) fn bar(&mut self, class: &str, span: (u64, u64), top: f64, height: f64) {
        let (from, until) = (self.axis.x(span.0), self.axis.x(span.1));
        let width = (until - from).max(1.0);
        self.put(format_args!(
            concat!(
                r#"<rect class="{}" x="{:.1}" y="{:.1}" "#,
                r#"width="{:.1}" height="{:.1}"/>"#
            ),
            class, from, top, width, height
        ));
    }

    /// A text at a position.
    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let text = escape(text);
        self.put(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{text}</text>"#
        ));
    }

    /// The label of a lane, left of the axis.
    pub(super) fn label(&mut self, y: f64, text: &str) {
        let text = escape(text);
        let x = LEFT - 8.0;
        self.put(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="end">{text}</text>"#
        ));
    }

    /// A line through points.
    pub(super) fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        if points.len() < 2 {
            return;
        }
        let mut list = String::new();
        for (x, y) in points {
            let _ = write!(list, "{x:.1},{y:.1} ");
        }
        let list = list.trim_end();
        self.put(format_args!(
            r#"<polyline class="{class}" points="{list}"/>"#
        ));
    }

    fn put(&mut self, shape: std::fmt::Arguments<'_>) {
        // Writing into a string cannot fail.
        let _ = self.body.write_fmt(shape);
        self.body.push('\n');
    }

    /// Closes the picture with its axis; `label` is what it shows, for those who do not see it.
    pub(super) fn finish(mut self, label: &str) -> String {
        let bottom = self.bottom;
        let mut grid = String::new();
        for second in self.axis.ticks() {
            let x = self.axis.x(second * 1_000_000_000);
            let _ = writeln!(
                grid,
                r#"<line class="grid" x1="{x:.1}" y1="0" x2="{x:.1}" y2="{bottom:.1}"/>"#
            );
            self.text("soft", x - 4.0, bottom + 14.0, &format!("{second} s"));
        }
        let height = bottom + AXIS_HEIGHT;
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
             aria-label=\"{}\">\n\
             {PATTERNS}\n{grid}{}</svg>",
            escape(label),
            self.body
        )
    }
}

const PATTERNS: &str = r#"<defs>
<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse"
 patternTransform="rotate(45)"><line class="hatch-line" x1="0" y1="0" x2="0" y2="6"/></pattern>
<pattern id="cross" width="8" height="8" patternUnits="userSpaceOnUse"
><path class="cross-line" d="M0 0L8 8M8 0L0 8"/></pattern>
</defs>"#;

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_runs_from_the_labels_to_the_margin() {
        let axis = Axis::new(10);
        assert!((axis.x(0) - LEFT).abs() < 1e-9);
        assert!((axis.x(10) - RIGHT).abs() < 1e-9);
        assert!(axis.x(99) <= RIGHT);
    }

    #[test]
    fn any_length_has_a_readable_number_of_ticks() {
        for seconds in [0, 1, 3, 29, 400, 90_000] {
            let ticks = Axis::new(seconds * 1_000_000_000 + 1).ticks();
            assert!(
                (1..=TICKS_MAX as usize + 2).contains(&ticks.len()),
                "{seconds}: {ticks:?}"
            );
        }
    }

    #[test]
    fn text_cannot_break_out_of_the_picture() {
        let mut canvas = Canvas::new(Axis::new(1));
        canvas.text("soft", 0.0, 0.0, "<script>&");
        assert!(canvas.finish("").contains("&lt;script&gt;&amp;"));
    }
}
