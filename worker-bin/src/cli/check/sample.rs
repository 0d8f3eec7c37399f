//! Runs the stages on a sample, batch stages whole and in pieces, and compares.

mod child;

use crate::io::source::{FileSource, SourceOptions, SourceReader};
use crate::pipeline::{Input, Mode, Origin, Pipeline, Source, Stage};
use bytes::Bytes;
use child::run;
use std::path::Path;
use worker_core::event::Headers;
use worker_core::route::Envelope;
use worker_proto::{Batch, BatchBuilder};

/// Into how many pieces a sample is split.
const PIECES: usize = 5;

#[derive(Debug)]
pub(super) struct Report {
    pub(super) text: String,
    /// Every batch stage gave the same whole and in pieces.
    pub(super) is_good: bool,
}

/// Runs every stage of a pipeline on what comes to it if each source reads the sample.
pub(super) fn compare(pipeline: &Pipeline, sample: &Path) -> Result<Report, String> {
    let count = pipeline.sources.len();
    if count > 1 && sample.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(format!("each of {count} sources reads it, and a pipe is read once: put it into a file"));
    }
    let mut sources = Vec::with_capacity(count);
    for source in &pipeline.sources {
        sources.push(read(pipeline, source, sample)?);
    }
    let mut report = Report { text: format!("\nsample {}:\n", sample.display()), is_good: true };
    let mut stages: Vec<Given> = Vec::with_capacity(pipeline.stages.len());
    for stage in &pipeline.stages {
        let mut input = Vec::new();
        let mut header = None;
        for origin in &stage.from {
            match *origin {
                Origin::Source(index) => {
                    input.extend_from_slice(&sources[index].0);
                    header = header.or(sources[index].1.as_ref());
                }
                Origin::Stage(index) => {
                    input.extend_from_slice(&stages[index].records);
                    header = header.or(stages[index].header.as_ref());
                }
            }
        }
        let header = header.map_or(&[][..], |header| header);
        let (output, verdict) = match try_stage(stage, header, &input) {
            Ok((output, verdict)) => (output, verdict),
            Err(why) => (Given::default(), Verdict { text: format!("failed: {why}"), is_good: false }),
        };
        report.text += &format!("  {}: {}\n", stage.name, verdict.text);
        report.is_good &= verdict.is_good;
        stages.push(output);
    }
    Ok(report)
}

/// A source's records in the sample, and the header to repeat.
fn read(pipeline: &Pipeline, source: &Source, sample: &Path) -> Result<(Vec<u8>, Option<Bytes>), String> {
    let max_record = usize::try_from(pipeline.budgets.max_record_bytes).unwrap_or(usize::MAX);
    let options = SourceOptions {
        framing: source.framing.clone(),
        max_record,
        header: source.header,
        limit: None,
        on_long: source.on_long,
        on_damage: source.on_damage,
        is_plain: false,
    };
    let mut reader = FileSource::of(vec![sample.to_owned()], &options);
    let mut records = Vec::new();
    while let Some(batch) = reader.next_chunk().map_err(|error| error.to_string())? {
        records.extend_from_slice(batch.payload());
    }
    Ok((records, reader.header()))
}

/// What comes out of a stage.
#[derive(Debug, Default)]
struct Given {
    /// What stands before all of it, where the stage has such a thing.
    header: Option<Bytes>,
    records: Vec<u8>,
}

impl Given {
    fn of(stage: &Stage, output: &Batch) -> Self {
        let (header, records) = match stage.gives_header() && !output.is_empty() {
            true => (Some(Bytes::copy_from_slice(output.record(0))), output.slice(1..output.len())),
            false => (None, output.clone()),
        };
        Self { header, records: records.payload().to_vec() }
    }
}

#[derive(Debug)]
struct Verdict {
    text: String,
    is_good: bool,
}

/// What a stage gives for its input, and whether that depends on how it is split.
fn try_stage(stage: &Stage, header: &[u8], input: &[u8]) -> Result<(Given, Verdict), String> {
    if matches!(stage.mode, Mode::Records(_)) {
        let text = "answers each record by itself: not run here, so nothing comes out of it".to_owned();
        return Ok((Given::default(), Verdict { text, is_good: true }));
    }
    let records = stage.framing_in.batch_of(input.to_vec()).map_err(|error| error.to_string())?;
    let whole = run_on(stage, header, input)?;
    let counts = format!("{} in, {} out", records.len(), whole.len());
    let good = |text: String| Ok((Given::of(stage, &whole), Verdict { text, is_good: true }));
    if matches!(stage.mode, Mode::Stream(_)) {
        return good(format!("stream, {counts}"));
    }
    if records.len() < 2 {
        return good(format!("{counts}: too few records to compare pieces"));
    }
    let pieces = in_pieces(stage, header, &records)?;
    if pieces.payload() == whole.payload() {
        return good(format!("record by record, {counts}"));
    }
    let text = if run_on(stage, header, input)?.payload() == whole.payload() {
        format!(
            "not record by record: use mode = \"stream\"\n    whole      {}\n    in pieces  {}",
            first_difference(&whole, &pieces, stage.framing_out.envelope()),
            first_difference(&pieces, &whole, stage.framing_out.envelope())
        )
    } else {
        "gives something else each time, so whole and pieces cannot be compared".to_owned()
    };
    Ok((Given::of(stage, &whole), Verdict { text, is_good: false }))
}

fn in_pieces(stage: &Stage, header: &[u8], records: &Batch) -> Result<Batch, String> {
    let cuts = cuts(records.len());
    let pieces = cuts.len() - 1;
    let (mut output, mut first) = (BatchBuilder::new(), Bytes::new());
    for piece in 0..pieces {
        let range = cuts[piece]..cuts[piece + 1];
        let part = run_on(stage, header, records.slice(range).payload())
            .map_err(|why| format!("one of {pieces} pieces of the sample: {why}"))?;
        // A header comes once. Another one is seen where the records are compared.
        let repeated = !output.is_empty()
            && stage.gives_header()
            && !part.is_empty()
            && Headers::text(part.record(0)) == Headers::text(&first);
        if output.is_empty() && !part.is_empty() {
            first = Bytes::copy_from_slice(part.record(0));
        }
        part.iter().skip(usize::from(repeated)).for_each(|record| output.push(record));
    }
    Ok(output.take())
}

/// Where a sample of so many records is cut: at uneven places, for programs to which two or four lines are one record give the
/// same for pieces of even lengths. The pieces are longer and longer.
fn cuts(records: usize) -> Vec<usize> {
    let sum = PIECES * (PIECES + 1) / 2;
    let mut cuts = vec![0];
    for piece in 1..PIECES {
        let even = records * (piece * (piece + 1) / 2) / sum;
        let before = cuts.last().copied().unwrap_or(0);
        // An odd length of each piece but the last.
        let cut = even.max(before + 1);
        let cut = if (cut - before).is_multiple_of(2) { cut + 1 } else { cut };
        if cut >= records {
            break;
        }
        cuts.push(cut);
    }
    cuts.push(records);
    cuts
}

/// What comes out, as the worker splits it.
fn run_on(stage: &Stage, header: &[u8], input: &[u8]) -> Result<Batch, String> {
    let split = |output| stage.framing_out.batch_of(output).map_err(|error| format!("its output: {error}"));
    let envelope = stage.framing_in.envelope();
    let records = || {
        let batch = stage.framing_in.batch_of(input.to_vec()).map_err(|error| error.to_string())?;
        Ok::<_, String>(batch.iter().map(|record| envelope.content(record).to_vec()).collect::<Vec<_>>())
    };
    let whole = || [header, input].concat();
    match &stage.mode {
        Mode::Batch(batch) => match batch.input {
            Input::Stdin => split(run(stage, child::Given::Stdin(whole()))?),
            Input::File => split(run(stage, child::Given::File(whole()))?),
            Input::Arguments => split(run(stage, child::Given::Arguments(&records()?))?),
            Input::Argument => {
                let mut all = BatchBuilder::new();
                for record in records()? {
                    let output = split(run(stage, child::Given::Arguments(&[record]))?)?;
                    output.iter().for_each(|record| all.push(record));
                }
                Ok(all.take())
            }
        },
        Mode::Stream(_) | Mode::Records(_) => split(run(stage, child::Given::Stdin(whole()))?),
    }
}

/// The first record of `a` that `b` does not have in its place, shortened.
fn first_difference(a: &Batch, b: &Batch, envelope: Envelope) -> String {
    let mut others = b.iter();
    let number_and_record = a.iter().enumerate().find(|(_, record)| others.next() != Some(record));
    match number_and_record {
        None => "has nothing there".to_owned(),
        Some((index, record)) => {
            let text = String::from_utf8_lossy(envelope.content(record));
            let short: String = text.chars().take(60).collect();
            format!("record {}: {}", index + 1, short.escape_debug())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_cut_at_uneven_places_into_all_its_records() {
        for records in 2..200 {
            let cuts = cuts(records);
            assert!(cuts.len() > 2 || records < 2, "{records}: {cuts:?}");
            assert_eq!((cuts.first(), cuts.last()), (Some(&0), Some(&records)));
            let lengths: Vec<usize> = cuts.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(lengths.iter().all(|&length| length > 0), "{records}: {cuts:?}");
            assert!(lengths[..lengths.len() - 1].iter().all(|length| length % 2 == 1), "{records}: {cuts:?}");
        }
    }
}
