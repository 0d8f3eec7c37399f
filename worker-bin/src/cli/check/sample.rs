//! Runs the stages on a sample, batch stages whole and in pieces, and compares.

mod child;

use crate::io::source::{FileSource, SourceOptions, SourceReader};
use crate::pipeline::{Input, Mode, Origin, Pipeline, Source, Stage};
use bytes::Bytes;
use child::{Given, run};
use std::path::Path;
use worker_proto::Batch;

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
    let mut stages: Vec<Vec<u8>> = Vec::with_capacity(pipeline.stages.len());
    for stage in &pipeline.stages {
        let mut input = Vec::new();
        let mut header = None;
        for origin in &stage.from {
            match *origin {
                Origin::Source(index) => {
                    input.extend_from_slice(&sources[index].0);
                    header = header.or(sources[index].1.as_ref());
                }
                Origin::Stage(index) => input.extend_from_slice(&stages[index]),
            }
        }
        let header = header.map_or(&[][..], |header| header);
        let (output, verdict) = match try_stage(stage, header, &input) {
            Ok((output, verdict)) => (output, verdict),
            Err(why) => (Vec::new(), Verdict { text: format!("failed: {why}"), is_good: false }),
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
        terminator: source.framing.terminator(),
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
    ended(&mut records, source.framing.terminator());
    Ok((records, reader.header()))
}

#[derive(Debug)]
struct Verdict {
    text: String,
    is_good: bool,
}

/// What a stage gives for its input, and whether that depends on how it is split.
fn try_stage(stage: &Stage, header: &[u8], input: &[u8]) -> Result<(Vec<u8>, Verdict), String> {
    if matches!(stage.mode, Mode::Records(_)) {
        let text = "answers each record by itself: not run here, so nothing comes out of it".to_owned();
        return Ok((Vec::new(), Verdict { text, is_good: true }));
    }
    let (end_in, end_out) = (stage.framing_in.terminator(), stage.framing_out.terminator());
    let records = Batch::from_terminated(Bytes::copy_from_slice(input), end_in);
    let whole = run_on(stage, header, input)?;
    let counts =
        format!("{} in, {} out", records.len(), Batch::from_terminated(whole.clone().into(), end_out).len());
    let good = |text: String| Ok((whole.clone(), Verdict { text, is_good: true }));
    if matches!(stage.mode, Mode::Stream(_)) {
        return good(format!("stream, {counts}"));
    }
    if records.len() < 2 {
        return good(format!("{counts}: too few records to compare pieces"));
    }
    let pieces = in_pieces(stage, header, &records)?;
    if pieces == whole {
        return good(format!("record by record, {counts}"));
    }
    let text = if run_on(stage, header, input)? == whole {
        format!(
            "not record by record: use mode = \"stream\"\n    whole      {}\n    in pieces  {}",
            first_difference(&whole, &pieces, end_out),
            first_difference(&pieces, &whole, end_out)
        )
    } else {
        "gives something else each time, so whole and pieces cannot be compared".to_owned()
    };
    Ok((whole, Verdict { text, is_good: false }))
}

fn in_pieces(stage: &Stage, header: &[u8], records: &Batch) -> Result<Vec<u8>, String> {
    let cuts = cuts(records.len());
    let pieces = cuts.len() - 1;
    let mut output = Vec::new();
    for piece in 0..pieces {
        let range = cuts[piece]..cuts[piece + 1];
        let part = run_on(stage, header, records.slice(range).payload())
            .map_err(|why| format!("one of {pieces} pieces of the sample: {why}"))?;
        output.extend_from_slice(&part);
    }
    Ok(output)
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

fn run_on(stage: &Stage, header: &[u8], input: &[u8]) -> Result<Vec<u8>, String> {
    let end = stage.framing_in.terminator();
    let records = || {
        let batch = Batch::from_terminated(Bytes::copy_from_slice(input), end);
        let records = batch.iter().map(|record| record.strip_suffix(&[end]).unwrap_or(record).to_vec());
        records.collect::<Vec<_>>()
    };
    let whole = || [header, input].concat();
    let mut output = match &stage.mode {
        Mode::Batch(batch) => match batch.input {
            Input::Stdin => run(stage, Given::Stdin(whole()))?,
            Input::File => run(stage, Given::File(whole()))?,
            Input::Arguments => run(stage, Given::Arguments(&records()))?,
            Input::Argument => {
                let each = records().into_iter().map(|record| run(stage, Given::Arguments(&[record])));
                let mut all = Vec::new();
                for output in each {
                    all.extend(output?);
                    ended(&mut all, stage.framing_out.terminator());
                }
                all
            }
        },
        Mode::Stream(_) | Mode::Records(_) => run(stage, Given::Stdin(whole()))?,
    };
    ended(&mut output, stage.framing_out.terminator());
    Ok(output)
}

/// Ends the last record, as the worker does.
fn ended(records: &mut Vec<u8>, terminator: u8) {
    if records.last().is_some_and(|&last| last != terminator) {
        records.push(terminator);
    }
}

/// The first record of `a` that `b` does not have in its place, shortened.
fn first_difference(a: &[u8], b: &[u8], terminator: u8) -> String {
    let mut others = b.split(|&byte| byte == terminator);
    let number_and_record =
        a.split(|&byte| byte == terminator).enumerate().find(|(_, record)| others.next() != Some(record));
    match number_and_record {
        Some((_, [])) | None => "has nothing there".to_owned(),
        Some((index, record)) => {
            let text = String::from_utf8_lossy(record);
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
