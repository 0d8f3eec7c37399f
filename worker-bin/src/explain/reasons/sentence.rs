//! A reason as a sentence, with its figures in it.

use super::Why;
use crate::explain::peer;
use crate::explain::words::{bytes, dead_letters, foreign, listed, records, times};
use worker_core::stall::PeerCause;

impl Why {
    /// In words, without the name of the task that waits: `on` is what is waited for, `ago` how long it has been so.
    pub(in crate::explain) fn says(&self, on: &str, ago: &str) -> String {
        match self {
            Why::PeerDown { .. } => self.peer_down(on, ago),
            Why::UpstreamDown { cause } => upstream_down(cause, on, ago),
            Why::NotOpen { held_records } => {
                format!("{on} has not answered for {ago}; holds {}", records(*held_records))
            }
            Why::Unacknowledged { held_records } => {
                format!("{on} has not acknowledged {} for {ago}", records(*held_records))
            }
            Why::NoCredit { held_records } => {
                let held = records(*held_records);
                format!("{on} has taken no more for {ago} (its credit is used up); holds {held}")
            }
            Why::OutboxFull { memory_bytes, memory_limit_bytes, spilled_bytes } => {
                let (held, limit) = (bytes(*memory_bytes), bytes(*memory_limit_bytes));
                format!("{on} is behind: {held} of {limit} held for it{}", on_disk(*spilled_bytes))
            }
            Why::SpillLimit { spilled_bytes, spill_limit_bytes } => {
                let (held, limit) = (bytes(*spilled_bytes), bytes(*spill_limit_bytes));
                format!("{on} is behind: {held} are stored for it on disk, past spill_limit ({limit})")
            }
            Why::StorageFull {} => STATE_DISK_FULL.to_owned(),
            Why::Restarting { next_in_s, failures, error } => restarts(*next_in_s, *failures, error),
            Why::NoReader { path } => format!("nobody has read {} for {ago}", foreign(path)),
            Why::DiskFull { error } => format!("no room on disk for {ago}: {}", foreign(error)),
            Why::Committing { commits, bytes: held } => {
                format!("{commits} commits ({}) wait for stable storage", bytes(*held))
            }
            Why::NoSlot { ahead, slots, held_by } => no_slot(*ahead, *slots, held_by, ago),
            Why::Quarantined { held_by } => {
                let now = listed(held_by, 4)
                    .map_or_else(String::new, |tasks| format!("; it is the turn of {tasks}"));
                format!("a record with which the worker may have died is tried alone{now}")
            }
            Why::Backoff { attempts, next_in_s, error, records: count } => {
                let (count, times, error) = (records(*count), times(*attempts), foreign(error));
                let next = in_time("next attempt", "another attempt", *next_in_s);
                format!("a batch of {count} failed {times} ({error}), {next}")
            }
            Why::RateLimited { rate, next_in_s } => rate_limited(rate, *next_in_s),
            Why::ChildBusy {} => format!("its program has been busy for {ago}"),
            Why::ChildHung { unread_bytes, closed } => hangs(*unread_bytes, *closed, ago),
            Why::ChildStopped { pid, by } => format!("its program (process {pid}) is {}", foreign(by)),
            Why::ChildBuffers { fed_bytes } => {
                let fed = bytes(*fed_bytes);
                format!(
                    "its program has read {fed} and printed nothing for {ago}: it probably buffers its output"
                )
            }
            Why::Writing {} => format!("a write has been under way for {ago}"),
            Why::WriteHung {} => format!("nothing of what it writes has been taken for {ago}"),
            Why::ChildNotReading { bytes: held } => {
                format!("its program is behind; {} wait for it", bytes(*held))
            }
            Why::AwaitingEnd { fed_records } => {
                let fed = records(*fed_records);
                format!("its program has {fed} and has printed nothing: it waits for the end of input")
            }
            Why::Paused {} => format!("paused by the user for {ago}"),
            Why::DeadLimit { dead_records: dead, records: count } => {
                let (dead, all) = (dead_letters(*dead), records(*count));
                format!("{dead} of the {all} of this task are more than max_dead allows")
            }
            Why::AwaitingTurn { queued_records } => awaits_turn(on, ago, *queued_records),
            Why::SourceIdle {} => format!("its input has given nothing for {ago}"),
            Why::AwaitingLines { files, unread_bytes } => awaits_lines(files, *unread_bytes, ago),
            Why::Undecided { records } => undecided(*records),
            Why::Linger {} => "more records, to make a larger batch".to_owned(),
        }
    }

    fn peer_down(&self, on: &str, ago: &str) -> String {
        let Why::PeerDown {
            cause,
            error,
            attempts,
            next_in_s,
            held_records,
            memory_bytes,
            memory_limit_bytes,
            spilled_bytes,
        } = self
        else {
            return String::new();
        };
        let next = next_in_s.map_or_else(|| ", trying now".to_owned(), |s| format!(", next in {s:.1} s"));
        format!(
            "{on} {} for {ago} ({}), attempt {attempts}{next}; holds {}, {} of {}{}",
            peer::named(cause).state,
            foreign(error.split("; ").next().unwrap_or(error)),
            records(*held_records),
            bytes(*memory_bytes),
            bytes(*memory_limit_bytes),
            on_disk(*spilled_bytes)
        )
    }
}

fn awaits_turn(on: &str, ago: &str, queued: u64) -> String {
    let held = records(queued);
    format!("{on}, whose output comes next in the input's order, has given none for {ago}; {held} wait here")
}

fn awaits_lines(files: &str, unread_bytes: u64, ago: &str) -> String {
    let files = foreign(files);
    match unread_bytes {
        0 => format!("for new lines in {files}: it has read all there is, and no more has come for {ago}"),
        // Of a line without its end, or of a packed file that still grows.
        so_far => format!(
            "for new lines in {files}: no whole one has come for {ago}, {} are there so far",
            bytes(so_far)
        ),
    }
}

fn undecided(held: u64) -> String {
    format!(
        "{} failed, and no program of its stage has succeeded yet: the next that does shows whose fault that was",
        records(held)
    )
}

const STATE_DISK_FULL: &str = "the disk of the state directory is full: only what was admitted goes on";

fn rate_limited(rate: &str, next_in_s: f64) -> String {
    let later = if next_in_s >= 1.0 { format!(", more in {next_in_s:.0} s") } else { String::new() };
    format!("limited by its rate of {}{later}", foreign(rate))
}

fn upstream_down(cause: &str, on: &str, ago: &str) -> String {
    if cause == peer::words(PeerCause::Silent).name {
        return format!("{on} has been silent for {ago}: nothing comes from it");
    }
    format!("{on} has had no connection to this node for {ago}")
}

fn restarts(next_in_s: f64, failures: u32, error: &str) -> String {
    let error = foreign(error);
    match failures {
        0 => format!("its program {} ({error})", in_time("restarts", "restarts", next_in_s)),
        _ => {
            let next = in_time("restarts", "restarts", next_in_s);
            format!("its program failed {} ({error}), {next}", times(failures))
        }
    }
}

/// When something begins; what is due has begun, or is about to.
fn in_time(then: &str, now: &str, in_s: f64) -> String {
    if in_s < 0.05 { format!("{now} now") } else { format!("{then} in {in_s:.1} s") }
}

fn no_slot(ahead: u64, slots: u64, held_by: &[String], ago: &str) -> String {
    let ahead = if ahead > 0 { format!(", {ahead} tasks before it") } else { String::new() };
    let (all, are) = match slots {
        1 => ("the only slot has".to_owned(), "it is"),
        _ => (format!("all {slots} slots have"), "they are"),
    };
    let by = listed(held_by, 4).map_or_else(String::new, |tasks| format!("; {are} held by {tasks}"));
    format!("{all} been in use for {ago}{ahead}{by}")
}

fn hangs(unread_bytes: u64, closed: bool, ago: &str) -> String {
    let work = match (unread_bytes, closed) {
        (0, true) => "its input has ended".to_owned(),
        (0, false) => "it owes an answer".to_owned(),
        (_, _) => format!("{} unread", bytes(unread_bytes)),
    };
    format!("its program hangs: {work}, and no byte moved and no processor time used for {ago}")
}

fn on_disk(spilled_bytes: u64) -> String {
    if spilled_bytes > 0 { format!(", and {} on disk", bytes(spilled_bytes)) } else { String::new() }
}
