//! Draws what lies over the tables: the help, and everything about a stage or link.

use super::app::{App, Drawn, Popup};
use super::detail::{Lines, Tone, detail, help};
use super::figures::clean;
use super::paint::style;
use super::view::rows;
use crate::text::width::{fit, wrapped_keeping_indent};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

pub(super) fn draw_popup(frame: &mut Frame<'_>, app: &App, popup: &Popup) {
    let (title, lines, scroll) = match popup {
        Popup::Help { scroll } => ("Help".to_owned(), help(), *scroll),
        Popup::Detail { pane, id, scroll } => {
            (clean(&id.replace('\n', " → ")), detail(app.state(), *pane, id), *scroll)
        }
    };
    let area = frame.area();
    let margin = if area.width > 110 { (area.width - 100) / 2 } else { 0 };
    let columns = usize::from(area.width - 2 * margin).saturating_sub(4);
    let lines = broken(app, lines, columns);
    let height = rows(lines.len() + 2).min(area.height.saturating_sub(1)).max(3.min(area.height));
    let area = Rect { x: area.x + margin, y: area.y, width: area.width - 2 * margin, height };
    let seen = usize::from(height.saturating_sub(2));
    let scroll_max = lines.len().saturating_sub(seen);
    app.drawn.set(Drawn { page: seen, scroll_max, ..app.drawn.get() });
    let scroll = scroll.min(scroll_max);
    let below = lines.len() - scroll - seen.min(lines.len() - scroll);
    let more = if below > 0 { format!(" ↓ {below} lines more ") } else { String::new() };
    let block = Block::bordered()
        .title(Span::styled(format!(" {} ", fit(&title, columns)), style(app, Tone::Title)))
        .title_bottom(Span::raw(format!("{more} Enter or Esc closes ")));
    let inner = block.inner(area);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    frame.render_widget(Clear, area);
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(lines.into_iter().skip(scroll).collect::<Vec<_>>()), inner);
}

fn broken(app: &App, lines: Lines, columns: usize) -> Vec<Line<'static>> {
    let mut broken = Vec::new();
    for (tone, text) in lines {
        let indent = if text.starts_with(' ') { "      " } else { "  " };
        for line in wrapped_keeping_indent(&text, columns, indent) {
            broken.push(Line::styled(line, style(app, tone)));
        }
    }
    broken
}
