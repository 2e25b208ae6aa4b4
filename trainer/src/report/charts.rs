//! Charts as inline SVG in the style of the page: lines, spots with intervals, a square diagram.

use std::fmt::Write;

use super::bars::linear_marks;
use crate::metrics::Reliability;
use crate::util::text::{escape, short};

/// Okabe and Ito's colours, which stay apart for colour-blind eyes.
const COLOURS: [&str; 3] = ["#0072b2", "#d55e00", "#009e73"];
const LEFT: f64 = 62.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 44.0;

/// A chart's place on the page and its axes.
struct Axes {
    size: (f64, f64),
    x: (f64, f64),
    y: (f64, f64),
}

impl Axes {
    fn x(&self, value: f64) -> f64 {
        let part = (value - self.x.0) / (self.x.1 - self.x.0);
        LEFT + part * (self.size.0 - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value - self.y.0) / (self.y.1 - self.y.0);
        self.size.1 - BOTTOM - part * (self.size.1 - TOP - BOTTOM)
    }

    /// Grid, marks and names of both axes.
    fn open(&self, names: (&str, &str), marks: &[(f64, String)]) -> String {
        let (width, height) = self.size;
        let mut svg = format!("<svg class=chart viewBox='0 0 {width} {height}' role=img>");
        let step = nice((self.y.1 - self.y.0) / 4.0);
        let first = (self.y.0 / step - 1e-9).ceil() as i64;
        for value in (first..).map(|i| i as f64 * step).take_while(|v| *v <= self.y.1 + step * 1e-6) {
            let at = self.y(value);
            let span = width - LEFT - RIGHT;
            _ = write!(svg, "<path class=grid d='M{LEFT} {at:.1}h{span}'/>");
            _ = write!(
                svg,
                "<text class=y x='{}' y='{:.1}'>{}</text>",
                LEFT - 6.0,
                at + 4.0,
                mark(value, step)
            );
        }
        for (place, label) in marks {
            let (x, y) = (self.x(*place), height - BOTTOM + 17.0);
            _ = write!(svg, "<text class=x x='{x:.1}' y='{y}'>{}</text>", escape(label));
        }
        let (middle, centre) = ((LEFT + width - RIGHT) / 2.0, (TOP + height - BOTTOM) / 2.0);
        let (x, y) = names;
        _ = write!(svg, "<path class=axis d='M{LEFT} {}H{}'/>", height - BOTTOM, width - RIGHT);
        _ = write!(svg, "<text class='x name' x='{middle}' y='{}'>{x}</text>", height - 6.0);
        _ = write!(svg, "<text class='x name' transform='translate(13 {centre}) rotate(-90)'>{y}</text>");
        svg
    }
}

/// The next of 1, 2, 5 times a power of ten.
fn nice(rough: f64) -> f64 {
    let power = 10f64.powf(rough.max(1e-12).log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|n| n * power).find(|n| *n >= rough).unwrap_or(10.0 * power)
}

/// A mark's label, with as many digits as its step needs.
fn mark(value: f64, step: f64) -> String {
    if step >= 1.0 {
        return short(value);
    }
    if step < 1e-3 {
        return if value == 0.0 { "0".into() } else { format!("{value:.1e}") };
    }
    format!("{value:.*}", (-step.log10()).ceil() as usize)
}

/// Lines over the batches of a run.
pub struct Lines<'a> {
    pub lines: Vec<(&'a str, Vec<(f64, f64)>)>,
    pub x: &'a str,
    pub y: &'a str,
}

impl Lines<'_> {
    /// An `<svg>` element; nothing where there is no point.
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let most = points().map(|p| p.0).fold(1.0, f64::max);
        let low = points().map(|p| p.1).fold(f64::INFINITY, f64::min);
        let high = points().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            return String::new();
        }
        let margin = ((high - low) * 0.06).max(high.abs() * 1e-3).max(1e-9);
        let axes = Axes { size: (520.0, 260.0), x: (0.0, most), y: (low - margin, high + margin) };
        let marks: Vec<_> = linear_marks(most).into_iter().step_by(2).map(|v| (v, short(v))).collect();
        let mut svg = axes.open((self.x, self.y), &marks);
        let mut key = LEFT;
        for ((name, points), colour) in self.lines.iter().zip(COLOURS) {
            let mut path = String::new();
            for (i, (x, y)) in points.iter().enumerate() {
                let letter = if i == 0 { 'M' } else { 'L' };
                _ = write!(path, "{letter}{:.1} {:.1}", axes.x(*x), axes.y(*y));
            }
            _ = write!(svg, "<path class=line stroke='{colour}' d='{path}'/>");
            if self.lines.len() > 1 {
                _ = write!(svg, "<path class=line stroke='{colour}' d='M{key} 11h16'/>");
                _ = write!(svg, "<text class=key x='{}' y='15'>{name}</text>", key + 21.0);
                key += 40.0 + 7.0 * name.len() as f64;
            }
        }
        svg + "</svg>"
    }
}

/// One column: a figure, and where it lies.
pub struct Spot {
    pub label: String,
    pub title: String,
    pub value: f64,
    /// Ends of the whisker.
    pub whisker: Option<[f64; 2]>,
    /// Ends of the box.
    pub inner: Option<[f64; 2]>,
}

/// Columns of figures 0..1 with a line for the mean of all and a band for its interval.
pub struct Spots<'a> {
    pub spots: Vec<Spot>,
    pub mean: Option<f64>,
    pub band: Option<[f64; 2]>,
    pub x: &'a str,
    pub y: &'a str,
}

impl Spots<'_> {
    /// An `<svg>` element.
    pub fn svg(&self) -> String {
        let count = self.spots.len().max(1) as f64;
        let axes = Axes { size: (1040.0, 300.0), x: (0.0, count), y: (0.0, 1.0) };
        // Labels must not run into each other.
        let longest = self.spots.iter().map(|spot| spot.label.len()).max().unwrap_or(1);
        let every = (self.spots.len() * (longest + 1)).div_ceil(130).max(1);
        let marked = self.spots.iter().enumerate().step_by(every);
        let marks: Vec<_> = marked.map(|(i, spot)| (i as f64 + 0.5, spot.label.clone())).collect();
        let mut svg = axes.open((self.x, self.y), &marks);
        let (left, right) = (axes.x(0.0), axes.x(count));
        if let Some([low, high]) = self.band {
            let (top, tall) = (axes.y(high), axes.y(low) - axes.y(high));
            let width = right - left;
            _ = write!(svg, "<rect class=band x='{left}' y='{top:.1}' width='{width}' height='{tall:.1}'/>");
        }
        if let Some(mean) = self.mean {
            _ = write!(svg, "<path class=mean d='M{left} {:.1}H{right}'/>", axes.y(mean));
        }
        let half = ((right - left) / count * 0.28).min(14.0);
        for (i, spot) in self.spots.iter().enumerate() {
            let x = axes.x(i as f64 + 0.5);
            _ = write!(svg, "<g><title>{}</title>", escape(&spot.title));
            if let Some([low, high]) = spot.whisker {
                _ = write!(svg, "<path class=whisker d='M{x:.1} {:.1}V{:.1}'/>", axes.y(low), axes.y(high));
            }
            if let Some([low, high]) = spot.inner {
                let (top, tall) = (axes.y(high), (axes.y(low) - axes.y(high)).max(1.0));
                _ = write!(
                    svg,
                    "<rect class=box x='{:.1}' y='{top:.1}' width='{:.1}' height='{tall:.1}'/>",
                    x - half,
                    2.0 * half
                );
            }
            _ = write!(svg, "<circle class=spot cx='{x:.1}' cy='{:.1}' r='4.5'/></g>", axes.y(spot.value));
        }
        svg + "</svg>"
    }
}

/// How often a probability came true, against the probability.
pub fn reliability(calibration: &Reliability) -> String {
    let axes = Axes { size: (520.0, 420.0), x: (0.0, 1.0), y: (0.0, 1.0) };
    let marks: Vec<_> = (0..=5).map(|i| f64::from(i) / 5.0).map(|v| (v, format!("{v:.1}"))).collect();
    let mut svg = axes.open(("probability", "part that is nerve"), &marks);
    let [x, y] = [axes.x(0.0), axes.x(1.0)];
    _ = write!(svg, "<path class=perfect d='M{x} {:.1}L{y} {:.1}'/>", axes.y(0.0), axes.y(1.0));
    let filled: Vec<_> = calibration.bins.iter().filter(|bin| bin.pixels > 0).collect();
    let mut path = String::new();
    for (i, bin) in filled.iter().enumerate() {
        let letter = if i == 0 { 'M' } else { 'L' };
        _ = write!(path, "{letter}{:.1} {:.1}", axes.x(bin.probability), axes.y(bin.nerve));
    }
    _ = write!(svg, "<path class=line stroke='{}' d='{path}'/>", COLOURS[0]);
    for bin in filled {
        let (x, y) = (axes.x(bin.probability), axes.y(bin.nerve));
        _ = write!(
            svg,
            "<circle class=spot cx='{x:.1}' cy='{y:.1}' r='4.5'><title>{} pixels of {:.1}%: {:.1}% nerve</title></circle>",
            short(bin.pixels as f64),
            bin.probability * 100.0,
            bin.nerve * 100.0
        );
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_have_the_digits_they_need() {
        assert_eq!([nice(0.3), nice(0.02), nice(7.0)], [0.5, 0.02, 10.0]);
        assert_eq!(
            [mark(0.5, 0.25), mark(0.4, 0.2), mark(30.0, 10.0), mark(5e-4, 1e-4)],
            ["0.5", "0.4", "30", "5.0e-4"]
        );
    }

    #[test]
    fn lines_without_points_draw_nothing() {
        let none = Lines { lines: vec![("a", vec![])], x: "x", y: "y" };
        assert_eq!(none.svg(), "");
        let flat = Lines { lines: vec![("a", vec![(1.0, 0.0)])], x: "x", y: "y" }.svg();
        assert!(flat.contains("class=line") && !flat.contains("NaN") && !flat.contains("inf"), "{flat}");
    }
}
