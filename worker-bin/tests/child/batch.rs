//! The contract of batch children.

use super::*;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use worker_core::event::FailureKind;

fn numbers(count: u32) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        writeln!(text, "{number}").unwrap();
        text
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_comes_back_as_it_was() {
    let text = numbers(3_000_000);
    let input = lines(text.clone());
    let parts = vec![input.slice(0..10), input.slice(10..1_000_000), input.slice(1_000_000..3_000_000)];
    let ran = run_on(&launcher(), &Program::new("stage", ["cat"]), parts).await;
    assert!(ran.output == text.as_bytes());
    let stats = ran.result.unwrap();
    let bytes = text.len() as u64;
    let expected =
        BatchStats { input_bytes: bytes, unread_bytes: 0, output_bytes: bytes, output_records: 3_000_000 };
    assert_eq!(stats, expected);
    assert!(!ran.spent.start.is_zero() && ran.spent.start < ran.spent.total);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_goes_first() {
    let mut output = Vec::new();
    let mut keep = |batch: Batch| {
        output.extend_from_slice(batch.payload());
        Ok(())
    };
    let (program, header) = (Program::new("s", ["cat"]), Some(Bytes::from_static(b"h1,h2\n")));
    let (result, _) =
        run_batch(&launcher(), &program, &env(), header, vec![lines("1,2\n")], &mut keep, Oversight::none())
            .await;
    assert_eq!((result.unwrap().input_bytes, output), (10, b"h1,h2\n1,2\n".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_order_of_reading_and_writing_dead_locks() {
    let input = "0123456789\n".repeat(500_000);
    let ran = run(&sh("yes | head -c 5000000; cat >/dev/null"), input.clone()).await;
    assert_eq!((ran.result.unwrap().unread_bytes, ran.output.len()), (0, 5_000_000));
    let ran = run(&sh("cat >/dev/null; yes | head -c 5000000"), input.clone()).await;
    assert_eq!((ran.result.unwrap().unread_bytes, ran.output.len()), (0, 5_000_000));
    let ran = run(&sh("exec >&-; cat >/dev/null; sleep 0.1"), input).await;
    assert_eq!((ran.result.unwrap().unread_bytes, ran.output.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_on_standard_error_is_drained_and_its_end_kept() {
    let ran =
        run(&sh("yes complaint | head -c 100000000 >&2; echo last words >&2; cat; exit 3"), "x\n").await;
    let failure = ran.failure();
    assert_eq!(failure.kind, FailureKind::Exit(3));
    assert_eq!(failure.message, "sh exited with status 3: last words");
    assert!((8000..=8192).contains(&failure.stderr_tail.len()), "{}", failure.stderr_tail.len());
    assert!(!failure.silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_statuses_and_signals_are_told_apart() {
    let launcher = launcher();
    let mut grep = Program::new("stage", ["grep", "nothing"]);
    let failure = run_on(&launcher, &grep, vec![lines("a\n")]).await.failure();
    assert_eq!((failure.kind, failure.silent), (FailureKind::Exit(1), true));
    assert!(failure.message.contains("ok_exit = [0, 1]"), "{}", failure.message);
    grep.ok_exit = vec![0, 1];
    assert!(run_on(&launcher, &grep, vec![lines("a\n")]).await.result.is_ok());
    let failure = run_on(&launcher, &sh("kill -SEGV $$"), vec![]).await.failure();
    assert_eq!(failure.kind, FailureKind::Signal(11));
    assert!(failure.message.contains("signal 11 (SIGSEGV"), "{}", failure.message);
    let failure = run_on(&launcher, &sh("kill -36 $$"), vec![]).await.failure();
    assert_eq!(failure.kind, FailureKind::Signal(36));
    let failure = run_on(&launcher, &sh("no-such-command"), vec![]).await.failure();
    assert_eq!(failure.kind, FailureKind::CannotStart);
    assert!(failure.message.contains("status 127"), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_start_says_why() {
    let launcher = launcher();
    let dir = tempfile::tempdir().unwrap();
    let missing = run_on(&launcher, &Program::new("s", ["no-such-program"]), vec![]).await.failure();
    assert_eq!(missing.kind, FailureKind::CannotStart);
    assert!(missing.message.contains("not in PATH"), "{}", missing.message);
    let file = dir.path().join("script");
    std::fs::write(&file, "#!/bin/sh\n").unwrap();
    let refused = run_on(&launcher, &Program::new("s", [&file]), vec![]).await.failure();
    assert_eq!(refused.kind, FailureKind::CannotStart);
    assert!(refused.message.contains("chmod +x"), "{}", refused.message);
    std::fs::write(&file, "echo hi\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let format = run_on(&launcher, &Program::new("s", [&file]), vec![]).await.failure();
    assert!(format.message.contains("#!/bin/sh"), "{}", format.message);
    let mut program = Program::new("s", ["true"]);
    program.cwd = Some(dir.path().join("nowhere"));
    let cwd = run_on(&launcher, &program, vec![]).await.failure();
    assert!(cwd.message.contains("nowhere is no directory"), "{}", cwd.message);
    program.cwd = Some(dir.path().to_path_buf());
    assert!(run_on(&launcher, &program, vec![]).await.result.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_ends_only_what_does_nothing() {
    let launcher = launcher();
    let timed = |script: &str| Program { timeout: Some(Duration::from_millis(500)), ..sh(script) };
    let failure = run_on(&launcher, &timed("sleep 100"), vec![lines("a\n")]).await.failure();
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(failure.message.contains("500ms"), "{}", failure.message);
    let busy = timed("end=$(($(date +%s) + 3)); while [ $(date +%s) -lt $end ]; do :; done; cat");
    let ran = run_on(&launcher, &busy, vec![lines("a\n")]).await;
    assert_eq!((ran.result.map(|_| ()), ran.output), (Ok(()), b"a\n".to_vec()));
    let talking = timed("for i in 1 2 3 4 5 6 7 8; do sleep 0.2; echo $i >&2; done");
    assert!(run_on(&launcher, &talking, vec![]).await.result.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_slow_does_not_time_its_child_out() {
    let program = Program { timeout: Some(Duration::from_millis(300)), ..sh("yes | head -c 3000000") };
    let mut slow = |_| {
        std::thread::sleep(Duration::from_millis(400));
        Ok(())
    };
    let (result, _) =
        run_batch(&launcher(), &program, &env(), None, vec![], &mut slow, Oversight::none()).await;
    assert_eq!(result.unwrap().output_bytes, 3_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_over_the_limit_is_an_error() {
    let program =
        Program { max_record: 1000, ..sh("echo fine; head -c 100000000 /dev/zero | tr '\\0' x; sleep 1000") };
    let failure = run(&program, "").await.failure();
    assert_eq!(failure.kind, FailureKind::Output);
    assert!(failure.message.contains("longer than 1 000 bytes"), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_worker_cannot_take_ends_the_child() {
    let mut full = |_| Err("spill is full".to_owned());
    let (result, _) =
        run_batch(&launcher(), &sh("yes"), &env(), None, vec![], &mut full, Oversight::none()).await;
    let failure = result.unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Worker, "spill is full"));
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_input_unread_is_no_error_but_counted() {
    let launcher = launcher();
    let input = "0123456789\n".repeat(1_000_000);
    let ran = run_on(&launcher, &Program::new("s", ["head", "-n", "1"]), vec![lines(input)]).await;
    assert_eq!(ran.output, b"0123456789\n");
    assert!(ran.result.unwrap().unread_bytes > 9_000_000);
    let ran = run_on(&launcher, &Program::new("s", ["true"]), vec![lines("small\n")]).await;
    assert_eq!(ran.result.unwrap().unread_bytes, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_stay_as_they_are() {
    let launcher = launcher();
    let mut binary: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    binary.extend_from_slice(b"\r\nlast");
    let ran = run_on(&launcher, &Program::new("s", ["cat"]), vec![lines(binary.clone())]).await;
    binary.push(b'\n');
    assert!(ran.result.is_ok() && ran.output == binary);
    let nul = Program { framing: worker_bin::io::framing::Framing::Nul, ..Program::new("s", ["sort", "-z"]) };
    let input = Batch::from_terminated(Bytes::from_static(b"b\nx\0a\0"), 0);
    let ran = run_on(&launcher, &nul, vec![input]).await;
    assert_eq!((ran.result.unwrap().output_records, ran.output), (2, b"a\0b\nx\0".to_vec()));
    let ran = run_on(&launcher, &sh("printf 'a\\nunterminated'"), vec![]).await;
    assert_eq!(ran.output, b"a\nunterminated\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_behind_and_nobody_waits_for_it() {
    let launcher = launcher();
    for holds_output in [false, true] {
        let to = if holds_output { "" } else { "> /dev/null" };
        let (a, b, c) = (unique_sleep(), unique_sleep(), unique_sleep());
        let script = format!(
            "sleep {a} {to} & setsid sleep {b} {to} & (env -i setsid sleep {c} {to} &) ; cat; exit 0"
        );
        let begun = Instant::now();
        let program = Program { stop_grace: Duration::from_secs(1), ..sh(&script) };
        let ran = run_on(&launcher, &program, vec![lines("x\n")]).await;
        assert_eq!(ran.result.is_err(), holds_output);
        assert!(holds_output || ran.output == b"x\n", "{:?}", ran.output);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        for marker in [a, b, c] {
            until("descendants are gone", || living(&marker).is_empty()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_of_a_program_print_after_its_end_is_its_output() {
    let launcher = launcher();
    let input = numbers(20_000);
    for script in [
        // As `cat > >(sort -rn)` of bash does it, to a program of the same group and to one of another.
        "mkfifo $WORKER_TMPDIR/p; (sleep 0.2; exec sort -rn < $WORKER_TMPDIR/p) & cat > $WORKER_TMPDIR/p",
        "mkfifo $WORKER_TMPDIR/p; setsid sort -rn < $WORKER_TMPDIR/p & cat > $WORKER_TMPDIR/p",
        "cat > $WORKER_TMPDIR/p; ((sleep 0.3; sort -rn $WORKER_TMPDIR/p; sleep 0.3; exit 1) &); exit 0",
    ] {
        let tmpdir = tempfile::tempdir().unwrap();
        let env = TaskEnv { tmpdir: tmpdir.path().to_owned(), ..env() };
        let mut output = Vec::new();
        let mut take = |batch: Batch| {
            output.extend_from_slice(batch.payload());
            Ok(())
        };
        let input = vec![lines(input.clone())];
        let ran = run_batch(&launcher, &sh(script), &env, None, input, &mut take, Oversight::none()).await;
        assert!(ran.0.is_ok(), "{script}: {:?}", ran.0);
        assert!(
            output.len() == 108_890 && output.starts_with(b"19999\n19998\n"),
            "{script}: {}",
            output.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_of_a_program_that_failed_are_not_waited_for() {
    let launcher = launcher();
    let begun = Instant::now();
    let failed = run_on(&launcher, &sh("while echo x; do sleep 0.1; done & exit 3"), vec![]).await;
    assert_eq!(failed.result.unwrap_err().kind, FailureKind::Exit(3));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

/// What is killed may have records: then its program has not ended well.
#[tokio::test(flavor = "multi_thread")]
async fn others_that_do_nothing_are_killed_and_that_is_no_success_where_they_may_have_records() {
    let launcher = launcher();
    let begun = Instant::now();
    let limit = Duration::from_millis(300);
    let (timed, brief) = ((Some(limit), Duration::from_secs(100)), (None, limit));
    let holds_output = "sleep 1000 & exit 0";
    let holds_input = "cat > /dev/null; exec 3<&0; sleep 1000 <&3 3<&- & exit 0";
    let holds_a_pipe = "cat > /dev/null; { true; } | { exec 3<&0; sleep 1000 & }; exit 0";
    let (stage, sink) = (PrintsTo::Records, PrintsTo::Log);
    for (script, prints_to, is_well) in [
        (holds_output, stage, false),
        ("sleep 1000 > /dev/null & exit 0", stage, true),
        (holds_input, sink, false),
        (holds_a_pipe, sink, false),
        // Its standard input is not that of its program.
        (holds_output, sink, true),
    ] {
        for (timeout, stop_grace) in [timed, brief] {
            let program = Program { timeout, stop_grace, prints_to, ..sh(script) };
            let result = run_on(&launcher, &program, vec![lines("x\n")]).await.result;
            match result {
                Ok(_) => assert!(is_well, "{script} {prints_to:?}"),
                Err(failure) => {
                    assert!(!is_well, "{script} {prints_to:?}: {}", failure.message);
                    let Failure { kind, message, .. } = failure;
                    assert_eq!(kind, FailureKind::Timeout);
                    for part in ["sh has ended well, but", "sleep (", "would be missing", "stop_grace"] {
                        assert!(message.contains(part), "{message}");
                    }
                }
            }
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_missed_whose_processes_are_killed_at_any_moment() {
    let launcher = launcher();
    for after_ms in 0..60 {
        let running = tokio::spawn({
            let launcher = launcher.clone();
            async move { run_on(&launcher, &sh("sleep 1000 & exit 0"), vec![]).await.result }
        });
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        running.abort();
        assert!(running.await.is_err(), "{after_ms} ms");
    }
    tokio::time::timeout(Duration::from_secs(20), launcher.all_ended()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_has_let_go_of_the_pipes_costs_no_time() {
    let launcher = launcher();
    let begun = Instant::now();
    for _ in 0..10 {
        let ran =
            run_on(&launcher, &sh("setsid sleep 1000 > /dev/null 2>&1 & cat"), vec![lines("x\n")]).await;
        assert_eq!((ran.result.map(|_| ()), ran.output), (Ok(()), b"x\n".to_vec()));
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_run_kills_its_child_and_daemons() {
    let (a, b, c) = (unique_sleep(), unique_sleep(), unique_sleep());
    let script = format!("sleep {a} & (setsid sleep {b} &); env -i setsid sleep {c}");
    let (launcher, program) = (launcher(), sh(&script));
    let running = tokio::spawn({
        let (launcher, program) = (launcher.clone(), program.clone());
        async move {
            run_batch(&launcher, &program, &env(), None, vec![], &mut |_| Ok(()), Oversight::none()).await.0
        }
    });
    for marker in [&a, &b, &c] {
        until("the children run", || !living(marker).is_empty()).await;
    }
    running.abort();
    for marker in [&a, &b, &c] {
        until("the children are gone", || living(marker).is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_task_s_end_leaves_another_s_daemons_alone() {
    let (a, b) = (unique_sleep(), unique_sleep());
    let launcher = launcher();
    let long = sh(&format!("(setsid sleep {a} &); (env -i setsid sleep {b} &); sleep 1000"));
    let running = tokio::spawn({
        let launcher = launcher.clone();
        async move {
            run_batch(&launcher, &long, &env(), None, vec![], &mut |_| Ok(()), Oversight::none()).await.0
        }
    });
    for marker in [&a, &b] {
        until("the daemons run", || !living(marker).is_empty()).await;
    }
    for _ in 0..20 {
        assert!(run_on(&launcher, &sh("(true &)"), vec![]).await.result.is_ok());
    }
    assert_eq!((living(&a).len(), living(&b).len()), (1, 1));
    running.abort();
    for marker in [&a, &b] {
        until("the daemons are gone", || living(marker).is_empty()).await;
    }
}
