//! The decoder: it cuts a stream into the same frames in whatever pieces the stream comes, and its buffer stays within the limit.

use ixt_protocol::{FrameDecoder, Framing, FramingError};

use crate::input::with_length;

type Owned = Result<(Framing, Vec<u8>, Option<Vec<u8>>), FramingError>;

/// The settings of a run, from the first bytes of the input.
#[derive(Clone, Copy)]
struct Setup {
    framing: Option<Framing>,
    limit: usize,
    /// After this many frames, the limit becomes `later_limit`, and lengths are expected.
    change_after: usize,
    later_limit: usize,
}

/// The capacity in bytes that the decoder may keep beyond the limit: an upper bound of what its constants allow.
const ROOM: usize = 512 * 1024;

pub(crate) fn run(data: &[u8]) {
    let Some((&[mode, limit, change_after, later_limit, pieces], data)) = data.split_first_chunk() else { return };
    let size = |byte: u8| if byte < 128 { usize::from(byte) } else { usize::from(byte - 127) * 1024 };
    let framing = match mode % 3 {
        0 => None,
        1 => Some(Framing::Line),
        _ => Some(Framing::Length),
    };
    let change_after = usize::from(change_after % 8);
    let setup = Setup { framing, limit: size(limit), change_after, later_limit: size(later_limit) };
    let stream = stream(data, mode & 0x80 != 0);
    let whole = decode(setup, [&stream[..]].into_iter());
    // At least a byte each, and not many more than a thousand pieces.
    let pieces = size(pieces).max(stream.len() / 1024).max(1);
    assert_eq!(decode(setup, stream.chunks(pieces)), whole, "in pieces of {pieces}");
}

/// The stream that an input stands for. A byte 0xFE and a number stand for that many KiB, so that a small input has large frames. If
/// `framed`, each of its lines is a frame with a length.
fn stream(data: &[u8], framed: bool) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut bytes = data.iter();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.as_slice().first()) {
            (0xFE, Some(kilobytes)) => {
                bytes.next();
                stream.resize(stream.len() + usize::from(*kilobytes % 64) * 1024, b'a');
            }
            _ => stream.push(*byte),
        }
        if stream.len() > 128 * 1024 {
            break;
        }
    }
    if framed { stream.split(|byte| *byte == b'\n').flat_map(with_length).collect() } else { stream }
}

fn decode<'a>(setup: Setup, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Owned> {
    let mut decoder = FrameDecoder::new(setup.limit);
    if let Some(framing) = setup.framing {
        decoder.set_framing(framing);
    }
    let mut frames = Vec::new();
    let most = setup.limit.max(setup.later_limit);
    for mut piece in pieces {
        while !piece.is_empty() {
            let room = decoder.input();
            let (read, rest) = piece.split_at(piece.len().min(room.capacity() - room.len()));
            room.extend_from_slice(read);
            piece = rest;
            loop {
                if frames.len() == setup.change_after {
                    decoder.set_max_frame_bytes(setup.later_limit);
                    decoder.expect_length();
                }
                let Some(frame) = decoder.next_frame() else { break };
                frames.push(frame.map(|raw| (raw.framing, raw.json.to_vec(), raw.attachment.map(Into::into))));
            }
            // This may be called at any time, and loses nothing.
            decoder.shrink();
            let kept = decoder.input();
            assert!(kept.capacity() <= 3 * most + ROOM, "room for {} bytes is kept", kept.capacity());
        }
    }
    frames
}
