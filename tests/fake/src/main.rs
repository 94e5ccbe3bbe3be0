//! A module made of a socket and lines of text, for tests of the host. Each topic makes it do something that an SDK would not do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;

fn main() -> std::io::Result<()> {
    let socket = std::env::var("IXT_IPC_SOCKET").expect("started by a host");
    let mut stream = UnixStream::connect(socket)?;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        let id = between(&line, "\"id\":", ",").trim_end_matches('}');
        let success = format!("{{\"type\":\"success\",\"id\":{id},\"data\":{{}}}}\n");
        let answer = match (between(&line, "\"type\":\"", "\""), between(&line, "\"topic\":\"", "\"")) {
            ("cancel", _) => continue,
            ("shutdown", _) => {
                stream.write_all(success.as_bytes())?;
                return Ok(());
            }
            (_, "without-id") => "{\"type\":\"success\",\"data\":{\"id\":\"none\"}}\n".to_owned(),
            (_, "wrong") => "{\"type\":\"error\"}\n".to_owned(),
            (_, "too-long") => {
                format!("{{\"type\":\"success\",\"id\":{id},\"data\":\"{}\"}}\n", "x".repeat(17_000_000))
            }
            (_, "twice") => success.repeat(2),
            (_, "garbage") => "hello\n".to_owned(),
            (_, "strange") => {
                format!("{{\"type\":\"hello\"}}\n{{\"type\":\"success\",\"id\":99,\"data\":{{}}}}\n{success}")
            }
            (_, "close") => return Ok(()),
            (_, "orphan") => {
                // Outlives this process, but not its group.
                let child = Command::new("sleep").arg("3600").spawn()?;
                success.replace("{}", &format!("{{\"pid\":{}}}", child.id()))
            }
            _ => success,
        };
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// The text between two others; empty if one of them is missing.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).map_or("", |(_, rest)| rest);
    rest.split_once(end).map_or(rest, |(found, _)| found)
}
