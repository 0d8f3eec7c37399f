//! Programs that answer each record, in whole pipelines.

use crate::sorted;
use worker_tests::process::Scratch;

/// Counts by key like the example, and dies of a signal once every few hundred records.
const FRAIL: &str = r#"
import json, os, sys
counts, answered = {}, 0
for line in sys.stdin:
    m = json.loads(line)
    if "hello" in m:
        counts.update(m["state"])
        continue
    answered += 1
    if answered % 700 == 0: os.kill(os.getpid(), 9)
    if "key" in m:
        counts[m["key"]] = counts.get(m["key"], 0) + 1
        answer = {"put": {m["key"]: counts[m["key"]]}, "emit": [f"{counts[m['key']]} {m['key']}"]}
    else:
        answer = {"emit": [f"total {sum(counts.values())}"]}
    print(json.dumps({"id": m["id"], **answer}), flush=True)
"#;

#[test]
fn a_program_that_keeps_dying_loses_and_repeats_nothing() {
    let scratch = Scratch::new();
    scratch.write("frail.py", FRAIL);
    let finished = scratch.run(
        r#"
        [source.n]
        run = ["seq", "1", "5000"]
        [stage.keys]
        run = ["awk", "{print $1 % 7, $1}"]
        partitions = 1
        [stage.count]
        mode = "records"
        partition_by = { field = 1 }
        partitions = 2
        run = ["python3", "frail.py"]
        retry = { max_attempts = 3, initial = "1ms", max = "5ms" }
        [sink.out]
        stdout = true
        "#,
    );
    let out = finished.expect(0).stdout;
    let (totals, counts): (Vec<String>, Vec<String>) =
        sorted(&out).into_iter().partition(|line| line.starts_with("total"));
    let want = scratch.shell("seq 1 5000 | awk '{print ++c[$1 % 7], $1 % 7}'");
    assert_eq!(counts, sorted(&want));
    let all: u64 = totals.iter().map(|line| line.split_once(' ').unwrap().1.parse::<u64>().unwrap()).sum();
    assert_eq!((totals.len(), all), (2, 5000));
}

#[test]
fn the_keys_of_answers_lead_to_partitions_and_failed_records_to_dead_letters() {
    let scratch = Scratch::new();
    let program = "import json, sys\nfor line in sys.stdin:\n  m = json.loads(line)\n  if 'hello' in m: continue\n  \
                   r = m.get('record')\n  n = int(r or 0)\n  a = {'fail': 'thirteen'} if n == 13 else {'emit': [{'key': str(n % 5), 'record': r}]} if r else {}\n  \
                   print(json.dumps({'id': m['id'], **a}), flush=True)\n";
    scratch.write("keys.py", program);
    let finished = scratch.run(
        r#"
        [pipeline]
        name = "keys"
        [source.n]
        run = ["seq", "1", "1000"]
        [stage.keys]
        mode = "records"
        run = ["python3", "keys.py"]
        [sink.out]
        file = "out/"
        partitions = 3
        partition_by = "key"
        "#,
    );
    finished.expect(3).says(&["1 dead letter"]);
    let parts: Vec<Vec<u64>> = (0..3)
        .map(|n| {
            scratch.text(&format!("out/part-0000{n}")).lines().map(|line| line.parse().unwrap()).collect()
        })
        .collect();
    assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 999);
    for key in 0..5 {
        let with_key = |part: &&Vec<u64>| part.iter().any(|n| n % 5 == key);
        assert_eq!(parts.iter().filter(with_key).count(), 1, "key {key} in {parts:?}");
    }
    assert!(parts.iter().all(|part| part.is_sorted()));
    let letter = scratch.text("keys.dead-letters.jsonl");
    assert!(letter.contains("\"thirteen\"") && letter.contains("\"13\""), "{letter}");
}

#[test]
fn a_program_that_breaks_the_protocol_halts_with_what_it_printed() {
    let scratch = Scratch::new();
    let finished = scratch.run(
        "[source.n]\nrun = ['seq', '1', '100']\n[stage.cat]\nmode = 'records'\nrun = ['cat']\n\
         retry = { max_attempts = 2, initial = '1ms', max = '5ms' }\n[sink.out]\nstdout = true\n",
    );
    finished.expect(1).says(&["cat/0", "a line that is no answer", "\\\"hello\\\":1", "expected {\"id\":N"]);
}

#[test]
fn too_much_state_halts_and_says_what_to_raise() {
    let scratch = Scratch::new();
    let program = "import json, sys\nfor line in sys.stdin:\n  m = json.loads(line)\n  if 'id' in m: \
                   print(json.dumps({'id': m['id'], 'put': {m['key']: 'x' * 100} if 'key' in m else {}}), flush=True)\n";
    scratch.write("hoard.py", program);
    let finished = scratch.run(
        "[source.n]\nrun = ['seq', '1', '20000']\n[stage.hoard]\nmode = 'records'\npartition_by = 'record'\npartitions = 1\n\
         state_budget = '100KiB'\nrun = ['python3', 'hoard.py']\n[sink.out]\nstdout = true\n",
    );
    finished.expect(1).says(&["the state of hoard/0", "`state_budget`"]);
}
