//! Programs that are several processes, of which the first does not wait for the others.

use worker_tests::process::Scratch;

/// Pipeline with `keys`, given numbers up to `count`; with state and without.
fn each_delivery(count: u32, keys: &str, check: &str, want: &str) {
    for state in [&[][..], &["--state", "state"]] {
        let scratch = Scratch::new();
        scratch.shell(&format!("seq {count} > in.txt"));
        scratch.run_with(keys, &[&["-q"], state].concat());
        let got = String::from_utf8_lossy(&scratch.shell(check)).into_owned();
        assert_eq!(got, want, "{keys} {state:?}");
    }
}

#[test]
fn what_processes_print_after_their_program_has_ended_is_its_output() {
    let check = "sort -n out.txt | tr -d x | cmp - in.txt && grep -c x out.txt || true";
    for keys in [
        "mode = 'batch'",
        "mode = 'batch'\nbatch = { max_records = 2000 }",
        "mode = 'stream'",
        "mode = 'stream'\nwindow = { records = 5000 }",
    ] {
        let program = "exec > >(sleep 0.2; sed s/$/x/); cat";
        let pipeline = format!(
            "[source.in]\nfile = 'in.txt'\n[stage.s]\nrun = ['bash', '-c', '{program}']\n{keys}\n[sink.out]\nfile = 'out.txt'\n"
        );
        each_delivery(20_000, &pipeline, check, "20000\n");
    }
}

#[test]
fn a_source_gives_what_its_processes_print_after_its_end() {
    let pipeline = "[source.in]\nrun = ['bash', '-c', 'exec > >(sleep 0.3; sed s/^/x/); seq 1000']\n[sink.out]\nfile = 'out.txt'\n";
    each_delivery(1, pipeline, "grep -c x out.txt", "1000\n");
}

#[test]
fn a_sink_may_finish_what_its_processes_write_after_its_end() {
    for mode in ["batch", "stream"] {
        let program = "tee >(sleep 0.2; gzip -c >> all.gz) > /dev/null";
        let pipeline = format!(
            "[source.in]\nfile = 'in.txt'\n[sink.out]\nrun = ['bash', '-c', '{program}']\nmode = '{mode}'\n"
        );
        each_delivery(3_000, &pipeline, "gzip -dc all.gz | sort -n | cmp - in.txt && echo same", "same\n");
    }
}
