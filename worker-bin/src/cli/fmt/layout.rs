//! How a TOML file is laid out. Only blanks, line ends and empty lines change: every value, comment and their order stay as they are.
//!
//! - All lines end as the first one does, with CRLF or LF, but for those within strings; a byte order mark stays.
//! - A statement a line, from its beginning; what goes on over lines in brackets is indented by four a bracket.
//! - One blank around `=`, behind `,`, and within the braces of an inline table; none elsewhere, nor at the end of a line.
//! - A comment behind code stays in its column, at least two blanks behind it: people align them.
//! - An empty line before a table, before comments that are its own; at most one elsewhere, none at begin and end.

use toml_parser::Source;
use toml_parser::lexer::TokenKind;

/// Of a bracket.
const INDENT: usize = 4;

/// What some editors begin UTF-8 with.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Lays a text out that is TOML.
pub(crate) fn laid_out(text: &str) -> String {
    let mark = text.len() - text.trim_start_matches(BYTE_ORDER_MARK).len();
    let (mark, text) = text.split_at(mark);
    let end = line_end(text);
    let mut out = String::with_capacity(text.len());
    out.push_str(mark);
    for line in with_empty_lines(lines(text)) {
        out.push_str(&" ".repeat(line.indent));
        out.push_str(&line.code);
        if let Some(comment) = &line.comment {
            if !line.code.is_empty() {
                out.push_str(&" ".repeat(comment.column.saturating_sub(line.width()).max(2)));
            }
            out.push_str(&comment.text);
        }
        out.push_str(end);
    }
    out
}

/// Of the first line that ends in no string.
fn line_end(text: &str) -> &str {
    let mut ends = Source::new(text).lex().filter(|token| token.kind() == TokenKind::Newline);
    let first = ends.next().and_then(|token| text.get(token.span().start()..token.span().end()));
    first.unwrap_or("\n")
}

/// A line as it will be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    indent: usize,
    code: String,
    comment: Option<Comment>,
    is_header: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comment {
    text: String,
    /// Where it has begun in its line, in characters.
    column: usize,
}

impl Line {
    fn is_empty(&self) -> bool {
        self.code.is_empty() && self.comment.is_none()
    }

    fn is_comment(&self) -> bool {
        self.code.is_empty() && self.comment.is_some()
    }

    /// Characters of its last line, before the comment.
    fn width(&self) -> usize {
        match self.code.rsplit_once('\n') {
            // Of a string of several lines.
            Some((_, last)) => last.chars().count(),
            None => self.indent + self.code.chars().count(),
        }
    }
}

/// Reads lines, each statement on its own; empty ones stay for now.
fn lines(text: &str) -> Vec<Line> {
    let source = Source::new(text);
    let mut lines = Vec::new();
    let mut line = Line::default();
    // Brackets that are open, and the last token of the line.
    let (mut open, mut last): (Vec<TokenKind>, Option<TokenKind>) = (Vec::new(), None);
    let mut blank = false;
    for token in source.lex() {
        let kind = token.kind();
        let written = text.get(token.span().start()..token.span().end()).unwrap_or_default();
        match kind {
            TokenKind::Whitespace => blank = true,
            TokenKind::Newline => {
                lines.push(std::mem::take(&mut line));
                (last, blank) = (None, false);
            }
            TokenKind::Eof => {}
            TokenKind::Comment => {
                if line.code.is_empty() {
                    line.indent = open.len() * INDENT;
                }
                let before = text.get(..token.span().start()).unwrap_or_default();
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
                line.comment = Some(Comment { text: written.trim_end().to_owned(), column });
            }
            TokenKind::Dot
            | TokenKind::Equals
            | TokenKind::Comma
            | TokenKind::LeftSquareBracket
            | TokenKind::RightSquareBracket
            | TokenKind::LeftCurlyBracket
            | TokenKind::RightCurlyBracket
            | TokenKind::LiteralString
            | TokenKind::BasicString
            | TokenKind::MlLiteralString
            | TokenKind::MlBasicString
            | TokenKind::Atom => {
                let closes = is_close(kind) && open.pop().is_some();
                if last.is_none() {
                    line.indent = open.len() * INDENT;
                    line.is_header = open.is_empty() && kind == TokenKind::LeftSquareBracket;
                }
                if !line.is_header && needs_blank(last, kind, blank) {
                    line.code.push(' ');
                }
                debug_assert!(closes || !is_close(kind) || line.is_header, "TOML has its brackets in pairs");
                line.code.push_str(written);
                if is_open(kind) {
                    open.push(kind);
                }
                (last, blank) = (Some(kind), false);
            }
        }
    }
    lines.push(line);
    lines
}

fn is_open(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket)
}

fn is_close(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket)
}

/// Whether a blank stands between two tokens of a line; `blank`: there was one.
fn needs_blank(last: Option<TokenKind>, next: TokenKind, blank: bool) -> bool {
    let Some(last) = last else { return false };
    match (last, next) {
        (_, TokenKind::Comma | TokenKind::Dot) | (TokenKind::Dot, _) => false,
        (TokenKind::Equals, _) | (_, TokenKind::Equals) => true,
        (TokenKind::LeftCurlyBracket, TokenKind::RightCurlyBracket) => false,
        (TokenKind::Comma, TokenKind::RightSquareBracket) => false,
        (TokenKind::Comma | TokenKind::LeftCurlyBracket, _) | (_, TokenKind::RightCurlyBracket) => true,
        // A date and its time.
        (TokenKind::Atom, TokenKind::Atom) => blank,
        (_, _) => false,
    }
}

/// With one empty line before each table and its comments, at most one elsewhere, and none around all.
fn with_empty_lines(lines: Vec<Line>) -> Vec<Line> {
    let mut spaced: Vec<Line> = Vec::with_capacity(lines.len());
    for line in lines {
        if line.is_empty() && spaced.last().is_none_or(Line::is_empty) {
            continue;
        }
        if line.is_header {
            let comments = spaced.iter().rev().take_while(|line| line.is_comment()).count();
            let at = spaced.len() - comments;
            // Comments that stand right behind a key may be of that: they stay where they are.
            let is_behind = comments > 0 && at > 0 && !spaced[at - 1].is_empty();
            if at > 0 && !spaced[at - 1].is_empty() && !is_behind {
                spaced.insert(at, Line::default());
            }
        }
        spaced.push(line);
    }
    while spaced.last().is_some_and(Line::is_empty) {
        spaced.pop();
    }
    spaced
}

#[cfg(test)]
mod tests;
