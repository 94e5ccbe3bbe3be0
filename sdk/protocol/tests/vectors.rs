//! The frames that `PROTOCOL.md` shows are read and written byte for byte.

use ixt_protocol::{HostFrame, ModuleFrame};

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
        frame.write(&mut written);
        assert_eq!(String::from_utf8(written).unwrap(), format!("{line}\n"));
    }
}

#[test]
fn frames_of_the_module() {
    for line in frames("module\n") {
        let frame = ModuleFrame::read(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
        let mut written = Vec::new();
        frame.write(&mut written);
        assert_eq!(String::from_utf8(written).unwrap(), format!("{line}\n"));
    }
}
