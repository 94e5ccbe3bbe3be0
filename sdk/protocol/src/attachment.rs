//! Bytes that stand outside of a frame's JSON, in place of one of its base64 texts.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{Framing, InvalidJson, encode_base64};

/// An attachment, and which field it stands for.
pub(crate) struct Attachment<'a> {
    path: Cow<'a, str>,
    bytes: &'a [u8],
}

impl<'a> Attachment<'a> {
    /// `path` is what the frame's `attachment` says.
    pub(crate) fn new(path: Option<Cow<'a, str>>, bytes: Option<&'a [u8]>) -> Result<Option<Self>, InvalidJson> {
        let error = |message: &str| Err(InvalidJson { path: "attachment".to_owned(), message: message.to_owned() });
        match (path, bytes) {
            (None, None) => Ok(None),
            (Some(path), Some(bytes)) => Ok(Some(Self { path, bytes })),
            (Some(_), None) => error("the frame has none"),
            (None, Some(_)) => error("missing, though the frame has one"),
        }
    }

    /// The bytes, if they stand for the field at this path.
    pub(crate) fn at(&self, path: &str) -> Result<&'a [u8], InvalidJson> {
        if self.path == path { Ok(self.bytes) } else { Err(self.misplaced()) }
    }

    /// The object at `parent`, with the bytes outside of it.
    fn object(&self, json: Option<&'a RawValue>, parent: &str) -> Result<Object<'a>, InvalidJson> {
        let key = self.path.strip_prefix(parent).and_then(|rest| rest.strip_prefix('.'));
        let key = key.ok_or_else(|| self.misplaced())?.to_owned();
        let json = match json {
            None => Cow::Owned(raw("{}".to_owned())),
            Some(json) if json.get().starts_with('{') => Cow::Borrowed(json),
            Some(_) => {
                return Err(InvalidJson { path: parent.to_owned(), message: "expected an object".to_owned() });
            }
        };
        Ok(Object { json, outside: Some(Outside { key: Cow::Owned(key), bytes: Cow::Borrowed(self.bytes) }) })
    }

    fn misplaced(&self) -> InvalidJson {
        InvalidJson {
            path: "attachment".to_owned(),
            message: format!("`{}` is nothing that an attachment can stand for here", self.path),
        }
    }
}

/// What to attach to a frame, and the path of the text that it stands for.
pub(crate) type Attached<'a> = Option<(Cow<'a, str>, &'a [u8])>;

/// A JSON object as it is on the wire, where one of its base64 texts may stand outside of it. Whoever passes it on need not
/// look into it; whoever wants the JSON, whole, asks for [`Object::into_json`].
#[derive(Debug, Clone)]
pub struct Object<'a> {
    json: Cow<'a, RawValue>,
    outside: Option<Outside<'a>>,
}

#[derive(Debug, Clone)]
struct Outside<'a> {
    key: Cow<'a, str>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Object<'a> {
    pub(crate) fn read(
        json: Option<&'a RawValue>,
        parent: &str,
        attachment: Option<&Attachment<'a>>,
    ) -> Result<Option<Self>, InvalidJson> {
        match attachment {
            None => Ok(json.map(Self::from)),
            Some(attachment) => attachment.object(json, parent).map(Some),
        }
    }

    /// The bytes of the text that stands outside, under this key.
    #[must_use]
    pub fn attached(&self, key: &str) -> Option<&[u8]> {
        self.outside.as_ref().filter(|outside| outside.key == key).map(|outside| &*outside.bytes)
    }

    /// The JSON, without what stands outside of it.
    #[must_use]
    pub fn json(&self) -> &RawValue {
        &self.json
    }

    /// The whole object as JSON.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "an object with one text more is an object")]
    pub fn into_json(self) -> Cow<'a, RawValue> {
        let Some(Outside { key, bytes }) = self.outside else { return self.json };
        // Only the text is put together; what else is in the object is nobody's business here.
        let rest = self.json.get().get(1..).unwrap_or("}").trim_start();
        let comma = if rest.starts_with('}') { "" } else { "," };
        let key = serde_json::to_string(&key).expect("text is JSON");
        Cow::Owned(raw(format!("{{{key}:\"{}\"{comma}{rest}", encode_base64(&bytes))))
    }

    /// The JSON to write, and what to attach to it under which path, where the framing can do that.
    pub(crate) fn for_wire(&self, framing: Framing, parent: &str) -> (Cow<'_, RawValue>, Attached<'_>) {
        match (&self.outside, framing) {
            (None, _) => (Cow::Borrowed(&*self.json), None),
            (Some(_), Framing::Line) => (self.clone().into_json(), None),
            (Some(Outside { key, bytes }), Framing::Length) => {
                (Cow::Borrowed(&*self.json), Some((Cow::Owned(format!("{parent}.{key}")), bytes)))
            }
        }
    }

    /// The same, which borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Object<'static> {
        let outside = self.outside.map(|Outside { key, bytes }| Outside {
            key: Cow::Owned(key.into_owned()),
            bytes: Cow::Owned(bytes.into_owned()),
        });
        Object { json: Cow::Owned(self.json.into_owned()), outside }
    }
}

impl<'a> From<Cow<'a, RawValue>> for Object<'a> {
    fn from(json: Cow<'a, RawValue>) -> Self {
        Self { json, outside: None }
    }
}

impl<'a> From<&'a RawValue> for Object<'a> {
    fn from(json: &'a RawValue) -> Self {
        Self::from(Cow::Borrowed(json))
    }
}

impl From<Box<RawValue>> for Object<'_> {
    fn from(json: Box<RawValue>) -> Self {
        Self::from(Cow::Owned(json))
    }
}

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("an object with one text more is an object")
}
