//! Text as markup: nothing that a program, a record or a user wrote can become a tag.

pub(super) use crate::text::escape::html as escaped;
use std::fmt::Write as _;

/// A cell of a table, as markup.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    markup: String,
    class: &'static str,
}

impl Cell {
    /// Text, which is escaped.
    pub(super) fn text(text: &str) -> Self {
        Self::markup(escaped(text))
    }

    /// A number in words, flush right.
    pub(super) fn number(text: &str) -> Self {
        Self { markup: escaped(text), class: "n" }
    }

    /// Markup whose foreign parts are escaped already.
    pub(super) fn markup(markup: String) -> Self {
        Self { markup, class: "" }
    }
}

/// A table; the first cell of a row names it. Where it has no room its rows stand as cards, so each cell says what it is, and it says
/// that it is a table, which it is not for who listens once it is shown as something else.
pub(super) fn table(caption: &str, heads: &[&str], rows: &[Vec<Cell>]) -> String {
    let caption = escaped(caption);
    // What scrolls must be reached by keyboard.
    let mut out = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\">\n<table role=\"table\">\n<caption>{caption}</caption>\n\
         <thead role=\"rowgroup\"><tr role=\"row\">"
    );
    for (at, head) in heads.iter().enumerate() {
        let numbers = rows.first().and_then(|row| row.get(at)).is_some_and(|cell| cell.class == "n");
        let class = if numbers { " class=\"n\"" } else { "" };
        write!(out, "<th scope=\"col\" role=\"columnheader\"{class}>{}</th>", escaped(head)).ok();
    }
    out.push_str("</tr></thead>\n<tbody role=\"rowgroup\">\n");
    for row in rows {
        out.push_str("<tr role=\"row\">");
        for (at, Cell { markup, class }) in row.iter().enumerate() {
            let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
            let label = escaped(heads.get(at).copied().unwrap_or_default());
            match at {
                0 => write!(
                    out,
                    "<th scope=\"row\" role=\"rowheader\"{class} data-label=\"{label}\">{markup}</th>"
                )
                .ok(),
                _ => write!(out, "<td role=\"cell\"{class} data-label=\"{label}\">{markup}</td>").ok(),
            };
        }
        out.push_str("</tr>\n");
    }
    out + "</tbody>\n</table>\n</div>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_a_tag_or_leaves_an_attribute() {
        let evil = "<script>alert('x')</script>\" onload=\"y & z";
        let safe = escaped(evil);
        assert!(!safe.contains(['<', '>', '"', '\'']), "{safe}");
        assert!(safe.starts_with("&lt;script&gt;alert(&#39;x&#39;)"), "{safe}");
        let table = table(evil, &[evil], &[vec![Cell::text(evil), Cell::number(evil)]]);
        assert!(!table.contains("<script") && !table.contains("\" onload"), "{table}");
    }
}
