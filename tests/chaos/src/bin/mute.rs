//! A module without an SDK: one request at a time, without ids. The topic `mute.fall_silent` makes it close its half of the connection and
//! run on.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use ixt_chaos::request;
use serde_json::{Value, json};

fn main() -> anyhow::Result<()> {
    let mut stream = UnixStream::connect(std::env::var("IXT_IPC_SOCKET")?)?;
    let mut entries = None;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let frame: Value = serde_json::from_str(&line?)?;
        let data = match (frame["type"].as_str(), frame["message"]["topic"].as_str()) {
            (Some("init"), _) => {
                let path = frame["config"]["entries"].as_str().unwrap_or_default();
                entries = Some(File::options().append(true).create(true).open(path)?);
                json!({})
            }
            (Some("health_check"), _) => json!({ "healthy": true }),
            (_, Some("mute.fall_silent")) => {
                stream.shutdown(Shutdown::Write)?;
                std::thread::park();
                json!({})
            }
            (_, Some(_)) => {
                let payload = ixt_protocol::decode_base64(frame["message"]["payload"].as_str().unwrap_or_default());
                let payload = payload.map_err(|error| anyhow::anyhow!("{error}"))?;
                let id = request::id(&payload).unwrap_or_default();
                // One write, so that a process that is killed leaves whole lines.
                entries.as_mut().map_or(Ok(()), |entries| entries.write_all(format!("{id}\n").as_bytes()))?;
                json!({ "id": id, "sum": request::sum(&payload) })
            }
            _ => json!({}),
        };
        stream.write_all(format!("{}\n", json!({ "type": "success", "data": data })).as_bytes())?;
        if frame["type"] == "shutdown" {
            break;
        }
    }
    Ok(())
}
