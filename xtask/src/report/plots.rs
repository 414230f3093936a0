//! Plots as SVG: drawn by plotters in a palette of marks, which become CSS classes, so that they follow light and dark.

use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Polygon, Text};
use plotters::prelude::{DrawingArea, IntoDrawingArea as _, RGBColor, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontTransform, IntoFont as _, ShapeStyle};

use super::format::{digits, power};
use crate::results::{Axis, Point};

/// Size in units of the drawing; a unit is about a quarter of a pixel on a page, so that curves are smooth.
const SIZE: (u32, u32) = (1680, 1120);
const LEFT: f64 = 230.0;
const RIGHT: f64 = 1630.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 920.0;
/// Height of letters. Plotters divides by 1.24 before it writes.
const LETTERS: f64 = 54.0 * 1.24;

/// What is drawn; each becomes a CSS class.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    Ink,
    Muted,
    Grid,
    Line,
    /// One of six colours.
    Curve(usize),
}

impl Mark {
    const ALL: [Mark; 10] = [
        Mark::Ink,
        Mark::Muted,
        Mark::Grid,
        Mark::Line,
        Mark::Curve(0),
        Mark::Curve(1),
        Mark::Curve(2),
        Mark::Curve(3),
        Mark::Curve(4),
        Mark::Curve(5),
    ];

    /// A colour that nobody sees: it only marks the element until its class replaces it.
    fn colour(self) -> RGBColor {
        match self {
            Mark::Ink => RGBColor(1, 0, 0),
            Mark::Muted => RGBColor(2, 0, 0),
            Mark::Grid => RGBColor(3, 0, 0),
            Mark::Line => RGBColor(4, 0, 0),
            Mark::Curve(k) => RGBColor(10 + (k % 6) as u8, 0, 0),
        }
    }

    fn class(self) -> String {
        match self {
            Mark::Ink => "-ink".into(),
            Mark::Muted => "-muted".into(),
            Mark::Grid => "-grid".into(),
            Mark::Line => "-line".into(),
            Mark::Curve(k) => (k % 6).to_string(),
        }
    }
}

/// The signs of the six curves in a legend; [`Canvas::sign`] draws the same.
pub(super) const SIGNS: [&str; 6] = ["●", "■", "▲", "◆", "▼", "○"];

/// A frame with two axes, and a drawing in it.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    x: Scale,
    y: Scale,
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

impl Canvas<'_> {
    /// Draws the frame for these points, then `content`; gives the SVG element.
    pub(super) fn draw(
        label: &str,
        x: &Axis,
        y: &Axis,
        points: &[Point],
        content: impl FnOnce(&Canvas) -> Drawn,
    ) -> Result<String, Box<dyn std::error::Error>> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            let seen: Vec<_> = points.iter().filter(|p| x.shows(p.x) && y.shows(p.y)).collect();
            let canvas = Canvas {
                area,
                x: Scale::new(x.log, seen.iter().map(|p| p.x), (LEFT, RIGHT)),
                y: Scale::new(y.log, seen.iter().map(|p| p.y), (BOTTOM, TOP)),
            };
            canvas.frame(x, y)?;
            content(&canvas)?;
            canvas.area.present()?;
        }
        Ok(adapt(&svg, label))
    }

    fn frame(&self, x: &Axis, y: &Axis) -> Drawn {
        for at in self.y.minor() {
            self.segment((LEFT, at), (RIGHT, at), Mark::Grid, 2)?;
        }
        for at in self.x.minor() {
            self.segment((at, BOTTOM), (at, TOP), Mark::Grid, 2)?;
        }
        for (at, text) in self.y.ticks(6) {
            self.segment((LEFT, at), (RIGHT, at), Mark::Grid, 4)?;
            self.text(&text, (LEFT - 22.0, at), HPos::Right, VPos::Center, false)?;
        }
        for (at, text) in self.x.ticks(7) {
            self.segment((at, BOTTOM), (at, TOP), Mark::Grid, 4)?;
            self.text(&text, (at, BOTTOM + 24.0), HPos::Center, VPos::Top, false)?;
        }
        self.segment((LEFT, BOTTOM), (RIGHT, BOTTOM), Mark::Muted, 5)?;
        self.text(&x.label, ((LEFT + RIGHT) / 2.0, BOTTOM + 112.0), HPos::Center, VPos::Top, false)?;
        self.text(&y.label, (26.0, (TOP + BOTTOM) / 2.0), HPos::Center, VPos::Top, true)
    }

    /// A curve through the points that the axes can show.
    pub(super) fn curve(&self, points: &[Point], mark: Mark) -> Drawn {
        let shown = points.iter().filter_map(|&point| self.place(point)).collect::<Vec<_>>();
        self.area.draw(&PathElement::new(shown, stroke(mark, 9)))?;
        Ok(())
    }

    /// A dashed straight line.
    pub(super) fn dashes(&self, from: Point, to: Point, mark: Mark) -> Drawn {
        let (Some(a), Some(b)) = (self.place(from), self.place(to)) else { return Ok(()) };
        let length = f64::hypot((b.0 - a.0) as f64, (b.1 - a.1) as f64);
        let dashes = (length / 44.0).ceil().max(1.0);
        let at = |t: f64| (a.0 as f64 + t * (b.0 - a.0) as f64, a.1 as f64 + t * (b.1 - a.1) as f64);
        for k in 0..dashes as usize {
            self.segment(at(k as f64 / dashes), at((k as f64 + 0.55) / dashes), mark, 7)?;
        }
        Ok(())
    }

    /// A filled area, faint.
    pub(super) fn area(&self, corners: &[Point], mark: Mark) -> Drawn {
        let corners = corners.iter().filter_map(|&point| self.place(point)).collect::<Vec<_>>();
        self.area.draw(&Polygon::new(corners, mark.colour().mix(0.18).filled()))?;
        Ok(())
    }

    /// The sign of curve `k` at a point.
    pub(super) fn sign(&self, point: Point, k: usize) -> Drawn {
        let Some((x, y)) = self.place(point) else { return Ok(()) };
        let style = Mark::Curve(k).colour().filled();
        let shape = |corners: &[(i32, i32)]| Polygon::new(corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect::<Vec<_>>(), style);
        match k % 6 {
            0 => self.area.draw(&Circle::new((x, y), 17, style))?,
            1 => self.area.draw(&shape(&[(-15, -15), (15, -15), (15, 15), (-15, 15)]))?,
            2 => self.area.draw(&shape(&[(0, -20), (19, 14), (-19, 14)]))?,
            3 => self.area.draw(&shape(&[(0, -22), (20, 0), (0, 22), (-20, 0)]))?,
            4 => self.area.draw(&shape(&[(0, 20), (19, -14), (-19, -14)]))?,
            _ => self.area.draw(&Circle::new((x, y), 16, stroke(Mark::Curve(k), 8)))?,
        }
        Ok(())
    }

    fn place(&self, point: Point) -> Option<(i32, i32)> {
        Some((self.x.place(point.x)?.round() as i32, self.y.place(point.y)?.round() as i32))
    }

    fn segment(&self, from: (f64, f64), to: (f64, f64), mark: Mark, width: u32) -> Drawn {
        let round = |(x, y): (f64, f64)| (x.round() as i32, y.round() as i32);
        self.area.draw(&PathElement::new(vec![round(from), round(to)], stroke(mark, width)))?;
        Ok(())
    }

    fn text(&self, text: &str, at: (f64, f64), h: HPos, v: VPos, upright: bool) -> Drawn {
        let font = ("sans-serif", LETTERS).into_font();
        let font = if upright { font.transform(FontTransform::Rotate270) } else { font };
        let style = font.color(&Mark::Muted.colour()).pos(Pos::new(h, v));
        self.area.draw(&Text::new(text.to_owned(), (at.0.round() as i32, at.1.round() as i32), style))?;
        Ok(())
    }
}

fn stroke(mark: Mark, width: u32) -> ShapeStyle {
    mark.colour().stroke_width(width)
}

impl Axis {
    /// Whether a value can be shown on it.
    fn shows(&self, value: f64) -> bool {
        value.is_finite() && (!self.log || value > 0.0)
    }
}

/// From values to places.
struct Scale {
    log: bool,
    low: f64,
    high: f64,
    place: (f64, f64),
}

impl Scale {
    fn new(log: bool, values: impl Iterator<Item = f64>, place: (f64, f64)) -> Self {
        let values: Vec<f64> = values.map(|v| if log { v.log10() } else { v }).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (mut low, mut high) = if values.is_empty() { (0.0, 1.0) } else { (low, high) };
        if !log {
            // Quantities on plain axes are counts, times and rates: a true picture of them starts at 0.
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        let span = (high - low).max(if log { 0.3 } else { f64::MIN_POSITIVE.max(high.abs() * 1e-9) });
        let margin = 0.04 * span;
        low -= if !log && low == 0.0 { 0.0 } else { margin };
        Scale { log, low, high: high.max(low + span) + margin, place }
    }

    fn place(&self, value: f64) -> Option<f64> {
        let value = if self.log { value.log10() } else { value };
        value.is_finite().then(|| self.at(value))
    }

    /// Where a value stands that is already on the axis's own scale.
    fn at(&self, value: f64) -> f64 {
        self.place.0 + (value - self.low) / (self.high - self.low) * (self.place.1 - self.place.0)
    }

    /// Places between powers of ten, where these are few: they show that the axis is logarithmic.
    fn minor(&self) -> Vec<f64> {
        if !self.log || self.high - self.low > 3.5 {
            return Vec::new();
        }
        let decades = self.low.floor() as i32..=self.high.floor() as i32;
        let values = decades.flat_map(|k| (2..10).map(move |m| f64::from(k) + f64::from(m).log10()));
        values.filter(|v| (self.low..=self.high).contains(v)).map(|v| self.at(v)).collect()
    }

    /// At most `most` places with their labels.
    fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        let at = |v: f64| self.at(v);
        if !self.log {
            let step = round_step((self.high - self.low) / most as f64);
            let first = (self.low / step).ceil() as i64;
            let last = (self.high / step).floor() as i64;
            return (first..=last).map(|k| (at(k as f64 * step), plain(k as f64 * step))).collect();
        }
        let (first, last) = (self.low.ceil() as i32, self.high.floor() as i32);
        if last - first >= 1 {
            let step = ((last - first + 1) as usize).div_ceil(most).max(1);
            let short = first >= -2 && last <= 4;
            let label = |k: i32| if short { plain(10f64.powi(k)) } else { power(k) };
            return (first..=last).step_by(step).map(|k| (at(f64::from(k)), label(k))).collect();
        }
        let parts = [1.0, 2.0, 3.0, 5.0, 7.0];
        let decades = self.low.floor() as i32..=self.high.ceil() as i32;
        let values = decades.flat_map(|k| parts.map(|m| m * 10f64.powi(k)));
        let label = |v: f64| if (1e-2..1e5).contains(&v) { plain(v) } else { format!("{v:.0e}") };
        values.filter(|v| (self.low..=self.high).contains(&v.log10())).map(|v| (at(v.log10()), label(v))).collect()
    }
}

/// The least of 1, 2, 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|&s| s >= step * 0.999).unwrap_or(10.0 * power)
}

fn plain(value: f64) -> String {
    if value != 0.0 && !(1e-4..1e6).contains(&value.abs()) {
        return digits(value).replace(".0e", "e");
    }
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Turns the marks into classes, and the drawing into a picture with a name.
fn adapt(svg: &str, label: &str) -> String {
    let body = svg.split_once('>').map_or("", |(_, rest)| rest);
    let mut text = body.to_owned();
    for mark in Mark::ALL {
        let RGBColor(r, g, b) = mark.colour();
        let colour = format!("#{r:02X}{g:02X}{b:02X}");
        text = text.replace(&format!("fill=\"{colour}\""), &format!("class=\"f{}\"", mark.class()));
        text = text.replace(&format!("stroke=\"{colour}\""), &format!("class=\"s{}\"", mark.class()));
    }
    let label = label.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    format!("<svg class=\"plot\" role=\"img\" aria-label=\"{label}\" viewBox=\"0 0 {} {}\">{text}", SIZE.0, SIZE.1)
}
