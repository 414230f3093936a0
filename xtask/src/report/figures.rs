//! The two kinds of figures: curves, and growth with a fitted exponent.

use maud::{Markup, PreEscaped, html};

use super::format::digits;
use super::plots::{Canvas, Mark, SIGNS};
use crate::results::{Axis, Fit, Outcome, Plot, Point, Scaling};

/// Curves in one frame, with a legend.
pub(super) fn plot(plot: &Plot) -> Markup {
    let points: Vec<Point> = plot.curves.iter().flat_map(|curve| curve.points.iter().copied()).collect();
    let svg = Canvas::draw(&format!("{}. {}", plot.title, plot.caption), &plot.x, &plot.y, &points, |canvas| {
        for (k, curve) in plot.curves.iter().enumerate() {
            canvas.curve(&curve.points, Mark::Curve(k))?;
            // Signs on a long curve would be a smear: some of them are enough to tell the curves apart.
            let every = curve.points.len().div_ceil(12).max(1);
            for point in curve.points.iter().step_by(every) {
                canvas.sign(*point, k)?;
            }
        }
        Ok(())
    });
    let legend = plot.curves.iter().enumerate().map(|(k, curve)| (format!("k{}", k % 6), SIGNS[k % 6], curve.name.clone()));
    figure(&plot.title, svg, legend, html! { (plot.caption) })
}

/// Cost against size, with the fitted line, the interval of its slope, and the claimed slope.
pub(super) fn scaling(scaling: &Scaling) -> Markup {
    let axis = |label: &str| Axis { label: label.into(), log: true };
    let sizes = || scaling.points.iter().map(|p| p.x).filter(|x| x.is_finite() && *x > 0.0);
    let ends = (sizes().fold(f64::INFINITY, f64::min), sizes().fold(0.0, f64::max));
    let middle = sizes().map(f64::log10).sum::<f64>() / sizes().count().max(1) as f64;
    let words = words(scaling);
    let svg = Canvas::draw(&format!("{}. {words}", scaling.work), &axis(&scaling.size), &axis(&scaling.cost), &scaling.points, |canvas| {
        if let Some(fit) = &scaling.fit {
            // All lines go through the middle of the points, where the fitted one is best known.
            let line = |slope: f64, x: f64| {
                let height = fit.intercept + fit.slope * middle;
                Point { x, y: 10f64.powf(height + slope * (x.log10() - middle)) }
            };
            let centre = line(fit.slope, 10f64.powf(middle));
            if fit.low.is_finite() && fit.high.is_finite() {
                canvas.area(&[line(fit.low, ends.0), line(fit.high, ends.0), centre], Mark::Curve(0))?;
                canvas.area(&[line(fit.low, ends.1), line(fit.high, ends.1), centre], Mark::Curve(0))?;
            }
            if let Some(claimed) = scaling.claimed {
                canvas.dashes(line(claimed, ends.0), line(claimed, ends.1), Mark::Curve(1))?;
            }
            canvas.curve(&[line(fit.slope, ends.0), line(fit.slope, ends.1)], Mark::Curve(0))?;
        }
        scaling.points.iter().try_for_each(|point| canvas.sign(*point, 0))
    });
    let measured = ("k0".to_owned(), SIGNS[0], "measured".to_owned());
    let fitted = scaling.fit.as_ref().map(|fit| ("k0".to_owned(), "—", format!("fitted: exponent {}", exponent(fit))));
    let claimed = scaling.claimed.map(|claimed| ("k1".to_owned(), "┄", format!("claimed: at most {}", digits(claimed))));
    figure(&scaling.work, svg, [measured].into_iter().chain(fitted).chain(claimed), html! { (words) })
}

fn words(scaling: &Scaling) -> String {
    let Some(fit) = &scaling.fit else { return "Too few points for an exponent.".into() };
    let grows =
        format!("Grows with the power {} of the size ({:.0} % interval {}).", digits(fit.slope), 100.0 * fit.confidence, interval(fit));
    match (scaling.claimed, scaling.outcome()) {
        (Some(claimed), Outcome::Missed) => format!("{grows} Faster than the claimed {}.", digits(claimed)),
        (Some(claimed), Outcome::Met) if fit.slope > claimed => {
            format!("{grows} The claim is at most {}, which the interval does not exclude.", digits(claimed))
        }
        (Some(claimed), _) => format!("{grows} The claim is at most {}.", digits(claimed)),
        (None, _) => grows,
    }
}

/// The exponent with its interval: `1.02 (0.98 to 1.06)`.
pub(super) fn exponent(fit: &Fit) -> String {
    format!("{} ({})", digits(fit.slope), interval(fit))
}

fn interval(fit: &Fit) -> String {
    format!("{} to {}", digits(fit.low), digits(fit.high))
}

type Key = (String, &'static str, String);

fn figure(title: &str, svg: Result<String, Box<dyn std::error::Error>>, legend: impl IntoIterator<Item = Key>, caption: Markup) -> Markup {
    html! {
        figure {
            h3 { (title) }
            @match svg {
                Ok(svg) => (PreEscaped(svg)),
                Err(error) => p.notice { "This figure could not be drawn: " (error.to_string()) },
            }
            ul.legend {
                @for (class, sign, name) in legend {
                    li { span class=(format!("key {class}")) aria-hidden="true" { (sign) } " " (name) }
                }
            }
            figcaption { (caption) }
        }
    }
}
