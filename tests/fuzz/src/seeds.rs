//! The first inputs of the targets, most of them from the frames in `PROTOCOL.md`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::input::ATTACHMENT;

/// The lines of PROTOCOL.md's boxes of one kind, `host` or `module`.
fn shown(side: &str) -> Vec<&'static str> {
    const PROTOCOL: &str = include_str!("../../../sdk/protocol/PROTOCOL.md");
    let boxes = PROTOCOL.split("\n```").filter_map(|text| text.strip_prefix(side)?.strip_prefix('\n'));
    boxes.flat_map(str::lines).collect()
}

/// A frame with one more key, and an attachment behind it.
fn attached(frame: &str, place: &str) -> Vec<u8> {
    let open = frame.strip_suffix('}').unwrap_or(frame);
    let mut input = format!("{open},\"attachment\":\"{place}\"}}").into_bytes();
    input.push(ATTACHMENT);
    input.extend(b"hello");
    input
}

/// A frame without its payload.
fn without_payload(frame: &str) -> String {
    let Some((before, rest)) = frame.split_once("\"payload\":\"") else { return frame.to_owned() };
    let after = rest.split_once('"').map_or("", |(_, after)| after);
    format!("{before}{}", after.trim_start_matches(','))
}

pub(crate) fn frames(side: &str) -> Vec<Vec<u8>> {
    let of_frame = |frame: &str| {
        [
            frame.as_bytes().to_vec(),
            attached(&without_payload(frame), "message.payload"),
            attached(frame, "data.result"),
        ]
    };
    shown(side).into_iter().flat_map(of_frame).collect()
}

pub(crate) fn base64_text() -> Vec<Vec<u8>> {
    let long = STANDARD.encode([0; 300]);
    let texts = ["", "aGVsbG8=", "aGVsbG8", "aGVsbG9=", "aGVs bG8=", "QQ==", "QR==", "QUI=", "A-_/", &long];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

pub(crate) fn decoder() -> Vec<Vec<u8>> {
    // Mode, limit, frames until it changes, the limit then, size of the pieces; then the stream.
    let frames = shown("host").join("\n");
    vec![
        [b"\x00\x90\x01\x90\x03", frames.as_bytes()].concat(),
        [b"\x80\x90\x00\x90\x03", frames.as_bytes()].concat(),
        b"\x82\xff\x07\x90\x90{\"a\":1}\xff\xfe\x30\xfe\x30\n{}\xffhi\n\n{}".to_vec(),
        b"\x01\x0a\x02\x06\x02one\n\n0123456789\n0123456789A\nthree\nand four".to_vec(),
        b"\x02\x0a\x02\x06\x02\x03\0\0\0one\x09\0\0\x80\x04\0\0\0fourx\x0b\0\0\x0012345678901\x05\0\0\x80\x09\0\0\0z"
            .to_vec(),
    ]
}

pub(crate) fn session() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for frame in ["host", "module"].into_iter().flat_map(shown) {
        // In lines, and with a length each.
        for setup in [0, 3] {
            seeds.push([&[setup], frame.as_bytes(), b"\n\xfe\x28"].concat());
        }
    }
    seeds.push([b"\0", shown("host").join("\n").as_bytes(), b"\n"].concat());
    let mut topics = Vec::new();
    for topic in ["echo", "record", "later", "ask"] {
        for id in [2, 3] {
            topics.extend(format!(
                "{{\"type\":\"handle\",\"id\":{id},\"message\":{{\"topic\":\"{topic}\",\"payload\":\"aGVsbG8=\",\"priority\":1,\
                 \"ttl_ms\":50}},\"context\":{{\"trace_id\":\"t\",\"source_module\":\"m\",\"timestamp\":1}}}}\n"
            ).bytes());
        }
    }
    topics.extend(
        b"{\"type\":\"service_response\",\"id\":1,\"success\":true,\"data\":{\"id\":1,\"result\":\"aGk=\",\"value\":null,\
          \"exists\":false,\"watch\":1}}\n\xfe\x01\
          {\"type\":\"event\",\"id\":5,\"message\":{\"topic\":\"told\",\"payload\":\"\",\"priority\":1},\
          \"context\":{\"trace_id\":\"t\",\"source_module\":\"m\",\"timestamp\":1}}\n\
          {\"type\":\"kv_change\",\"watch\":1,\"key\":\"a\",\"revision\":1,\"value\":\"aGk=\"}\n\
          {\"type\":\"cancel\",\"id\":3}\n\xfe\x30{\"type\":\"health_check\",\"id\":6}\n\
          {\"type\":\"shutdown\",\"id\":7,\"grace_ms\":100}\n",
    );
    for setup in [0x40, 0x43] {
        seeds.push([&[setup], &topics[..]].concat());
    }
    seeds
}

/// The manifests in `manifests/`, valid and invalid.
pub(crate) fn manifests() -> Vec<Vec<u8>> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests");
    let mut paths = Vec::new();
    for dir in std::fs::read_dir(root).expect("the workspace has manifests").flatten() {
        paths.extend(std::fs::read_dir(dir.path()).into_iter().flatten().flatten().map(|file| file.path()));
    }
    paths.sort();
    let paths = paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.map(|path| std::fs::read(path).expect("it is a file")).collect()
}

/// Texts with characters that control a terminal.
pub(crate) fn texts() -> Vec<Vec<u8>> {
    let texts = [
        "plain, \u{e4}\u{20ac}\u{1f642}",
        "a\u{1b}[8mb\u{1b}[31;1mc\u{1b}[38;5;9md\u{1b}[48;2;1;2;3me\u{1b}[0m",
        "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m",
        "one\ntwo\r\nthree\ttab\r\u{b}",
        "\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}\u{e0041}\u{200d}",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
