//! What a program may use and see: each limit is exceeded, each wall walked into.

use super::*;
use std::path::PathBuf;
use worker_bin::child::{Confinement, Files, Identity, Limit, Limited};
use worker_core::event::FailureKind;

fn confined(script: &str, confinement: Confinement) -> Program {
    Program { confinement, ..sh(script) }
}

fn limited(of: Limited, most: u64) -> Confinement {
    Confinement { limits: vec![Limit { of, most }], ..Confinement::default() }
}

/// A user that nobody is, so that nothing else runs as them.
fn nobody_else() -> Identity {
    let user = 70_000 + std::process::id() % 50_000;
    Identity { user, group: user, groups: vec![user, user + 1] }
}

async fn run_in(program: &Program, tmpdir: PathBuf) -> Ran {
    let mut output = Vec::new();
    let mut keep = |batch: Batch| {
        output.extend_from_slice(batch.payload());
        Ok(())
    };
    let env = TaskEnv { tmpdir, ..env() };
    let run =
        run_batch(&launcher(), program, &env, None, vec![lines("x\n")], &mut keep, Oversight::none()).await;
    Ran { result: run.0, output, spent: run.1 }
}

fn text(ran: Ran) -> String {
    String::from_utf8(ran.output).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_needs_more_memory_than_its_limit_is_refused_it() {
    let script = "python3 -c 'bytearray(400_000_000)' 2>&1 | tail -n 1";
    assert_eq!(text(run(&confined(script, limited(Limited::Memory, 200 << 20)), "").await), "MemoryError\n");
    assert_eq!(text(run(&sh(script), "").await), "");
    let failure = run(&confined("true", limited(Limited::Memory, 4096)), "").await.failure();
    assert!(
        [FailureKind::CannotStart, FailureKind::Signal(9), FailureKind::Signal(11)].contains(&failure.kind),
        "{failure:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_uses_up_its_processor_time_is_ended() {
    let failure = run(&confined("while :; do :; done", limited(Limited::Cpu, 1)), "").await.failure();
    assert_eq!(failure.kind, FailureKind::Signal(24));
    assert!(failure.message.contains("limits.cpu"), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_more_files_than_its_limit_is_refused_them() {
    let script = "python3 -c 'x = [open(\"/dev/null\") for _ in range(50)]' 2>&1 | tail -n 1";
    let said = text(run(&confined(script, limited(Limited::OpenFiles, 20)), "").await);
    assert!(said.contains("Too many open files"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_a_larger_file_than_its_limit_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let script = "exec head -c 100000 /dev/zero > $WORKER_TMPDIR/f";
    let ran = run_in(&confined(script, limited(Limited::FileSize, 4096)), dir.path().into()).await;
    let failure = ran.failure();
    assert_eq!(failure.kind, FailureKind::Signal(25));
    assert!(failure.message.contains("limits.file_size"), "{}", failure.message);
    assert_eq!(dir.path().join("f").metadata().unwrap().len(), 4096);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_another_user_has_its_rights_groups_and_number_of_processes() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let user = nobody_else();
    let (id, group) = (user.user, user.group);
    let as_user = Confinement { user: Some(user), ..Confinement::default() };
    let said =
        text(run(&confined("id -u; id -g; id -G; grep CapEff /proc/self/status", as_user.clone()), "").await);
    assert_eq!(said, format!("{id}\n{group}\n{group} {}\nCapEff:\t0000000000000000\n", group + 1));
    let many = "for i in 1 2 3 4 5 6; do sleep 1 & done 2>&1; wait";
    let few = Confinement { limits: limited(Limited::Processes, 3).limits, ..as_user };
    let ran = run(&confined(many, few), "").await;
    assert!(ran.result.is_err() || text(ran).contains("fork"), "it may have three");
    assert!(run(&sh(many), "").await.result.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_a_sandbox_sees_its_own_files_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["own", "given", "other", "made"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("file"), name).unwrap();
    }
    let at = |name: &str| dir.path().join(name);
    let files = Files { read: vec![at("given")], write: vec![at("made")] };
    let confinement = Confinement { files: Some(files), ..Confinement::default() };
    let try_all = "for f in own given other made; do \
                     cat $T/$f/file > /dev/null 2>&1 && echo $f read; \
                     (echo x > $T/$f/new) 2> /dev/null && echo $f make; \
                     (: > $T/$f/file) 2> /dev/null && echo $f cut; \
                     rm $T/$f/file 2> /dev/null && echo $f remove; done; true";
    let mut program = confined(try_all, confinement);
    program.env = vec![("T".into(), dir.path().into())];
    let said = text(run_in(&program, at("own")).await);
    let all = |name: &str| format!("{name} read\n{name} make\n{name} cut\n{name} remove\n");
    assert_eq!(said, format!("{}given read\n{}", all("own"), all("made")));
    assert_eq!(std::fs::read_to_string(at("other").join("file")).unwrap(), "other");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_network_reaches_nobody() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 5); print(\"reached\")' 2>&1 | tail -n 1"
    );
    assert_eq!(text(run(&sh(&script), "").await), "reached\n");
    let offline = Confinement { is_offline: true, ..Confinement::default() };
    let said = text(run(&confined(&script, offline), "").await);
    assert!(said.contains("unreachable"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_started_says_why_confined_or_not() {
    for confinement in [Confinement::default(), limited(Limited::OpenFiles, 50)] {
        let of = |argv: &str| Program { confinement: confinement.clone(), ..Program::new("s", [argv]) };
        for (argv, says) in [("no-such-program-here", "it is not in PATH"), ("/etc/passwd", "chmod +x")] {
            let failure = run(&of(argv), "").await.failure();
            assert_eq!(failure.kind, FailureKind::CannotStart);
            assert!(failure.message.contains(says), "{}", failure.message);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_confined_inherit_no_more_than_others() {
    let program = Program {
        confinement: limited(Limited::OpenFiles, 50),
        ..Program::new("s", ["ls", "/proc/self/fd"])
    };
    // 3 is the directory that ls reads.
    assert_eq!(text(run(&program, "").await), "0\n1\n2\n3\n");
    let ran =
        run(&confined("ulimit -n; grep Sig[BI] /proc/self/status", limited(Limited::OpenFiles, 50)), "")
            .await;
    let said = text(ran);
    assert!(said.starts_with("50\n"), "{said}");
    let ran = run(&sh("grep Sig[BI] /proc/self/status"), "").await;
    assert_eq!(said.strip_prefix("50\n").unwrap(), text(ran));
}
