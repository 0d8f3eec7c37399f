//! Tables that fit the room there is: columns that can be are cut, and the less important left out.

use super::width::{fit, width, wrapped_lines};

/// Blanks between two columns.
const GAP: usize = 2;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub head: &'static str,
    pub align: Align,
    /// Cut to no less; without it never cut.
    pub least: Option<usize>,
    /// Where there is no room, the column of the highest rank is left out first.
    pub rank: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

impl Column {
    /// A column of words.
    #[must_use]
    pub const fn left(head: &'static str, least: Option<usize>, rank: u8) -> Self {
        Self { head, align: Align::Left, least, rank }
    }

    /// A column of numbers.
    #[must_use]
    pub const fn right(head: &'static str, rank: u8) -> Self {
        Self { head, align: Align::Right, least: None, rank }
    }
}

/// Which columns are shown, and how wide.
#[derive(Clone, Debug)]
pub struct Table {
    indent: usize,
    room: Option<usize>,
    /// A column, its place among the cells, and its width.
    shown: Vec<(Column, usize, usize)>,
}

impl Table {
    /// The table of these columns, with the width that each wants, in lines of at most so many columns of a terminal.
    #[must_use]
    pub fn new(columns: &[(Column, usize)], indent: usize, room: Option<usize>) -> Self {
        let mut shown: Vec<_> =
            columns.iter().enumerate().map(|(at, &(column, width))| (column, at, width)).collect();
        if let Some(room) = room {
            while !cut_to(&mut shown, room.saturating_sub(indent)) && shown.len() > 1 {
                let last = shown.iter().enumerate().max_by_key(|(at, (column, ..))| (column.rank, *at));
                let last = last.map_or(0, |(at, _)| at);
                shown.remove(last);
                for (_, at, wide) in &mut shown {
                    *wide = columns[*at].1;
                }
            }
        }
        Self { indent, room, shown }
    }

    /// The lines of these rows under their heads; a column in which nothing stands is left out.
    #[must_use]
    pub fn lines(
        columns: &[Column],
        rows: &[Vec<String>],
        indent: usize,
        room: Option<usize>,
    ) -> Vec<String> {
        let widths = columns.iter().enumerate().map(|(at, column)| {
            let widest = rows.iter().filter_map(|row| row.get(at)).map(|cell| width(cell)).max().unwrap_or(0);
            (*column, if widest == 0 { 0 } else { widest.max(width(column.head)) })
        });
        let widths: Vec<_> = widths.collect();
        let used: Vec<usize> = (0..columns.len()).filter(|&at| widths[at].1 > 0).collect();
        let kept: Vec<_> = used.iter().map(|&at| widths[at]).collect();
        let table = Self::new(&kept, indent, room);
        let row = |row: &Vec<String>| {
            table.line(&used.iter().map(|&at| row.get(at).cloned().unwrap_or_default()).collect::<Vec<_>>())
        };
        let heads = used.iter().any(|&at| !columns[at].head.is_empty()).then(|| table.heads());
        heads.into_iter().chain(rows.iter().map(row)).collect()
    }

    #[must_use]
    pub fn heads(&self) -> String {
        self.row(|(column, ..)| column.head)
    }

    /// A row of the table. What is not to be cut and wider than was wanted takes its room from the last column; where that has
    /// none to give, the first cell stands in a line of its own.
    #[must_use]
    pub fn line(&self, cells: &[String]) -> String {
        let cell = |at: usize| cells.get(at).map_or("", String::as_str);
        let whole = || self.row(|(_, at, _)| cell(*at));
        let [(first, at, wide), .., (last, _, last_wide)] = self.shown.as_slice() else { return whole() };
        let over = self.shown.iter().filter(|(column, ..)| column.least.is_none());
        let over: usize = over.map(|(_, at, wide)| width(cell(*at)).saturating_sub(*wide)).sum();
        let to_give = last.least.map_or(0, |least| last_wide.saturating_sub(least));
        if self.room.is_none() || first.least.is_some() || over <= to_give {
            return whole();
        }
        let own = wrapped_lines(&(" ".repeat(self.indent) + cell(*at)), self.room);
        let blanks = " ".repeat(*wide);
        own + "\n" + &self.row(|(_, other, _)| if other == at { &blanks } else { cell(*other) })
    }

    fn row<'a>(&'a self, cell: impl Fn(&(Column, usize, usize)) -> &'a str) -> String {
        let mut line = " ".repeat(self.indent);
        for (nth, shown) in self.shown.iter().enumerate() {
            let (column, _, wide) = shown;
            if nth > 0 {
                line.push_str(&" ".repeat(GAP));
            }
            let is_last = nth + 1 == self.shown.len();
            let room = match self.room {
                Some(room) if is_last => room.saturating_sub(width(&line)).min(room),
                Some(_) if column.least.is_some() => *wide,
                Some(_) | None => usize::MAX,
            };
            let text = fit(cell(shown), room);
            let pad = " ".repeat(wide.saturating_sub(width(&text)));
            line += &match column.align {
                Align::Left => text + &pad,
                Align::Right => pad + &text,
            };
        }
        let line = line.trim_end();
        self.room.map_or_else(|| line.to_owned(), |room| fit(line, room))
    }
}

/// Cuts the widest of the columns that can be cut, again and again; whether all fit then.
fn cut_to(shown: &mut [(Column, usize, usize)], room: usize) -> bool {
    let mut wide = shown.iter().map(|(.., wide)| wide + GAP).sum::<usize>().saturating_sub(GAP);
    while wide > room {
        let can =
            shown.iter_mut().filter(|(column, _, wide)| column.least.is_some_and(|least| *wide > least));
        let Some((.., widest)) = can.max_by_key(|(.., wide)| *wide) else { return false };
        *widest -= 1;
        wide -= 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] =
        [Column::left("NAME", Some(4), 0), Column::right("COUNT", 1), Column::left("WHY", Some(6), 2)];

    fn rows() -> Vec<Vec<String>> {
        [["東京の店", "12 345", "a reason that is long"], ["e\u{301}té", "7", "🦀 short"]]
            .map(|row| row.map(str::to_owned).to_vec())
            .to_vec()
    }

    #[test]
    fn without_a_limit_all_of_it_is_there() {
        assert_eq!(
            Table::lines(&COLUMNS, &rows(), 2, None),
            [
                "  NAME       COUNT  WHY",
                "  東京の店  12 345  a reason that is long",
                "  e\u{301}té            7  🦀 short"
            ]
        );
    }

    #[test]
    fn what_can_be_cut_is_cut_and_then_the_less_important_left_out() {
        let shown = |room| Table::lines(&COLUMNS, &rows(), 0, Some(room));
        assert_eq!(
            shown(30),
            ["NAME       COUNT  WHY", "東京の店  12 345  a reason th…", "e\u{301}té            7  🦀 short"]
        );
        assert_eq!(shown(20), ["NAME   COUNT  WHY", "東…   12 345  a rea…", "e\u{301}té        7  🦀 sh…"]);
        assert_eq!(shown(14), ["NAME     COUNT", "東京…   12 345", "e\u{301}té          7"]);
        assert_eq!(shown(8), ["NAME", "東京の店", "e\u{301}té"]);
        for room in 0..60 {
            for line in shown(room) {
                assert!(width(&line) <= room, "{room}: {line}");
            }
        }
    }

    #[test]
    fn what_may_not_be_cut_takes_its_room_from_the_last_column() {
        let table = Table::new(&[(Column::left("ID", None, 0), 4), (COLUMNS[2], 10)], 0, Some(16));
        let line = |id: &str| table.line(&[id.to_owned(), "0123456789".to_owned()]);
        assert_eq!(line("a"), "a     0123456789");
        assert_eq!(line("abcdefgh"), "abcdefgh  01234…");
        assert_eq!(line("abcdefghi"), "abcdefghi\n      0123456789");
    }
}
