//! `kv_change`: a key that the module watches has changed.

use std::borrow::Cow;

use serde::Deserialize;

use crate::attachment::{ATTACH_FROM_BYTES, Attachment};
use crate::json_writer::{base64, key, number, text};
use crate::{Framing, InvalidJson, WirePayload};

/// `kv_change`: a key that the module watches was written, deleted, or has expired. Of several changes of one key that the module
/// has not read yet, the host may send only the last, and none if the key was created and deleted meanwhile. Has no id and no
/// reply; a module logs and skips one that it can't read.
///
/// ```
/// use ixt_protocol::{Frame, Framing, HostFrame, KvChange};
///
/// let change = KvChange { watch: 1, key: "stock/A-1".into(), revision: 8, value: None };
/// let mut output = Vec::new();
/// Frame { id: None, body: HostFrame::KvChange(change) }.write(Framing::Line, &mut output);
/// assert_eq!(output, b"{\"type\":\"kv_change\",\"watch\":1,\"key\":\"stock/A-1\",\"revision\":8,\"deleted\":true}\n");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvChange<'a> {
    /// The number of the watch, from the response to `kv_store.watch`, which comes before the first change. A module ignores a
    /// number that it does not know: it may have ended that watch.
    pub watch: u64,
    /// The key, which begins with the prefix of the watch.
    pub key: Cow<'a, str>,
    /// The revision that the change has made, be it a write, a deletion or an expiry: a number above 0, another one than before.
    /// Revisions may be compared for equality only.
    pub revision: u64,
    /// The new value, or `None` if the key was deleted or its time to live is over. An empty value is `Some`. In
    /// [`Framing::Length`], 64 bytes or more are written as an attachment.
    pub value: Option<Cow<'a, [u8]>>,
}

/// A [`KvChange`] on the wire.
#[derive(Deserialize)]
pub(super) struct KvChangeFields<'a> {
    watch: u64,
    #[serde(borrow)]
    key: Cow<'a, str>,
    revision: u64,
    /// Absent if the value is attached, or if the key was deleted.
    value: Option<WirePayload<'a>>,
    /// If true, `value` and the attachment are ignored, but a `value` that is not base64 is an error. If false or absent, one of
    /// the two must be there.
    deleted: Option<bool>,
}

/// The path of the value, the only one of the frame that can be attached.
const VALUE: &str = "value";

impl<'a> KvChange<'a> {
    pub(super) fn from_fields(
        KvChangeFields { watch, key, revision, value, deleted }: KvChangeFields<'a>,
        attachment: Option<Attachment<'a>>,
    ) -> Result<Self, InvalidJson> {
        let value = match attachment {
            _ if deleted == Some(true) => None,
            Some(attachment) => Some(attachment.at(VALUE)?),
            None => match value {
                Some(WirePayload::Bytes(bytes)) => Some(bytes),
                _ => return Err(InvalidJson::missing(VALUE)),
            },
        };
        Ok(Self { watch, key, revision, value })
    }

    /// The value, if it is sent as the frame's attachment in this framing; `None` if it is sent as base64, or there is none.
    pub(super) fn attachment(&self, framing: Framing) -> Option<&[u8]> {
        self.value.as_deref().filter(|value| framing == Framing::Length && value.len() >= ATTACH_FROM_BYTES)
    }

    /// Appends the fields. Returns the path of the value if it is left out as the attachment, otherwise `None`.
    pub(super) fn write(&self, framing: Framing, output: &mut Vec<u8>) -> Option<Cow<'static, str>> {
        key("watch", output);
        number(self.watch, output);
        key("key", output);
        text(&self.key, output);
        key("revision", output);
        number(self.revision, output);
        match &self.value {
            Some(_) if self.attachment(framing).is_some() => return Some(Cow::Borrowed(VALUE)),
            Some(value) => {
                key("value", output);
                base64(value, output);
            }
            None => output.extend_from_slice(b",\"deleted\":true"),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DEFAULT_MAX_FRAME_BYTES, Frame, FrameDecoder, HostFrame, Unreadable};

    fn read(line: &str) -> Result<KvChange<'_>, Unreadable> {
        HostFrame::read(line.as_bytes()).map(|frame| match frame.body {
            HostFrame::KvChange(change) => change,
            other => panic!("not a change: {other:?}"),
        })
    }

    #[test]
    fn a_large_value_is_attached_where_the_framing_can_do_that() {
        for (bytes, framing, attached) in
            [(63, Framing::Length, false), (64, Framing::Length, true), (64, Framing::Line, false)]
        {
            let value = vec![7; bytes];
            let change = KvChange { watch: 1, key: "k".into(), revision: 2, value: Some(value.into()) };
            let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
            decoder.set_framing(framing);
            let frame = Frame { id: None, body: HostFrame::KvChange(change.clone()) };
            frame.write(framing, decoder.input());
            let raw = decoder.next_frame().unwrap().unwrap();
            assert_eq!(raw.attachment.is_some(), attached);
            let HostFrame::KvChange(read) = HostFrame::read(raw).unwrap().body else { panic!("not a change") };
            assert_eq!(read, change);
        }
    }

    #[test]
    fn fields_of_other_frames_are_unknown_here_and_the_other_way_round() {
        let change =
            read(r#"{"type":"kv_change","watch":1,"key":"k","revision":2,"value":"aGk=","success":5,"context":0}"#);
        assert_eq!(change.unwrap().value.as_deref(), Some(&b"hi"[..]));
        let health = br#"{"type":"shutdown","id":3,"watch":"x","key":5,"value":{},"deleted":0}"#;
        assert!(HostFrame::read(&health[..]).is_ok());
    }

    #[test]
    fn a_change_says_the_value_or_that_there_is_none() {
        let frame = |rest: &str| format!(r#"{{"type":"kv_change","watch":1,"key":"k","revision":2{rest}}}"#);
        let value = |rest: &str| read(&frame(rest)).map(|change| change.value.map(Cow::into_owned));
        assert_eq!(value(r#","value":"""#), Ok(Some(Vec::new())), "empty is not deleted");
        assert_eq!(value(r#","value":null,"deleted":true"#), Ok(None));
        for (rest, says) in [
            ("", "`value`: missing"),
            (r#","deleted":false"#, "`value`: missing"),
            (r#","value":"s3cr3t""#, "`value`: not base64"),
            (r#","value":{"s3cr3t":5}"#, "`value`: expected a string of base64"),
            (r#","value":"","attachment":"value""#, "`attachment`: the frame has none"),
        ] {
            let error = value(rest).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("s3cr3t"), "{error}");
        }
    }
}
