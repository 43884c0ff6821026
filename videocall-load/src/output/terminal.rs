//! The live view in a terminal.

use std::{sync::Arc, time::Duration};

use ratatui::{
    Frame as Screen,
    crossterm::event::{self, Event, KeyCode, KeyModifiers},
    layout::{Constraint, Layout},
    style::{Color, Style, Stylize},
    text::Line,
    widgets::{Block, Gauge, Paragraph, Sparkline},
};
use tokio::sync::watch;

use super::{
    frame::{Frame, Point, warnings},
    text::figure,
};

/// Points that fit on a wide screen.
const KEPT: usize = 300;
/// Between looks at the keyboard.
const LOOK: Duration = Duration::from_millis(100);

/// Shows the run until its last frame. `q` or Ctrl-C ends the run through `stop`. Blocks: for a
/// thread of its own.
///
/// # Errors
/// When the terminal cannot be drawn to.
pub fn show(
    frames: watch::Receiver<Arc<Frame>>,
    stop: &watch::Sender<bool>,
    title: &str,
) -> std::io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let shown = follow(&mut terminal, frames, stop, title);
    ratatui::restore();
    shown
}

fn follow(
    terminal: &mut ratatui::DefaultTerminal,
    mut frames: watch::Receiver<Arc<Frame>>,
    stop: &watch::Sender<bool>,
    title: &str,
) -> std::io::Result<()> {
    let mut points = Vec::new();
    loop {
        let gone = frames.has_changed().is_err();
        let frame = frames.borrow_and_update().clone();
        if let Some(point) = &frame.point
            && points.last() != Some(point)
        {
            points.push(point.clone());
            if points.len() > KEPT {
                points.remove(0);
            }
        }
        terminal.draw(|screen| draw(screen, &frame, &points, title))?;
        if frame.last || gone {
            return Ok(());
        }
        if event::poll(LOOK)?
            && let Event::Key(key) = event::read()?
        {
            let interrupt =
                key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if interrupt || key.code == KeyCode::Char('q') {
                let _ = stop.send(true);
            }
        }
    }
}

/// Draws one state.
pub fn draw(screen: &mut Screen<'_>, frame: &Frame, points: &[Point], title: &str) {
    let warnings = warnings(&frame.collected.workers);
    let [head, warned, plots, table, foot] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(2 * warnings.len() as u16),
        Constraint::Length(8),
        Constraint::Min(6),
        Constraint::Length(1),
    ])
    .areas(screen.area());
    let (elapsed, planned) = (frame.elapsed.as_secs_f64(), frame.planned.as_secs_f64());
    let gauge = Gauge::default()
        .block(Block::bordered().title(title.to_owned()))
        .gauge_style(Style::new().fg(Color::Blue))
        .ratio((elapsed / planned.max(1e-9)).clamp(0.0, 1.0))
        .label(format!("{elapsed:.0} s of {planned:.0} s"));
    screen.render_widget(gauge, head);
    let lines: Vec<Line<'_>> = warnings
        .iter()
        .map(|text| Line::from(text.as_str()))
        .collect();
    let loud = Paragraph::new(lines)
        .wrap(ratatui::widgets::Wrap { trim: true })
        .white()
        .on_red()
        .bold();
    screen.render_widget(loud, warned);
    let columns = Layout::horizontal([Constraint::Ratio(1, 3); 3]).split(plots);
    let delay = ["round_trip.p99", "one_way.p99", "connect.p99"];
    let delay = delay
        .iter()
        .find(|name| frame.figures.contains_key(**name))
        .unwrap_or(&delay[0]);
    for (area, name) in columns.iter().zip(["open", "received.rate", delay]) {
        let value = |point: &Point| match name {
            "open" => point.open,
            name => point.values.get(name).copied().unwrap_or(0.0),
        };
        let width = usize::from(area.width.saturating_sub(2));
        let shown = &points[points.len().saturating_sub(width)..];
        // Whole numbers only: thousandths.
        let data: Vec<u64> = shown.iter().map(|p| (1000.0 * value(p)) as u64).collect();
        let now = points.last().map_or(0.0, value);
        let plot = Sparkline::default()
            .block(Block::bordered().title(format!("{name} {now:.1}")))
            .data(data);
        screen.render_widget(plot, *area);
    }
    let [left, right] = Layout::horizontal([Constraint::Ratio(1, 2); 2]).areas(table);
    let numbers = NAMES
        .iter()
        .filter_map(|name| Some((name, frame.figures.get(*name)?)))
        .map(|(name, value)| Line::from(format!("{name:<20} {:>14}", figure(value))));
    let block = Block::bordered().title("since the beginning");
    screen.render_widget(
        Paragraph::new(numbers.collect::<Vec<_>>()).block(block),
        left,
    );
    let mut lines: Vec<Line<'_>> = Vec::new();
    for verdict in &frame.verdicts {
        let line = Line::from(verdict.threshold.clone());
        lines.push(if verdict.kept {
            line.green()
        } else {
            line.red().bold()
        });
    }
    for (class, (count, example)) in &frame.collected.snapshot.errors {
        lines.push(Line::from(format!("{class} {count}: {example}")).red());
    }
    let block = Block::bordered().title("thresholds and errors");
    screen.render_widget(Paragraph::new(lines).block(block), right);
    screen.render_widget(
        Paragraph::new("q ends the run, with its report").dim(),
        foot,
    );
}

const NAMES: [&str; 20] = [
    "connected",
    "late",
    "errors",
    "sent.rate",
    "received.rate",
    "received_bytes.rate",
    "connect.p99",
    "join.p99",
    "round_trip.p50",
    "round_trip.p99",
    "round_trip.raw.p99",
    "one_way.p50",
    "one_way.p99",
    "one_way.audio.p99",
    "one_way.video.p99",
    "lost",
    "lost.percent",
    "freezes",
    "tester.cpu",
    "server.cpu",
];
