//! Makes frames of the bytes of an input.

use std::borrow::Cow;

use ixt_protocol::{Framing, RawFrame};

/// The byte before an attachment. No UTF-8 text contains it.
pub(crate) const ATTACHMENT: u8 = 0xFF;

/// The JSON of an input, and the attachment, if it has one.
pub(crate) fn split(data: &[u8]) -> (&[u8], Option<&[u8]>) {
    match data.iter().position(|byte| *byte == ATTACHMENT) {
        None => (data, None),
        Some(at) => (&data[..at], Some(&data[at + 1..])),
    }
}

/// The input as a frame.
pub(crate) fn frame(data: &[u8]) -> RawFrame<'_> {
    let (json, attachment) = split(data);
    RawFrame { framing: Framing::Length, json, attachment: attachment.map(Cow::Borrowed) }
}

/// The input as the bytes of a frame with a length.
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
