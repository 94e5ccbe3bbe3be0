//! Reads the frames that `PROTOCOL.md` shows. Writes them byte for byte, except those with attachments, which are smaller than this crate
//! writes.

use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, Frame, FrameDecoder, Framing, HostFrame, ModuleFrame};

const DOCUMENT: &str = include_str!("../PROTOCOL.md");

/// The lines of the document's boxes of one kind.
fn frames(kind: &str) -> Vec<&'static str> {
    let boxes = DOCUMENT.split("```").skip(1).step_by(2);
    let frames: Vec<_> =
        boxes.filter_map(|text| text.strip_prefix(kind)).flat_map(|text| text.trim().lines()).collect();
    assert!(!frames.is_empty(), "no box of kind {kind}");
    frames
}

#[test]
fn frames_of_the_host() {
    for line in frames("host\n") {
        let frame = HostFrame::read(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
        let mut written = Vec::new();
        frame.write(Framing::Line, &mut written);
        assert_eq!(String::from_utf8(written).unwrap(), format!("{line}\n"));
    }
}

#[test]
fn frames_of_the_module() {
    for line in frames("module\n") {
        let frame = ModuleFrame::read(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
        let mut written = Vec::new();
        frame.write(Framing::Line, &mut written);
        assert_eq!(String::from_utf8(written).unwrap(), format!("{line}\n"));
    }
}

/// The bytes of a vector: text, and hexadecimal in brackets.
fn bytes(vector: &str) -> Vec<u8> {
    let hex = |digits: &str| -> Option<Vec<u8>> {
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
    };
    let mut bytes = Vec::new();
    let mut rest = vector;
    while let Some((text, after)) = rest.split_once('[') {
        let (digits, after) = after.split_once(']').unwrap();
        bytes.extend_from_slice(text.as_bytes());
        bytes.extend(hex(digits).unwrap_or_else(|| panic!("{digits} is not hexadecimal")));
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[test]
fn frames_in_the_framing_length() {
    let read = |vector: &str| {
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
        decoder.set_framing(Framing::Length);
        decoder.input().extend(bytes(vector));
        let frame = decoder.next_frame().unwrap_or_else(|| panic!("its length is too large: {vector}")).unwrap();
        let frame = HostFrame::read(frame).unwrap_or_else(|error| panic!("{error}: {vector}"));
        let Frame { id, body } = &frame;
        let handle = match body {
            HostFrame::Handle(handle) => Some(handle.clone()),
            _ => None,
        };
        let mut written = Vec::new();
        frame.write(Framing::Length, &mut written);
        let read = (*id, handle.map(|handle| (handle.message.topic.to_string(), handle.message.payload.into_owned())));
        assert!(decoder.next_frame().is_none(), "its length is too small: {vector}");
        (read, written)
    };
    let [health_check, handle, attached] = frames("length\n").try_into().expect("three vectors");
    for vector in [health_check, handle] {
        assert_eq!(read(vector).1, bytes(vector));
    }
    // A payload of 5 bytes is not written as an attachment, but can be read as one.
    assert_eq!(read(attached).0, read(handle).0);
}

#[test]
fn frames_of_a_module_in_the_framing_length() {
    let attached: Vec<_> = frames("length-module\n")
        .into_iter()
        .map(|vector| {
            let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
            decoder.set_framing(Framing::Length);
            decoder.input().extend(bytes(vector));
            let frame = decoder.next_frame().unwrap_or_else(|| panic!("its length is too large: {vector}")).unwrap();
            let frame = ModuleFrame::read(frame).unwrap_or_else(|error| panic!("{error}: {vector}"));
            let object = frame.body.object().cloned().unwrap().into_owned();
            // An attachment of 5 bytes is written as base64.
            let mut line = Vec::new();
            frame.write(Framing::Line, &mut line);
            let again = ModuleFrame::read(&line[..line.len() - 1]).unwrap();
            assert_eq!(again.body.object().unwrap().to_json(), object.to_json());
            assert!(decoder.next_frame().is_none(), "its length is too small: {vector}");
            object
        })
        .collect();
    let [reply, call] = &attached[..] else { panic!("two vectors") };
    assert_eq!((reply.attached("result"), reply.json()), (Some(&b"hello"[..]), r#"{"n":1}"#));
    assert_eq!(call.to_json(), r#"{"payload":"aGVsbG8=","topic":"t","priority":1}"#);
}
