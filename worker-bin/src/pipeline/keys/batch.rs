//! Keys of `mode = "batch"`.

use super::failures::Failures;
use super::value::{Flag, Integer, Maybe, Size, Time, Words};
use super::{Class, Inline, Key, Keys, Section, WhenAbsent};
use crate::child::{Gives, Takes};
use std::path::Path;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct BatchMode {
    /// Largest batch, in bytes.
    pub max_bytes: u64,
    /// Largest batch, in records; `None`: bytes alone decide.
    pub max_records: Option<u64>,
    /// How long records wait for company.
    pub linger: Duration,
    pub input: Input,
    pub output: Gives,
    /// The first record of what each batch's program prints is a header, which is passed on once.
    pub output_header: bool,
    pub failures: Failures,
}

/// In what a batch is given to its program; in `run`, `{}` stands for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Input {
    #[default]
    Stdin,
    /// One record, as an argument.
    Argument,
    /// All records of the batch, each an argument.
    Arguments,
    /// A file that has the batch.
    File,
}

/// Most records that are given as arguments at once, in bytes: as xargs has it, and far below what systems take.
const ARGUMENTS_BYTES_MAX: u64 = 128 << 10;

impl Input {
    #[must_use]
    pub fn takes(self) -> Takes {
        match self {
            Self::Stdin => Takes::Stdin,
            Self::Argument | Self::Arguments => Takes::Arguments,
            Self::File => Takes::File,
        }
    }

    pub(in crate::pipeline) fn batch_bytes_max(self) -> u64 {
        match self {
            Self::Stdin | Self::File => u64::MAX,
            Self::Argument | Self::Arguments => ARGUMENTS_BYTES_MAX,
        }
    }

    pub(in crate::pipeline) fn batch_records_max(self) -> u64 {
        match self {
            Self::Argument => 1,
            Self::Stdin | Self::Arguments | Self::File => u64::MAX,
        }
    }
}

impl Default for BatchMode {
    fn default() -> Self {
        Self {
            max_bytes: 8 << 20,
            max_records: None,
            linger: Duration::from_millis(20),
            input: Input::Stdin,
            output: Gives::Stdout,
            output_header: false,
            failures: Failures::default(),
        }
    }
}

impl Section for BatchMode {
    fn defaults(_: &Path) -> Self {
        Self::default()
    }
}

pub(super) const KEYS: Keys<BatchMode> = &[
    &Inline {
        name: "batch",
        doc: "how much a batch may be, max_records (no limit unless given) too, and how long its records wait for more; batches start small and grow",
        keys: LIMITS,
        check: |_| None,
    },
    // State of a version without these two is gone on with: what is left out is no part of the fingerprint.
    &Key::<BatchMode, _> {
        name: "input",
        class: Class::Results,
        doc: "stdin | arg | args | file: whether the program reads the batch; or is run for each record, which stands for {} in run, or at its \
              end; or the records of a batch stand there; or the name of a file that has the batch does",
        value: Maybe(INPUTS),
        when_absent: WhenAbsent::Nothing("stdin"),
        get: |batch| Some(batch.input).filter(|input| *input != Input::Stdin),
        set: |batch, input, _| batch.input = input.unwrap_or_default(),
    },
];

/// What only a stage has, whose output goes on.
pub(super) const OUTPUT: Keys<BatchMode> = &[
    &Key::<BatchMode, _> {
        name: "output",
        class: Class::Results,
        doc: "stdout | file: whether its output is what the program prints, or the file that it makes at {out} in run; then what it prints is logged",
        value: Maybe(OUTPUTS),
        when_absent: WhenAbsent::Nothing("stdout"),
        get: |batch| Some(batch.output).filter(|output| *output != Gives::Stdout),
        set: |batch, output, _| batch.output = output.unwrap_or_default(),
    },
    &Key::<BatchMode, _> {
        name: "output_header",
        class: Class::Results,
        doc: "whether what each batch prints begins with a header, which is passed on once: it heads the file of a sink, and each batch of a \
              stage that reads it",
        value: Maybe(Flag),
        when_absent: WhenAbsent::Nothing("false"),
        get: |batch| Some(batch.output_header).filter(|is_on| *is_on),
        set: |batch, is_on, _| batch.output_header = is_on.unwrap_or_default(),
    },
];

const INPUTS: Words<Input> = Words(&[
    ("stdin", Input::Stdin),
    ("arg", Input::Argument),
    ("args", Input::Arguments),
    ("file", Input::File),
]);

const OUTPUTS: Words<Gives> = Words(&[("stdout", Gives::Stdout), ("file", Gives::File)]);

const LIMITS: Keys<BatchMode> = &[
    &Key::<BatchMode, _> {
        name: "max_bytes",
        class: Class::Tuning,
        doc: "the largest batch, in bytes",
        value: Size,
        when_absent: WhenAbsent::Default,
        get: |batch| batch.max_bytes,
        set: |batch, bytes, _| batch.max_bytes = bytes,
    },
    &Key::<BatchMode, _> {
        name: "max_records",
        class: Class::Tuning,
        doc: "the largest batch, in records",
        value: Maybe(Integer { least: 1, most: u64::MAX }),
        when_absent: WhenAbsent::Nothing("max_bytes alone decides"),
        get: |batch| batch.max_records,
        set: |batch, records, _| batch.max_records = records,
    },
    &Key::<BatchMode, _> {
        name: "linger",
        class: Class::Tuning,
        doc: "how long records wait for more of them, before a batch begins that is not full",
        value: Time::Any,
        when_absent: WhenAbsent::Default,
        get: |batch| batch.linger,
        set: |batch, linger, _| batch.linger = linger,
    },
];
