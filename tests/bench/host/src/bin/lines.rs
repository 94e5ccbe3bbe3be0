//! A module of blocking calls of std that speaks lines, and looks at no more of them than it must: what is measured with it is
//! the host.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use ixt_bench_wire::drive::{Drive, Driven, Payload};
use ixt_protocol::{decode_base64, encode_base64};

struct Module {
    lines: BufReader<UnixStream>,
    line: String,
}

fn main() -> Result<()> {
    let stream = UnixStream::connect(std::env::var_os("IXT_IPC_SOCKET").context("a path")?)?;
    let mut module = Module { lines: BufReader::with_capacity(256 * 1024, stream), line: String::new() };
    while module.read()? {
        let id = module.id()?;
        let is_last = module.line.starts_with("{\"type\":\"shutdown\"");
        let data = if module.line.starts_with("{\"type\":\"handle\"") {
            let payload = between(&module.line, "\"payload\":\"", "\"")?;
            if module.line.contains("\"topic\":\"drive") {
                let drive = serde_json::from_slice(&decode_base64(payload)?)?;
                serde_json::to_string(&module.drive(id, &drive)?)?
            } else {
                format!("{{\"result\":\"{payload}\"}}")
            }
        } else {
            "{\"healthy\":true}".to_owned()
        };
        module.reply(id, &data)?;
        if is_last {
            break;
        }
    }
    Ok(())
}

impl Module {
    /// Reads the next line, if there is one.
    fn read(&mut self) -> Result<bool> {
        self.line.clear();
        Ok(self.lines.read_line(&mut self.line)? > 0)
    }

    fn write(&mut self, frame: &str) -> Result<()> {
        Ok(self.lines.get_ref().write_all(frame.as_bytes())?)
    }

    fn reply(&mut self, id: u64, data: &str) -> Result<()> {
        self.write(&format!("{{\"type\":\"success\",\"id\":{id},\"data\":{data}}}\n"))
    }

    fn id(&self) -> Result<u64> {
        let rest = self.line.split_once("\"id\":").context("a number")?.1;
        Ok(rest[..rest.find(|c: char| !c.is_ascii_digit()).context("an end")?].parse()?)
    }

    /// Calls as it is told to, for the request with this id.
    fn drive(&mut self, parent: u64, drive: &Drive) -> Result<Driven> {
        let Payload::Bytes(bytes) = drive.payload else { bail!("it knows nothing of records") };
        let payload = encode_base64(&vec![b'x'; bytes]);
        let rest = format!(
            ",\"service\":\"message_bus\",\"method\":\"send\",\"params\":{{\"payload\":\"{payload}\",\"topic\":\"{}\",\
             \"priority\":1}},\"context\":{{\"trace_id\":\"0123456789abcdef0123456789abcdef\",\"parent\":{parent}}}}}\n",
            drive.topic
        );
        let begin = Instant::now();
        let (mut sent, mut trips): (Vec<Instant>, Vec<_>) = (Vec::new(), Vec::new());
        while trips.len() < drive.calls {
            while sent.len() < drive.calls.min(trips.len() + drive.depth) {
                let frame = format!("{{\"type\":\"service_request\",\"id\":{}{rest}", sent.len());
                sent.push(Instant::now());
                self.write(&frame)?;
            }
            ensure!(self.read()?, "the host is gone");
            if self.line.starts_with("{\"type\":\"service_response\"") {
                ensure!(self.line.len() >= payload.len(), "it did not send back what it got: {}", self.line);
                trips.push(sent[usize::try_from(self.id()?)?].elapsed());
            } else {
                self.reply(self.id()?, "{\"healthy\":true}")?;
            }
        }
        Ok(Driven::since(begin, trips))
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Result<&'a str> {
    let rest = text.split_once(begin).with_context(|| format!("no {begin}"))?.1;
    Ok(rest.split_once(end).with_context(|| format!("no {end}"))?.0)
}
