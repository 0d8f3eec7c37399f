//! The admin address in TLS: who is believed, what is answered to whom, and that handshakes keep nobody out.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::process::Signal;
use worker_tests::process::Nodes;

/// A worker whose admin address has a certificate.
struct Secured<'a> {
    scratch: &'a Scratch,
    worker: Running<'a>,
    /// `HOST:PORT`.
    at: String,
}

impl<'a> Secured<'a> {
    /// With the certificate that is made here.
    fn start(scratch: &'a Scratch) -> Self {
        scratch.worker(&["cert", "init"]).run().expect(0);
        scratch.worker(&["cert", "issue", "here", "--host", "127.0.0.1"]).run().expect(0);
        Self::with(scratch, "certs/here.pem", "certs/here.key")
    }

    fn with(scratch: &'a Scratch, cert: &str, key: &str) -> Self {
        scratch.write("p.toml", pipeline(1));
        let at = format!("127.0.0.1:{}", free_port());
        let page = format!("https://{at}");
        let run = [
            "run",
            "p.toml",
            "--progress",
            "none",
            "-v",
            "--admin",
            &page,
            "--admin-cert",
            cert,
            "--admin-key",
            key,
        ];
        let mut worker = scratch.worker(&run).start();
        worker.wait_for_message(&format!("live page and admin API: {page}/"), PATIENCE);
        Self { scratch, worker, at }
    }

    /// What curl says of a path, and with which status it ends.
    fn curl(&self, args: &[&str], path: &str) -> (i32, String) {
        let mut start = self.scratch.program(Path::new("curl"));
        start.command.args(["-sS", "--max-time", "20"]).args(args).arg(format!("https://{}{path}", self.at));
        let ended = start.run();
        (
            ended.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&ended.stdout).into_owned() + &ended.stderr,
        )
    }

    /// As on another machine: no entry is found, so nothing is known but what is said.
    fn elsewhere(&self, args: &[&str]) -> Finished {
        self.scratch.worker(args).env("WORKER_RUNTIME_DIR", "/nowhere").run()
    }

    fn page(&self) -> String {
        format!("https://{}", self.at)
    }

    fn stop(self) -> Finished {
        self.scratch.write("stop", "");
        self.worker.wait(PATIENCE).expect(0)
    }
}

const CA: [&str; 2] = ["--cacert", "certs/ca.pem"];

#[test]
fn with_a_certificate_everything_is_said_in_tls_to_who_believes_it() {
    let scratch = Scratch::new();
    let secured = Secured::start(&scratch);
    assert_eq!(secured.curl(&CA, "/livez"), (0, "ok\n".to_owned()));
    assert!(secured.curl(&CA, "/").1.starts_with("<!"), "the page");
    assert!(secured.curl(&CA, "/metrics").1.contains("worker_admin_refused_total"));
    let (status, said) = secured.curl(&[], "/livez");
    assert_eq!(status, 60, "nobody else vouches for it: {said}");
    // Orders need the token as ever, and get through.
    assert!(
        secured.curl(&[&CA[..], &["-X", "POST"]].concat(), "/api/v1/stages/pass/pause").1.contains("Bearer")
    );
    scratch.worker(&["pause", "pass"]).run().expect(0);
    scratch.worker(&["resume", "pass", "--admin", &secured.at]).run().expect(0);
    scratch.worker(&["tap", "pass", "--limit", "2"]).run().expect(0);
    scratch.worker(&["status"]).run().expect(0);
    let listed = scratch.worker(&["status", "--list"]).run().expect(0);
    assert!(String::from_utf8_lossy(&listed.stdout).contains(&format!("{}/", secured.page())));
    let page = secured.page();
    secured.elsewhere(&["status", "--admin", &page, "--admin-ca", "certs/ca.pem"]).expect(0);
    secured.elsewhere(&["why", "--admin", &secured.at, "--admin-ca", "certs/ca.pem"]).expect(0);
    let secret = scratch.text("certs/here.key").lines().nth(1).expect("a key").to_owned();
    let entry = scratch.shell("cat runtime/*.json");
    assert!(!String::from_utf8_lossy(&entry).contains(&secret));
    let ended = secured.stop();
    assert!(!ended.stderr.contains(&secret) && !ended.stderr.contains("insecure"), "{}", ended.stderr);
}

#[test]
fn who_cannot_be_believed_is_told_nothing() {
    let scratch = Scratch::new();
    let secured = Secured::start(&scratch);
    scratch.worker(&["cert", "init", "--dir", "other"]).run().expect(0);
    let page = secured.page();
    for (admin, ca, said) in [
        (&*page, "", "--admin-ca FILE has to name the certificates"),
        (&page, "other/ca.pem", "is not believed: its certificate does not count here: it is of no CA"),
        (&page.replace("127.0.0.1", "localhost"), "certs/ca.pem", "it is not of localhost"),
        (&secured.at, "", "answers 400 Bad Request: this address speaks TLS"),
    ] {
        let ca = if ca.is_empty() { &[][..] } else { &["--admin-ca", ca] };
        secured.elsewhere(&[&["status", "--admin", admin], ca].concat()).expect(1).says(&[said]);
    }
    secured
        .elsewhere(&["status", "--admin", &page, "--admin-ca", "p.toml"])
        .expect(2)
        .says(&["p.toml", "PEM"]);
    let plain = scratch.shell(&format!("curl -s -w '%{{http_code}}' http://{}/api/v1/status", secured.at));
    let plain = String::from_utf8_lossy(&plain).into_owned();
    assert!(
        plain.starts_with("this address speaks TLS: ask https:// here") && plain.ends_with("400"),
        "{plain}"
    );
    let counted = secured.curl(&CA, "/metrics").1;
    assert!(counted_of(&counted, "tls") > 0, "{counted}");
    secured.stop();
    // And the other way round.
    let (scratch, at) = (Scratch::new(), format!("127.0.0.1:{}", free_port()));
    scratch.worker(&["cert", "init"]).run().expect(0);
    scratch.write("p.toml", pipeline(1));
    let worker = scratch.worker(&["run", "p.toml", "--admin", &at]).start();
    let ask = || {
        let page = format!("https://{at}");
        let args = ["status", "--admin", &page, "--admin-ca", "certs/ca.pem"];
        scratch.worker(&args).env("WORKER_RUNTIME_DIR", "/nowhere").run()
    };
    eventually("it says that it speaks none", PATIENCE, || {
        let said = ask().expect(1).stderr;
        if said.contains("is no TLS") { Ok(()) } else { Err(said) }
    });
    scratch.write("stop", "");
    worker.wait(PATIENCE).expect(0);
}

#[test]
fn a_certificate_that_changes_is_read_again() {
    let scratch = Scratch::new();
    let mut secured = Secured::start(&scratch);
    scratch.shell("mv certs old");
    scratch.worker(&["cert", "init"]).run().expect(0);
    scratch.worker(&["cert", "issue", "here", "--host", "127.0.0.1"]).run().expect(0);
    secured.worker.signal(Signal::USR1);
    secured.worker.wait_for_message("the certificate of the admin address was read again", PATIENCE);
    assert_eq!(secured.curl(&CA, "/livez").0, 0);
    // Its name is the same, but not its key: some versions call that another thing.
    assert!([35, 60].contains(&secured.curl(&["--cacert", "old/ca.pem"], "/livez").0));
    scratch.worker(&["status"]).run().expect(0);
    // One that cannot be read changes nothing.
    scratch.write("certs/here.pem", "half");
    secured.worker.wait_for_message("cannot be read again", PATIENCE);
    assert_eq!(secured.curl(&CA, "/livez").0, 0);
    scratch.worker(&["status"]).run().expect(0);
    secured.stop();
}

#[test]
fn an_expired_certificate_is_said_and_not_believed() {
    let scratch = Scratch::new();
    let (ca_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    scratch.write("ca.pem", params.self_signed(&ca_key).expect("a certificate").pem());
    let mut own = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
    (own.not_before, own.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let own = own.signed_by(&key, &Issuer::new(params, ca_key)).expect("a certificate");
    scratch.write("old.pem", own.pem());
    scratch.write("old.key", key.serialize_pem());
    let mut secured = Secured::with(&scratch, "old.pem", "old.key");
    secured.worker.wait_for_message("the certificate of the admin address has expired", PATIENCE);
    let page = secured.page();
    secured
        .elsewhere(&["status", "--admin", &page, "--admin-ca", "ca.pem"])
        .expect(1)
        .says(&["it has expired"]);
    assert_eq!(secured.curl(&["--cacert", "ca.pem"], "/livez").0, 60);
    // Who may read its entry knows that it is the one.
    scratch.worker(&["status"]).run().expect(0);
    secured.stop();
}

#[test]
fn handshakes_that_do_not_end_keep_nobody_out() {
    allow_many_files();
    let scratch = Scratch::new();
    let secured = Secured::start(&scratch);
    let open_files =
        || std::fs::read_dir(format!("/proc/{}/fd", secured.worker.pid())).map_or(0, Iterator::count);
    let before = open_files();
    let mut held = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(&secured.at).expect("everybody is accepted");
        // Nothing, the beginning of a handshake, and the beginning of a long one.
        let begin: &[u8] = match number % 3 {
            0 => b"",
            1 => b"\x16",
            _ => b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb\x03\x03",
        };
        stream.write_all(begin).ok();
        held.push(stream);
        if number % 100 == 99 {
            assert_eq!(secured.curl(&CA, "/livez"), (0, "ok\n".to_owned()), "amid {number}");
        }
    }
    assert!(open_files() <= before + 64 + 32, "{} files, {before} before", open_files());
    let last = held.last_mut().expect("one");
    last.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let begun = Instant::now();
    last.read_to_end(&mut Vec::new()).ok();
    assert!(begun.elapsed() < Duration::from_secs(30), "it is closed in time: {:?}", begun.elapsed());
    let counted = secured.curl(&CA, "/metrics").1;
    let count = |reason| counted_of(&counted, reason);
    assert!(count("connections") > 100 && count("tls") > 10, "{counted}");
    drop(held);
    let ended = secured.stop();
    let lines = ended.stderr.matches("its handshake did not come").count();
    assert!((1..20).contains(&lines), "{lines}: {}", ended.stderr);
}

#[test]
fn commands_know_each_node_of_a_cluster_by_its_certificate() {
    let scratch = Scratch::new();
    let flow = "[source.ticks]\nrun = ['sh', '-c', 'while [ ! -e stop ]; do echo x; sleep 0.02; done']\nplace = 'a'\n\
                [sink.out]\nfile = 'out'\nplace = 'b'\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], flow);
    let [at_a, at_b] = [(); 2].map(|()| format!("https://127.0.0.1:{}", free_port()));
    let with = |a: &str, b: &str, text: &str| {
        let text = text.replace("[node.a]\n", &format!("[node.a]\nadmin = \"{a}/\"\n"));
        text.replace("[node.b]\n", &format!("[node.b]\nadmin = \"{b}\"\n"))
    };
    scratch.write("cluster.toml", with(&at_a, &at_b, &scratch.text("cluster.toml")));
    // Without certificates there is nothing to show.
    nodes.node("a").run().expect(2).says(&[&at_a, "needs a certificate"]);
    scratch.worker(&["cert", "init"]).run().expect(0);
    scratch.worker(&["cert", "issue", "--cluster", "cluster.toml"]).run().expect(0);
    let (mut a, mut b) = (nodes.start("a"), nodes.start("b"));
    a.wait_for_message(&at_a, PATIENCE);
    b.wait_for_message(&at_b, PATIENCE);
    let ask = |file: &str| {
        scratch.worker(&["status", "--cluster", file]).env("WORKER_RUNTIME_DIR", "/nowhere").run()
    };
    let said = ask("cluster.toml").expect(0);
    assert!(!said.stderr.contains("not heard"), "{}", said.stderr);
    // One node that answers in the place of another is not believed, although both are of the cluster.
    let swapped = scratch.text("cluster.toml").replace(&at_a, "A").replace(&at_b, &at_a).replace("A/", &at_b);
    scratch.write("swapped.toml", swapped);
    ask("swapped.toml").says(&["it is of node b, and node a was asked"]);
    // The host of its address is in the certificate, too.
    let curl = format!("curl -sS --cacert certs/ca.pem {at_a}/livez");
    assert_eq!(String::from_utf8_lossy(&scratch.shell(&curl)), "ok\n");
    scratch.write("stop", "");
    a.wait(PATIENCE).expect(0);
    b.wait(PATIENCE).expect(0);
}

#[test]
fn where_others_reach_it_a_node_shows_the_certificate_that_it_has() {
    let (scratch, elsewhere) = (Scratch::new(), Elsewhere::new());
    let flow = "[source.ticks]\nrun = ['sh', '-c', 'while [ ! -e stop ]; do echo x; sleep 0.02; done']\n[sink.out]\nfile = 'out'\n";
    scratch.write("p.toml", flow);
    scratch.write("token", "s3cret-4711\n");
    scratch.write("cluster.toml", "[node.a]\naddress = \"10.78.0.1:7400\"\nadmin = \"0.0.0.0:7480\"\n");
    scratch.worker(&["cert", "init"]).run().expect(0);
    scratch.worker(&["cert", "issue", "--cluster", "cluster.toml"]).run().expect(0);
    let node = ["node", "--name", "a", "--cluster", "cluster.toml", "p.toml", "--admin-token-file", "token"];
    let mut worker = elsewhere.worker(&scratch, "run", &node).start();
    worker.wait_for_message("https://0.0.0.0:7480/", PATIENCE);
    let ask = |args: &[&str]| elsewhere.worker(&scratch, "none", &[&["status"][..], args].concat()).run();
    let cluster = ["--cluster", "cluster.toml"];
    ask(&[&cluster[..], &["--admin-token-file", "token"]].concat()).expect(0);
    ask(&cluster).says(&["401"]);
    let by_host =
        ["--admin", "https://10.78.0.1:7480", "--admin-ca", "certs/ca.pem", "--admin-token-file", "token"];
    ask(&by_host).expect(0);
    scratch.write("stop", "");
    let ended = worker.wait(PATIENCE).expect(0);
    assert!(!ended.stderr.contains("insecure"), "{}", ended.stderr);
}
