//! Plots as SVG, drawn without anything from elsewhere.

use std::fmt::Write;

/// One line of a plot.
pub(super) struct Line<'a> {
    /// What it shows.
    pub(super) name: &'a str,
    /// Places from left to right.
    pub(super) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 62.0;
const BOTTOM: f64 = 30.0;
const TOP: f64 = 12.0;
const COLOURS: [&str; 6] = [
    "#0b6bcb", "#c2410c", "#15803d", "#7c3aed", "#b91c1c", "#525252",
];
const DASHES: [&str; 6] = ["", "6 3", "2 2", "8 3 2 3", "1 3", "10 4"];

/// Text that may stand in HTML and SVG, also between quotes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A plot over the time of the run, which lasted `end` seconds.
pub(super) fn over_time(title: &str, unit: &str, end: f64, lines: &[Line<'_>]) -> String {
    let end = end.max(1e-9);
    let ticks: Vec<_> = (0..=4)
        .map(|n| {
            let second = end * f64::from(n) / 4.0;
            (second / end, format!("{second:.1} s"))
        })
        .collect();
    plot(title, unit, lines, |x| x / end, &ticks)
}

/// A plot of times over percentiles; the last nine counts as much as the one before.
pub(super) fn over_percentiles(title: &str, unit: &str, lines: &[Line<'_>]) -> String {
    let place = |quantile: f64| (1.0 / (1.0 - quantile).max(1e-5)).log10() / 5.0;
    let ticks: Vec<_> = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999]
        .into_iter()
        .map(|quantile: f64| {
            let text = format!("p{}", short(100.0 * quantile));
            (place(quantile), text)
        })
        .collect();
    plot(title, unit, lines, place, &ticks)
}

fn plot(
    title: &str,
    unit: &str,
    lines: &[Line<'_>],
    place: impl Fn(f64) -> f64,
    ticks: &[(f64, String)],
) -> String {
    let highest = lines
        .iter()
        .flat_map(|line| &line.points)
        .map(|(_, y)| *y)
        .fold(0.0, f64::max);
    let top = nice(highest);
    let x_of = |x: f64| LEFT + (WIDTH - LEFT - 10.0) * place(x);
    let y_of = |y: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - y / top);
    let mut out = String::new();
    // Writing into a string does not fail.
    let _ = write!(
        out,
        "<figure><figcaption>{} ({})</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{}\">",
        escape(title),
        escape(unit),
        escape(title)
    );
    for n in 0..=4 {
        let value = top * f64::from(n) / 4.0;
        let y = y_of(value);
        let _ = write!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" class=\"grid\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - 10.0,
            LEFT - 6.0,
            y + 4.0,
            short(value)
        );
    }
    for (at, text) in ticks {
        let x = LEFT + (WIDTH - LEFT - 10.0) * at;
        // The last one must not be cut off.
        let anchor = if *at > 0.98 { "end" } else { "middle" };
        let y = HEIGHT - 10.0;
        let _ = write!(
            out,
            "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }
    for (line, (colour, dash)) in lines.iter().zip(COLOURS.iter().zip(DASHES).cycle()) {
        let _ = write!(
            out,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" \
             stroke-dasharray=\"{dash}\" points=\""
        );
        for (x, y) in &line.points {
            let _ = write!(out, "{:.1},{:.1} ", x_of(*x), y_of(*y));
        }
        out.push_str("\"/>");
        // One point makes no line.
        if let [(x, y)] = line.points[..] {
            let (x, y) = (x_of(x), y_of(y));
            let _ = write!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
            );
        }
    }
    out.push_str("</svg><p class=\"legend\">");
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let name = escape(line.name);
        let _ = write!(
            out,
            "<span><i style=\"background:{colour}\"></i>{name}</span>"
        );
    }
    out.push_str("</p></figure>\n");
    out
}

/// The next number with one digit, so that the grid has round numbers.
fn nice(highest: f64) -> f64 {
    if highest <= 0.0 || !highest.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(highest.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0];
    let step = steps.iter().find(|step| *step * power >= highest);
    step.unwrap_or(&10.0) * power
}

fn short(value: f64) -> String {
    if value >= 1e6 {
        return format!("{}M", short(value / 1e6));
    }
    if value >= 10_000.0 {
        return format!("{}k", short(value / 1e3));
    }
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}
