//! What reads a header that comes once.

use super::Joined;
use crate::child::Takes;
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::model::{Mode, Origin, Stage};
use worker_core::config::WhenFull;

/// Readers of a stage with `output_header` that cannot have a header.
pub(in crate::pipeline) fn headed(joined: &Joined) -> Vec<Problem> {
    let stages = joined.stages.iter().map(|stage| Reader {
        name: &stage.name,
        from: &stage.from,
        at: &stage.at,
        program: Some(stage),
        drops: (stage.when_full != WhenFull::Wait).then_some(&stage.when_full_at),
    });
    let sinks = joined.sinks.iter().map(|sink| Reader {
        name: &sink.name,
        from: &sink.from,
        at: &sink.at,
        program: sink.target.stage(),
        drops: (sink.when_full != WhenFull::Wait).then_some(&sink.when_full_at),
    });
    stages.chain(sinks).flat_map(|reader| reader.problems(joined)).collect()
}

/// A stage or sink.
struct Reader<'a> {
    name: &'a str,
    from: &'a [Origin],
    at: &'a At,
    program: Option<&'a Stage>,
    /// It drops what it has no room for.
    drops: Option<&'a At>,
}

impl Reader<'_> {
    fn problems(&self, joined: &Joined) -> Vec<Problem> {
        let gives = |origin: Origin| match origin {
            Origin::Source(_) => None,
            Origin::Stage(index) => Some(&joined.stages[index]).filter(|stage| stage.gives_header()),
        };
        let Some(giver) = self.from.iter().find_map(|&origin| gives(origin)) else { return Vec::new() };
        let other = self.from.iter().find(|&&origin| gives(origin).is_none());
        let other = other.map(|&origin| match origin {
            Origin::Source(index) => joined.sources[index].name.as_str(),
            Origin::Stage(index) => joined.stages[index].name.as_str(),
        });
        [self.mixed(giver, other), self.cannot(giver), self.dropped(giver)].into_iter().flatten().collect()
    }

    fn mixed(&self, giver: &Stage, other: Option<&str>) -> Option<Problem> {
        let (name, other) = (self.name, other?);
        let title = format!("`{name}` would read records with a header and records without");
        let label = format!("the output of `{}` has a header, `{other}` gives none", giver.name);
        Some(Problem::at(self.at, title, label).also(&giver.at, "output_header = true").help(format!(
            "let a stage of its own read each of them; or, where `{other}` is a stage that prints a header too, say output_header = true there"
        )))
    }

    fn cannot(&self, giver: &Stage) -> Option<Problem> {
        let what = match &self.program?.mode {
            Mode::Records(_) => "answers requests",
            Mode::Batch(batch) if batch.input.takes() == Takes::Arguments => "is given arguments",
            Mode::Batch(_) | Mode::Stream(_) => return None,
        };
        let title = format!("`{}` {what}, and cannot be given a header", self.name);
        let problem = Problem::at(self.at, title, format!("reads `{}`", giver.name));
        Some(problem.also(&giver.at, "output_header = true").help(format!(
            "let `{}` print no header and remove output_header there: run = [\"sh\", \"-c\", \"… | sed 1d\"]",
            giver.name
        )))
    }

    fn dropped(&self, giver: &Stage) -> Option<Problem> {
        let title = format!("`when_full` could drop the header of what `{}` reads", self.name);
        let problem = Problem::at(self.drops?, title, "");
        Some(
            problem
                .also(&giver.at, "output_header = true")
                .help("remove this line, or put when_full on what reads the source"),
        )
    }
}
