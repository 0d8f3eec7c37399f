//! Waits, chains and advice in words. Nothing a program or a record said gets through with control characters in it.

use super::chain::{Chain, Explanation, Limit};
use super::model::{Wait, WaitKind, Why};
use crate::text::escape::again;
pub use crate::text::escape::foreign;
use std::fmt::Write as _;

/// A wait in words, without the name of the task that waits.
#[must_use]
pub fn wait(wait: &Wait) -> String {
    let ago = duration(wait.for_s);
    let on = match (&wait.on, &wait.on_node) {
        (Some(on), Some(node)) => format!("{on} on node {node}"),
        (Some(on), None) => on.clone(),
        (None, _) => String::new(),
    };
    match &wait.why {
        Why::PeerDown { .. } => peer_down(&wait.why, &on, &ago),
        Why::UpstreamDown {} => format!("{on} has had no connection to this node for {ago}"),
        Why::NotOpen { held_records } => {
            format!("{on} has not answered for {ago}; holds {}", records(*held_records))
        }
        Why::Unacknowledged { held_records } => {
            format!("{on} has not acknowledged {} for {ago}", records(*held_records))
        }
        Why::NoCredit { held_records } => {
            format!(
                "{on} has taken no more for {ago} (its credit is used up); holds {}",
                records(*held_records)
            )
        }
        Why::OutboxFull { memory_bytes, memory_limit_bytes, spilled_bytes } => {
            let (held, limit) = (bytes(*memory_bytes), bytes(*memory_limit_bytes));
            format!("{on} is behind: {held} of {limit} held for it{}", on_disk(*spilled_bytes))
        }
        Why::SpillLimit { spilled_bytes, spill_limit_bytes } => format!(
            "{on} is behind: {} of {} (spill_limit) stored for it on disk",
            bytes(*spilled_bytes),
            bytes(*spill_limit_bytes)
        ),
        Why::StorageFull {} => {
            "the disk of the state directory is full: only what was admitted goes on".to_owned()
        }
        Why::DiskFull { error } => format!("no room on disk for {ago}: {}", foreign(error)),
        Why::Committing { commits, bytes: held } => {
            format!("{commits} commits ({}) wait for stable storage", bytes(*held))
        }
        Why::NoSlot { ahead: 0, slots } => format!("all {slots} slots have been in use for {ago}"),
        Why::NoSlot { ahead, slots } => {
            format!("all {slots} slots have been in use for {ago}, {ahead} tasks before it")
        }
        Why::Backoff { attempts, next_in_s, error, records: count } => format!(
            "a batch of {} failed {} ({}), next attempt in {next_in_s:.1} s",
            records(*count),
            times(*attempts),
            foreign(error)
        ),
        Why::ChildBusy {} => format!("its program has been busy for {ago}"),
        Why::ChildHung { unread_bytes, closed } => rests(*unread_bytes, *closed, &ago),
        Why::ChildBuffers { fed_bytes } => format!(
            "its program has read {} and printed nothing for {ago}: it probably buffers its output",
            bytes(*fed_bytes)
        ),
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
            format!("{dead} dead letters of {} are more than max_dead allows", records(*count))
        }
        Why::SourceIdle {} => format!("its input has given nothing for {ago}"),
        Why::Linger {} => "more records, to make a larger batch".to_owned(),
    }
}

fn peer_down(why: &Why, on: &str, ago: &str) -> String {
    let Why::PeerDown {
        cause,
        error,
        attempts,
        next_in_s,
        held_records,
        memory_bytes,
        memory_limit_bytes,
        spilled_bytes,
    } = why
    else {
        return String::new();
    };
    let next = next_in_s.map_or_else(|| ", trying now".to_owned(), |s| format!(", next in {s:.1} s"));
    format!(
        "{on} {} for {ago} ({}), attempt {attempts}{next}; holds {}, {} of {}{}",
        peer_state(cause),
        foreign(error.split("; ").next().unwrap_or(error)),
        records(*held_records),
        bytes(*memory_bytes),
        bytes(*memory_limit_bytes),
        on_disk(*spilled_bytes)
    )
}

fn rests(unread_bytes: u64, closed: bool, ago: &str) -> String {
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

fn peer_state(cause: &str) -> &'static str {
    match cause {
        "not_yet" => "not reached yet",
        "refused" => "has refused the connection",
        "silent" => "silent",
        "lost" => "disconnected",
        _ => "unreachable",
    }
}

/// What the user can do about a root cause.
#[must_use]
pub fn advice(root: &Wait) -> Option<String> {
    let node = root.on_node.as_deref().unwrap_or("that node");
    let on = root.on.as_deref().unwrap_or("it");
    Some(match &root.why {
        Why::PeerDown { cause, .. } => match cause.as_str() {
            "refused" => format!("node {node} answers, but takes no connection; its reason is above"),
            "silent" => format!(
                "look whether the process of node {node} is stopped or its machine hangs, and whether the network drops packets \
                 between the two; what is held is sent when it answers"
            ),
            _ => format!(
                "start node {node} again with the same command, or look at the network between the two; what is held is sent \
                 when it is back, and nothing else waits for it"
            ),
        },
        Why::UpstreamDown {} => format!("look at node {node}: start it again if it died"),
        Why::NotOpen { .. } | Why::Unacknowledged { .. } | Why::NoCredit { .. } => {
            format!("the cause is {on} on node {node}: ask there, or add --cluster cluster.toml to ask all nodes")
        }
        Why::OutboxFull { .. } => format!("{on} is slower than what feeds it: give its stage more partitions, or a faster program"),
        Why::SpillLimit { .. } => {
            format!("mend what holds {on} up; raise spill_limit only if it will be back before the disk is full")
        }
        Why::StorageFull {} => "free space on that disk; all goes on by itself".to_owned(),
        Why::DiskFull { .. } => "free space there; all goes on by itself".to_owned(),
        Why::Committing { .. } => "the disk is slow to sync: a faster disk, or delivery = \"memory\"".to_owned(),
        Why::NoSlot { .. } => "more batches wait than may run at once: --slots N, or fewer partitions".to_owned(),
        Why::Backoff { .. } => {
            "mend the program, or let the attempts be used up: records that fail alone become dead letters (worker dlq)".to_owned()
        }
        Why::ChildHung { .. } => {
            "it may wait for something outside, or for itself; timeout = \"30s\" on its stage kills and retries such a program"
                .to_owned()
        }
        Why::ChildBuffers { .. } => {
            "normal for programs that sum up; else make it print lines at once: stdbuf -oL, python -u, grep --line-buffered".to_owned()
        }
        Why::WriteHung {} => {
            "look at what reads it: a program that hangs, a pager that waits for a key, a disk that does not answer".to_owned()
        }
        Why::Paused {} => "worker resume lets it go on".to_owned(),
        Why::DeadLimit { .. } => {
            "worker dlq list shows why they failed; mend the program, or raise max_dead".to_owned()
        }
        Why::AwaitingEnd { .. } => {
            "normal for sort, wc and the like; with an endless source its stage needs window = { every = \"1m\" }".to_owned()
        }
        Why::ChildBusy {} | Why::Writing {} | Why::ChildNotReading { .. } | Why::SourceIdle {} | Why::Linger {} => return None,
    })
}

/// A chain of causes in one line: `errors/2 waits: per_path/0 on node b unreachable …; because …`.
#[must_use]
pub fn chain(chain: &Chain) -> String {
    let mut text = String::new();
    let mut before = None;
    for step in &chain.steps {
        match before.replace(&step.task) {
            Some(same) if *same == step.task => write!(text, "; that is because {}", step.wait.text).ok(),
            Some(_) => write!(text, "; there, {} waits: {}", step.task, step.wait.text).ok(),
            None => write!(text, "{} waits: {}", step.task, step.wait.text).ok(),
        };
    }
    if !chain.sources_paused.is_empty() {
        write!(text, "; {} paused by it", chain.sources_paused.join(", ")).ok();
    }
    again(&text)
}

/// Everything `worker why` says, for people.
#[must_use]
pub fn explanation(explanation: &Explanation, chains_max: usize) -> String {
    let mut text = String::new();
    for group in explanation.groups() {
        let first = group[0];
        writeln!(text, "{}", chain(first)).ok();
        let others: Vec<_> = group[1..].iter().map(|c| again(&c.task)).collect();
        if !others.is_empty() {
            let shown = others.len().min(chains_max);
            let more = others.len() - shown;
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(text, "  also held up by that: {}{rest}", others[..shown].join(", ")).ok();
        }
        if let Some(advice) = &first.advice {
            writeln!(text, "  → {}", again(advice)).ok();
        }
    }
    for note in &explanation.notes {
        writeln!(text, "{}", again(note)).ok();
    }
    if explanation.chains.is_empty() {
        text.push_str("nothing waits");
        text.push_str(
            &explanation.limit.as_ref().map_or_else(|| "\n".to_owned(), |l| format!("; {}\n", limit(l))),
        );
    } else if let Some(found) = &explanation.limit {
        writeln!(text, "elsewhere {}", limit(found)).ok();
    }
    text
}

/// What bounds the throughput, in words.
#[must_use]
pub fn limit(limit: &Limit) -> String {
    let percent = (limit.busy * 100.0).round();
    let stage = &limit.stage;
    let what = if limit.kind == WaitKind::SourceIdle {
        format!("source {stage}: it gives no more")
    } else if limit.kind == WaitKind::Writing {
        format!("sink {stage} (it writes {percent} % of the time)")
    } else if limit.kind == WaitKind::Committing {
        format!("the disk that stage {stage} commits to")
    } else if limit.kind == WaitKind::NoSlot {
        format!("the slots: stage {stage} waits {percent} % of the time for one")
    } else {
        format!("stage {stage} (its programs are busy {percent} % of the time)")
    };
    format!("throughput is limited by {what}")
}

/// A duration as people say it: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 4 min`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = std::time::Duration::try_from_secs_f64(seconds).map_or(0, |d| d.as_secs());
    match whole {
        0..=99 => format!("{} s", seconds.round()),
        100..=5999 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Bytes as people say them: `812 B`, `12 MiB`, `1.2 GiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1023.5 {
            let digits = usize::from(value < 9.95 && unit != "B");
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A number with its thousands apart: `4 096`.
#[must_use]
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `once`, `2 times`.
fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[must_use]
pub fn records(count: u64) -> String {
    if count == 1 { "1 record".to_owned() } else { format!("{} records", number(count)) }
}

#[cfg(test)]
mod tests;
