//! Nodes that do not belong together.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use worker_proto::frame::{GoAway, GoAwayWhy, Hello};
use worker_proto::limits::PROTOCOL;
use worker_proto::{ConnNo, Fingerprint, Frame, FrameCodec, Incarnation};
use worker_tests::process::{FLOW, Nodes, Running, Scratch, eventually, free_port};

const PATIENCE: Duration = Duration::from_secs(20);

/// Numbers from a to a file on b.
fn numbers() -> String {
    "[pipeline]\nname = 'peers'\n[source.in]\nrun = ['seq', '1', '1000']\nplace = 'a'\n[sink.out]\nfile = 'out.txt'\n\
     place = 'b'\n"
        .to_owned()
}

/// Waits until somebody listens there.
fn connect(node: &mut Running<'_>, address: &str) -> TcpStream {
    eventually(&format!("{address} is listened on"), PATIENCE, || {
        assert!(!node.has_ended(), "the node runs: {}", node.stderr());
        TcpStream::connect(address).map_err(|error| error.to_string())
    })
}

/// Says a first frame and hears the last one.
fn answer(mut stream: TcpStream, first: Frame) -> GoAway {
    use tokio_util::codec::{Decoder as _, Encoder as _};
    let (mut codec, mut bytes) = (FrameCodec::new(), bytes::BytesMut::new());
    codec.encode(first, &mut bytes).expect("a frame");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(&bytes).expect("the node reads");
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("the node closes");
    let mut said = bytes::BytesMut::from(&said[..]);
    while let Some(frame) = codec.decode(&mut said).expect("frames") {
        if let Frame::GoAway(go_away) = frame {
            return go_away;
        }
    }
    panic!("the node closed without a reason");
}

fn hello(node: &str, to: &str) -> Hello {
    Hello {
        protocol: PROTOCOL,
        cluster: "peers".into(),
        node: node.into(),
        to: to.into(),
        incarnation: Incarnation(1),
        conn_no: ConnNo(1),
        pipeline: Fingerprint(1),
        placement: Fingerprint(1),
    }
}

#[test]
fn a_port_in_use_and_an_address_of_another_machine_are_refused_at_the_start() {
    let scratch = Scratch::new();
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &numbers());
    let taken = std::net::TcpListener::bind(nodes.address("b")).expect("a free port");
    nodes.node("b").run().expect(2).says(&["port in use", nodes.address("b")]);
    drop(taken);
    let addresses =
        vec![("a".to_owned(), "127.0.0.1:7400".to_owned()), ("b".to_owned(), "203.0.113.7:7400".to_owned())];
    let nodes = Nodes::at(&scratch, addresses, &numbers());
    nodes.node("b").run().expect(2).says(&["203.0.113.7:7400", "no address of this machine"]);
}

#[test]
fn an_unknown_node_and_a_wrong_cluster_file_are_refused_at_the_start() {
    let scratch = Scratch::new();
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &numbers());
    nodes.node("bb").run().expect(2).says(&["`bb`", "a, b"]);
    scratch.write("cluster.toml", "[node.a]\nadress = '127.0.0.1:1'\n");
    nodes.node("a").run().expect(2).says(&["cluster.toml:2", "adress", "address"]);
    scratch.write("cluster.toml", "");
    nodes.node("a").run().expect(2).says(&["cluster.toml", "[node."]);
    std::fs::remove_file(scratch.path("cluster.toml")).expect("it is there");
    nodes.node("a").run().expect(2).says(&["cluster.toml", "No such file"]);
}

#[test]
fn local_ends_without_a_place_are_refused() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nfile = '/etc/hostname'\n[sink.out]\nfile = 'out.txt'\nplace = 'b'\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], pipeline);
    nodes.node("a").run().expect(2).says(&["pipeline.toml:1", "place"]);
}

#[test]
fn nodes_with_different_pipelines_name_their_own_fingerprint_and_log_the_others() {
    let scratch = Scratch::new();
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &numbers());
    let mut b = nodes.start("b");
    connect(&mut b, nodes.address("b"));
    scratch.write("pipeline.toml", numbers().replace("1000", "2000"));
    let a = nodes.node("a").start().wait(PATIENCE).expect(1).says(&["node b", "the pipeline files differ"]);
    b.wait_for_message("the pipeline files differ", PATIENCE);
    let fingerprints = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_ascii_hexdigit());
        let mut found: Vec<String> = words.filter(|word| word.len() == 16).map(str::to_owned).collect();
        found.sort_unstable();
        found.dedup();
        found
    };
    let (told, logged) = (fingerprints(&a.stderr), fingerprints(&b.stderr()));
    assert_eq!((told.len(), logged.len()), (1, 2), "{}\n{}", a.stderr, b.stderr());
    assert!(logged.contains(&told[0]), "{told:?} {logged:?}");

    // It was turned away; the right one is let in.
    scratch.write("pipeline.toml", numbers());
    nodes.start("a").wait(PATIENCE).expect(0);
    b.wait(PATIENCE).expect(0);
    assert_eq!(scratch.read("out.txt"), scratch.shell("seq 1 1000"));
}

#[test]
fn nodes_with_different_places_say_so_on_both_sides() {
    let scratch = Scratch::new();
    let stage = "[stage.same]\nfrom = 'in'\nrun = 'cat'\npartitions = 2\nplace = ['b', 'c']\n";
    let pipeline = numbers() + stage;
    let pipeline = pipeline.replace("[sink.out]", "[sink.out]\nfrom = 'same'");
    let nodes = Nodes::on_loopback(&scratch, &["a", "b", "c"], &pipeline);
    let mut b = nodes.start("b");
    connect(&mut b, nodes.address("b"));
    scratch.write("pipeline.toml", pipeline.replace("['b', 'c']", "['c', 'b']"));
    nodes.start("a").wait(PATIENCE).expect(1).says(&["node b", "the placements differ: fingerprint"]);
    b.wait_for_message("the placements differ: fingerprint", PATIENCE);
}

#[test]
fn a_second_living_process_of_a_name_is_refused_and_the_first_goes_on() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[pipeline]\nname = 'peers'\n[source.in]\n{FLOW}\nplace = 'a'\n[sink.out]\nfile = 'out.txt'\nplace = 'b'\n"
    );
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &pipeline);
    let (a, b) = (nodes.start("a"), nodes.start("b"));
    scratch.wait_until_flows(&["out.txt"]);
    let copied =
        scratch.text("cluster.toml").replace(nodes.address("a"), &format!("127.0.0.1:{}", free_port()));
    scratch.write("copied.toml", copied);
    // The second one's source has nothing to say, so that `sent.txt` stays the first one's.
    scratch.write("second/pipeline.toml", &pipeline);
    scratch.write("second/stop", "");
    let second = ["node", "--name", "a", "--cluster", "copied.toml", "second/pipeline.toml"];
    let second = scratch.worker(&second).start().wait(Duration::from_secs(30)).expect(1);
    second.says(&["another living process is node a", "stop one of them"]);
    let before = scratch.len("out.txt");
    eventually("the first one goes on", PATIENCE, || {
        if scratch.len("out.txt") > before { Ok(()) } else { Err(a.stderr()) }
    });
    scratch.stop_flow();
    a.wait(PATIENCE).expect(0);
    b.wait(PATIENCE).expect(0);
    scratch.assert_all_arrived(&["out.txt"]);
}

#[test]
fn strangers_are_turned_away_with_a_class_and_disturb_nobody() {
    let scratch = Scratch::new();
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &numbers());
    let mut b = nodes.start("b");
    let address = nodes.address("b").to_owned();

    let newer = Hello { protocol: PROTOCOL + 1, ..hello("a", "b") };
    let refused = answer(connect(&mut b, &address), Frame::Hello(newer));
    assert_eq!((refused.why, refused.message.as_str()), (GoAwayWhy::Protocol, ""));
    b.wait_for_message("same version of worker", PATIENCE);
    for part in [format!("speaks protocol {PROTOCOL}"), format!("speaks {}", PROTOCOL + 1)] {
        assert!(b.stderr().contains(&part), "{}", b.stderr());
    }

    for (wrong, why) in [
        (hello("a", "c"), GoAwayWhy::WrongPeer),
        (Hello { cluster: "other".into(), ..hello("a", "b") }, GoAwayWhy::WrongPeer),
        (hello("a", "b"), GoAwayWhy::Pipeline),
    ] {
        let refused = answer(connect(&mut b, &address), Frame::Hello(wrong.clone()));
        assert_eq!((refused.why, refused.message.as_str()), (why, ""), "{wrong:?}");
    }
    assert_eq!(answer(connect(&mut b, &address), Frame::Bye).why, GoAwayWhy::Violation);

    // A web browser, a port scanner and a frame that claims to be huge.
    let _silent = connect(&mut b, &address);
    for bytes in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"\xff\xff\xff\xff\xff\xff\xff\xff", b""] {
        let mut stream = connect(&mut b, &address);
        stream.write_all(bytes).expect("the node reads");
        stream.shutdown(std::net::Shutdown::Write).expect("it is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // Closed, in whatever way.
        stream.read_to_end(&mut Vec::new()).ok();
    }

    nodes.start("a").wait(PATIENCE).expect(0);
    b.wait(PATIENCE).expect(0);
    assert_eq!(scratch.read("out.txt"), scratch.shell("seq 1 1000"));
}

#[test]
fn a_node_whose_peers_never_come_says_so_and_ends_when_asked() {
    let scratch = Scratch::new();
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &numbers());
    let mut a = nodes.start("a");
    a.wait_for_message("not connected", PATIENCE);
    a.signal(rustix::process::Signal::TERM);
    // What it has read cannot be delivered: a second one ends it.
    a.wait_for_message("stopping", PATIENCE);
    a.signal(rustix::process::Signal::TERM);
    a.wait(PATIENCE).expect(143).says(&["stopped", "on their way"]);
}
