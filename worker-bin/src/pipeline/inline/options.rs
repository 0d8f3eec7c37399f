//! The options of a command line that say what keys of the file say, a row each.

use super::values::{self, Lines};

/// An option of `worker run`; all that is known of it. Help, parsing, its place and the file that says the same come from here.
#[derive(Debug)]
pub struct InlineOption {
    pub long: &'static str,
    pub short: Option<char>,
    /// What messages call its value; `None`: it has none.
    pub value: Option<&'static str>,
    /// For people, in one phrase.
    pub help: &'static str,
    pub(super) meaning: Meaning,
}

#[derive(Debug)]
pub(super) enum Meaning {
    /// Its value is one of the patterns of this key of the source.
    Input(&'static str),
    /// Its value is the program of a stage in this mode.
    Stage(&'static str),
    /// Keys, in the tables that the place says.
    Keys(Place, fn(&str) -> Result<Lines, String>),
}

/// The tables whose keys an option gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `[pipeline]`, wherever it stands.
    Pipeline,
    /// The source, wherever it stands.
    Source,
    /// Behind a stage that one; before all stages every one of these modes that does not say it itself.
    Stage(&'static [&'static str]),
    /// Behind a stage in one of these modes that one, before all stages the source.
    SourceOrStage(&'static [&'static str]),
    /// The sink, wherever it stands.
    Sink,
    /// Behind a stage that one, behind the output the sink; before all of them each stage, and the sink.
    StageOrSink,
}

const BATCH: &str = "batch";
const STREAM: &str = "stream";
const RECORDS: &str = "records";
const ANY: &[&str] = &[BATCH, STREAM, RECORDS];

/// All of them, in the order in which help shows them.
pub const OPTIONS: &[InlineOption] = &[
    InlineOption {
        long: "input",
        short: Some('i'),
        value: Some("GLOB"),
        help: "Read these files, or - for standard input; several are read one after the other [default: -]",
        meaning: Meaning::Input("file"),
    },
    InlineOption {
        long: "list",
        short: None,
        value: Some("GLOB"),
        help: "The paths that match are the records, relative as GLOB is, sorted by name; several are listed one after the other",
        meaning: Meaning::Input("list"),
    },
    InlineOption {
        long: "header",
        short: None,
        value: Some("WHAT"),
        help: "keep, skip or repeat the first record of each file; repeated it heads every batch",
        meaning: Meaning::Keys(Place::Source, |text| {
            values::word("header", text, &["keep", "skip", "repeat"])
        }),
    },
    InlineOption {
        long: "follow",
        short: None,
        value: None,
        help: "Read on as the files grow, through their rotation, and new ones too, like tail -F; ends when it is told to",
        meaning: Meaning::Keys(Place::Source, |_| Ok(vec![("follow", "true".to_owned())])),
    },
    InlineOption {
        long: "since",
        short: None,
        value: Some("WHERE"),
        help: "With --follow: start or end, whether what is there already is read",
        meaning: Meaning::Keys(Place::Source, |text| values::word("since", text, &["start", "end"])),
    },
    InlineOption {
        long: "idle",
        short: None,
        value: Some("TIME"),
        help: "With --follow: a file that is silent for so long is closed [default: 5m]",
        meaning: Meaning::Keys(Place::Source, values::idle),
    },
    InlineOption {
        long: "on-long",
        short: None,
        value: Some("WHAT"),
        help: "What becomes of a record over --max-record: halt, dead-letter or cut",
        meaning: Meaning::Keys(Place::Source, |text| {
            values::word("on_long", text, &["halt", "dead-letter", "cut"])
        }),
    },
    InlineOption {
        long: "rate",
        short: None,
        value: Some("RATE"),
        help: "No faster than so many records or bytes in so much time: 5000/s, 90/m, 2MiB/s",
        meaning: Meaning::Keys(Place::SourceOrStage(ANY), values::rate),
    },
    InlineOption {
        long: "burst",
        short: None,
        value: Some("N"),
        help: "With --rate: so many at once, or bytes (64KiB) where the rate is in bytes [default: what is due in 100ms]",
        meaning: Meaning::Keys(Place::SourceOrStage(ANY), values::burst),
    },
    InlineOption {
        long: "sample",
        short: None,
        value: Some("SHARE"),
        help: "Only a part of the records, the same at every start: 1%, 0.05%",
        meaning: Meaning::Keys(Place::Source, values::share),
    },
    InlineOption {
        long: "sample-by",
        short: None,
        value: Some("KEY"),
        help: "With --sample: records with equal keys come together or not at all; as --key",
        meaning: Meaning::Keys(Place::Source, |text| values::key("sample_by", text)),
    },
    InlineOption {
        long: "sample-seed",
        short: None,
        value: Some("N"),
        help: "With --sample: others for another number [default: 0]",
        meaning: Meaning::Keys(Place::Source, values::seed),
    },
    InlineOption {
        long: "stage",
        short: Some('s'),
        value: Some("COMMAND"),
        help: "A stage: this program, once per batch of records; repeatable, in order",
        meaning: Meaning::Stage(BATCH),
    },
    InlineOption {
        long: "stream",
        short: Some('S'),
        value: Some("COMMAND"),
        help: "A stage: this program, once for all records; repeatable, in order",
        meaning: Meaning::Stage(STREAM),
    },
    InlineOption {
        long: "records",
        short: Some('R'),
        value: Some("COMMAND"),
        help: "A stage: this program, which answers each record in JSON; repeatable, in order",
        meaning: Meaning::Stage(RECORDS),
    },
    InlineOption {
        long: "ok-exit",
        short: None,
        value: Some("N,N"),
        help: "Exit statuses that are fine; grep says 1 for \"no match\"",
        meaning: Meaning::Keys(Place::Stage(ANY), values::ok_exit),
    },
    InlineOption {
        long: "partitions",
        short: Some('j'),
        value: Some("N"),
        help: "How many tasks it has, and for batches how many of its programs may run at once (see --slots)",
        meaning: Meaning::Keys(Place::Stage(ANY), |text| values::number("partitions", text)),
    },
    InlineOption {
        long: "key",
        short: None,
        value: Some("KEY"),
        help: "Records with equal keys meet in one task: FIELD or FIELD:DELIMITER (fields count from 1, blanks part them), csv:NAME, \
               csv:N, json:/POINTER, or record",
        meaning: Meaning::Keys(Place::Stage(ANY), |text| values::key("partition_by", text)),
    },
    InlineOption {
        long: "batch",
        short: None,
        value: Some("SIZE"),
        help: "The largest batch: 1MiB or 1000records; both may be given",
        meaning: Meaning::Keys(Place::Stage(&[BATCH]), values::batch),
    },
    InlineOption {
        long: "arg",
        short: None,
        value: None,
        help: "Runs it once a record, which stands for {} in COMMAND, or at its end, as with parallel",
        meaning: Meaning::Keys(Place::Stage(&[BATCH]), |_| Ok(vec![("input", "\"arg\"".to_owned())])),
    },
    InlineOption {
        long: "args",
        short: None,
        value: None,
        help: "The records of a batch stand for {} in COMMAND, or at its end, as with xargs; --batch 10records for 10 each",
        meaning: Meaning::Keys(Place::Stage(&[BATCH]), |_| Ok(vec![("input", "\"args\"".to_owned())])),
    },
    InlineOption {
        long: "batch-file",
        short: None,
        value: None,
        help: "A file that has the batch stands for {} in COMMAND, or at its end",
        meaning: Meaning::Keys(Place::Stage(&[BATCH]), |_| Ok(vec![("input", "\"file\"".to_owned())])),
    },
    InlineOption {
        long: "out-file",
        short: None,
        value: None,
        help: "Its output is the file that it makes under the name that stands for {out} in COMMAND",
        meaning: Meaning::Keys(Place::Stage(&[BATCH]), |_| Ok(vec![("output", "\"file\"".to_owned())])),
    },
    InlineOption {
        long: "output-header",
        short: None,
        value: None,
        help: "What each batch prints begins with a header: it is passed on once, and with --header repeat CSV stays CSV",
        meaning: Meaning::Keys(Place::Stage(&[BATCH]), |_| Ok(vec![("output_header", "true".to_owned())])),
    },
    InlineOption {
        long: "retries",
        short: None,
        value: Some("N"),
        help: "How often what failed is tried again; 0: never",
        meaning: Meaning::Keys(Place::Stage(&[BATCH, RECORDS]), values::retries),
    },
    InlineOption {
        long: "on-error",
        short: None,
        value: Some("WHAT"),
        help: "What becomes of a record that fails alone: dead-letter or halt",
        meaning: Meaning::Keys(Place::Stage(&[BATCH, RECORDS]), |text| {
            values::word("on_error", text, &["dead-letter", "halt"])
        }),
    },
    InlineOption {
        long: "timeout",
        short: None,
        value: Some("DURATION"),
        help: "A program that neither moves a byte nor computes for so long is killed and run again; or off",
        meaning: Meaning::Keys(Place::Stage(ANY), values::timeout),
    },
    InlineOption {
        long: "early-exit",
        short: None,
        value: None,
        help: "A program that ends before its input (head) is done, and with it whatever only it needs",
        meaning: Meaning::Keys(Place::Stage(&[STREAM]), |_| Ok(vec![("early_exit", "\"done\"".to_owned())])),
    },
    InlineOption {
        long: "window",
        short: None,
        value: Some("SIZE"),
        help: "Ends the program and starts it anew after so long, 1m, or so many records, 1000records",
        meaning: Meaning::Keys(Place::Stage(&[STREAM]), values::window),
    },
    InlineOption {
        long: "when-full",
        short: None,
        value: Some("WHAT"),
        help: "What is done with what comes to it while it is behind: wait, drop-newest or drop-oldest; drops are counted, status 3",
        meaning: Meaning::Keys(Place::StageOrSink, |text| {
            values::word("when_full", text, &["wait", "drop-newest", "drop-oldest"])
        }),
    },
    InlineOption {
        long: "cwd",
        short: None,
        value: Some("DIR"),
        help: "Where it runs",
        meaning: Meaning::Keys(Place::Stage(ANY), |text| values::text("cwd", text)),
    },
    InlineOption {
        long: "framing",
        short: None,
        value: Some("HOW"),
        help: "How records follow one another: lines, nul, csv, json, start=REGEX, end=REGEX, lines=N, length=N, prefix=u32be",
        meaning: Meaning::Keys(Place::SourceOrStage(ANY), values::framing),
    },
    InlineOption {
        long: "output",
        short: Some('o'),
        value: Some("FILE"),
        help: "Write this file, or - for standard output; one that ends in / is a directory [default: -]",
        meaning: Meaning::Keys(Place::Sink, values::output),
    },
    InlineOption {
        long: "keep-order",
        short: Some('k'),
        value: None,
        help: "Write in the order of the input, whatever runs side by side before",
        meaning: Meaning::Keys(Place::Sink, |_| Ok(vec![("order", "\"input\"".to_owned())])),
    },
    InlineOption {
        long: "append",
        short: None,
        value: None,
        help: "Write behind what the file holds already",
        meaning: Meaning::Keys(Place::Sink, |_| Ok(vec![("exists", "\"append\"".to_owned())])),
    },
    InlineOption {
        long: "force",
        short: None,
        value: None,
        help: "Replace the file if it is there",
        meaning: Meaning::Keys(Place::Sink, |_| Ok(vec![("exists", "\"replace\"".to_owned())])),
    },
    InlineOption {
        long: "max-record",
        short: None,
        value: Some("SIZE"),
        help: "The longest record; a longer one is an error, or what --on-long says [default: 1MiB]",
        meaning: Meaning::Keys(Place::Pipeline, values::max_record),
    },
];

impl InlineOption {
    /// Whether its value can be one.
    ///
    /// # Errors
    /// What was expected.
    pub fn check(&self, value: &str) -> Result<(), String> {
        match &self.meaning {
            Meaning::Input(_) | Meaning::Stage(_) => {
                if value.is_empty() {
                    Err("expected some text".to_owned())
                } else {
                    Ok(())
                }
            }
            Meaning::Keys(_, lines) => lines(value).map(drop),
        }
    }

    /// Under which title help has it.
    #[must_use]
    pub fn heading(&self) -> &'static str {
        match self.meaning {
            Meaning::Input(_) | Meaning::Keys(Place::Source, _) => "What is read, without FILE",
            Meaning::Stage(_) => "Stages, without FILE",
            Meaning::Keys(Place::Stage(_), _) => "Of a stage: behind one for it, before all of them for each",
            Meaning::Keys(Place::SourceOrStage(_), _) => {
                "Of what is read, before all stages, or of a stage, behind it"
            }
            Meaning::Keys(Place::StageOrSink, _) => {
                "Of a stage behind it, of what is written behind --output, of each before all of them"
            }
            Meaning::Keys(Place::Sink, _) => "What is written, without FILE",
            Meaning::Keys(Place::Pipeline, _) => "Of the whole, without FILE",
        }
    }

    /// As it is written: `-s`, or `--key`.
    #[must_use]
    pub fn written(&self) -> String {
        self.short.map_or_else(|| format!("--{}", self.long), |short| format!("-{short}"))
    }
}
