//! Records of a fixed length are within the limit.

use crate::io::framing::Framing;
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::read::Draft;

/// Framings by which each record is longer than `max_record`.
pub(in crate::pipeline) fn long_records(draft: &Draft) -> Vec<Problem> {
    let sources = draft.sources.iter().map(|source| (Some(&source.framing), &source.framing_at));
    let stages = draft.stages.iter().map(|stage| (stage.framing.as_ref(), &stage.framing_at));
    let most = draft.head.budgets.max_record_bytes;
    let too_long = |(framing, at): (Option<&Framing>, &At)| match framing? {
        Framing::Length(length) if u64::from(*length) > most => Some(
            Problem::at(
                at,
                format!("records of {length} bytes are longer than `max_record`"),
                format!("that is {most} bytes"),
            )
            .help("raise `max_record` in [pipeline], or correct the length"),
        ),
        Framing::Length(_)
        | Framing::Lines
        | Framing::Nul
        | Framing::Csv
        | Framing::Start(_)
        | Framing::End(_)
        | Framing::Count(_)
        | Framing::Prefix(_)
        | Framing::Json => None,
    };
    sources.chain(stages).filter_map(too_long).collect()
}
