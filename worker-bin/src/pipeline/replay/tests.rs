use super::*;
use crate::pipeline::{Cluster, SourceText, parse, plan};
use worker_core::config::NodeIx;

const WHOLE: &str = r#"
[source.log]
file = "in.csv"
header = "repeat"
[stage.a]
from = "log"
run = "cat"
max_dead = 3
[stage.b]
from = ["a", "log"]
run = "cat"
partitions = 2
[stage.c]
from = "log"
run = "cat"
[stage.keyed]
from = "b"
mode = "records"
run = "cat"
partition_by = { csv = "state" }
partitions = 3
[sink.all]
from = ["c", "keyed"]
file = "all.csv"
exists = "error"
[sink.parts]
from = "b"
file = "parts/"
partition_by = "record"
partitions = 4
[sink.other]
from = "c"
stdout = true
"#;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("in.csv"), "name,state\nx,y\n").unwrap();
        Self(dir)
    }

    fn pipeline(&self, text: &str) -> Pipeline {
        parse(&SourceText::new("p.toml", text), self.0.path(), &[]).unwrap()
    }

    fn replay(&self, text: &str, into: &[&str], out: Option<&str>) -> Result<Replay, ReplayError> {
        let pipeline = self.pipeline(text);
        let whole = plan(&pipeline, &Cluster::single(), NodeIx(0)).unwrap();
        let out = out.map(|out| self.0.path().join(out));
        let into = into.iter().map(|&name| (name, None)).collect();
        pipeline.replay(
            &whole,
            &into,
            (&self.0.path().join("input"), &self.0.path().join("state")),
            out.as_deref(),
        )
    }
}

fn names<'a>(all: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    all.into_iter().map(String::as_str).collect()
}

#[test]
fn letters_go_through_their_stage_and_what_is_behind_it() {
    let files = Files::new();
    let Replay { pipeline, inlets } = files.replay(WHOLE, &["a"], None).unwrap();
    assert_eq!(names(pipeline.stages.iter().map(|s| &s.name)), ["a", "b", "keyed"]);
    assert_eq!(names(pipeline.sinks.iter().map(|s| &s.name)), ["all", "parts"]);
    assert_eq!(
        (pipeline.delivery, pipeline.state_dir.as_deref()),
        (Delivery::ExactlyOnce, Some(&*files.0.path().join("state")))
    );
    // `b` is not where letters go in, but its program expects the header of the source that it reads no more.
    let shown: Vec<_> =
        inlets.iter().map(|i| (&*i.source, &*i.into, i.has_letters, i.header.as_deref())).collect();
    let header: Option<&[u8]> = Some(b"name,state\n");
    assert_eq!(shown, [("dead-letters-a", "a", true, header), ("dead-letters-b", "b", false, header)]);
    assert_eq!(pipeline.stages[0].from, [Origin::Source(0)]);
    assert_eq!(pipeline.stages[1].from, [Origin::Stage(0), Origin::Source(1)]);
    // What only the whole pipeline knows: the place of a column, numbers of partitions.
    assert_eq!(pipeline.stages[2].partition_by, Some(KeyRule::Csv(Column::Number(2))));
    assert_eq!((pipeline.stages[1].partitions, pipeline.stages[2].partitions), (Some(2), Some(3)));
    let Mode::Batch(batch) = &pipeline.stages[0].mode else { panic!("a is a batch stage") };
    assert_eq!(batch.failures.max_dead, MaxDead::Unlimited);
    for sink in &pipeline.sinks {
        assert_eq!(sink.target.of::<sink::file::Files>().unwrap().exists, Exists::Append);
    }
    std::fs::create_dir(files.0.path().join("input")).unwrap();
    for inlet in &inlets {
        std::fs::write(&inlet.path, "name,state\n").unwrap();
    }
    plan(&pipeline, &Cluster::single(), NodeIx(0)).unwrap();
}

#[test]
fn all_sinks_can_be_one_file() {
    let files = Files::new();
    let Replay { pipeline, .. } = files.replay(WHOLE, &["b", "c"], Some("again")).unwrap();
    let [sink] = pipeline.sinks.as_slice() else { panic!("{:?}", pipeline.sinks) };
    assert_eq!(names(pipeline.stages.iter().map(|s| &s.name)), ["b", "c", "keyed"]);
    assert_eq!(sink.from, [Origin::Stage(0), Origin::Stage(1), Origin::Stage(2)]);
    let file: sink::file::Files = sink.target.of().unwrap();
    assert_eq!(
        (file.path, file.is_directory, file.exists),
        (files.0.path().join("again"), false, Exists::Error)
    );
    let two = "[source.n]\nrun = 'true'\n[stage.a]\nfrom = 'n'\nrun = 'cat'\n[stage.b]\nfrom = 'n'\nrun = 'cat'\nframing = 'nul'\n\
               [sink.lines]\nfrom = 'a'\nfile = 'lines'\n[sink.nul]\nfrom = 'b'\nfile = 'nul'\n";
    assert!(files.replay(two, &["a", "b"], None).is_ok());
    let differ = files.replay(two, &["a", "b"], Some("again")).unwrap_err();
    assert_eq!(differ, ReplayError::Framings { one: "lines".to_owned(), other: "nul".to_owned() });
}

#[test]
fn what_letters_cannot_go_through_is_said() {
    let files = Files::new();
    let gone = files.replay(WHOLE, &["a", "gone"], None).unwrap_err().to_string();
    assert!(
        gone.contains("p.toml has no stage `gone` any more; stages there: a, b, c, keyed; take"),
        "{gone}"
    );
    let answered = "[source.n]\nrun = 'true'\n[stage.r]\nmode = 'records'\nrun = 'cat'\n[stage.k]\nrun = 'cat'\npartition_by = 'key'\n\
                    [sink.out]\nstdout = true\n";
    let no_key = files.replay(answered, &["k"], None).unwrap_err();
    assert_eq!(no_key, ReplayError::NoKey { stage: "k".to_owned() });
    assert!(files.replay(answered, &["r"], None).is_ok());
}

#[test]
fn a_record_without_key_was_for_the_one_reader_that_wants_a_key() {
    let files = Files::new();
    let pipeline = files.pipeline(WHOLE);
    assert_eq!(pipeline.keyed_reader("log"), None);
    assert_eq!(pipeline.keyed_reader("b"), None, "keyed and parts both want one");
    let one = WHOLE.replace("partition_by = \"record\"", "");
    assert_eq!(files.pipeline(&one).keyed_reader("b"), Some("keyed"));
    assert_eq!(files.pipeline(&one).keyed_reader("nothing"), None);
    let into_sink = files.replay(WHOLE, &["parts"], None).unwrap();
    assert_eq!((into_sink.pipeline.stages.len(), into_sink.pipeline.sinks.len()), (0, 1));
    assert_eq!(into_sink.inlets[0].header, None);
}
