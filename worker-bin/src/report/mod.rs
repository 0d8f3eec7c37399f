//! What a run comes to: its report, as a few lines on standard error, as JSON and as a page.
//!
//! [`Report`] is made once, of the observer's last snapshot, its history and its stalls; the three forms show the same figures.
//!
//! ```text
//!   Snapshot, History, PastStalls, dead letters ──gather()──▶ Report ──▶ text()   the last lines of a run
//!                                                                  ├──▶ JSON     --report FILE
//!                                                                  └──▶ html()   --report FILE.html
//! ```

mod dead;
mod file;
mod gather;
mod html;
mod model;
mod text;

pub use dead::DeadTally;
pub use file::{Busy, ReportFile, ReportFileError};
pub use gather::{Gathered, gather};
pub use html::html;
pub use model::{
    DeadReason, LeftState, Outcome, Report, ReportHistory, ReportLink, ReportStage, ReportStall, ReportTask,
    SCHEMA, Waited,
};
pub use text::{bytes_rate, in_one_line, rate, text};
