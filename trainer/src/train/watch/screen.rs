//! The run on a terminal.

use std::io::{self, IsTerminal, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::HumanDuration;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, LegendPosition, Paragraph};
use ratatui::{Frame, Terminal};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use super::live::Live;
use super::lock;
use crate::train::comparable;

/// Between pictures: fresh to the eye, nothing to the processor.
const BETWEEN: Duration = Duration::from_millis(250);
/// Lines of what was said.
const SAID: u16 = 4;

/// How the terminal was before; none while nothing is shown on it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Whether a person looks at a terminal that can show a screen.
pub fn possible() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stderr().is_terminal() && !set("CI") && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Whether the screen is up.
pub fn shown() -> bool {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Gives the terminal back as it was; nothing happens when it is.
pub fn restore() {
    // Held until done: nobody draws over the shell's prompt.
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(termios) = before.take() {
        let _ = execute!(stderr(), LeaveAlternateScreen, Show);
        let _ = tcsetattr(stderr(), OptionalActions::Now, &termios);
    }
}

/// A full screen, redrawn by a thread of its own until dropped.
#[derive(Debug)]
pub struct Screen {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Screen {
    /// Shows `live`, and that the run stops when `stop` is true.
    pub fn start(live: Arc<Mutex<Live>>, begun: Instant, stop: Arc<AtomicBool>) -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                before(panic);
            }));
        });
        let mut terminal = enter()?;
        let (end, ended) = channel();
        let thread = std::thread::Builder::new().name("screen".into()).spawn(move || {
            loop {
                // Copied, since drawing takes longer than a step may wait.
                let now = lock(&live).clone();
                let stopping = stop.load(Ordering::Relaxed);
                let up = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
                if up.is_none()
                    || terminal.draw(|frame| draw(frame, &now, begun.elapsed(), stopping)).is_err()
                {
                    break;
                }
                drop(up);
                if ended.recv_timeout(BETWEEN) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
        });
        let thread = thread.inspect_err(|_| restore())?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported.
            let _ = thread.join();
        }
        restore();
    }
}

/// Keys stay with the terminal, so that Ctrl-C is a signal as always; but they are not echoed, and
/// Ctrl-Z would leave a shell on this screen.
fn enter() -> io::Result<Terminal<CrosstermBackend<io::Stderr>>> {
    let before = tcgetattr(stderr())?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    quiet.special_codes[SpecialCodeIndex::VSUSP] = 0;
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    let entered = tcsetattr(stderr(), OptionalActions::Now, &quiet)
        .map_err(io::Error::from)
        .and_then(|()| execute!(stderr(), EnterAlternateScreen, Hide))
        .and_then(|()| Terminal::new(CrosstermBackend::new(stderr())));
    entered.inspect_err(|_| restore())
}

fn draw(frame: &mut Frame, live: &Live, at: Duration, stopping: bool) {
    let [head, epoch, run, charts, said] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(SAID),
    ])
    .areas(frame.area());
    let title = Line::from(vec![Span::from(live.title.as_str()).bold(), format!("  {}", live.network).dim()]);
    frame.render_widget(Paragraph::new(vec![title, figures(live), best(live)]), head);

    let number = (live.epoch + 1).min(live.epochs);
    let doing = format!("epoch {number}/{}: {}/{} frames", live.epochs, live.done, live.frames);
    frame.render_widget(gauge(live.epoch_share(), doing, Color::Blue), epoch);
    let left = live.left(at).map_or_else(String::new, |left| format!(", {} left", HumanDuration(left)));
    let whole = format!("run: {:.0} %{left}", 100.0 * live.share());
    frame.render_widget(gauge(live.share(), whole, Color::Green), run);

    let validation = |value: fn(&crate::train::Validation) -> f64| -> Vec<(f64, f64)> {
        comparable(&live.rows)
            .map(|row| (row.step as f64, value(row)))
            .filter(|(_, y)| y.is_finite())
            .collect()
    };
    let [loss, right] =
        Layout::horizontal([Constraint::Percentage(55), Constraint::Percentage(45)]).areas(charts);
    let [dice, rate] =
        Layout::vertical([Constraint::Percentage(60), Constraint::Percentage(40)]).areas(right);
    let losses = validation(|row| row.loss);
    chart(
        frame,
        loss,
        "loss",
        live.step,
        &[("training", Color::DarkGray, &live.training.points), ("validation", Color::Yellow, &losses)],
    );
    let (dices, ious) = (validation(|row| row.figures[1]), validation(|row| row.figures[0]));
    chart(
        frame,
        dice,
        "validation: Dice, IoU",
        live.step,
        &[("IoU", Color::DarkGray, &ious), ("Dice", Color::Cyan, &dices)],
    );
    chart(frame, rate, "learning rate", live.step, &[("", Color::Magenta, &live.rates.points)]);

    let mut lines: Vec<Line> = live.lines.iter().map(|line| Line::from(line.as_str())).collect();
    if stopping {
        lines.push(Line::from("stopping after this batch; Ctrl-C again to stop at once").bold());
    } else {
        lines.push(Line::from("Ctrl-C stops and keeps a checkpoint").dim());
    }
    let lines = lines.split_off(lines.len().saturating_sub(said.height.into()));
    frame.render_widget(Paragraph::new(lines), said);
}

fn figures(live: &Live) -> Line<'static> {
    let mut parts = vec![format!("step {}", live.step)];
    parts.extend(live.loss.map(|loss| format!("loss {loss:.4}")));
    parts.extend(live.rate.map(|rate| format!("rate {rate:.1e}")));
    parts.extend(live.speed().map(|speed| format!("{speed:.1} frames/s")));
    Line::from(parts.join("   "))
}

fn best(live: &Live) -> Line<'static> {
    live.best().map_or_else(Line::default, |row| {
        let (loss, dice) = (row.loss, row.figures[1]);
        Line::from(format!("best: epoch {}, loss {loss:.4}, Dice {dice:.4}", row.epoch + 1))
    })
}

fn gauge(share: f64, label: String, colour: Color) -> Gauge<'static> {
    Gauge::default().ratio(share).label(label).gauge_style(Style::new().fg(colour).bg(Color::Black))
}

type Drawn<'a> = (&'static str, Color, &'a [(f64, f64)]);

fn chart(frame: &mut Frame, area: Rect, title: &'static str, step: i64, lines: &[Drawn]) {
    let values = lines.iter().flat_map(|(_, _, points)| points.iter().map(|(_, y)| *y));
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
    let block = Block::bordered().title(title).border_style(Style::new().dim());
    if low > high {
        frame.render_widget(Paragraph::new("nothing yet").dim().block(block), area);
        return;
    }
    // A flat line needs some height too.
    let margin = ((high - low) * 0.05).max(high.abs() * 1e-3).max(1e-9);
    // What is never below zero has no axis below it.
    let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
    let (low, high) = ((low - margin).max(floor), high + margin);
    let label = |y: f64| if y != 0.0 && high < 0.05 { format!("{y:.0e}") } else { format!("{y:.2}") };
    let datasets = lines.iter().map(|(name, colour, points)| {
        let set = Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line);
        let set = set.style(Style::new().fg(*colour)).data(points);
        if name.is_empty() { set } else { set.name(*name) }
    });
    let steps = step.max(1) as f64;
    let drawn = Chart::new(datasets.collect())
        .block(block)
        .legend_position(Some(LegendPosition::TopRight))
        .hidden_legend_constraints((Constraint::Ratio(1, 2), Constraint::Ratio(1, 2)))
        .x_axis(Axis::default().bounds([0.0, steps]).labels(["0".to_owned(), format!("{step} steps")]))
        .y_axis(Axis::default().bounds([low, high]).labels([
            label(low),
            label((low + high) / 2.0),
            label(high),
        ]));
    frame.render_widget(drawn, area);
}

#[cfg(test)]
mod tests {
    use super::super::live::tests::live;
    use super::*;
    use crate::train::Settings;
    use ratatui::backend::TestBackend;

    fn drawn(live: &Live, (width, height): (u16, u16), stopping: bool) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, live, Duration::from_secs(25), stopping)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn shows_figures_curves_and_what_was_said() {
        let mut live = live();
        live.lines.push("epoch 2: validation loss 0.4000".into());
        let screen = drawn(&live, (120, 40), false);
        for expected in [
            "runs/a",
            "vgg16-fcn, width 1, bce-dice",
            "step 25",
            "loss 0.3000",
            "rate 4.0e-4",
            "8.0 frames/s",
            "best: epoch 2, loss 0.4000, Dice 0.6040",
            "epoch 3/4: 40/80 frames",
            "run: 62 %, 25 seconds left",
            "25 steps",
            "training",
            "validation",
            "learning rate",
            "epoch 2: validation loss 0.4000",
            "Ctrl-C stops",
        ] {
            assert!(screen.contains(expected), "{expected} in\n{screen}");
        }
        let braille = screen.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
        assert!(braille > 40, "curves:\n{screen}");
        assert!(drawn(&live, (120, 40), true).contains("stopping after this batch"));
    }

    #[test]
    fn any_size_and_any_state_can_be_drawn() {
        let empty = Live::new(&Settings::default(), &[]);
        let mut odd = live();
        odd.rows[0].loss = f64::NAN;
        odd.rows[1].figures = [f64::NAN; 7];
        odd.training.push(99, f64::INFINITY);
        for size in [(1, 1), (3, 9), (20, 5), (40, 12), (300, 90)] {
            for live in [&empty, &odd, &live()] {
                drawn(live, size, true);
            }
        }
        assert!(drawn(&empty, (80, 24), false).contains("nothing yet"));
    }
}
