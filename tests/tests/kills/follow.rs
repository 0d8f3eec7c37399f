//! Logs that are written and rotated all the while: by rename, by copies that are cut, by packing at once and one rotation later.

use crate::{assert_equal, assert_no_letters, campaign};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use worker_tests::process::{Crew, Scratch};

const PIPELINE: &str = r#"
    [pipeline]
    name = "logs"
    [source.log]
    file = "app.log*"
    follow = true
    [stage.same]
    run = ["cat"]
    partitions = 1
    batch = { max_records = 200 }
    [sink.out]
    file = "out.txt"
"#;

const LINES: usize = 6000;

/// Longer than it takes to decide whether a file is a copy.
const QUIET: Duration = Duration::from_secs(3);

/// Writes all lines in rounds, each of which ends with a rotation; `$1`: of which kind, or each in turn.
const WRITER: &str = r#"
    n=0; round=0
    while [ $n -lt 6000 ]; do
        for piece in 1 2 3; do
            seq -f "line %05.0f of a log that is rotated while it is read" $((n + 1)) $((n + 40)) >> app.log
            n=$((n + 40)); sleep 0.02
        done
        round=$((round + 1)); kind=$1
        [ $kind = each ] && case $((round % 4)) in 0) kind=rename;; 1) kind=copy;; 2) kind=pack;; 3) kind=shift;; esac
        case $kind in
            rename) mv app.log app.log.r$round;;
            copy) cp app.log app.log.c$round; : > app.log;;
            pack) mv app.log app.log.p$round; gzip app.log.p$round;;
            shift)
                k=50; while [ $k -gt 0 ]; do
                    [ -e app.log.$k.gz ] && mv app.log.$k.gz app.log.$((k + 1)).gz; k=$((k - 1))
                done
                [ -e app.log.1 ] && mv app.log.1 app.log.2 && gzip app.log.2
                mv app.log app.log.1;;
        esac
    done
"#;

/// Whoever writes the log.
struct Writer(std::process::Child);

impl Writer {
    fn start(scratch: &Scratch, kind: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", WRITER, "writer", kind]).current_dir(scratch.dir()).stdin(Stdio::null());
        Self(shell.spawn().expect("there is a shell"))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn each_line_once(kind: &str, kills: u64) {
    campaign(&format!("logs, {kind}"), kills, |scratch, rng, kills| {
        let mut crew = Crew::one(scratch, PIPELINE);
        let mut writer = Writer::start(scratch, kind);
        let mut quiet_since = None;
        let hits = crew.kill_until(rng, kills, || is_done(scratch, &mut quiet_since));
        assert!(writer.0.wait().expect("it was started").success());
        let all = format!("seq -f 'line %05.0f of a log that is rotated while it is read' {LINES}");
        assert_equal(&crew, scratch, kind, "sort out.txt", &all);
        assert_no_letters(&crew, scratch);
        hits
    });
}

/// All lines came, and for a while nothing more: what may be a copy is decided later.
fn is_done(scratch: &Scratch, quiet_since: &mut Option<(u64, Instant)>) -> bool {
    let out = scratch.path("out.txt");
    let length = out.metadata().map_or(0, |metadata| metadata.len());
    let (before, since) = quiet_since.get_or_insert((length, Instant::now()));
    if *before != length {
        (*before, *since) = (length, Instant::now());
    }
    let lines = std::fs::read(&out).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
    lines >= LINES && since.elapsed() > QUIET
}

#[test]
fn logs_that_are_renamed() {
    each_line_once("rename", 20);
}

/// The writer makes the copies itself, so that nothing comes between copy and cut.
#[test]
fn logs_that_are_copied_and_cut() {
    each_line_once("copy", 20);
}

#[test]
fn logs_that_are_packed() {
    each_line_once("pack", 20);
}

#[test]
fn logs_that_are_packed_one_rotation_later() {
    each_line_once("shift", 20);
}

#[test]
fn logs_that_are_rotated_in_all_ways() {
    each_line_once("each", 20);
}
