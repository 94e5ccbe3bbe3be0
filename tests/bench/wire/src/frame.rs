//! The frames that the lean client sends, in both framings of the protocol.

use ixt_sdk::encode_payload;

/// How frames follow one another on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Each is a line of JSON, with the payload as base64.
    Line,
    /// Each begins with its length, and has the payload's bytes attached behind the JSON.
    Length,
}

impl Framing {
    /// A frame without an attachment.
    fn json(self, mut json: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Line => {
                json.push(b'\n');
                json
            }
            Self::Length => [&length(json.len()), json.as_slice()].concat(),
        }
    }

    /// The first frame of a connection, which starts the module and chooses this framing.
    pub fn init(self) -> Vec<u8> {
        let name = match self {
            Self::Line => "line",
            Self::Length => "length",
        };
        self.json(
            format!(
                "{{\"type\":\"init\",\"id\":1,\"config\":{{}},\"module_id\":\"bench:1.0.0/instance-001\",\"protocol\":\
                 {{\"version\":1,\"max_frame_bytes\":16777216,\"framings\":[\"{name}\"],\"features\":[]}}}}"
            )
            .into_bytes(),
        )
    }

    /// A request to a service.
    pub fn handle(self, topic: &str, payload: &[u8]) -> Vec<u8> {
        let json = |payload: &str, end: &str| {
            format!(
                "{{\"type\":\"handle\",\"id\":2,\"message\":{{\"topic\":\"{topic}\",{payload}\"priority\":2,\"ttl_ms\":\
                 5000}},\"context\":{{\"trace_id\":\"0123456789abcdef0123456789abcdef\",\"source_module\":\
                 \"caller:1.0.0\",\"timestamp\":1234567890}}{end}}}"
            )
            .into_bytes()
        };
        match self {
            Self::Line => self.json(json(&format!("\"payload\":\"{}\",", encode_payload(payload)), "")),
            Self::Length => {
                let json = json("", ",\"attachment\":\"message.payload\"");
                let [whole, inner] = [length(4 + json.len() + payload.len()), length(json.len())];
                let whole = (u32::from_le_bytes(whole) | 1 << 31).to_le_bytes();
                [&whole, &inner, json.as_slice(), payload].concat()
            }
        }
    }

    /// Whether `bytes`, which start with a frame and have nothing behind it, are the whole frame.
    pub fn is_whole(self, bytes: &[u8]) -> bool {
        match self {
            Self::Line => bytes.last() == Some(&b'\n'),
            Self::Length => bytes.first_chunk().is_some_and(|length| {
                let length = u32::from_le_bytes(*length) & !(1 << 31);
                bytes.len() >= 4 + length as usize
            }),
        }
    }
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("no frame is that long").to_le_bytes()
}

/// A request in a line. `bytes` is the size of its payload before base64.
pub fn frame(topic: &str, bytes: usize) -> Vec<u8> {
    Framing::Line.handle(topic, &vec![b'x'; bytes])
}
