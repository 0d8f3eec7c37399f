//! Tasks, links and places.

use super::{cluster, laid_out, read, three_nodes};
use crate::io::resource::Resource;
use crate::pipeline::plan::{RecordsSettings, Role};
use crate::pipeline::{Cluster, Plan, RecordsState, load, plan};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;
use worker_core::config::{NodeIx, TaskKind};
use worker_core::route::PartitionBy;

fn links(plan: &Plan) -> Vec<String> {
    let name = |id: worker_core::config::TaskId| plan.graph.task(id).name.clone();
    plan.graph.links.iter().map(|link| format!("{} {}", name(link.from), name(link.to))).collect()
}

#[test]
fn the_admin_address_of_a_node_is_one_that_can_be_asked() {
    let text = "[node.a]\naddress = 'a.example:1'\nadmin = '0.0.0.0:7480'\n[node.b]\naddress = '[::1]:2'\nadmin = '[::]:7481'\n\
                [node.c]\naddress = 'c.example:3'\nadmin = '127.0.0.1:7482'\n[node.d]\naddress = 'd.example:4'\n";
    let admins = cluster(text).expect("a cluster").admins();
    let admins: Vec<_> = admins.iter().map(|(node, at)| (node.as_str(), at.as_str())).collect();
    assert_eq!(admins, [("a", "a.example:7480"), ("b", "[::1]:7481"), ("c", "127.0.0.1:7482")]);
}

#[test]
fn hops_are_one_to_one_only_without_key_between_equal_numbers_above_one() {
    let text = "[source.s]\nfile='x'\n[stage.a]\nrun=['a']\npartitions=2\n[stage.b]\nrun=['b']\npartitions=2\n\
                [stage.c]\nrun=['c']\npartitions=2\npartition_by='record'\n[sink.o]\nstdout=true\n";
    let plan = laid_out(text).unwrap();
    assert_eq!(
        links(&plan),
        [
            "s/0 a/0", "s/0 a/1", "a/0 b/0", "a/1 b/1", "b/0 c/0", "b/0 c/1", "b/1 c/0", "b/1 c/1",
            "c/0 o/0", "c/1 o/0",
        ]
    );
    let b0 = &plan.local[3];
    assert_eq!((b0.name.as_str(), b0.edges.len(), b0.edges[0].links.len()), ("b/0", 1, 2));
    assert_eq!(b0.edges[0].by, Some(PartitionBy::Record));
    assert!(plan.local.last().unwrap().edges.is_empty(), "nothing leads out of a sink");
}

#[test]
fn fan_out_gives_a_task_one_edge_for_every_reader() {
    let text = "[source.s]\nfile='x'\n[stage.a]\nfrom='s'\nrun=['a']\npartitions=3\n[sink.o]\nfrom='a'\nstdout=true\n\
                [sink.p]\nfrom=['a','s']\nfile='parts/'\n";
    let plan = laid_out(text).unwrap();
    let source = &plan.local[0];
    let sizes: Vec<usize> = source.edges.iter().map(|edge| edge.links.len()).collect();
    assert_eq!(sizes, [3, 3], "to the three tasks of a, and to the three parts of p");
    assert_eq!(plan.partitions.sinks, [1, 3]);
    let Role::Sink(sink) = &plan.local.last().unwrap().role else { panic!("the last task is a sink") };
    assert_eq!(sink.target.holds(), [Resource::File("/base/parts/part-00002".into())]);
}

#[test]
fn the_key_of_an_answer_is_given_beside_the_record() {
    let text = "[source.s]\nfile='x'\n[stage.a]\nrun=['a']\nmode='records'\npartition_by={field=2, delimiter=','}\npartitions=2\n\
                tick='5s'\nstate='inline'\nstate_budget='1MiB'\nin_flight=7\n[stage.b]\nrun=['b']\npartition_by='key'\npartitions=2\n\
                [sink.o]\nstdout=true\n";
    let plan = laid_out(text).unwrap();
    let expected =
        PartitionBy::Field { index: NonZeroUsize::new(2).unwrap(), delimiter: Some(b",".to_vec()) };
    assert_eq!(plan.local[0].edges[0].by.as_ref(), Some(&expected));
    let a = &plan.local[1];
    assert_eq!((a.name.as_str(), a.edges[0].by.as_ref()), ("a/0", Some(&PartitionBy::Given)));
    let Role::Stage(stage) = &a.role else { panic!("a is a stage") };
    let settings =
        RecordsSettings { key: Some(expected), state: RecordsState::Inline, state_budget_bytes: 1 << 20 };
    assert_eq!(stage.records.as_deref(), Some(&settings));
    let TaskKind::Records(spec) = &plan.graph.task(a.id).kind else { panic!("a is of mode records") };
    assert_eq!((spec.in_flight, spec.in_flight_bytes, spec.tick), (7, 1 << 20, Some(Duration::from_secs(5))));
    assert_eq!(stage.timeout, Some(Duration::from_secs(30)), "a program that does not answer is killed");
}

#[test]
fn batch_stages_use_all_cores_and_other_stages_one_task_unless_keyed() {
    let text = "[source.s]\nfile='x'\n[stage.a]\nrun=['a']\n[stage.b]\nmode='stream'\nrun=['b']\n\
                [stage.c]\nmode='stream'\nrun=['c']\npartition_by='record'\n[stage.d]\nmode='records'\nrun=['d']\n\
                [stage.e]\nmode='records'\nrun=['e']\npartition_by='record'\n[sink.o]\nstdout=true\n";
    let cores = u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    assert_eq!(laid_out(text).unwrap().partitions.stages, [cores, 1, cores, 1, cores]);
    let placed =
        text.replace("file='x'", "file='x'\nplace='a'").replace("stdout=true", "stdout=true\nplace='b'");
    let plan = plan(&read(&placed).unwrap(), &three_nodes(), NodeIx(0)).unwrap();
    assert_eq!(plan.partitions.stages, [6, 1, 6, 1, 6], "the sum of slots");
    assert_eq!(plan.slots, 2);
}

fn many_tasks() -> String {
    "[source.s]\nfile='x'\nplace=['a','c']\n[stage.w]\nrun=['w']\npartitions=600\n[stage.r]\nrun=['r']\npartitions=5\n\
     place=['c','a']\n[sink.o]\nfile='y'\nplace='b'\n"
        .to_owned()
}

#[test]
fn every_node_computes_the_same_layout_and_runs_its_own_share() {
    let pipeline = read(&many_tasks()).unwrap();
    let plans: Vec<Plan> = (0..3).map(|me| plan(&pipeline, &three_nodes(), NodeIx(me)).unwrap()).collect();
    assert_eq!(plans.iter().map(|plan| plan.local.len()).sum::<usize>(), plans[0].graph.tasks.len());
    for other in &plans[1..] {
        assert_eq!(
            (other.semantic_fingerprint, other.placement_fingerprint),
            (plans[0].semantic_fingerprint, plans[0].placement_fingerprint)
        );
        assert_eq!(links(other), links(&plans[0]));
    }
}

#[test]
fn tasks_are_spread_evenly_and_a_new_node_moves_only_what_it_takes() {
    let text = many_tasks();
    let pipeline = read(&text).unwrap();
    let three = plan(&pipeline, &three_nodes(), NodeIx(0)).unwrap();
    let mut shares: BTreeMap<NodeIx, usize> = BTreeMap::new();
    for task in three.graph.tasks.iter().filter(|task| task.name.starts_with("w/")) {
        *shares.entry(task.node).or_default() += 1;
    }
    assert!(shares.values().all(|&share| (150..=250).contains(&share)), "{shares:?}");
    let four = cluster(
        "[node.a]\naddress='h:1'\n[node.b]\naddress='h:2'\n[node.c]\naddress='h:3'\n[node.d]\naddress='h:4'\n",
    )
    .unwrap();
    let four = plan(&pipeline, &four, NodeIx(0)).unwrap();
    for (before, after) in three.graph.tasks.iter().zip(&four.graph.tasks) {
        let (before, after) =
            (&three.nodes[usize::from(before.node.0)], &four.nodes[usize::from(after.node.0)]);
        assert!(before == after || after == "d");
    }
    assert_ne!(three.placement_fingerprint, four.placement_fingerprint);
    assert_eq!(three.semantic_fingerprint, four.semantic_fingerprint);
}

#[test]
fn place_deals_partitions_in_turn() {
    let plan = plan(&read(&many_tasks()).unwrap(), &three_nodes(), NodeIx(0)).unwrap();
    let nodes = |prefix: &str| -> Vec<&str> {
        let tasks = plan.graph.tasks.iter().filter(|task| task.name.starts_with(prefix));
        tasks.map(|task| plan.nodes[usize::from(task.node.0)].as_str()).collect()
    };
    assert_eq!(nodes("s/"), ["a", "c"], "one source task on each named node");
    assert_eq!(nodes("r/"), ["c", "a", "c", "a", "c"]);
    assert_eq!(nodes("o/"), ["b"]);
}

#[test]
fn a_column_is_found_by_name_at_any_distance_and_a_header_heads_the_stages_behind_its_source() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), "iata,\"name, long\",state\nX,Y,Z\n").unwrap();
    let file = dir.path().join("p.toml");
    let text = "[source.s]\nfile='*.csv'\nheader='repeat'\n[stage.a]\nrun=['a']\n[stage.b]\nrun=['b']\npartitions=2\n\
                partition_by={csv='state'}\n[sink.o]\nstdout=true\n";
    std::fs::write(&file, text).unwrap();
    let plan = plan(&load(&file, &[]).unwrap(), &Cluster::single(), NodeIx(0)).unwrap();
    let by = |name: &str| plan.local.iter().find(|task| task.name == name).unwrap().edges[0].by.clone();
    assert_eq!(by("a/0"), Some(PartitionBy::Csv { column: NonZeroUsize::new(3).unwrap() }));
    let header = |name: &str| match &plan.local.iter().find(|task| task.name == name).unwrap().role {
        Role::Stage(stage) => stage.header.clone(),
        Role::Source(_) | Role::Sink(_) => None,
    };
    assert_eq!(header("a/0").as_deref(), Some(&b"iata,\"name, long\",state\n"[..]));
    assert_eq!(header("b/0"), None);
    assert!(matches!(plan.graph.tasks[1].kind, TaskKind::Batch(_)));
}

#[test]
fn a_column_that_cannot_be_found_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), "iata,state\n").unwrap();
    let file = dir.path().join("p.toml");
    let error = |text: &str| {
        std::fs::write(&file, text).unwrap();
        plan(&load(&file, &[]).unwrap(), &Cluster::single(), NodeIx(0)).unwrap_err().to_string()
    };
    let stage =
        "[stage.b]\nrun=['b']\nfrom='s'\npartition_by={csv='stat'}\n[sink.o]\nfrom='b'\nstdout=true\n";
    let misspelled = error(&format!("[source.s]\nfile='*.csv'\n{stage}"));
    assert!(
        misspelled.contains("no column `stat`") && misspelled.contains("did you mean `state`?"),
        "{misspelled}"
    );
    let missing = error(&format!("[source.s]\nfile='*.tsv'\n{stage}"));
    assert!(
        missing.contains("use the column's number") && missing.contains("readable on this node"),
        "{missing}"
    );
    let program = error(&format!("[source.s]\nrun=['x']\n{stage}"));
    assert!(program.contains("use the column's number"), "{program}");
    let two =
        format!("[source.s]\nfile='*.csv'\n[source.t]\nfile='a.csv'\n{stage}").replace("'s'", "['s','t']");
    let several = error(&two);
    assert!(several.contains("several sources") && several.contains("use the column's number"), "{several}");
}

#[test]
fn one_path_on_two_nodes_is_two_files_in_a_cluster_and_one_in_one_process() {
    let text = "[source.s]\nfile='x'\nplace='a'\n[sink.o]\nfrom='s'\nfile='y'\nplace='a'\n[sink.p]\nfrom='s'\nfile='y'\n\
                place='b'\n";
    assert!(plan(&read(text).unwrap(), &three_nodes(), NodeIx(0)).is_ok());
    let error = laid_out(text).unwrap_err().to_string();
    assert!(error.contains("sinks `o` and `p` write to one path"), "{error}");
}

#[test]
fn a_header_is_needed_only_where_its_stages_run() {
    let text = "[source.s]\nfile='/no/such/file.csv'\nheader='repeat'\nplace='a'\n[stage.r]\nrun=['r']\npartitions=1\n\
                place='b'\n[sink.o]\nstdout=true\nplace='a'\n";
    let pipeline = read(text).unwrap();
    assert!(plan(&pipeline, &three_nodes(), NodeIx(0)).is_ok());
    let error = plan(&pipeline, &three_nodes(), NodeIx(1)).unwrap_err().to_string();
    assert!(error.contains("make the file readable on this node"), "{error}");
}
