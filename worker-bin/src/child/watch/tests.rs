use super::*;
use crate::child::Oversight;
use crate::child::pipes::{Gauges, pipe_pair};
use crate::child::program::{Program, TaskEnv};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;
use worker_core::event::FailureKind;

/// A watcher of a program of this kind that is as `gauges` say, polled once where a timer would be a panic.
fn without_timers(gauges: &Gauges, contract: Contract, poll: impl FnOnce(Watcher<'_>)) {
    let (program, env, kill) = (Program::new("s", ["true"]), TaskEnv::default(), Notify::new());
    let (unread, _writing) = pipe_pair().unwrap();
    let service = Service {
        program: &program,
        env: &env,
        gauges,
        stream: contract != Contract::Batch,
        gathers: contract == Contract::Records,
        refusal: FailureKind::Worker,
        kill: &kill,
        stop: Oversight::none().stop,
        on_idle: &|_| {},
        takes_print: &|| true,
    };
    let watched = Watched { group: rustix::process::getpid(), gauges, unread: &unread };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _in_runtime = runtime.enter();
    let watcher = Watcher::new(watched, &service);
    assert_eq!(watcher.contract, contract);
    poll(watcher);
}

fn waits(future: impl Future) {
    let polled = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending));
}

#[test]
fn a_child_with_nothing_to_do_runs_no_timer() {
    without_timers(&Gauges::default(), Contract::Records, |watcher| waits(watcher.watch()));
}

#[test]
fn one_that_buffers_and_was_told_of_runs_no_timer() {
    let gauges = Gauges::default();
    gauges.fed.store(7, Relaxed);
    without_timers(&gauges, Contract::Stream, |mut watcher| {
        (watcher.told, watcher.hinted) = (true, true);
        let seen = Seen::new(watcher.look());
        let mut look = pin!(watcher.until_next_look(&seen));
        waits(look.as_mut());
        // Something is printed: that is looked at, at once.
        gauges.has_printed(1);
        let polled = look.poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(Duration::ZERO));
    });
}

#[test]
fn what_a_resting_child_owes_decides_what_is_said_of_it() {
    let said = |contract, fed: u64, printed_at: u64, owed: u64, closed: bool| {
        let gauges = Gauges::default();
        gauges.fed.store(fed, Relaxed);
        gauges.printed.store(printed_at, Relaxed);
        gauges.fed_at_print.store(printed_at, Relaxed);
        gauges.owed.store(owed, Relaxed);
        gauges.closed.store(closed, Relaxed);
        let mut said = None;
        without_timers(&gauges, contract, |w| said = w.idle(w.look(), Duration::ZERO));
        said
    };
    let idle_for = Duration::ZERO;
    let hangs = |closed| Some(Idle::Hung { idle_for, unread_bytes: 0, closed });
    let buffers = |fed_bytes| Some(Idle::Buffering { idle_for, fed_bytes });
    assert_eq!(said(Contract::Stream, 0, 0, 0, false), None, "it waits for input");
    assert_eq!(said(Contract::Stream, 9, 9, 0, false), None, "it has answered all");
    assert_eq!(said(Contract::Stream, 9, 4, 0, false), buffers(5));
    assert_eq!(said(Contract::Stream, 9, 9, 0, true), hangs(true), "its end is waited for");
    assert_eq!(said(Contract::Batch, 9, 0, 0, false), None, "all is read, and there is more to come");
    assert_eq!(said(Contract::Batch, 0, 0, 0, true), hangs(true));
    assert_eq!(said(Contract::Records, 9, 0, 0, false), None, "it was only greeted");
    assert_eq!(said(Contract::Records, 9, 0, 1, false), buffers(9), "it never answered anything");
    assert_eq!(said(Contract::Records, 9, 4, 1, false), hangs(false), "it does answer, but not this");
}

#[test]
fn to_be_told_that_no_more_comes_is_no_movement_of_one_that_has_not_read_what_came() {
    let look = |unread, closed| Look { moved: 7, unread, owed: 0, closed };
    assert_eq!(look(3, false), look(4, true), "it hangs on");
    assert_ne!(look(0, false), look(0, true), "it has something to do now, and had nothing before");
}
