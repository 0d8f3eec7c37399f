//! What is found in a journal, as data.

use crate::format;
use crate::image::{Image, OutputImage};
use crate::images::Images;
use crate::record::{
    Admitted, AttemptHead, BodyHead, CheckpointHead, CommitHead, CopiedHead, InputHead, Location, OutputHead,
    Span, StepHead, TurnHead,
};
use serde::Serialize;
use worker_proto::{LinkId, Seq};

/// One thing that is found in a journal, in the order in which they come.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Finding {
    /// Where the journal is.
    Journal {
        /// The directory.
        journal: String,
        /// How many files it has.
        segments: usize,
    },
    /// A file of it; its records follow, if it has a header.
    Segment(Segment),
    /// A record of the segment before.
    Record(Record),
    /// Behind the last whole record of a segment.
    End {
        /// Name of the file.
        segment: String,
        /// In the file, in bytes.
        offset: u64,
        /// In the journal, in bytes.
        position: u64,
    },
    /// What recovery makes of all of it.
    Recovered(Recovered),
    /// Recovery refuses it.
    Damaged {
        /// Where, and how.
        damage: String,
    },
    /// Of a damaged journal: what a segment says of all of it.
    Claim {
        /// Name of the file.
        segment: String,
        /// Its bytes up to here are good.
        whole_to: u64,
        /// A position: everything before it was durable.
        durable_to: u64,
    },
}

/// A file of a journal.
#[derive(Clone, Debug, Serialize)]
pub struct Segment {
    /// Name of the file.
    pub segment: String,
    /// Its length; nothing if it was removed meanwhile.
    pub bytes: Option<u64>,
    /// What it says of itself.
    pub header: Option<Header>,
    /// Why it has no header.
    pub damage: Option<String>,
}

/// What a segment says of itself.
#[derive(Clone, Debug, Serialize)]
pub struct Header {
    /// Id of the journal, in hexadecimal digits.
    pub journal_id: String,
    /// The life that wrote it.
    pub epoch: u64,
    /// Position of its first record.
    pub position: u64,
    /// A position: everything before it was durable when the file got its name.
    pub durable_to: u64,
}

/// A record of a segment.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Name of the file.
    pub segment: String,
    /// In the file, in bytes.
    pub offset: u64,
    /// In the journal, in bytes.
    pub position: u64,
    /// Its payload, in bytes.
    pub bytes: u64,
    /// A position: everything before it was durable when the record was written.
    pub durable_to: u64,
    /// life, commit, stage, state, checkpoint, copied, note, of or part.
    pub kind: &'static str,
    /// What it says.
    #[serde(flatten)]
    pub says: Says,
}

/// What a record says.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Says {
    /// A life begins.
    Life {
        /// Which.
        epoch: u64,
    },
    /// A commit.
    Commit(Box<Commit>),
    /// A batch that a later commit may refer to.
    Stage {
        /// How many it has.
        records: u64,
    },
    /// Part of the keyed state, or the newest position.
    State {},
    /// What follows is of this task of the journal.
    Of {
        /// Its place among the tasks of [`Recovered`], from 0.
        member: u64,
    },
    /// A task's part of a checkpoint.
    Part {
        /// How many records before it are its state.
        states: u64,
    },
    /// Everything as of here.
    Checkpoint {
        /// How many records before it are its state.
        states: u64,
        /// Segments with live batches, and to which byte each must be whole.
        needs: Vec<Need>,
    },
    /// A batch that was moved here.
    Copied {
        /// Of which link it is output.
        link: Option<u32>,
        /// Number of its first tuple there.
        first: Option<u64>,
        /// How many it has.
        records: u64,
    },
    /// What is about to be in flight.
    Note(InFlight),
    /// Its head is damaged.
    Damaged {
        /// How.
        damage: String,
    },
}

/// A segment that something needs.
#[derive(Clone, Debug, Serialize)]
pub struct Need {
    /// Name of the file.
    pub segment: String,
    /// It must be whole to this byte.
    pub to: u64,
}

/// A commit.
#[derive(Clone, Debug, Serialize)]
pub struct Commit {
    /// Its number.
    pub commit: u64,
    /// What of the task's inputs is done.
    pub inputs: Vec<Input>,
    /// What goes out with it.
    pub outputs: Vec<Output>,
    /// So many records became dead letters.
    pub dead_records: u64,
    /// Length of the task's file of dead letters, if it has changed.
    pub dead_bytes: Option<u64>,
    /// Size of the position or of changes of state, if there are any.
    pub position_bytes: Option<u64>,
    /// A step of a stream's window.
    pub window: Option<Step>,
    /// What is still in flight, if anything is or was suspected.
    pub in_flight: Option<InFlight>,
    /// Where the task is in the order of the source.
    pub order: Option<Turn>,
    /// The task is at its end.
    pub ended: bool,
}

/// How far an input is done.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Input {
    /// The link.
    pub link: u32,
    /// Through this tuple.
    pub through: u64,
    /// The sender's life.
    pub epoch: u64,
    /// Its end is done, too.
    pub ended: bool,
}

/// Tuples of an output.
#[derive(Clone, Debug, Serialize)]
pub struct Output {
    /// The link.
    pub link: u32,
    /// Number of the first.
    pub first: u64,
    /// How many.
    pub records: u64,
    /// Where they are, if in an earlier record.
    pub place: Option<Place>,
}

/// A place in a journal.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    /// Name of the file; or which file of a source's input it is.
    pub segment: String,
    /// In the file, in bytes.
    pub offset: u64,
}

/// A step of a stream's window.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Which window.
    pub window: u64,
    /// admits, printed, cut or done.
    pub step: &'static str,
    /// How many records it admits, or has printed.
    pub records: Option<u64>,
    /// Of what was printed, in hexadecimal digits.
    pub hash: Option<String>,
    /// Where the batches are that it admits records of, if in earlier records.
    pub places: Vec<Place>,
}

/// What is in flight.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct InFlight {
    /// How many records; 0: nothing.
    pub records: u64,
    /// The link of the first.
    pub link: Option<u32>,
    /// Its number there.
    pub first: Option<u64>,
    /// How often the worker died with it alone in flight.
    pub deaths_alone: u32,
    /// How many records are suspected.
    pub suspects: u64,
}

/// Where a task is in the order of the source.
#[derive(Clone, Debug, Serialize)]
pub struct Turn {
    /// Chunks taken.
    pub taken: u64,
    /// Chunks given, by group of links.
    pub given: Vec<u64>,
    /// A header that was taken.
    pub header_taken: Option<String>,
    /// A header that was given on.
    pub header_given: Option<String>,
}

/// What recovery makes of a journal.
#[derive(Clone, Debug, Serialize)]
pub struct Recovered {
    /// A position: everything before it is durable, at least.
    pub durable_to: u64,
    /// A position: what lies behind, if anything, is torn and is cut off.
    pub whole_to: u64,
    /// Bytes that are still needed.
    pub live_bytes: u64,
    /// The tasks whose journal it is.
    pub tasks: Vec<Task>,
}

/// What recovery makes of one task of a journal.
#[derive(Clone, Debug, Serialize)]
pub struct Task {
    /// As STAGE/PARTITION.
    pub task: String,
    /// How many lives it has had.
    pub epoch: u64,
    /// Number of the last commit.
    pub commit: u64,
    /// How far each input is done.
    pub inputs: Vec<Input>,
    /// How far each output is sent and acknowledged.
    pub outputs: Vec<Sent>,
    /// The stream's window that is under way.
    pub window: Option<Window>,
    /// Dead letters in all.
    pub dead_records: u64,
    /// The task is at its end.
    pub ended: bool,
}

/// How far an output is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sent {
    /// The link.
    pub link: u32,
    /// Number of the next tuple.
    pub next: u64,
    /// Acknowledged through this one.
    pub acknowledged: u64,
    /// The first that is kept to be sent again.
    pub held_from: Option<u64>,
    /// Number of the end.
    pub end: Option<u64>,
}

/// A stream's window that is under way.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Window {
    /// Which.
    pub window: u64,
    /// Batches that were admitted to it.
    pub admitted_batches: usize,
    /// Its input is over.
    pub cut: bool,
}

impl From<&InputHead> for Input {
    fn from(head: &InputHead) -> Self {
        Self { link: head.link.0, through: head.through.0, epoch: head.epoch.0, ended: head.ended }
    }
}

impl From<&OutputHead> for Output {
    fn from(head: &OutputHead) -> Self {
        let place = match &head.body {
            BodyHead::Inline(_) => None,
            BodyHead::Elsewhere(at) => Some(Place::from(at)),
        };
        Self { link: head.link.0, first: head.first.0, records: head.body.records(), place }
    }
}

impl From<&Location> for Place {
    fn from(at: &Location) -> Self {
        let segment = match at.input() {
            Some((member, file)) => format!("file {file} of what task {} reads", member.0),
            None => format::file_name(at.segment),
        };
        Self { segment, offset: at.offset }
    }
}

impl From<&StepHead> for Step {
    fn from(head: &StepHead) -> Self {
        let of = |window: &u64, step| Self {
            window: *window,
            step,
            records: None,
            hash: None,
            places: Vec::new(),
        };
        match head {
            StepHead::Admit { window, batches } => {
                Self { records: Some(batches.iter().map(Span::records).sum()), ..of(window, "admits") }
            }
            StepHead::Refer { window, admitted } => Self {
                records: Some(admitted.iter().map(Admitted::records).sum()),
                places: admitted.iter().map(|admitted| Place::from(&admitted.at)).collect(),
                ..of(window, "admits")
            },
            StepHead::Printed { window, records, hash } => {
                Self { records: Some(*records), hash: Some(format!("{hash:016x}")), ..of(window, "printed") }
            }
            StepHead::Cut { window } => of(window, "cut"),
            StepHead::Done { window } => of(window, "done"),
        }
    }
}

impl From<&AttemptHead> for InFlight {
    fn from(head: &AttemptHead) -> Self {
        let AttemptHead { records, first, alone, suspects } = *head;
        let (link, first) = first.map(|(link, seq): (LinkId, Seq)| (link.0, seq.0)).unzip();
        Self { records, link, first, deaths_alone: alone, suspects }
    }
}

impl From<&TurnHead> for Turn {
    fn from(head: &TurnHead) -> Self {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).trim_end().to_owned();
        let headers = head.headers.as_ref();
        Self {
            taken: head.taken,
            given: head.given.clone(),
            header_taken: headers.and_then(|headers| headers.taken.as_ref()).map(text),
            header_given: headers.and_then(|headers| headers.given.as_ref()).map(text),
        }
    }
}

impl From<&CommitHead> for Commit {
    fn from(head: &CommitHead) -> Self {
        Self {
            commit: head.id,
            inputs: head.inputs.iter().map(Input::from).collect(),
            outputs: head.outputs.iter().map(Output::from).collect(),
            dead_records: head.dead,
            dead_bytes: head.dead_bytes,
            position_bytes: head.position_bytes,
            window: head.step.as_ref().map(Step::from),
            in_flight: (head.attempt != AttemptHead::default()).then(|| InFlight::from(&head.attempt)),
            order: head.turn.as_ref().map(Turn::from),
            ended: head.ended,
        }
    }
}

impl From<&CheckpointHead> for Says {
    fn from(head: &CheckpointHead) -> Self {
        let need = |&(segment, to): &(u64, u64)| Need { segment: format::file_name(segment), to };
        Self::Checkpoint { states: head.states, needs: head.needs.iter().map(need).collect() }
    }
}

impl From<&CopiedHead> for Says {
    fn from(head: &CopiedHead) -> Self {
        let (link, first) = head.output.map(|(link, seq)| (link.0, seq.0)).unzip();
        Self::Copied { link, first, records: head.span.records() }
    }
}

impl Recovered {
    pub(super) fn new(images: &Images, durable_to: u64, whole_to: u64) -> Self {
        let tasks = images.tasks().iter().map(Task::from).collect();
        Self { durable_to, whole_to, live_bytes: images.live.bytes(), tasks }
    }
}

impl From<&Image> for Task {
    fn from(image: &Image) -> Self {
        let sent = |(link, output): (&LinkId, &OutputImage)| Sent {
            link: link.0,
            next: output.next.0,
            acknowledged: output.through.0,
            held_from: output.held.front().map(|held| held.first.0),
            end: output.end.map(|end| end.0),
        };
        Self {
            task: image.task.clone(),
            epoch: image.epoch.0,
            commit: image.commits,
            inputs: image.inputs.values().map(Input::from).collect(),
            outputs: image.outputs.iter().map(sent).collect(),
            window: image.window.as_ref().map(|window| Window {
                window: window.window,
                admitted_batches: window.admitted.len(),
                cut: window.cut,
            }),
            dead_records: image.dead,
            ended: image.ended,
        }
    }
}
