//! Records that are more, or other, than a line: from every kind of source, through programs, to the end of torn input.

use worker_tests::process::{Scratch, worker_binary};

/// A framing as the file says it, three records of it as bash's printf writes them, and one that breaks off.
struct Case {
    framing: &'static str,
    records: [&'static str; 3],
    /// How it breaks off, and what is said of it.
    torn: Option<(&'static str, &'static str)>,
}

const CASES: &[Case] = &[
    Case {
        framing: "'csv'",
        records: [r#"1,"two\nlines",x\n"#, r#"2,"say ""\n""",\r\n"#, r"3,5 inches,\n"],
        torn: Some((r#"4,"never closed\n"#, "a quote in it is opened and never closed")),
    },
    Case { framing: "{ start = '^>' }", records: [r">a\nAC\n\nGT\n", r">b\n", r">c\nTT\n"], torn: None },
    Case { framing: "{ end = '^//$' }", records: [r"a\n//\n", r"//\n", r"b\n\nc\n//\n"], torn: None },
    Case {
        framing: "{ lines = 4 }",
        records: [r"@r1\nAC\n+\nII\n", r"@r2\n\n+\n\n", r"@r3\nG\n+\nJ\n"],
        torn: Some((r"@r4\nG\n+\n", "it has 3 of its 4 lines")),
    },
    Case {
        framing: "{ length = 5 }",
        records: ["abcde", r"\n\n\n\n\n", r"\0\001\002\003\n"],
        torn: Some(("ab", "it has 2 of its 5 bytes")),
    },
    Case {
        framing: "{ prefix = 'u32be' }",
        records: [r"\0\0\0\003a\nb", r"\0\0\0\0", r"\0\0\0\001\n"],
        torn: Some((
            r"\0\0\0\011abc",
            "its prefix (u32be) says that it has 13 bytes with that, and there are 7",
        )),
    },
    Case {
        framing: "{ json = true }",
        records: [r#"{"a":\n [1,\n"}"]}\n"#, r"\n[]\n", r#"{"b":\n2}\n"#],
        torn: Some((r#"{"c":[1"#, "its JSON value is not at its end")),
    },
];

/// One record a batch, so that there are as many programs as records; each notes its record.
fn pipeline(scratch: &Scratch, source: &str, case: &Case) {
    scratch.write(
        "pipeline.toml",
        format!(
            "[source.s]\n{source}\nframing = {}\n[stage.c]\n\
             run = ['sh', '-c', 'cat > batch.$WORKER_BATCH_ID; cat batch.$WORKER_BATCH_ID']\npartitions = 1\n\
             batch = {{ max_records = 1 }}\n[sink.o]\nfile = 'out'\n",
            case.framing
        ),
    );
}

fn printf(text: &str) -> String {
    format!("printf '%b' '{}'", text.replace('\'', r"'\''"))
}

/// What the shell makes of `command`, in which `WORKER` is the worker with its pipeline: what it says, and its status behind it.
fn shell(scratch: &Scratch, command: &str) -> String {
    let worker = format!("{} run pipeline.toml --admin none --progress none", worker_binary().display());
    let said = scratch.shell(&format!("({}) 2>&1; echo status $?", command.replace("WORKER", &worker)));
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn every_kind_of_source_gives_the_records_of_every_framing() {
    for case in CASES {
        let scratch = Scratch::new();
        for (number, record) in case.records.iter().enumerate() {
            scratch.shell(&format!("{} > record{number}", printf(record)));
        }
        scratch.shell("cat record0 record1 record2 > in; gzip -k in; mkfifo pipe");
        for (source, command) in [
            ("file = 'in'", "WORKER"),
            ("file = 'in.gz'", "WORKER --state state"),
            ("run = ['cat', 'in.gz']", "WORKER"),
            ("run = ['cat', 'in']", "WORKER --state state"),
            ("stdin = true", "cat in | WORKER --state state"),
            ("stdin = true", "WORKER --state state < in"),
            // Byte by byte, and the worker looks in between.
            ("file = 'pipe'", "dd if=in bs=1 status=none > pipe & WORKER"),
        ] {
            pipeline(&scratch, source, case);
            let said = shell(&scratch, command);
            assert!(said.ends_with("status 0\n"), "{}, {source}, {command}: {said}", case.framing);
            scratch.shell("cmp in out");
            let batches = scratch.shell("for r in record?; do for b in batch.*; do cmp -s $r $b && echo $r; done; done; ls batch.* | wc -l");
            let batches = String::from_utf8_lossy(&batches).into_owned();
            assert_eq!(batches, "record0\nrecord1\nrecord2\n3\n", "{}, {source}, {command}", case.framing);
            scratch.shell("rm -rf out state batch.*");
        }
    }
}

#[test]
fn a_last_record_of_text_without_its_newline_is_given_one() {
    for case in CASES.iter().filter(|case| case.torn.is_none() || case.framing.contains("json")) {
        let scratch = Scratch::new();
        pipeline(&scratch, "file = 'in'", case);
        scratch.shell(&format!("{} > want; head -c -1 want > in", printf(&case.records.concat())));
        let said = shell(&scratch, "WORKER");
        assert!(said.ends_with("status 0\n"), "{}: {said}", case.framing);
        scratch.shell("cmp want out");
    }
}

#[test]
fn input_that_breaks_off_within_a_record_fails_with_its_place_and_goes_on_where_that_is_wanted() {
    for case in CASES {
        let Some((torn, why)) = case.torn else { continue };
        let scratch = Scratch::new();
        scratch.shell(&format!("{} > whole", printf(&case.records.concat())));
        scratch.shell(&format!("{} > torn; cat whole torn > a", printf(torn)));
        scratch.shell("cp whole b; cat whole whole > both");
        let place = format!("record 4 (starting at byte {}) breaks off: {why}", scratch.len("whole"));
        for (source, command) in [
            ("file = 'a'", "WORKER"),
            ("file = 'a'", "WORKER --state state"),
            ("stdin = true", "cat a | WORKER --state state"),
            ("run = ['cat', 'a']", "WORKER"),
        ] {
            pipeline(&scratch, source, case);
            let said = shell(&scratch, command);
            assert!(said.ends_with("status 1\n"), "{}, {source}, {command}: {said}", case.framing);
            assert!(said.contains(&place) && said.contains("on_damage = \"skip\""), "{said}");
            scratch.shell("rm -rf out state batch.* *.jsonl");
        }
        // The next file is one of its own: it is not begun before what is torn is settled, and whole all the same.
        pipeline(&scratch, "file = '[ab]'", case);
        for _ in 0..2 {
            let said = shell(&scratch, "WORKER --state state");
            assert!(said.contains(&place) && said.ends_with("status 1\n"), "again: {said}");
        }
        pipeline(&scratch, "file = '[ab]'\non_damage = 'skip'", case);
        let said = shell(&scratch, "WORKER --state state");
        assert!(said.ends_with("status 3\n"), "{}: {said}", case.framing);
        scratch.shell("cmp both out");
        let letters = scratch.shell(
            "python3 -c \"import base64, json, sys; l = json.load(open('state/dead/s-0.jsonl')); \
             sys.stdout.buffer.write(base64.b64decode(l['record_b64']) if 'record_b64' in l else l['record'].encode())\" | cmp - torn; \
             cat state/dead/s-0.jsonl",
        );
        assert!(String::from_utf8_lossy(&letters).contains("\"contents\":\"input\""), "{}", case.framing);
    }
}

#[test]
fn a_program_that_prints_no_whole_records_fails_and_is_told_of_framing() {
    let scratch = Scratch::new();
    scratch.shell("printf '@r1\\nAC\\n+\\nII\\n' > in");
    pipeline(&scratch, "file = 'in'", &CASES[3]);
    let text = scratch.text("pipeline.toml").replace("'cat > batch.", "'wc -l #");
    let failing = text.clone() + "[pipeline]\nname = 'p'\n";
    scratch.write(
        "pipeline.toml",
        failing.replace("max_records = 1 }", "max_records = 1 }\nretry = { max_attempts = 1 }"),
    );
    let said = shell(&scratch, "WORKER");
    assert!(said.contains("breaks off: it has 1 of its 4 lines; check that `framing` says"), "{said}");
    assert!(said.ends_with("status 1\n"), "{said}");
    scratch.write("pipeline.toml", text.replace("max_records = 1 }", "max_records = 1 }\nframing = 'lines'"));
    scratch.shell("rm -rf out");
    assert!(shell(&scratch, "WORKER").ends_with("status 0\n"));
    assert_eq!(scratch.text("out"), "4\n");
}

#[test]
fn a_header_with_a_newline_in_it_heads_every_batch_and_names_columns() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,\"full\nname\"\n1,\"ann\nb\"\n2,cid\n");
    scratch.write("b.csv", "id,\"full\nname\"\r\n3,\"dan\n\"\n".replace("\r\n", "\n"));
    scratch.write(
        "count.py",
        "import csv, sys\nfor row in csv.DictReader(sys.stdin, lineterminator='\\n'): print(row['id'], repr(row['full\\nname']))\n",
    );
    let finished = scratch.run(
        "[source.in]\nfile = '*.csv'\nframing = 'csv'\nheader = 'repeat'\n\
         [stage.names]\nrun = ['python3', 'count.py']\npartition_by = { csv = \"full\\nname\" }\npartitions = 2\n\
         batch = { max_records = 1 }\nframing = 'lines'\n[sink.out]\nstdout = true\n",
    );
    assert_eq!(crate::sorted(&finished.expect(0).stdout), ["1 'ann\\nb'", "2 'cid'", "3 'dan\\n'"]);
}

#[test]
fn records_programs_are_asked_for_content_and_answer_with_content() {
    let echo = "import json, sys\nfor line in sys.stdin:\n  m = json.loads(line)\n  if 'hello' in m: continue\n  \
                r = m.get('record')\n  a = {} if r is None else {'emit': [r]}\n  \
                print(json.dumps({'id': m['id'], **a}), flush=True)\n";
    for case in CASES {
        let scratch = Scratch::new();
        scratch.write("echo.py", echo);
        scratch.shell(&format!("{} > in", printf(&case.records.concat())));
        let finished = scratch.run(&format!(
            "[source.s]\nfile = 'in'\nframing = {}\n[stage.c]\nmode = 'records'\nrun = ['python3', 'echo.py']\n[sink.o]\nfile = 'out'\n",
            case.framing
        ));
        finished.expect(0);
        scratch.shell("cmp in out");
    }
    let scratch = Scratch::new();
    scratch.write("echo.py", echo.replace("[r]", "['two\\nlines']"));
    let finished = scratch.run(
        "[source.s]\nrun = ['seq', '3']\nframing = 'csv'\n[stage.c]\nmode = 'records'\nrun = ['python3', 'echo.py']\n[sink.o]\nfile = 'out'\n",
    );
    finished.expect(1).says(&[
        "what is not one record where there are CSV with quoted newlines: it is more than one record",
    ]);
}

#[test]
fn fields_of_a_record_of_several_lines_are_found_as_awk_finds_them() {
    let scratch = Scratch::new();
    scratch.shell("for n in $(seq 60); do printf '>s%d\\nAC\\n' $((n % 7)); done > in");
    let finished = scratch.run(
        "[source.s]\nfile = 'in'\nframing = { start = '^>' }\n[stage.c]\nmode = 'stream'\nframing = 'lines'\n\
         partition_by = { field = 1 }\npartitions = 3\nrun = ['awk', '/^>/ {c[$1]++} END {for (k in c) print k, c[k]}']\n\
         [sink.o]\nstdout = true\n",
    );
    let want = scratch.shell("grep '>' in | sort | uniq -c | awk '{print $2, $1}'");
    assert_eq!(crate::sorted(&finished.expect(0).stdout), crate::sorted(&want), "each key in one partition");
}

#[test]
fn a_long_record_of_several_lines_is_passed_over_whole() {
    let scratch = Scratch::new();
    scratch.shell("(printf '>a\\nAC\\n>long\\n'; yes ACGTACGT | head -n 40000; printf '>b\\nGT\\n') > in");
    scratch.shell("printf '>a\\nAC\\n>b\\nGT\\n' > want");
    let run = |on_long: &str| {
        let source = format!("file = 'in'\non_long = '{on_long}'");
        pipeline(&scratch, &source, &CASES[1]);
        let text = scratch.text("pipeline.toml");
        scratch.write("pipeline.toml", format!("[pipeline]\nmax_record = '64KiB'\n{text}"));
        shell(&scratch, "WORKER")
    };
    let said = run("halt");
    assert!(
        said.contains("record 2 (starting at byte 6) is longer than 65 536 bytes")
            && said.ends_with("status 1\n"),
        "{said}"
    );
    scratch.shell("rm -rf out batch.*");
    let said = run("dead-letter");
    assert!(said.contains("1 dead letter") && said.ends_with("status 3\n"), "{said}");
    scratch.shell("cmp want out");
    scratch.shell("rm -rf out batch.* *.jsonl");
    let said = run("cut");
    assert!(said.ends_with("status 3\n"), "{said}");
    assert_eq!(scratch.shell("grep -c '>' out"), b"3\n", "its beginning goes on");
}
