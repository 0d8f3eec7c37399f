//! The table of reasons to wait. A new one gets a row here, its figures of what the core says ([`Why::of`]) and its sentence
//! ([`Why::says`]); `docs/admin-api.md` tells of it, and all that shows waits takes its words from here.

mod figures;
mod sentence;

use super::table::{Row, Scope, Side, WaitClass, reasons};
use serde::{Deserialize, Serialize};

reasons! {
    /// The peer that takes this link's records is not connected.
    PeerDown "peer_down" Blocked Link Receiver
        "peer down" "a node that is not connected" "other node not connected"
        => "start node {node} again with the same command, or look at the network between the two; what is held is sent when it is back"
    {
        /// `not_yet`, `unreachable`, `refused`, `silent` or `lost`.
        cause: String,
        /// What the last attempt said.
        error: String,
        attempts: u32,
        /// When the next begins; nothing while one is under way.
        next_in_s: Option<f64>,
        /// Records held for it.
        held_records: u64,
        /// Bytes of them in memory.
        memory_bytes: u64,
        /// What may be held in memory.
        memory_limit_bytes: u64,
        /// Bytes of them on disk.
        spilled_bytes: u64,
    }
    /// The peer that gives records has no connection to this node.
    UpstreamDown "upstream_down" Blocked Link Input
        "upstream" "a node that feeds it" "sending node not connected"
        => "look at node {node}: start it again if it died"
    {
        /// `not_yet`, `silent` or `lost`.
        #[serde(default)]
        cause: String,
    }
    /// The receiver has not opened the link yet.
    NotOpen "not_open" Blocked Link Receiver
        "not open" "the next stage to answer" "receiver has not answered"
        => "the cause is {on} on node {node}: ask there, or add --cluster cluster.toml to ask all nodes"
    { /// Records held for it.
        held_records: u64 }
    /// Everything was sent; the receiver has not acknowledged it.
    Unacknowledged "unacknowledged" Blocked Link Receiver
        "no ack" "the next stage to confirm" "receiver has not acknowledged"
        => "the cause is {on} on node {node}: ask there, or add --cluster cluster.toml to ask all nodes"
    { /// Records held for it.
        held_records: u64 }
    /// The receiver takes no more for now.
    NoCredit "no_credit" Blocked Link Receiver
        "no credit" "the next stage to take more" "receiver takes no more"
        => "the cause is {on} on node {node}: ask there, or add --cluster cluster.toml to ask all nodes"
    { /// Records held for it.
        held_records: u64 }
    /// All outputs are past their memory budget; this is the fullest.
    OutboxFull "outbox_full" Blocked Task Receiver
        "outbox" "room in its outputs" "next stage is behind (memory)"
        => "{on} is slower than what feeds it: give its stage more partitions, or a faster program"
    {
        memory_bytes: u64,
        memory_limit_bytes: u64,
        spilled_bytes: u64,
    }
    /// An output is past what may be on disk.
    SpillLimit "spill_limit" Blocked Task Receiver
        "spill full" "room in its outputs on disk" "next stage is behind (disk)"
        => "mend what holds {on} up; raise spill_limit only if it will be back before the disk is full"
    {
        spilled_bytes: u64,
        spill_limit_bytes: u64,
    }
    /// The disk that commits go to is full.
    StorageFull "storage_full" Blocked Task Here
        "disk full" "room on a full disk" "state disk full"
        => "free space on that disk; all goes on by itself"
    {}
    /// The disk that the task's output goes to is full.
    DiskFull "disk_full" Blocked Task Here
        "disk full" "room on a full disk" "output disk full"
        => "free space there; all goes on by itself"
    { /// Where, and what the system says.
        error: String }
    /// Its program has ended and is started again.
    Restarting "restarting" Blocked Task Here
        "restarts" "its program to be started again" "program ended, starts again later"
        => "look at why it ends; restart = \"never\" would end the run with its reason"
    {
        /// When it is started.
        next_in_s: f64,
        /// How often in a row it has failed.
        failures: u32,
        /// How it ended.
        error: String,
    }
    /// Nobody reads what it writes to.
    NoReader "no_reader" Blocked Task Here
        "no reader" "a reader of what it writes" "nobody reads its output"
        => "start what reads it; all goes on by itself, and nothing is lost but what the last reader had taken and not used, and without state what lay in the pipe"
    { /// What it writes to.
        path: String }
    /// What it has done is not on stable storage yet.
    Committing "committing" Working Task Here
        "commits" "the disk to store" "commit under way"
        => "the disk is slow to sync: a faster disk, or delivery = \"memory\""
    {
        commits: u64,
        /// What they hold in memory.
        bytes: u64,
    }
    /// All slots are in use.
    NoSlot "no_slot" Working Task Here
        "no slot" "a free slot" "no slot free"
        => "more batches wait than may run at once: --slots N, or fewer partitions"
    {
        /// Tasks before this one.
        ahead: u64,
        /// Slots of the node.
        slots: u64,
        /// The tasks that have them.
        #[serde(default)]
        held_by: Vec<String>,
    }
    /// Nothing begins, because a record with which the worker may have died is tried alone.
    Quarantined "quarantined" Working Task Here
        "quarantine" "a record that is tried alone" "tried alone"
        => "the worker died with records in flight: the one that kills it is found and dead-lettered, then all goes on by itself"
    { /// The tasks whose turn it is.
        held_by: Vec<String> }
    /// Records are here, and others come before them in the order of the source.
    AwaitingTurn "awaiting_turn" Working Task Input
        "its turn" "what comes next in the input's order" "others come first (order)"
        => "{on} has what comes next: mend what holds it up; more `outbox` lets the others work further ahead, order = \"any\" gives their output as it comes"
    { /// Records that wait here meanwhile.
        queued_records: u64 }
    /// Records failed, and no program of the stage has succeeded yet.
    Undecided "undecided" Working Task Input
        "undecided" "a first success of its stage" "failures held back until one succeeds"
        => "mend the program if it is at fault: nothing is dead-lettered before one of its runs succeeds"
    { /// Records that are held back.
        records: u64 }
    /// A batch failed and is tried again.
    Backoff "backoff" Blocked Task Here
        "backoff" "its next attempt" "failed, tried again later"
        => "mend the program, or let the attempts be used up: a record that fails alone is then dead-lettered (worker dlq), or ends the run where on_error = \"halt\""
    {
        attempts: u32,
        /// When the next begins.
        next_in_s: f64,
        /// Why the last failed, with exit status and the last word on standard error.
        error: String,
        /// Records in the batch.
        records: u64,
    }
    /// The rate that the user has given its stage lets nothing more through for now.
    RateLimited "rate_limited" Working Task Here
        "rate" "what its rate lets through" "limited by its rate"
        => "it is meant to: raise rate of {on}, or burst, or remove it"
    {
        /// As `5 000/s`.
        rate: String,
        /// When more may come.
        next_in_s: f64,
    }
    /// Its program works on what it was given.
    ChildBusy "child_busy" Working Task Work "busy" "its program" "program busy" {}
    /// Its program has work and does nothing.
    ChildHung "child_hung" Blocked Task Here
        "hangs" "a program that hangs" "program hangs"
        => "it may wait for something outside, or for itself; the timeout of its stage kills and retries it once that has passed; where there is none (mode = \"stream\", \"off\"), set one: timeout = \"30s\" (on the command line --timeout 30s)"
    {
        /// Input it has not read.
        unread_bytes: u64,
        /// Its standard input is closed.
        closed: bool,
    }
    /// Its program does not run until somebody lets it.
    ChildStopped "child_stopped" Blocked Task Here
        "stopped" "a program that is stopped" "program is stopped"
        => "kill -CONT PID lets a stopped process go on; one whose cgroup is frozen goes on when that is thawed (docker unpause, systemctl thaw)"
    {
        /// The process.
        pid: u64,
        /// By what.
        by: String,
    }
    /// Its program has read everything and printed nothing.
    ChildBuffers "child_buffers" Idle Task Input
        "buffers" "output its program holds back" "program buffers its output"
        => "normal for programs that sum up; else make it print lines at once: stdbuf -oL, python -u, grep --line-buffered"
    { /// What it was given since it last printed.
        fed_bytes: u64 }
    /// A sink writes.
    Writing "writing" Working Task Work "writing" "a write" "writing" {}
    /// A write is under way, and nothing of it is taken.
    WriteHung "write_hung" Blocked Task Here
        "no write" "a reader that takes nothing" "its reader takes nothing"
        => "look at what reads it: a program that hangs, a pager that waits for a key, a disk that does not answer"
    {}
    /// A stream's program does not take more for now.
    ChildNotReading "child_not_reading" Working Task Work
        "program" "its program to read" "program is behind"
    { /// On their way to it.
        bytes: u64 }
    /// A stream's program has printed nothing yet, and its input has not ended.
    AwaitingEnd "awaiting_end" Idle Task Input
        "input end" "the end of input" "program waits for the end of input"
        => "normal for sort, wc and the like; with an endless source its stage needs window = { every = \"1m\" } (on the command line --window 1m)"
    { /// Records it was given.
        fed_records: u64 }
    /// The user holds it up.
    Paused "paused" Paused Task Here
        "paused" "the user, who paused it" "paused"
        => "worker resume {stage} lets it go on"
    {}
    /// Too many dead letters: the pipeline has failed.
    DeadLimit "dead_limit" Blocked Task Here
        "max_dead" "nothing more: too many dead letters" "too many dead letters"
        => "worker dlq list shows why they failed; mend the program, or raise max_dead"
    {
        dead_records: u64,
        records: u64,
    }
    /// The source has nothing to give for now.
    SourceIdle "source_idle" Idle Task Input "idle" "input" "input gives nothing" {}
    /// The source has read all there is in the files that it follows.
    AwaitingLines "awaiting_lines" Idle Task Input "new lines" "new lines in its files" "waits for new lines"
    {
        /// What it follows, as the pipeline says it.
        files: String,
        /// Bytes that are there and are no whole record yet, or no whole packed file.
        unread_bytes: u64,
    }
    /// Records wait for more, to make a larger batch.
    Linger "linger" Working Task Input "linger" "more records for a batch" "gathering a batch" {}
}

impl WaitKind {
    /// Whether a source has nothing to give.
    pub(crate) fn is_lack_of_input(self) -> bool {
        matches!(self, Self::SourceIdle | Self::AwaitingLines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_has_a_name_of_its_own_and_short_words() {
        let names: BTreeSet<_> = WaitKind::ALL.iter().map(|kind| kind.row().name).collect();
        assert_eq!(names.len(), WaitKind::ALL.len());
        for row in WaitKind::ALL.iter().map(|kind| kind.row()) {
            assert!((1..=10).contains(&row.word.len()), "{row:?}");
            assert!(!row.phrase.is_empty() && !row.title.is_empty(), "{row:?}");
            let work = row.side == Side::Work;
            assert!(!work || row.class == WaitClass::Working, "{row:?}");
            assert!(row.class != WaitClass::Blocked || row.advice.is_some(), "nothing to do about {row:?}");
        }
    }

    #[test]
    fn every_reason_stands_in_the_documentation_with_its_class() {
        let page = include_str!("../../../docs/admin-api.md");
        for row in WaitKind::ALL.iter().map(|kind| kind.row()) {
            let class = serde_json::json!(row.class);
            let line = format!("| `{}` | {} |", row.name, class.as_str().unwrap_or_default());
            assert!(page.contains(&line), "docs/admin-api.md lacks a row {line}");
        }
    }
}
