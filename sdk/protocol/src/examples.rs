//! For the tests of each type of frame: checks that example frames are written byte for byte as they were read.

use crate::{DEFAULT_MAX_FRAME_BYTES, FrameDecoder, Framing, HostFrame, ModuleFrame, RawFrame};

/// Checks frames of a host, each a line without its end.
pub(crate) fn check_host(examples: &[&str]) {
    for example in examples {
        check(example, |raw, framing| {
            let mut written = Vec::new();
            HostFrame::read(raw).unwrap_or_else(|error| panic!("{error}: {example}")).write(framing, &mut written);
            written
        });
    }
}

/// Checks frames of a module, each a line without its end.
pub(crate) fn check_module(examples: &[&str]) {
    for example in examples {
        check(example, |raw, framing| {
            let mut written = Vec::new();
            ModuleFrame::read(raw).unwrap_or_else(|error| panic!("{error}: {example}")).write(framing, &mut written);
            written
        });
    }
}

/// Reads the example as a line, writes it with a length, reads that, and writes a line again. `again` reads and writes.
fn check(example: &str, again: impl Fn(RawFrame<'_>, Framing) -> Vec<u8>) {
    let lengths = again(example.as_bytes().into(), Framing::Length);
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
    decoder.set_framing(Framing::Length);
    decoder.input().extend_from_slice(&lengths);
    let line = again(decoder.next_frame().expect("a whole frame").expect("a frame"), Framing::Line);
    assert_eq!(String::from_utf8(line).unwrap(), format!("{example}\n"));
    assert!(decoder.next_frame().is_none(), "more than one frame: {example}");
}
