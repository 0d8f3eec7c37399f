//! Programs that run once a batch, without and with keys and with records that fail.

use crate::{assert_equal, assert_no_letters, campaign};
use worker_tests::process::{Crew, Scratch};

/// `slow` makes the pipeline long enough to be hit, and many commits.
const PIPELINE: &str = r#"
    [pipeline]
    name = "batches"
    [source.in]
    file = "in/*"
    [stage.slow]
    from = "in"
    run = ["sh", "-c", "sleep 0.01; cat"]
    partitions = 1
    batch = { max_records = 150 }
    [stage.some]
    from = "slow"
    run = ["grep", "-v", "7$"]
    partition_by = { field = 1 }
    ok_exit = [0, 1]
    partitions = 2
    [stage.keyed]
    from = "some"
    partition_by = { field = 1 }
    partitions = 3
    run = ["sed", "s/line/LINE/"]
    [sink.ordered]
    from = "slow"
    file = "ordered.txt"
    [sink.all]
    from = "keyed"
    file = "all.txt"
    [sink.parts]
    from = "keyed"
    partition_by = { field = 1 }
    partitions = 2
    file = "parts/"
"#;

fn input(scratch: &Scratch) {
    scratch.shell(
        "mkdir in; seq 1 4000 | awk '{print $1 % 13, \"line\", $1}' > all-in; head -n 1000 all-in > in/a; \
         sed -n '1001,2500p' all-in | gzip > in/b.gz; sed -n '2501,$p' all-in | head -c -1 > in/c",
    );
}

#[test]
fn batches_and_keys() {
    campaign("batches", 80, |scratch, rng, kills| {
        input(scratch);
        let mut crew = Crew::one(scratch, PIPELINE);
        let hits = crew.kill_at_random(rng, kills);
        assert_equal(&crew, scratch, "ordered", "cat ordered.txt", "cat all-in");
        let want = "grep -v '7$' all-in | sed 's/line/LINE/' | sort";
        assert_equal(&crew, scratch, "all", "sort all.txt", want);
        assert_equal(&crew, scratch, "parts", "sort parts/*", want);
        assert_equal(
            &crew,
            scratch,
            "keys in parts",
            "for f in parts/*; do cut -d' ' -f1 $f | sort -u; done | sort -n",
            "seq 0 12",
        );
        // Of one key everything comes in its order, whatever was killed.
        let order = "sort -s -n -k1,1 all.txt";
        assert_equal(
            &crew,
            scratch,
            "order by key",
            order,
            "grep -v '7$' all-in | sed 's/line/LINE/' | sort -s -n -k1,1",
        );
        assert_no_letters(&crew, scratch);
        hits
    });
}

/// Records that fail alone are dead-lettered once, the others are not.
#[test]
fn records_that_fail() {
    campaign("failing records", 40, |scratch, rng, kills| {
        scratch.shell("seq 1 1500 > in.txt");
        let pipeline = "[pipeline]\nname = 'failing'\n[source.in]\nfile = 'in.txt'\n\
             [stage.picky]\nrun = ['sh', '-c', 'sleep 0.01; awk \"/^(77|500|998|999|1400)\\$/ {exit 7} {print}\"']\npartitions = 1\n\
             batch = { max_records = 100 }\nretry = { max_attempts = 2, initial = '1ms', max = '5ms' }\n\
             [sink.out]\nfile = 'out.txt'\n";
        let mut crew = Crew::one(scratch, pipeline).programs_percent(0).may_exit(3);
        let hits = crew.kill_at_random(rng, kills);
        assert_equal(&crew, scratch, "out", "cat out.txt", "grep -Evx '77|500|998|999|1400' in.txt");
        let letters = r#"grep -o '"record":"[0-9]*"' state/dead/*.jsonl | cut -d'"' -f4"#;
        assert_equal(&crew, scratch, "letters", letters, "printf '77\n500\n998\n999\n1400\n'");
        hits
    });
}

/// Framings of the sources, and what makes their input: records of one to some lines, which a batch must not be cut within.
const FRAMED: [(&str, &str); 7] = [
    ("'csv'", r#"printf '%d,"a\n""%d""\n",x\n' $n $n"#),
    ("{ start = '^>' }", r"printf '>s%d\nAC\n' $n; seq -f G%g $((n % 4))"),
    ("{ end = '^//$' }", r"seq -f G%g $((n % 4)); printf '%d\n//\n' $n"),
    ("{ lines = 4 }", r"printf '@r%d\n\n+\nI%d\n' $n $n"),
    ("{ length = 7 }", r"printf '%06d\n' $n"),
    ("{ prefix = 'u16be' }", r"printf '\0\007%05d\n\n' $n"),
    ("{ json = true }", r#"printf '{"n":\n %d}\n' $n"#),
];

/// `size` is given one record at a time: the sizes are those of whole ones.
#[test]
fn records_of_several_lines() {
    campaign("framed records", 40, |scratch, rng, kills| {
        let picked = usize::try_from(rng.within(0, FRAMED.len() as u64 - 1)).expect("a few");
        let (framing, make) = FRAMED[picked];
        scratch.shell(&format!(
            "mkdir in; make() {{ for n in $(seq $1 $2); do {make}; done; }}; make 1 150 > in/a; make 151 300 | gzip > in/b.gz; make 301 500 > in/c; make 1 500 > all-in"
        ));
        let pipeline = format!(
            "[pipeline]\nname = 'framed'\n[source.in]\nfile = 'in/*'\nframing = {framing}\n\
             [stage.slow]\nfrom = 'in'\nrun = ['sh', '-c', 'sleep 0.01; cat']\npartitions = 1\nbatch = {{ max_records = 20 }}\n\
             [stage.size]\nrun = ['wc', '-c']\nfrom = 'slow'\nframing = 'lines'\nbatch = {{ max_records = 1 }}\npartitions = 2\n\
             [stage.same]\nfrom = 'slow'\nmode = 'stream'\nrun = ['cat']\n\
             [sink.sizes]\nfrom = 'size'\nfile = 'sizes.txt'\n[sink.all]\nfrom = 'same'\nfile = 'all.txt'\n"
        );
        let mut crew = Crew::one(scratch, &pipeline);
        let hits = crew.kill_at_random(rng, kills);
        assert_equal(&crew, scratch, &format!("all of {framing}"), "cat all.txt", "cat all-in");
        let sizes = format!("for n in $(seq 1 500); do {{ {make}; }} | wc -c; done | sort");
        assert_equal(&crew, scratch, &format!("sizes of {framing}"), "sort sizes.txt", &sizes);
        assert_no_letters(&crew, scratch);
        hits
    });
}
