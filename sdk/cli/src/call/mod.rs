//! `ixt call` and `ixt publish`: one message, to a running host, or with `ixt call --module` to a module that is started for one call
//! (`alone`).

mod alone;

use std::path::Path;

use anyhow::bail;
use ixt_host::Module;
use ixt_host::control::ControlCommand;
use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, encode_base64};

use crate::args::{CallArgs, MessageArgs, PublishArgs};
use crate::configuration::config_of_one;
use crate::failure::{Failure, Result};
use crate::output::print_json;
use crate::remote::ControlClient;
use crate::suggestion::unknown_topic;

/// `ixt call`. Prints the data of the reply as one line of JSON, with or without `--json`; nothing after an error. With `--module`,
/// everything that can be checked without the module's code is checked before anything is built or started: a wrong manifest is a failure
/// with status 3, a wrong topic, payload or configuration one with status 2. `socket` is ignored then.
pub(crate) fn call(args: &CallArgs, socket: Option<&Path>) -> Result<()> {
    let Some(dir) = &args.module else { return call_host(args, socket) };
    let module = Module::open(dir).map_err(|report| Failure::module_report(report.to_ansi_string()))?;
    let payload = checked_payload(&module, &args.request).map_err(Failure::usage)?;
    let config = config_of_one(&args.config, module.manifest(), module.source())?;
    let data = crate::runtime::new()?.block_on(alone::call(&module, &config, args, &payload))?;
    print_json(&data)
}

/// `ixt call` without `--module`: asks the running host, which checks the topic and the payload. Waits as long as the host does for the
/// reply. Options that are for `--module` fail with status 2, an error in the reply with status 1. `--ttl` is sent in whole milliseconds,
/// rounded down.
fn call_host(args: &CallArgs, socket: Option<&Path>) -> Result<()> {
    if !args.config.is_empty() || args.data_dir.is_some() {
        return Err(Failure::usage("--config and --data-dir are for a module that is started with --module"));
    }
    if !args.build.is_empty() || args.no_build {
        return Err(Failure::usage(
            "--release, --profile, --features, --bin and --no-build are for a module that is started with --module",
        ));
    }
    let payload = payload(&args.request).map_err(Failure::usage)?;
    let command = ControlCommand::Call {
        topic: args.request.topic.clone(),
        payload: encode_base64(&payload),
        priority: args.priority.into(),
        ttl_ms: args.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
    };
    let data = ControlClient::ask(socket, &command)?.raw()?;
    print_json(data.get())
}

/// `ixt publish`. It returns when the host has accepted the event, not when subscribers have handled it, and prints nothing. An event
/// without subscribers is a success. An error of the host is a failure with status 1.
pub(crate) fn publish(args: &PublishArgs, socket: Option<&Path>) -> Result<()> {
    let payload = payload(&args.request).map_err(Failure::usage)?;
    let command = ControlCommand::Publish { topic: args.request.topic.clone(), payload: encode_base64(&payload) };
    ControlClient::ask(socket, &command)?.done()
}

/// The payload of the arguments; empty if there is none. Reads a file or stdin up to its end, and changes nothing in it, not even a line
/// end. It is an error if the payload is larger than a frame may be by default, 16 MiB; one that is hardly smaller fails later, since the
/// frame has other parts too.
fn payload(request: &MessageArgs) -> anyhow::Result<Vec<u8>> {
    let payload = match (&request.payload, &request.data) {
        (Some(payload), _) => payload.clone().into_bytes(),
        (None, Some(data)) => data.read("the request")?,
        (None, None) => Vec::new(),
    };
    let bytes = payload.len();
    if bytes > DEFAULT_MAX_FRAME_BYTES {
        bail!(
            "the request has {bytes} bytes, and a frame {DEFAULT_MAX_FRAME_BYTES} at most: pass the path of a large file instead of its content"
        );
    }
    Ok(payload)
}

/// The payload of a call to `module`. It is an error if the module does not provide a service of the topic, which is checked before the
/// payload is read, or if the manifest declares a request for it and the payload is neither empty nor a JSON object. The fields are checked
/// by the module.
fn checked_payload(module: &Module, request: &MessageArgs) -> anyhow::Result<Vec<u8>> {
    let services = module.manifest().services.iter().map(|service| service.topic.as_str());
    if services.clone().all(|topic| topic != request.topic) {
        bail!(unknown_topic(module.manifest(), &request.topic));
    }
    let payload = payload(request)?;
    module.check_payload(&request.topic, &payload).map_err(anyhow::Error::msg)?;
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::args::DataInput;

    fn request(topic: &str, payload: Option<&str>, data: Option<DataInput>) -> MessageArgs {
        MessageArgs { topic: topic.to_owned(), payload: payload.map(str::to_owned), data }
    }

    #[test]
    fn a_payload_comes_from_the_argument_or_a_file_and_has_a_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, b"\x00\xff\n").unwrap();
        let from_file = || request("t", None, Some(DataInput::File(file.path().to_owned())));
        assert_eq!(payload(&request("t", Some("-5"), None)).unwrap(), b"-5");
        assert_eq!(payload(&request("t", None, None)).unwrap(), b"");
        assert_eq!(payload(&from_file()).unwrap(), b"\x00\xff\n");
        file.as_file().set_len(DEFAULT_MAX_FRAME_BYTES as u64).unwrap();
        assert!(payload(&from_file()).is_ok());
        file.as_file().set_len(DEFAULT_MAX_FRAME_BYTES as u64 + 1).unwrap();
        assert!(payload(&from_file()).unwrap_err().to_string().contains("16777217 bytes"));
    }

    #[test]
    fn a_topic_and_a_payload_have_to_fit_the_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n[provides]\nservices = [\"raw\", \"typed\"]\n\
                        [services.typed]\nrequest = { n = \"integer\" }\n";
        fs::write(dir.path().join("manifest.toml"), manifest).unwrap();
        let module = Module::open(dir.path()).unwrap();
        let check = |topic: &str, payload: &str| {
            checked_payload(&module, &request(topic, Some(payload), None)).map_err(|error| error.to_string())
        };
        assert_eq!(check("raw", "any"), Ok(b"any".to_vec()));
        assert_eq!(check("typed", "{}"), Ok(b"{}".to_vec()), "what is in it the module checks");
        assert!(check("typed", "[]").unwrap_err().contains("`typed` takes a JSON object"));
        let unknown = "the module `m` does not provide `rwa`; did you mean `raw`?";
        assert_eq!(check("rwa", "any"), Err(unknown.to_owned()));
    }
}
