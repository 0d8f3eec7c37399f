//! Paths that match a pattern, each a record: what is in the files is for the programs that are given them.

mod names;
mod reader;

use super::file::{AllMatches, Globs, shown_patterns};
use super::{AnySource, Ending, Header, Opened, Opening, SourceEnd, SourceError};
use crate::io::framing::Framing;
use crate::io::resource::Resource;
use crate::io::shared::Shared;
use crate::pipeline::keys::kind::End;
use crate::pipeline::keys::source::Source;
use crate::pipeline::keys::{Class, Key, Section, WhenAbsent, program};
use crate::pipeline::{At, Problem};
use reader::ListReader;
use std::path::Path;
use std::sync::Arc;

/// Paths, sorted by name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct List {
    /// As written; at least one.
    patterns: Vec<String>,
    at: At,
}

impl Section for List {
    fn defaults(_: &Path) -> Self {
        Self { patterns: Vec::new(), at: At::default() }
    }
}

pub(super) const KIND: End<AnySource, List> = End {
    keys: &[&Key::<List, _> {
        name: "list",
        class: Class::Results,
        doc: "the files whose paths are the records: a glob, sorted by name, or a list of them; each is a record, relative as the glob is; with state they are listed once, at the first start",
        value: Globs,
        when_absent: WhenAbsent::Required,
        get: |list| list.patterns.clone(),
        set: |list, patterns, _| list.patterns = patterns,
    }],
    make: |list, at| Shared(Arc::new(List { at, ..list })),
    of: Shared::of,
    is_meant: |_, _| true,
    misplaced: program::misplaced,
};

impl SourceEnd for List {
    fn describe(&self) -> String {
        format!("lists {}", shown_patterns(&self.patterns))
    }

    fn at(&self) -> Option<&At> {
        Some(&self.at)
    }

    fn holds(&self, dir: &Path) -> Vec<Resource> {
        Resource::matching(dir, &self.patterns)
    }

    fn local(&self) -> Option<&'static str> {
        Some("lists local files")
    }

    fn ending(&self) -> Ending {
        Ending::Certain
    }

    fn at_a_crash(&self) -> Option<&'static str> {
        None
    }

    fn may_begin_with_header(&self) -> bool {
        false
    }

    fn check(&self, source: &Source, _: u64) -> Option<Problem> {
        if source.header != Header::Keep {
            let problem = Problem::at(&self.at, "paths have no header", "each of them is a record");
            return Some(problem.help("remove `header`"));
        }
        match source.framing {
            Framing::Lines | Framing::Nul | Framing::Prefix(_) => None,
            Framing::Csv
            | Framing::Start(_)
            | Framing::End(_)
            | Framing::Count(_)
            | Framing::Length(_)
            | Framing::Json => {
                let title = format!("paths cannot be framed as {}", source.framing.words());
                let problem = Problem::at(&source.framing_at, title, "each path is a record");
                Some(
                    problem
                        .also(&self.at, "paths are listed here")
                        .help("leave `framing` out, or use \"nul\", which any path goes with"),
                )
            }
        }
    }

    fn gives_relative_paths(&self) -> bool {
        self.patterns.iter().any(|pattern| Path::new(pattern).is_relative())
    }

    fn missing(&self, dir: &Path) -> Option<String> {
        let mut found = match AllMatches::of(dir, &self.patterns) {
            Ok(found) => found,
            Err(error) => return Some(error.to_string()),
        };
        let error = found.find_map(|found| found.and_then(|found| names::can_be_listed(&found.path)).err());
        error.map(|error| error.to_string())
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Opened, SourceError> {
        Ok(Opened::Reader(Box::new(ListReader::open(&self.patterns, opening)?)))
    }
}

#[cfg(test)]
mod tests;
