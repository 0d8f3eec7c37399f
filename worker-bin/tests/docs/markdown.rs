//! What of a Markdown file is looked at: blocks of code with their marks, headings, links and short code.

use super::root;

#[derive(Debug)]
pub(super) struct Document {
    /// Its path in the repository.
    pub(super) name: String,
    pub(super) text: String,
    pub(super) blocks: Vec<Block>,
    /// Lines outside of blocks and comments, with their numbers.
    pub(super) prose: Vec<(usize, String)>,
}

#[derive(Debug)]
pub(super) struct Block {
    /// The words behind the backticks.
    pub(super) mark: String,
    pub(super) text: String,
    /// Where it begins.
    pub(super) line: usize,
    /// Why it is not run.
    pub(super) not_run: Option<String>,
}

const NOT_RUN: &str = "*Not run by a test: ";

impl Document {
    pub(super) fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        let mut document =
            Self { name: name.to_owned(), text: String::new(), blocks: Vec::new(), prose: Vec::new() };
        let mut not_run = None;
        let mut is_comment = false;
        let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
        while let Some((number, line)) = lines.next() {
            if let Some(mark) = line.strip_prefix("```") {
                let body: Vec<&str> =
                    lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
                document.blocks.push(Block {
                    mark: mark.to_owned(),
                    text: body.iter().map(|line| format!("{line}\n")).collect(),
                    line: number,
                    not_run: not_run.take(),
                });
                continue;
            }
            let is_blank = line.trim().is_empty();
            let was_blank = document.prose.last().is_none_or(|(_, line)| line.trim().is_empty());
            let is_code = was_blank && !is_blank && line.starts_with("    ");
            assert!(!is_code, "{name}:{number}: code stands between lines of three backticks, with a mark");
            if let Some(reason) = line.strip_prefix(NOT_RUN) {
                not_run = Some(reason.trim_end_matches('*').to_owned());
            } else if !is_blank {
                assert!(not_run.is_none(), "{name}:{number}: a block of commands stands behind its reason");
            }
            is_comment = is_comment || line.starts_with("<!--");
            document.prose.push((number, if is_comment { String::new() } else { line.to_owned() }));
            is_comment = is_comment && !line.contains("-->");
        }
        document.text = text;
        document
    }

    /// The directory that commands of the page run in a copy of.
    pub(super) fn directory(&self) -> Option<&str> {
        let (_, marked) = self.text.split_once("<!-- commands run in ")?;
        Some(marked.split_once(" -->").unwrap().0)
    }

    /// Commands that the page does not show, which come before the others.
    pub(super) fn before(&self) -> &str {
        self.text.split_once("<!-- before:\n").map_or("", |(_, rest)| rest.split_once("-->").unwrap().0)
    }

    /// The names by which its headings are linked to.
    pub(super) fn anchors(&self) -> Vec<String> {
        let headings = self.prose.iter().filter_map(|(_, line)| {
            let title = line.trim_start_matches('#');
            (title.len() < line.len()).then(|| title.strip_prefix(' ')).flatten()
        });
        let mut anchors: Vec<String> = Vec::new();
        for heading in headings {
            let anchor: String = heading
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect();
            let again = anchors.iter().filter(|known| **known == anchor).count();
            anchors.push(if again == 0 { anchor } else { format!("{anchor}-{again}") });
        }
        anchors
    }

    /// Short code within lines, with the line's number.
    pub(super) fn spans(&self) -> Vec<(usize, &str)> {
        let odd = |line: &'_ str| line.matches('`').count() % 2;
        let mut spans = Vec::new();
        for (number, line) in &self.prose {
            assert!(odd(line) == 0, "{}:{number}: code ends on the line on which it begins", self.name);
            spans.extend(line.split('`').skip(1).step_by(2).map(|span| (*number, span)));
        }
        spans
    }

    /// Where its links lead, with the line's number.
    pub(super) fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, line) in &self.prose {
            let text: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
            let targets = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned());
            links.extend(targets.map(|target| (*number, target)));
        }
        links
    }
}
