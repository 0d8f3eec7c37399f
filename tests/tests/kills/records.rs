//! Programs that answer each record, with state that the worker keeps for them.

use crate::{assert_equal, assert_no_letters, campaign};
use worker_tests::process::Crew;

/// Counts by key; each answer has the count so far.
pub(crate) const COUNT: &str = r#"
import json, sys, time
counts = {}
for line in sys.stdin:
    m = json.loads(line)
    if "hello" in m:
        counts.update(m["state"])
    elif "key" in m:
        k = m["key"]
        counts[k] = counts.get(k, 0) + 1
        time.sleep(0.0002)
        print(json.dumps({"id": m["id"], "put": {k: counts[k]}, "emit": [f"{k} {counts[k]} {m['record']}"]}), flush=True)
    else:
        print(json.dumps({"id": m["id"], "emit": [f"total {k} {n}" for k, n in sorted(counts.items())]}), flush=True)
"#;

/// Two of them: the second counts what the first one gives, by other keys.
const PIPELINE: &str = r#"
    [pipeline]
    name = "records"
    [source.in]
    file = "in.txt"
    [stage.first]
    mode = "records"
    partition_by = { field = 1 }
    partitions = 2
    run = ["python3", "count.py"]
    [stage.second]
    mode = "records"
    partition_by = { field = 2 }
    partitions = 1
    run = ["python3", "count.py"]
    [sink.out]
    file = "out.txt"
"#;

#[test]
fn records_with_keyed_state() {
    campaign("records", 60, |scratch, rng, kills| {
        scratch.write("count.py", COUNT);
        scratch.shell("seq 1 3000 | awk '{print \"k\" $1 % 11, $1}' > in.txt");
        let mut crew = Crew::one(scratch, PIPELINE);
        let hits = crew.kill_at_random(rng, kills);
        // What the first one gives is known up to the order of keys; so is what the second one counts of it.
        let first = "awk '{print $1, ++n[$1], $0} END {for (k in n) print \"total\", k, n[k]}' in.txt";
        let seconds = "grep -v '^total' out.txt | cut -d' ' -f3- | sort";
        assert_equal(&crew, scratch, "records", seconds, &format!("{first} | sort"));
        let counted = "grep -v '^total' out.txt | cut -d' ' -f1,2 | sort";
        let counts = format!("{first} | awk '{{print $2, ++n[$2]}}' | sort");
        assert_equal(&crew, scratch, "counts", counted, &counts);
        let totals =
            format!("{first} | awk '{{++n[$2]}} END {{for (k in n) print \"total\", k, n[k]}}' | sort");
        assert_equal(&crew, scratch, "totals", "grep '^total' out.txt | sort", &totals);
        assert_no_letters(&crew, scratch);
        hits
    });
}
