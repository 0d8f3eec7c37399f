//! The words of `worker test`.

use crate::cli::args::{some_time, variable};
use crate::cli::complete;
use clap::Args;
use clap_complete::ArgValueCandidates;
use std::path::PathBuf;
use std::time::Duration;

/// What the help of `worker test` ends with.
pub const TEST_EXAMPLES: &str = "\
A test is a table of the pipeline file:
  [[test]]
  stage = \"upper\"                # left out: the whole pipeline
  input = \"a\\nb\\n\"               # or input_file = \"tests/in.txt\"
  output = \"A\\nB\\n\"              # or output_file

Its programs are run on the input whole, cut into batches at several places, and while they are killed; a whole pipeline that \
delivers exactly once also while the worker is killed. Files in place of its sources and sinks are temporary: nothing else is \
read or written, but by its programs.

Examples:
  worker test jobs.toml
  worker test jobs.toml upper --junit test-results.xml

Exit status: 0 all pass; 1 one does not; 2 the command line or a file is wrong.";

/// Arguments of `worker test`.
#[derive(Clone, Debug, Args)]
pub struct TestArgs {
    /// Pipeline file, or - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The tests to run [default: all of the file]
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::tests_of_file))]
    pub names: Vec<String>,
    /// Value of a variable of the file; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable, add = ArgValueCandidates::new(complete::variables_of_file))]
    pub set: Vec<(String, String)>,
    /// Write the results there as JUnit XML, for a build server
    #[arg(long, value_name = "OUT.xml", value_hint = clap::ValueHint::FilePath)]
    pub junit: Option<PathBuf>,
    /// How long one run of a test may take
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = some_time)]
    pub timeout: Duration,
}
