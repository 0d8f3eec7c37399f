//! Ports of sources and sinks, and their threads.

use super::*;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use worker_bin::io::sink::{Moved, SinkError, SinkWriter};
use worker_bin::io::source::{Progress, SourceError, SourceReader, Stop};
use worker_bin::runtime::parts::{Input, SinkPort, SourcePort};
use worker_core::event::{SinkAction, SinkEvent, SourceAction, SourceEvent, WorkId};

/// Says when it is asked for a chunk, and gives it when it may.
#[derive(Debug)]
struct Gated {
    asked: Sender<()>,
    gate: Receiver<Batch>,
}

impl SourceReader for Gated {
    fn next_chunk(&mut self) -> Result<Option<Batch>, SourceError> {
        self.asked.send(()).unwrap();
        Ok(self.gate.recv().ok())
    }

    fn progress(&self) -> Progress {
        Progress::default()
    }

    fn header(&self) -> Option<Bytes> {
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_in_flight_at_the_stop_counts_and_no_other_is_read() {
    let heard = Arc::new(Heard::default());
    let ((asked, is_asked), (give, gate)) = (channel(), channel());
    let reader = Box::new(Gated { asked, gate });
    let input = Input::reader(reader, Stop::new().unwrap(), Arc::new(AtomicU64::new(0)));
    let (port, thread) = SourcePort::new(heard.context(), input, collector(), None);
    thread.start().unwrap();
    port.act(SourceAction::Read { chunks: 3 });
    is_asked.recv_timeout(DEADLINE).unwrap();
    port.act(SourceAction::Stop);
    give.send(lines("a\nb\n")).unwrap();
    let events = heard.until(|events| events.len() == 2);
    let [
        TaskEvent::Source(SourceEvent::Read { output }),
        TaskEvent::Source(SourceEvent::Ended { complete: false }),
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(text(output), "a\nb\n");
    assert!(is_asked.try_recv().is_err(), "the other permits are void");
}

/// The first write succeeds, the second fails like this.
#[derive(Debug)]
struct Failing {
    error: Option<SinkError>,
    writes: Arc<AtomicU32>,
}

impl SinkWriter for Failing {
    fn write(&mut self, _batches: &[Batch]) -> Result<(), SinkError> {
        match self.writes.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(()),
            _ => self.error.take().map_or(Ok(()), Err),
        }
    }

    fn close(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn count_into(&mut self, _moved: Moved) {}
}

/// What is told of three writes and a close, and how many of them were tried.
async fn written(error: Option<SinkError>) -> (Vec<TaskEvent>, u32) {
    let (heard, writes) = (Arc::new(Heard::default()), Arc::new(AtomicU32::new(0)));
    let writer = Box::new(Failing { error, writes: Arc::clone(&writes) });
    let (port, thread) = SinkPort::new(heard.context(), writer, None);
    thread.start().unwrap();
    for work in 1..=3 {
        port.act(SinkAction::Write { work: WorkId(work), batches: vec![lines("x\n")] });
    }
    port.act(SinkAction::Close);
    tokio::time::timeout(DEADLINE, port.gone()).await.expect("its thread ends");
    let events = heard.events.lock().unwrap().clone();
    (events, writes.load(Ordering::Relaxed))
}

fn works(events: &[TaskEvent]) -> Vec<u64> {
    let work = |event: &TaskEvent| {
        let TaskEvent::Sink(SinkEvent::Written { work, .. }) = event else { return None };
        Some(work.0)
    };
    events.iter().filter_map(work).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_says_each_write_and_then_that_it_is_closed() {
    let (events, tried) = written(None).await;
    assert_eq!((works(&events), tried), (vec![1, 2, 3], 3));
    assert!(matches!(events[3..], [TaskEvent::Sink(SinkEvent::Closed)]), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_says_so_and_tries_nothing_more() {
    let error = SinkError::Write { name: "out".into(), written: 2, source: std::io::Error::other("broken") };
    let (events, tried) = written(Some(error)).await;
    assert_eq!((works(&events), tried), (vec![1], 2));
    let [_, TaskEvent::Failed { why }] = &events[..] else { panic!("{events:?}") };
    assert!(why.contains("cannot write to out after 2 bytes: broken"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_no_failure() {
    let error = SinkError::ReaderGone { name: "standard output".into(), written: 2 };
    let (events, tried) = written(Some(error)).await;
    assert_eq!((works(&events), tried), (vec![1], 2));
    assert!(matches!(events[1..], [TaskEvent::Sink(SinkEvent::ReaderGone)]), "{events:?}");
}
