//! Completion of the names of workers that run.

use std::process::Command;
use std::time::Duration;
use worker_tests::process::{Running, Scratch, eventually, worker_binary};

const PATIENCE: Duration = Duration::from_secs(60);

const ENDLESS: &str = "[source.gen]\nrun = [\"sh\", \"-c\", \"while :; do seq 1 100; sleep 0.1; done\"]\n[stage.errors]\n\
                       run = [\"cat\"]\n[sink.o]\nfile = \"o.txt\"\nexists = \"replace\"\n";

/// What a shell offers, which is asked with the script of its own.
fn offered(scratch: &Scratch, shell: &str, ask: &str) -> Vec<String> {
    let binary = worker_binary();
    let own = binary.parent().expect("the binary is in a directory");
    let path = format!("{}:{}", own.display(), std::env::var("PATH").expect("a PATH"));
    let done = Command::new(shell)
        .args(["-c", ask])
        .current_dir(scratch.path("."))
        .env("PATH", path)
        .env("HOME", scratch.path("."))
        .env("WORKER_RUNTIME_DIR", scratch.path("runtime"))
        .output()
        .unwrap_or_else(|error| panic!("{shell}: {error}"));
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text").lines().map(|line| line.trim().to_owned()).collect()
}

fn in_bash(scratch: &Scratch, line: &str) -> Vec<String> {
    let ask = format!(
        "source <(worker completions bash); COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_TYPE=9; \
         _clap_complete_worker worker \"${{COMP_WORDS[-1]}}\" x; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    offered(scratch, "bash", &ask)
}

fn started<'a>(scratch: &'a Scratch, name: &str) -> Running<'a> {
    let file = format!("{name}.toml");
    scratch.write(
        &file,
        ENDLESS.replace("errors", &format!("errors_of_{name}")).replace("o.txt", &format!("{name}.txt")),
    );
    let running = scratch.worker(&["run", &file, "--progress", "none", "--admin", "127.0.0.1:0"]).start();
    let out = format!("{name}.txt");
    eventually("data flows", PATIENCE, || match scratch.len(&out) > 0 {
        true => Ok(()),
        false => Err(running.stderr()),
    });
    running
}

/// A worker is waited for only a moment by who presses a key: on a busy machine the next key finds it.
fn comes_to(what: &str, ask: impl Fn() -> Vec<String>, expected: &str) {
    eventually(what, PATIENCE, || {
        let offered = ask();
        if offered == [expected] { Ok(()) } else { Err(format!("{offered:?}")) }
    });
}

#[test]
fn stages_and_pipelines_that_run_are_offered_in_bash_fish_and_zsh() {
    let scratch = Scratch::new();
    assert_eq!(in_bash(&scratch, "worker tap e"), [""], "nothing runs yet");
    let (one, two) = (started(&scratch, "one"), started(&scratch, "two"));
    for order in ["tap", "pause", "resume"] {
        comes_to(order, || in_bash(&scratch, &format!("worker {order} errors_of_o")), "errors_of_one");
    }
    comes_to("a pipeline's", || in_bash(&scratch, "worker tap --pipeline two er"), "errors_of_two");
    assert_eq!(in_bash(&scratch, "worker why --pipeline t"), ["two"]);
    let fish = "worker completions fish | source; complete --do-complete 'worker tap errors_of_t'";
    comes_to("fish", || offered(&scratch, "fish", fish), "errors_of_two\tof two");
    // The two functions that zsh has where people type.
    let zsh = "compdef() { :; }; _describe() { print -l -- \"${(@P)3}\" }; source <(worker completions zsh); \
               words=(worker tap errors_of_t); CURRENT=3; _clap_dynamic_completer_worker";
    comes_to("zsh", || offered(&scratch, "zsh", zsh), "errors_of_two:of two");
    // One that is stopped is waited for a moment only.
    one.signal(rustix::process::Signal::STOP);
    comes_to("one of two", || in_bash(&scratch, "worker tap errors_of_"), "errors_of_two");
    one.signal(rustix::process::Signal::CONT);
    one.kill();
    two.kill();
}
