//! Draws the tables of stages and links.

use super::app::{App, Drawn, Pane};
use super::detail::Tone;
use super::figures::curve;
use super::paint::{mark, of_mark, style};
use super::rows::Mark;
use super::table::{Column, LINKS, STAGES, SortOrder};
use super::view::{Down, rows};
use crate::text::width::{left, right, width};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// From this height on both tables are shown.
pub(super) const BOTH_FROM: u16 = 34;

const NAME_MAX: usize = 48;

/// With less room than that for a name there is no curve.
const NAME_MIN: usize = 8;

/// With less room than that for a name, columns are left out.
const NAME_LEAST: usize = 6;

const CURVE_MAX: usize = 60;

/// Draws the table that has the focus, or both where there is room.
pub(super) fn draw_tables(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let (stages, chosen_stage) = app.stage_rows();
    let stage_table = |area: Rect| {
        let names: Vec<_> = stages.iter().map(|row| (row.mark, row.name.as_str())).collect();
        let table =
            Table { app, title: "STAGE", pane: Pane::Stages, order: app.stages.order, columns: STAGES };
        let rates = |index: usize, room| curve(app.state().rates(&stages[index].id), room);
        table.lines(area, &stages, &names, chosen_stage, rates)
    };
    let (links, chosen_link) = app.link_rows();
    let link_table = |area: Rect| {
        let names: Vec<_> = links.iter().map(|row| (row.mark, row.name.as_str())).collect();
        let table = Table { app, title: "LINK", pane: Pane::Links, order: app.links.order, columns: LINKS };
        table.lines(area, &links, &names, chosen_link, |_, _| String::new())
    };
    let page = if frame.area().height < BOTH_FROM {
        let lines = match app.focus {
            Pane::Stages => stage_table(area),
            Pane::Links => link_table(area),
        };
        frame.render_widget(Paragraph::new(lines), area);
        usize::from(area.height)
    } else {
        let wanted = rows(stages.len() + 2);
        let above =
            wanted.min(area.height.div_ceil(2).max(area.height.saturating_sub(rows(links.len() + 1))));
        let mut down = Down { area, at: area.y };
        let (first, second) = (down.next(above), down.next(area.height - above));
        frame.render_widget(Paragraph::new(stage_table(first)), first);
        frame.render_widget(Paragraph::new(link_table(second)), second);
        usize::from(if app.focus == Pane::Stages { first.height } else { second.height })
    };
    let width = usize::from(area.width);
    app.drawn.set(Drawn { width, page: page.saturating_sub(1), ..app.drawn.get() });
}

/// One table, about to be drawn.
struct Table<'a, R: 'static> {
    app: &'a App,
    title: &'static str,
    pane: Pane,
    order: SortOrder,
    columns: &'static [Column<R>],
}

impl<R: 'static> Table<'_, R> {
    fn lines(
        &self,
        area: Rect,
        rows: &[R],
        names: &[(Mark, &str)],
        chosen: usize,
        curve: impl Fn(usize, usize) -> String,
    ) -> Vec<Line<'static>> {
        let (columns, height) = (usize::from(area.width), usize::from(area.height).saturating_sub(1));
        let mut seen: Vec<usize> =
            (0..self.columns.len()).filter(|index| self.columns[*index].from_width <= columns).collect();
        let of = |seen: &[usize]| 2 + seen.iter().map(|index| self.columns[*index].width + 1).sum::<usize>();
        // Figures of nobody say nothing.
        while seen.len() > 1 && of(&seen) + NAME_LEAST > columns {
            seen.pop();
        }
        let fixed = of(&seen);
        let room = columns.saturating_sub(fixed);
        let from = chosen.saturating_sub(height.saturating_sub(1)).min(rows.len().saturating_sub(height));
        let title = self.title((from, height.min(rows.len()), rows.len()));
        let longest = names.iter().map(|(_, name)| width(name)).max().unwrap_or(0).max(width(&title));
        let has_curve = self.pane == Pane::Stages;
        let name = match has_curve {
            // A curve of six columns says something already; the name of a stage matters more.
            true if room < NAME_MIN + 7 => longest.min(room),
            true => longest.min(NAME_MAX).min(room - 7),
            false => room,
        };
        let room = if has_curve { room.saturating_sub(name + 1).min(CURVE_MAX) } else { 0 };
        let mut lines = vec![self.title_line(&seen, &left(&title, name))];
        for (index, row) in rows.iter().enumerate().skip(from).take(height) {
            let (own, text) = names[index];
            let mut cells = format!(" {}", left(text, name));
            for column in seen.iter().map(|index| &self.columns[*index]) {
                cells.push(' ');
                cells.push_str(&right(&(column.text)(row), column.width));
            }
            let mut spans = vec![mark(self.app, own), Span::styled(cells, of_mark(self.app, own))];
            if room > 0 {
                spans.push(Span::raw(format!(" {}", curve(index, room))));
            }
            let mut line = Line::from(spans);
            if index == chosen && self.app.focus == self.pane {
                line = line.style(Style::default().add_modifier(Modifier::REVERSED));
            }
            lines.push(line);
        }
        lines
    }

    /// What the first column is, whether it sorts, and how many rows there are above and below those that are seen.
    fn title(&self, (from, shown, all): (usize, usize, usize)) -> String {
        let part = match (from, all - from - shown) {
            (0, 0) => String::new(),
            (0, below) => format!(" ↓{below}"),
            (above, 0) => format!(" ↑{above}"),
            (above, below) => format!(" ↑{above}↓{below}"),
        };
        format!("{}{}{part}", self.title, self.sign(None))
    }

    /// Stands at the column that sorts.
    fn sign(&self, by: Option<usize>) -> &'static str {
        match (self.order.by == by, self.order.reversed) {
            (false, _) => "",
            (true, false) => "▼",
            (true, true) => "▲",
        }
    }

    fn title_line(&self, seen: &[usize], first: &str) -> Line<'static> {
        let mut text = format!("  {first}");
        for index in seen {
            let column = &self.columns[*index];
            text.push(' ');
            text.push_str(&right(&format!("{}{}", column.title, self.sign(Some(*index))), column.width));
        }
        let bold = style(self.app, Tone::Title).add_modifier(Modifier::BOLD);
        Line::styled(
            text,
            if self.app.focus == self.pane { bold.add_modifier(Modifier::UNDERLINED) } else { bold },
        )
    }
}
