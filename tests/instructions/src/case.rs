//! The cases: each is a message of some size to one of the modules, in one of the framings.

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use ixt_instructions_topics::CALLED;
use ixt_protocol::{
    DEFAULT_MAX_FRAME_BYTES, Frame, FrameDecoder, Framing, Handle, HandleContext, HandleMessage, HostFrame, Init,
    ModuleFrame, PROTOCOL_VERSION, Priority, ProtocolOffer,
};
use ixt_sdk::testing::Pipe;
use serde_json::value::to_raw_value;

use crate::module::{Counted, module};

/// A case: one line of the figures.
pub(crate) struct Case {
    /// Its name, in the figures and on the command line.
    pub(crate) name: &'static str,
    start: fn() -> ixt_sdk::Result<Pipe>,
    topic: &'static str,
    payload: fn() -> Vec<u8>,
    framing: Framing,
    /// How many messages suffice for a stable figure.
    pub(crate) messages: usize,
}

/// The cases of a module with few services and of one with many, which have to need as many instructions.
pub(crate) const TOPICS: [&str; 2] = ["64-bytes-among-10-topics", "64-bytes-among-10000-topics"];

pub(crate) const CASES: &[Case] = &[
    echo("64-bytes-line", raw::<64>, Framing::Line, 800),
    echo("64-bytes-length", raw::<64>, Framing::Length, 800),
    echo("1-KiB-line", raw::<1024>, Framing::Line, 400),
    echo("1-KiB-length", raw::<1024>, Framing::Length, 400),
    echo("64-KiB-line", raw::<{ 64 * 1024 }>, Framing::Line, 40),
    echo("64-KiB-length", raw::<{ 64 * 1024 }>, Framing::Length, 40),
    echo("1-MiB-line", raw::<{ 1024 * 1024 }>, Framing::Line, 8),
    echo("1-MiB-length", raw::<{ 1024 * 1024 }>, Framing::Length, 8),
    Case { topic: "record", payload: record, ..echo("record-line", record, Framing::Line, 400) },
    Case { topic: "record", payload: record, ..echo("record-length", record, Framing::Length, 400) },
    Case { topic: CALLED, start: ixt_instructions_topics::few, ..echo(TOPICS[0], raw::<64>, Framing::Line, 800) },
    #[cfg(many_topics)]
    Case { topic: CALLED, start: ixt_instructions_topics::many, ..echo(TOPICS[1], raw::<64>, Framing::Line, 800) },
];

const fn echo(name: &'static str, payload: fn() -> Vec<u8>, framing: Framing, messages: usize) -> Case {
    Case { name, start: || Pipe::new(module::<Counted>()), topic: "echo", payload, framing, messages }
}

/// Bytes that are no text, always the same.
fn raw<const BYTES: usize>() -> Vec<u8> {
    let next = |number: &u32| Some(number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(1), next).map(|number: u32| number.to_be_bytes()[0]).take(BYTES).collect()
}

/// A request of eight fields, as it is written in the answer.
fn record() -> Vec<u8> {
    br#"{"active":true,"amounts":{"berlin":12,"oslo":3},"id":48213,"name":"A lamp for the desk, \"black\"","note":"fragile","price":39.95,"state":"paid","tags":["lamp","desk","black"]}"#
        .to_vec()
}

impl Case {
    /// The case with this name.
    pub(crate) fn find(name: &str) -> Result<&'static Self> {
        CASES.iter().find(|case| case.name == name).with_context(|| format!("there is no case `{name}`"))
    }

    /// Starts a module and sends it this number of messages. All else is the same whatever the number is.
    pub(crate) fn run(&self, messages: usize) -> Result<()> {
        let mut pipe = (self.start)().map_err(|error| anyhow!("no module: {error}"))?;
        pipe.exchange(&init(self.framing)?);
        let message = self.message();
        let first = pipe.exchange(&message);
        self.check(&first)?;
        for _ in 0..messages {
            ensure!(pipe.exchange(&message).len() == first.len(), "a reply is another than the one before");
        }
        Ok(())
    }

    /// The bytes of a message.
    fn message(&self) -> Vec<u8> {
        let payload = (self.payload)();
        let message = HandleMessage {
            topic: self.topic.into(),
            payload: payload.into(),
            priority: Priority::Normal,
            ttl_ms: Some(30_000),
        };
        let context = HandleContext {
            trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
            source_module: "caller:1.0.0".into(),
            timestamp: 1_700_000_000,
            traceparent: "".into(),
        };
        let mut bytes = Vec::new();
        Frame { id: Some(7), body: HostFrame::Handle(Handle { message, context }) }.write(self.framing, &mut bytes);
        bytes
    }

    /// Checks that the reply has the payload of the message: an error would need fewer instructions.
    fn check(&self, reply: &[u8]) -> Result<()> {
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
        decoder.set_framing(self.framing);
        decoder.input().extend_from_slice(reply);
        let frame = ModuleFrame::read(decoder.next_frame().context("no reply")??)?;
        let ModuleFrame::Success { data } = frame.body else { bail!("not a success: {frame:?}") };
        let (json, sent) = (data.to_json(), (self.payload)());
        let expected = match self.topic {
            "record" => String::from_utf8(sent)?,
            _ => format!(r#"{{"result":"{}"}}"#, ixt_sdk::encode_payload(sent)),
        };
        ensure!(*json == *expected, "the reply is {json}");
        Ok(())
    }
}

/// The bytes of an `init` after which frames are in this framing.
fn init(framing: Framing) -> Result<Vec<u8>> {
    let config = to_raw_value(&serde_json::json!({}))?;
    let protocol = ProtocolOffer {
        version: PROTOCOL_VERSION,
        max_frame_bytes: DEFAULT_MAX_FRAME_BYTES,
        framings: vec![framing.as_str().to_owned()],
        features: Vec::new(),
    };
    let init = Init { config: &config, module_id: "counted:1.0.0/instance-001".into(), protocol: Some(protocol) };
    let mut bytes = Vec::new();
    Frame { id: Some(1), body: HostFrame::Init(init) }.write(Framing::Line, &mut bytes);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_answered() {
        for case in CASES {
            case.run(2).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        }
    }
}
