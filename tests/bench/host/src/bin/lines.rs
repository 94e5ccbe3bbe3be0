//! A module that uses blocking calls of std, whose frames are lines, and which parses as little of them as possible, so that what is
//! measured is the host. It has the services of `member`, but for records.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use ixt_bench_wire::load::{Payload, Timing, Workload};
use ixt_protocol::{decode_base64, encode_base64};

struct Module {
    lines: BufReader<UnixStream>,
    line: String,
}

fn main() -> Result<()> {
    let stream = UnixStream::connect(std::env::var_os("IXT_IPC_SOCKET").context("IXT_IPC_SOCKET is not set")?)?;
    let mut module = Module { lines: BufReader::with_capacity(256 * 1024, stream), line: String::new() };
    while module.read()? {
        let id = module.id()?;
        let is_last = module.line.starts_with("{\"type\":\"shutdown\"");
        let data = if module.line.starts_with("{\"type\":\"handle\"") {
            let payload = between(&module.line, "\"payload\":\"", "\"")?;
            if module.line.contains("\"topic\":\"drive") {
                let workload = serde_json::from_slice(&decode_base64(payload)?)?;
                serde_json::to_string(&module.run(id, &workload)?)?
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
    /// Reads the next line. Returns false at the end of the connection.
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
        let rest = self.line.split_once("\"id\":").context("the frame has no id")?.1;
        Ok(rest[..rest.find(|c: char| !c.is_ascii_digit()).context("the frame has no end")?].parse()?)
    }

    /// Runs a workload on behalf of the request with the id `parent`. Replies to requests of the host meanwhile.
    fn run(&mut self, parent: u64, workload: &Workload) -> Result<Timing> {
        let Payload::Bytes(bytes) = workload.payload else { bail!("this module has no records") };
        let payload = encode_base64(&vec![b'x'; bytes]);
        let rest = format!(
            ",\"service\":\"message_bus\",\"method\":\"send\",\"params\":{{\"payload\":\"{payload}\",\"topic\":\"{}\",\
             \"priority\":1}},\"context\":{{\"trace_id\":\"0123456789abcdef0123456789abcdef\",\"parent\":{parent}}}}}\n",
            workload.topic
        );
        let begin = Instant::now();
        let (mut sent, mut trips): (Vec<Instant>, Vec<_>) = (Vec::new(), Vec::new());
        while trips.len() < workload.calls {
            while sent.len() < workload.calls.min(trips.len() + workload.depth) {
                let frame = format!("{{\"type\":\"service_request\",\"id\":{}{rest}", sent.len());
                sent.push(Instant::now());
                self.write(&frame)?;
            }
            ensure!(self.read()?, "the host closed the connection");
            if self.line.starts_with("{\"type\":\"service_response\"") {
                ensure!(self.line.len() >= payload.len(), "it did not send back what it got: {}", self.line);
                trips.push(sent[usize::try_from(self.id()?)?].elapsed());
            } else {
                self.reply(self.id()?, "{\"healthy\":true}")?;
            }
        }
        Ok(Timing::since(begin, workload.calls, if workload.depth == 1 { trips } else { Vec::new() }))
    }
}

/// What stands between the first `begin` and the `end` that follows.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Result<&'a str> {
    let rest = text.split_once(begin).with_context(|| format!("no {begin}"))?.1;
    Ok(rest.split_once(end).with_context(|| format!("no {end}"))?.0)
}
