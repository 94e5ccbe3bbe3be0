//! Bytes that stand outside of a frame's JSON, in place of one of its base64 texts.

use std::borrow::Cow;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::{InvalidJson, encode_base64};

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

    /// The object at `parent` with the bytes as base64 in it, as it would have come without an attachment.
    pub(crate) fn put_into(&self, object: Option<&RawValue>, parent: &str) -> Result<Box<RawValue>, InvalidJson> {
        let key = self.path.strip_prefix(parent).and_then(|rest| rest.strip_prefix('.'));
        let key = key.ok_or_else(|| self.misplaced())?;
        let object = object.map_or(Ok(Map::new()), |object| serde_json::from_str::<Map<String, Value>>(object.get()));
        let mut object =
            object.map_err(|_| InvalidJson { path: parent.to_owned(), message: "expected an object".to_owned() })?;
        object.insert(key.to_owned(), Value::String(encode_base64(self.bytes)));
        Ok(to_raw_value(&object).expect("a map of JSON values is JSON"))
    }

    fn misplaced(&self) -> InvalidJson {
        InvalidJson {
            path: "attachment".to_owned(),
            message: format!("`{}` is nothing that an attachment can stand for here", self.path),
        }
    }
}
