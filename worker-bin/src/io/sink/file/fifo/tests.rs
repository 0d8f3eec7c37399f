use super::*;
use crate::io::sink::Seen;

fn lines(text: &str) -> Batch {
    Batch::from_terminated(text.to_owned().into(), b'\n')
}

fn fifo() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    nix_fifo(&path);
    (dir, path)
}

fn nix_fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
}

fn reader(path: &Path) -> File {
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    OpenOptions::new().read(true).custom_flags(nonblock).open(path).unwrap()
}

/// Waits until so many bytes were there; a pipe that no writer has opened yet looks like one at its end.
fn take(reader: &mut File, bytes: usize) -> String {
    let (mut text, begun) = (vec![0; bytes], std::time::Instant::now());
    let mut read = 0;
    while read < bytes {
        assert!(begun.elapsed().as_secs() < 30, "{read} of {bytes} bytes");
        match reader.read(&mut text[read..]) {
            Ok(more) if more > 0 => read += more,
            Ok(_) | Err(_) => std::thread::sleep(std::time::Duration::from_millis(1)),
        }
    }
    String::from_utf8(text).unwrap()
}

/// Its reader leaves, and another pipe is put in its place.
fn replace(path: &Path, reader: File) {
    drop(reader);
    std::fs::remove_file(path).unwrap();
    nix_fifo(path);
}

fn nobody_reads(result: Result<(), SinkError>) {
    assert!(matches!(result, Err(SinkError::NoReader { .. })), "{result:?}");
}

#[test]
fn it_waits_for_the_first_reader_and_for_the_next() {
    let (_dir, path) = fifo();
    let mut sink = FifoSink::new(&path);
    let records = [lines("one\n"), lines("two\n")];
    nobody_reads(sink.write(&records));
    let mut first = reader(&path);
    sink.write(&records).unwrap();
    assert_eq!(take(&mut first, 4), "one\n");
    drop(first);
    nobody_reads(sink.write(&[lines("three\n")]));
    let mut second = reader(&path);
    sink.write(&[lines("three\n")]).unwrap();
    assert_eq!(take(&mut second, 10), "two\nthree\n", "what lay in the pipe waits as well");
}

#[test]
fn the_next_reader_begins_where_the_last_one_left_within_a_write() {
    let (_dir, path) = fifo();
    let mut sink = FifoSink::new(&path);
    let long = "0123456789".repeat(60_000) + "\n";
    let records = [lines("first\n"), lines(&long)];
    let mut first = reader(&path);
    let taking = std::thread::spawn(move || take(&mut first, 150_000));
    nobody_reads(sink.write(&records));
    let mut all = taking.join().unwrap();
    let mut second = reader(&path);
    let left = 6 + 600_001 - all.len();
    let reading = std::thread::spawn(move || take(&mut second, left));
    sink.write(&records).unwrap();
    all += &reading.join().unwrap();
    assert!(all == format!("first\n{long}"));
}

#[test]
fn it_does_not_close_over_what_nobody_has_read() {
    let (_dir, path) = fifo();
    let mut sink = FifoSink::new(&path);
    let first = reader(&path);
    sink.write(&[lines("kept\n")]).unwrap();
    drop(first);
    nobody_reads(sink.close());
    let mut second = reader(&path);
    sink.close().unwrap();
    assert_eq!(take(&mut second, 5), "kept\n");
}

#[test]
fn a_pipe_that_took_the_place_of_the_first_is_written_to() {
    let (_dir, path) = fifo();
    let mut sink = FifoSink::new(&path);
    let first = reader(&path);
    sink.write(&[lines("one\n")]).unwrap();
    drop(first);
    std::fs::remove_file(&path).unwrap();
    nobody_reads(sink.write(&[lines("two\n")]));
    nix_fifo(&path);
    let mut second = reader(&path);
    sink.write(&[lines("two\n")]).unwrap();
    assert_eq!(take(&mut second, 8), "one\ntwo\n", "with what nobody had taken of the first");
}

#[test]
fn what_was_taken_is_known_over_readers_and_pipes() {
    let (_dir, path) = fifo();
    let mut sink = FifoSink::new(&path).followed();
    let moved = Moved::default();
    sink.count_into(moved.clone());
    let of = sink.reader().unwrap();
    let seen = |taken, unread, has_reader| {
        let written = taken + unread;
        assert_eq!(of.look(&moved), Seen { written, taken, unread, has_reader });
    };
    seen(0, 0, false);
    let mut first = reader(&path);
    sink.write(&[lines("one\ntwo\n")]).unwrap();
    seen(0, 8, true);
    take(&mut first, 3);
    seen(3, 5, true);
    drop(first);
    seen(3, 5, false);
    std::fs::remove_file(&path).unwrap();
    nix_fifo(&path);
    nobody_reads(sink.write(&[lines("three\n")]));
    seen(3, 0, false);
    let mut second = reader(&path);
    sink.write(&[lines("three\n")]).unwrap();
    seen(3, 11, true);
    assert_eq!(take(&mut second, 11), "\ntwo\nthree\n");
    seen(14, 0, true);
    sink.close().unwrap();
    seen(14, 0, false);
}

#[test]
fn a_pipe_that_took_the_place_of_the_first_gets_what_is_left_without_another_write() {
    for closes in [false, true] {
        let (_dir, path) = fifo();
        let mut sink = FifoSink::new(&path);
        let first = reader(&path);
        sink.write(&[lines("one\n")]).unwrap();
        replace(&path, first);
        let tended = |sink: &mut FifoSink| if closes { sink.close() } else { sink.tend().map(drop) };
        nobody_reads(tended(&mut sink));
        nobody_reads(tended(&mut sink));
        let mut second = reader(&path);
        tended(&mut sink).unwrap();
        assert_eq!(take(&mut second, 4), "one\n");
    }
}

#[test]
fn a_reader_of_a_pipe_that_took_the_place_of_the_first_is_met_before_there_is_anything_for_him() {
    let (_dir, path) = fifo();
    let mut sink = FifoSink::new(&path);
    let mut first = reader(&path);
    sink.write(&[lines("one\n")]).unwrap();
    assert_eq!(take(&mut first, 4), "one\n");
    replace(&path, first);
    nobody_reads(sink.tend().map(drop));
    let _second = reader(&path);
    sink.tend().unwrap();
    assert!(OpenOptions::new().read(true).open(&path).is_ok(), "it would wait for a writer");
    sink.close().unwrap();
}

#[test]
fn what_is_being_taken_back_does_not_seem_to_be_read() {
    let (_dir, path) = fifo();
    let mut sink = FifoSink::new(&path).followed();
    let moved = Moved::default();
    sink.count_into(moved.clone());
    let first = reader(&path);
    sink.write(&[lines("one\n")]).unwrap();
    drop(first);
    let of = sink.reader().unwrap();
    let (looks, looked) = std::sync::mpsc::channel();
    let taken = of.taking_back(|| {
        let of = of.clone();
        std::thread::spawn(move || looks.send(of.look(&moved).taken));
        let early = looked.recv_timeout(std::time::Duration::from_millis(50));
        assert!(early.is_err(), "{early:?}");
        read_out(sink.pipe.as_ref().unwrap(), 4)
    });
    assert_eq!((taken, looked.recv()), (b"one\n".to_vec(), Ok(0)));
}
