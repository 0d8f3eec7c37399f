//! Packed and encoded input of every kind of source: decoded, or refused with the command that decodes it.

use crate::sorted;
use worker_tests::process::{Scratch, worker_binary};

/// Each format with what the standard library of Python, or a few bytes, make of it. The frame of lz4 has its data as it is.
const PACK: &str = r"
import bz2, gzip, lzma, struct, sys
data = open('plain', 'rb').read()
half = data.index(b'\n', len(data) // 2) + 1
def lz4(d):
    blocks = (d[i:i + 65536] for i in range(0, len(d), 65536))
    return b'\x04\x22\x4d\x18\x60\x40\x82' + b''.join(struct.pack('<I', len(b) | 1 << 31) + b for b in blocks) + b'\0\0\0\0'
for name, pack in [('gz', gzip.compress), ('bz2', bz2.compress), ('xz', lzma.compress), ('lz4', lz4)]:
    open('in.' + name, 'wb').write(pack(data[:half]) + pack(data[half:]))
open('in.utf16le', 'wb').write(b'\xff\xfe' + data.decode().encode('utf-16-le'))
open('in.utf16be', 'wb').write(b'\xfe\xff' + data.decode().encode('utf-16-be'))
";

const FORMATS: [(&str, &str); 7] = [
    ("gz", "gzip -dc"),
    ("zst", "zstd -dc"),
    ("bz2", "bzip2 -dc"),
    ("xz", "xz -dc"),
    ("lz4", "lz4 -dc"),
    ("utf16le", "iconv -f UTF-16 -t UTF-8"),
    ("utf16be", "iconv -f UTF-16 -t UTF-8"),
];

fn packed() -> Scratch {
    let scratch = Scratch::new();
    scratch.shell("seq -f 'Müller %g' 20000 > plain; zstd -q plain -o in.zst");
    scratch.write("pack.py", PACK);
    scratch.shell("python3 pack.py; mkfifo pipe");
    scratch
}

fn pipeline(scratch: &Scratch, source: &str) {
    scratch.write(
        "pipeline.toml",
        format!("[source.s]\n{source}\n[stage.c]\nrun = 'cat'\npartitions = 1\n[sink.o]\nfile = 'out'\nexists = 'replace'\n"),
    );
}

/// What the shell makes of `command`, in which `WORKER` is the worker with its pipeline: what it says, and its status behind it.
fn shell(scratch: &Scratch, command: &str) -> String {
    let worker = format!("{} run pipeline.toml --admin none --progress none", worker_binary().display());
    let said = scratch.shell(&format!("({}) 2>&1; echo status $?", command.replace("WORKER", &worker)));
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn every_kind_of_source_is_decoded() {
    let scratch = packed();
    for (name, _) in FORMATS {
        for (source, command) in [
            (format!("file = 'in.{name}'"), "WORKER".to_owned()),
            (format!("file = 'in.{name}'"), "WORKER --state state".to_owned()),
            (format!("run = ['cat', 'in.{name}']"), "WORKER".to_owned()),
            (format!("run = ['cat', 'in.{name}']"), "WORKER --state state".to_owned()),
            ("stdin = true".to_owned(), format!("cat in.{name} | WORKER")),
            ("stdin = true".to_owned(), format!("WORKER < in.{name}")),
            ("file = 'pipe'".to_owned(), format!("cat in.{name} > pipe & WORKER")),
        ] {
            pipeline(&scratch, &source);
            let said = shell(&scratch, &command);
            assert!(said.ends_with("status 0\n"), "{name}, {source}, {command}: {said}");
            scratch.shell("cmp plain out; rm -rf out state");
        }
    }
}

#[test]
fn a_pipe_that_a_later_start_would_have_to_go_on_in_is_refused_with_what_decodes_it() {
    let scratch = packed();
    for (name, decodes) in FORMATS {
        for (source, command) in [
            ("stdin = true", format!("cat in.{name} | WORKER --state state")),
            ("stdin = true", format!("WORKER --state state < in.{name}")),
            ("file = 'pipe'", format!("cat in.{name} > pipe & WORKER --state state")),
        ] {
            pipeline(&scratch, source);
            let said = shell(&scratch, &command);
            assert!(said.ends_with("status 1\n") && said.contains(decodes), "{name}, {source}: {said}");
            assert_eq!(scratch.len("out"), 0);
            scratch.shell("rm -rf out state");
        }
    }
}

#[test]
fn damage_on_a_pipe_halts_and_is_skipped_where_that_is_told() {
    let scratch = packed();
    scratch.shell("head -c -1000 in.gz > cut.gz; (gzip -dc cut.gz 2> /dev/null || true) | sed '$d' > want");
    pipeline(&scratch, "stdin = true");
    let said = shell(&scratch, "cat cut.gz | WORKER");
    let error = "standard input: damaged or truncated gzip data";
    assert!(said.ends_with("status 1\n") && said.contains(error), "{said}");
    scratch.shell("test $(wc -l < want) -gt 10000");
    for source in ["stdin = true", "run = ['cat', 'cut.gz']"] {
        pipeline(&scratch, &format!("{source}\non_damage = 'skip'"));
        let said = shell(&scratch, "cat cut.gz | WORKER");
        assert!(said.ends_with("status 3\n") && said.contains("left out"), "{said}");
        scratch.shell("cmp want out");
        scratch.shell("rm -f *.dead-letters.jsonl");
    }
}

#[test]
fn a_program_that_is_stopped_or_fails_within_packed_output_has_damaged_nothing() {
    let scratch = packed();
    scratch.shell("for x in gz zst bz2 xz lz4; do head -c -20 in.$x > cut.$x; done; head -c -1 in.utf16be > cut.utf16be");
    scratch.write(
        "fails-once.sh",
        "if [ -e begun ]; then exec cat in.$1; fi; touch begun; cat cut.$1; exit 9\n",
    );
    scratch.write("hangs.sh", "cat cut.$1; touch begun; exec sleep 1000\n");
    for name in ["gz", "zst", "bz2", "xz", "lz4", "utf16be"] {
        pipeline(&scratch, &format!("run = ['sh', 'fails-once.sh', '{name}']\nrestart = 'on-failure'"));
        let said = shell(&scratch, "WORKER");
        assert!(said.ends_with("status 0\n") && said.contains("ended in the middle of"), "{name}: {said}");
        scratch.shell("tail -n 20000 out | cmp plain; test $(wc -l < out) -gt 20000; rm -f begun");
        pipeline(&scratch, &format!("run = ['sh', 'fails-once.sh', '{name}']"));
        let said = shell(&scratch, "WORKER");
        assert!(said.ends_with("status 1\n") && said.contains("exited with status 9"), "{name}: {said}");
        scratch.shell("rm -f begun");
        pipeline(&scratch, &format!("run = ['cat', 'cut.{name}']"));
        let said = shell(&scratch, "WORKER");
        assert!(said.ends_with("status 1\n") && said.contains("damaged or truncated"), "{name}: {said}");
        pipeline(&scratch, &format!("run = ['sh', 'hangs.sh', '{name}']"));
        for state in ["", "--state state"] {
            let stopped = "until test -e begun; do sleep 0.05; done; kill $P; wait $P";
            let said = shell(&scratch, &format!("WORKER {state} & P=$!; {stopped}"));
            assert!(said.ends_with("status 143\n"), "{name}, {state}: {said}");
            scratch.shell("rm -rf begun state");
        }
    }
}

#[test]
fn a_byte_order_mark_is_told_of_once_and_is_no_part_of_a_columns_name() {
    let scratch = Scratch::new();
    scratch
        .shell("for n in 1 2; do (printf '\\357\\273\\277id,name\\n'; seq -f '%g,x' 100) > in$n.csv; done");
    scratch.write(
        "pipeline.toml",
        "[source.s]\nfile = 'in*.csv'\nheader = 'repeat'\n[stage.c]\nrun = ['sed', '1!s/$/,ok/']\npartition_by = { csv = 'id' }\n\
         partitions = 2\n[sink.o]\nfile = 'out'\n",
    );
    let finished = scratch.worker(&["run", "pipeline.toml", "--progress", "none"]).run().expect(0);
    assert_eq!(finished.stderr.matches("byte order mark").count(), 1, "{}", finished.stderr);
    assert_eq!(sorted(&scratch.read("out")).iter().filter(|line| line.ends_with(",x,ok")).count(), 200);
}

#[test]
fn check_says_what_is_decoded_and_what_it_takes_and_a_sample_is_decoded() {
    let scratch = packed();
    pipeline(&scratch, "file = 'in.*'");
    let check = |args: &[&str]| {
        let finished = scratch.worker(&[&["check", "pipeline.toml"], args].concat()).run().expect(0);
        String::from_utf8_lossy(&finished.stdout).into_owned()
    };
    assert!(
        check(&[]).contains("decodes bzip2 and gzip and lz4 and UTF-16 and xz and zstd"),
        "{}",
        check(&[])
    );
    let full = check(&["--full"]);
    assert!(!full.contains("and up to"), "{full}");
    assert!(full.contains("unpacking") && full.contains("1 sources whose files are packed"), "{full}");
    for (name, _) in FORMATS {
        let said = check(&["--sample", &format!("in.{name}")]);
        assert!(said.contains("20000 in, 20000 out"), "{name}: {said}");
    }
}

#[test]
fn decoding_takes_no_more_memory_than_check_says() {
    let scratch = Scratch::new();
    let lines = "(b'x' * 4095 + b'\\n') * 40960";
    let filters = "[{'id': lzma.FILTER_LZMA2, 'preset': 0, 'dict_size': 128 << 20}]";
    scratch.write(
        "pack.py",
        format!(
            "import gzip, lzma\ndata = {lines}\nopen('in.gz', 'wb').write(gzip.compress(data, 1))\n\
             open('in.xz', 'wb').write(lzma.compress(data, filters={filters}))\n"
        ),
    );
    scratch.shell("python3 pack.py");
    let taken = |name: &str| {
        pipeline(&scratch, &format!("file = 'in.{name}'"));
        let said = shell(&scratch, "WORKER");
        let mib = |text: &str, before: &str| {
            let (front, _) = text.split_once(before).expect(before);
            front.split_whitespace().last().unwrap().parse::<f64>().unwrap()
        };
        assert!(said.ends_with("status 0\n"), "{said}");
        let check = scratch.worker(&["check", "pipeline.toml", "--full"]).run().expect(0);
        let check = String::from_utf8_lossy(&check.stdout).into_owned();
        let (_, unpacking) = check.split_once("  unpacking").expect("a sum for unpacking");
        (mib(&said, " MiB of memory"), mib(unpacking, " MiB"))
    };
    let ((of_gzip, gzip_says), (of_xz, xz_says)) = (taken("gz"), taken("xz"));
    let slack = 32.0;
    assert!(of_xz > of_gzip + 100.0, "{of_xz} and {of_gzip} MiB: the dictionary was not used");
    assert!(of_xz - of_gzip < xz_says - gzip_says + slack, "{of_xz}, {of_gzip}, {xz_says}, {gzip_says} MiB");
}

#[test]
fn check_says_what_is_known_to_be_packed_only_when_it_comes() {
    let scratch = packed();
    for source in ["stdin = true", "run = ['cat', 'in.xz']", "file = 'pipe'"] {
        pipeline(&scratch, source);
        let check = scratch.worker(&["check", "pipeline.toml", "--full"]).run().expect(0);
        let full = String::from_utf8_lossy(&check.stdout).into_owned();
        assert!(full.contains("and up to  264.0 MiB  more for each of 1 sources"), "{full}");
    }
}

#[test]
fn columns_are_named_by_the_first_file_whose_header_is_not_damaged() {
    let scratch = Scratch::new();
    scratch.shell("printf 'id,v\\n1,x\\n' | gzip > in.b; head -c 12 in.b > in.a");
    let rest = "[stage.c]\nrun = 'cat'\npartition_by = { csv = 'id' }\npartitions = 2\n[sink.o]\nfile = 'out'\nexists = 'replace'\n";
    for (on_damage, status) in [("halt", 2), ("skip", 3)] {
        let source = format!("[source.s]\nfile = 'in.*'\nheader = 'repeat'\non_damage = '{on_damage}'\n");
        scratch.write("pipeline.toml", source + rest);
        let said = shell(&scratch, "WORKER");
        assert!(said.ends_with(&format!("status {status}\n")), "{said}");
    }
    scratch.shell("grep -q 1,x out");
}
