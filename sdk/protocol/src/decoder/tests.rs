use super::*;
use crate::{DEFAULT_MAX_FRAME_BYTES, MAX_LENGTH_FRAME_BYTES};

type Owned = Result<(Vec<u8>, Option<Vec<u8>>), FramingError>;

/// A frame without an attachment.
fn json(text: &str) -> Owned {
    Ok(text).map(|text| (text.into(), None))
}

/// The frames of a stream that arrives in chunks of `size` bytes, with `max` as the limit.
fn decode(stream: &[u8], size: usize, max: usize, expected: Expected) -> Vec<Owned> {
    let mut decoder = FrameDecoder { expected, ..FrameDecoder::new(max) };
    let mut frames = Vec::new();
    for chunk in stream.chunks(size) {
        decoder.input().extend_from_slice(chunk);
        while let Some(frame) = decoder.next_frame() {
            frames.push(frame.map(|frame| (frame.json.to_vec(), frame.attachment.map(Cow::into_owned))));
        }
        let held = decoder.buffer.len() - decoder.start;
        assert!(held <= max + size + 4, "holds {held} bytes");
        assert!(decoder.buffer.capacity() <= 3 * (max + size + READ_BYTES), "{}", decoder.buffer.capacity());
    }
    frames
}

fn too_long(bytes: usize) -> Owned {
    Err(FramingError::TooLong { bytes, max_frame_bytes: 10 })
}

#[test]
fn the_size_of_the_chunks_makes_no_difference_to_lines() {
    let stream = b"one\n\nthree\n0123456789\n0123456789A\nnext\n01234567890123456789\nlast\nrest";
    let expected = [
        json("one"),
        json(""),
        json("three"),
        json("0123456789"),
        too_long(11),
        json("next"),
        too_long(20),
        json("last"),
    ];
    for size in 1..=stream.len() {
        assert_eq!(decode(stream, size, 10, Expected::Unknown), expected, "in chunks of {size}");
    }
}

#[test]
fn the_size_of_the_chunks_makes_no_difference_to_lengths() {
    let mut stream = Vec::new();
    for text in ["one", "", "0123456789", "0123456789A", "next", "01234567890123456789"] {
        stream.extend_from_slice(&u32::try_from(text.len()).unwrap().to_le_bytes());
        stream.extend_from_slice(text.as_bytes());
    }
    // A frame with an attachment, one with an empty one, and two whose lengths contradict each other.
    for frame in [&b"\x02\0\0\0{}\n\0"[..], b"\x02\0\0\0{}", b"\x02\0\0\0{", b"\x02"] {
        stream.extend_from_slice(&(u32::try_from(frame.len()).unwrap() | ATTACHED).to_le_bytes());
        stream.extend_from_slice(frame);
    }
    stream.extend_from_slice(b"\x04\0\0\0last\x09\0\0\0rest");
    let expected = [
        json("one"),
        json(""),
        json("0123456789"),
        too_long(11),
        json("next"),
        too_long(20),
        Ok((b"{}".to_vec(), Some(b"\n\0".to_vec()))),
        Ok((b"{}".to_vec(), Some(Vec::new()))),
        Err(FramingError::Attachment { bytes: 5, json_bytes: 2 }),
        Err(FramingError::Attachment { bytes: 1, json_bytes: 0 }),
        json("last"),
    ];
    for size in 1..=stream.len() {
        assert_eq!(decode(&stream, size, 10, Expected::Unknown), expected, "in chunks of {size}");
    }
}

#[test]
fn lines_come_until_the_first_length() {
    let stream = b"{\"a\":1}\n\n0123456789A\n{}\r\n\x02\0\0\0{}\x06\0\0\x80\x02\0\0\0{}\x02\0\0\0{}";
    let expected = [
        json("{\"a\":1}"),
        json(""),
        too_long(11),
        json("{}\r"),
        json("{}"),
        Ok((b"{}".to_vec(), Some(Vec::new()))),
        json("{}"),
    ];
    for size in 1..=stream.len() {
        assert_eq!(decode(stream, size, 10, Expected::LineUntilLength), expected, "in chunks of {size}");
    }
    // The first length may have an attachment.
    let stream = b"{\"a\":1}\n\x06\0\0\x80\x02\0\0\0{}";
    let expected = [json("{\"a\":1}"), Ok((b"{}".to_vec(), Some(Vec::new())))];
    assert_eq!(decode(stream, 1, 10, Expected::LineUntilLength), expected);
}

#[test]
fn what_is_written_is_read() {
    for (framing, attachment) in
        [(Framing::Line, None), (Framing::Length, None), (Framing::Length, Some(&b"\x00\nraw"[..]))]
    {
        let mut stream = Vec::new();
        let text = |output: &mut Vec<u8>| output.extend_from_slice(b"\"text\"");
        let bytes = framing.write(text, attachment, &mut stream);
        let again = framing.write(text, attachment, &mut stream);
        assert_eq!(bytes, again);
        let known = Expected::Known(framing);
        let frame = Ok((b"\"text\"".to_vec(), attachment.map(<[u8]>::to_vec)));
        assert_eq!(decode(&stream, 1, bytes, known), [frame.clone(), frame], "{framing:?}");
        let too_long = FramingError::TooLong { bytes, max_frame_bytes: bytes - 1 };
        assert_eq!(decode(&stream, 1, bytes - 1, known)[0], Err(too_long), "the limit counts what is written");
    }
}

#[test]
fn a_decoder_knows_the_framing_from_the_first_frame_on() {
    let mut decoder = FrameDecoder::new(10);
    assert_eq!((decoder.framing(), decoder.next_frame()), (None, None));
    decoder.input().extend_from_slice(b"{\"a\":1}\n");
    assert!(decoder.next_frame().is_some());
    assert_eq!(decoder.framing(), Some(Framing::Line));
    decoder.expect_length();
    assert_eq!(decoder.framing(), Some(Framing::Line), "until a length comes");
    decoder.input().extend_from_slice(b"{ }\n\x02\0\0\0{}");
    assert_eq!(decoder.next_frame(), Some(Ok((&b"{ }"[..]).into())));
    assert!(decoder.next_frame().is_some_and(|frame| frame.unwrap().framing == Framing::Length));
    assert_eq!(decoder.framing(), Some(Framing::Length));
    decoder.expect_length();
    // Frames with lengths alone come now: the bytes of this length would be a line.
    decoder.set_max_frame_bytes(2 * MAX_LENGTH_FRAME_BYTES);
    decoder.input().extend_from_slice(b"{{{\x0a{{\n");
    assert_eq!(decoder.next_frame(), None);
    assert_eq!(decoder.framing(), Some(Framing::Length));
}

#[test]
fn a_limit_holds_from_the_next_frame_on() {
    let mut decoder = FrameDecoder::new(10);
    decoder.input().extend_from_slice(b"0123456789A\n0123456789A\n");
    let error = decoder.next_frame().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "a frame of 11 bytes is over the limit of 10 bytes");
    decoder.set_max_frame_bytes(11);
    assert!(decoder.next_frame().unwrap().is_ok());
    let error = FramingError::Attachment { bytes: 5, json_bytes: 7 };
    assert_eq!(error.to_string(), "a frame of 5 bytes says that 7 of them are its JSON");
}

/// A large unfinished frame is moved only when there is no room behind it, and then its buffer does not grow.
#[test]
fn what_has_come_of_a_large_frame_stays_where_it_is_as_long_as_there_is_room() {
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
    decoder.input().reserve_exact(4 * READ_BYTES);
    let first = vec![b'x'; 2 * READ_BYTES];
    decoder.input().extend(first.iter().chain(b"\n").chain(&[b'x'; MOVED_BYTES + 1]));
    assert!(decoder.next_frame().is_some());
    let capacity = decoder.input().capacity();
    let mut unfinished = MOVED_BYTES + 1;
    assert_eq!(decoder.input().len(), first.len() + 1 + unfinished, "not moved");
    while decoder.input().len() > unfinished {
        decoder.input().extend_from_slice(&[b'x'; 1000]);
        unfinished += 1000;
        assert!(unfinished < capacity, "never moved");
    }
    assert_eq!(decoder.input().capacity(), capacity, "moved, and not copied into a larger one");
    assert!(first.len() + 1 + unfinished > capacity - READ_BYTES, "moved only when there was no more room");
    // A small unfinished frame is moved each time.
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
    decoder.input().extend_from_slice(b"{}\n");
    decoder.input().extend_from_slice(&[b'x'; MOVED_BYTES]);
    assert!(decoder.next_frame().is_some());
    assert_eq!(decoder.input().len(), MOVED_BYTES);
}

#[test]
fn a_large_attachment_is_read_straight_into_where_it_stays() {
    let frame = |attachment: &[u8], stream: &mut Vec<u8>| {
        Framing::Length.write(|output| output.extend_from_slice(b"{}"), Some(attachment), stream);
    };
    let (large, small) = (vec![7; 3 * LARGE_BYTES], vec![8; 300]);
    let mut stream = Vec::new();
    frame(&large, &mut stream);
    frame(&small, &mut stream);
    frame(&large, &mut stream);
    let expected = [&large, &small, &large].map(|bytes| Ok((b"{}".to_vec(), Some(bytes.clone()))));
    for size in [1, 9, 10, 11, 1000, LARGE_BYTES, stream.len()] {
        assert_eq!(
            decode(&stream, size, 4 * LARGE_BYTES, Expected::Known(Framing::Length)),
            expected,
            "in chunks of {size}"
        );
    }
    // In pieces as from a socket.
    let mut decoder = FrameDecoder::new(4 * LARGE_BYTES);
    decoder.set_framing(Framing::Length);
    decoder.input().extend_from_slice(&stream[..100]);
    assert!(decoder.next_frame().is_none());
    let input = decoder.input();
    assert_eq!(input.capacity(), large.len());
    let at = input.as_ptr();
    input.extend_from_slice(&stream[100..8 + 2 + large.len()]);
    let Some(Ok(RawFrame { attachment: Some(Cow::Owned(attachment)), .. })) = decoder.next_frame() else {
        panic!("not owned")
    };
    assert_eq!((attachment.as_ptr(), attachment), (at, large));
}

#[test]
fn what_a_large_frame_has_needed_is_given_back_in_time() {
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
    let mut line = |bytes: usize| {
        let input = decoder.input();
        let kept = input.capacity();
        input.extend(std::iter::repeat_n(b'x', bytes).chain([b'\n']));
        assert!(decoder.next_frame().is_some());
        kept
    };
    line(1 << 20);
    assert!((0..KEPT_TIMES).all(|_| line(10) > 1 << 20), "it may be needed again");
    line(1 << 20);
    assert!((0..=KEPT_TIMES + 1).map(|_| line(10)).last() < Some(KEPT_BYTES));
    line(8 << 20);
    assert!(line(10) < KEPT_BYTES, "8 MiB are not kept at all");
}

#[test]
fn what_a_large_frame_has_needed_can_be_given_back_at_once_but_nothing_unfinished() {
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
    decoder.input().extend(std::iter::repeat_n(b'x', 1 << 20).chain([b'\n']));
    assert!(decoder.next_frame().is_some());
    decoder.input().push(b'x');
    assert!(!decoder.is_oversized());
    decoder.shrink();
    decoder.input().push(b'\n');
    assert_eq!(decoder.next_frame(), Some(Ok((&b"x"[..]).into())));
    assert!(decoder.is_oversized());
    decoder.shrink();
    assert!(!decoder.is_oversized() && decoder.input().capacity() < KEPT_BYTES);

    // While a large attachment is read, the buffer holds only the frame's JSON, here none.
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
    decoder.set_framing(Framing::Length);
    let attachment = vec![7; 2 * LARGE_BYTES];
    let mut stream = Vec::new();
    Framing::Length.write(|output| output.extend_from_slice(&vec![b' '; 1 << 20]), None, &mut stream);
    Framing::Length.write(|_| {}, Some(&attachment), &mut stream);
    let (first, rest) = stream.split_at((1 << 20) + 4 + 8);
    decoder.input().extend_from_slice(first);
    assert!(decoder.next_frame().is_some() && decoder.next_frame().is_none());
    decoder.shrink();
    decoder.input().extend_from_slice(rest);
    let frame = RawFrame { framing: Framing::Length, json: b"", attachment: Some(attachment.into()) };
    assert_eq!(decoder.next_frame(), Some(Ok(frame)));
}
