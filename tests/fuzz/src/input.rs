//! How an input becomes frames.

use std::borrow::Cow;

use ixt_protocol::{Framing, RawFrame};

/// No text holds it.
pub(crate) const ATTACHMENT: u8 = 0xFF;

/// JSON, and perhaps an attachment behind the byte for that.
pub(crate) fn split(data: &[u8]) -> (&[u8], Option<&[u8]>) {
    match data.iter().position(|byte| *byte == ATTACHMENT) {
        None => (data, None),
        Some(at) => (&data[..at], Some(&data[at + 1..])),
    }
}

/// The same as a frame.
pub(crate) fn frame(data: &[u8]) -> RawFrame<'_> {
    let (json, attachment) = split(data);
    RawFrame { framing: Framing::Length, json, attachment: attachment.map(Cow::Borrowed) }
}

/// The same as bytes, with their length before them.
pub(crate) fn with_length(data: &[u8]) -> Vec<u8> {
    let (json, attachment) = split(data);
    let length = |bytes: usize| u32::try_from(bytes).expect("an input is small").to_le_bytes();
    match attachment {
        None => [&length(json.len())[..], json].concat(),
        Some(attachment) => {
            let mut head = length(4 + json.len() + attachment.len());
            head[3] |= 0x80;
            [&head[..], &length(json.len())[..], json, attachment].concat()
        }
    }
}
