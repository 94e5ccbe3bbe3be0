//! Helpers for tests with the module `tests/fixture`. They make frames from PROTOCOL.md alone, without the crates of this project.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::{RawHost, build, target_dir, workspace};

/// The path of a directory with the fixture's manifest, which names the program that is built already: `ixt` has nothing to build there.
/// All tests share the directory; the module passes on `IXT_TEST_MARK` to its process.
///
/// # Panics
///
/// If it can't be written.
#[must_use]
pub fn built_fixture() -> PathBuf {
    let dir = target_dir().join("tmp/fixture");
    fs::create_dir_all(&dir).unwrap();
    let read = |name: &str| fs::read_to_string(workspace().join("tests/fixture").join(name)).unwrap();
    let process =
        format!("\n[artifacts.process]\npath = '{}'\n[env]\npass = [\"IXT_TEST_MARK\"]\n", build("fixture").display());
    for (name, text) in [("manifest.toml", read("manifest.toml") + &process), ("stock.toml", read("stock.toml"))] {
        // At once: another test may be reading it.
        let whole = tempfile::NamedTempFile::new_in(&dir).unwrap();
        fs::write(&whole, text).unwrap();
        whole.persist(dir.join(name)).unwrap();
    }
    dir
}

/// Starts the fixture with a raw host, and initializes it.
///
/// # Panics
///
/// If it does not start.
#[must_use]
pub fn fixture() -> RawHost {
    let mut host = RawHost::start(&build("fixture"));
    host.init(r#"{"token":"t0ken"}"#);
    host
}

/// A line, such as a frame, as JSON.
///
/// # Panics
///
/// If it is not.
#[must_use]
pub fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The number of requests that have entered a handler of the fixture, which its health check reports. Sends a health check with the id 900,
/// and takes the next frame as its reply.
///
/// # Panics
///
/// If it is not healthy.
pub fn entered(host: &mut RawHost) -> u64 {
    let reply = parse(&host.ask(r#"{"type":"health_check","id":900}"#));
    assert_eq!(reply["data"]["healthy"], true, "{reply}");
    reply["data"]["entered"].as_u64().unwrap()
}

/// Sends a `handle` with this id, topic and payload text, in base64 as the host would.
pub fn send(host: &mut RawHost, id: u64, topic: &str, payload: &str) {
    let payload = base64(payload.as_bytes());
    host.send(&format!(r#"{{"type":"handle","id":{id},"message":{{"topic":"{topic}","payload":"{payload}"}}}}"#));
}

/// Does what [`send`] does, and returns the next frame, which is the reply if nothing else is under way.
pub fn handle(host: &mut RawHost, id: u64, topic: &str, payload: &str) -> Value {
    send(host, id, topic, payload);
    parse(&host.receive())
}

/// Base64 by RFC 4648, without the crate that the SDK uses: a mistake in it would be on both sides.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0, |group, byte| group << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            text.push(if i <= chunk.len() { ALPHABET[group >> (18 - 6 * i) & 63].into() } else { '=' });
        }
    }
    text
}
