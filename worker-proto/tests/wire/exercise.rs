use bytes::{Buf, BufMut, BytesMut};
use tokio_util::codec::Decoder;
use worker_proto::{Frame, FrameCodec, RecvBuffer, SendBuffer};

/// Decodes `data` in both ways, in pieces of any size; the first byte chooses size and limit.
///
/// Whatever the bytes are: nothing panics, both ways find the same frames and agree on the error, which has nothing of theirs that a
/// terminal obeys, and every frame found survives being encoded and decoded again.
pub(crate) fn exercise(data: &[u8]) -> usize {
    let Some((&mode, bytes)) = data.split_first() else { return 0 };
    let (known, piece) = (mode & 1 == 1, usize::from(mode >> 1) + 1);

    let mut input = RecvBuffer::new();
    let mut codec = FrameCodec::new();
    if known {
        input.handshake_done();
        codec.handshake_done();
    }
    let (frames, error) = receive(&mut input, bytes, piece);
    let mut buffer = BytesMut::from(bytes);
    for frame in &frames {
        assert_eq!(codec.decode(&mut buffer).expect("a frame").as_ref(), Some(frame));
        again(frame);
    }
    match (codec.decode(&mut buffer), error) {
        (Ok(None), None) => {}
        (Err(one), Some(other)) => {
            assert_eq!(one.to_string(), other);
            assert!(!other.contains(char::is_control), "{other:?}");
        }
        (one, other) => panic!("the codec says {one:?}, the buffer {other:?}"),
    }
    frames.len()
}

fn receive(input: &mut RecvBuffer, mut bytes: &[u8], piece: usize) -> (Vec<Frame>, Option<String>) {
    let mut frames = Vec::new();
    loop {
        loop {
            match input.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
        if bytes.is_empty() {
            return (frames, None);
        }
        let mut space = input.space();
        let count = piece.min(bytes.len()).min(space.remaining_mut());
        space.put_slice(&bytes[..count]);
        bytes.advance(count);
    }
}

fn again(frame: &Frame) {
    let mut out = SendBuffer::new();
    out.push(frame).expect("what was decoded can be encoded");
    let bytes = out.copy_to_bytes(out.remaining());
    let mut input = RecvBuffer::new();
    input.handshake_done();
    assert_eq!(receive(&mut input, &bytes, bytes.len()), (vec![frame.clone()], None));
}
