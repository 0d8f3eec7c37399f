//! Signs and colors.

use super::app::App;
use super::detail::Tone;
use super::rows::Mark;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

pub(super) fn mark(app: &App, mark: Mark) -> Span<'static> {
    let sign = match mark {
        Mark::Stalled => "✗",
        Mark::Paused => "‖",
        Mark::Working => "●",
        Mark::Idle => "○",
        Mark::Done => "✓",
        Mark::Unknown => "?",
    };
    let color = match mark {
        Mark::Stalled => Color::Red,
        Mark::Paused | Mark::Unknown => Color::Yellow,
        Mark::Working | Mark::Done => Color::Green,
        Mark::Idle => Color::Reset,
    };
    Span::styled(sign, colored(app, color))
}

/// How the text behind a sign looks.
pub(super) fn of_mark(app: &App, mark: Mark) -> Style {
    match mark {
        Mark::Stalled => colored(app, Color::Red),
        Mark::Paused | Mark::Unknown => colored(app, Color::Yellow),
        Mark::Working | Mark::Idle | Mark::Done => Style::default(),
    }
}

pub(super) fn style(app: &App, tone: Tone) -> Style {
    match tone {
        Tone::Title => colored(app, Color::Cyan),
        Tone::Plain => Style::default(),
        Tone::Bad => colored(app, Color::Red),
        Tone::Dim => Style::default().add_modifier(Modifier::DIM),
    }
}

fn colored(app: &App, color: Color) -> Style {
    if app.color { Style::default().fg(color) } else { Style::default() }
}
