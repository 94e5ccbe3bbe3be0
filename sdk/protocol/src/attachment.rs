//! The attachment of a frame that was read: bytes behind the frame's JSON that stand for one of its base64 strings. The JSON leaves
//! that string out, and has its path, such as `message.payload`, in the field `attachment`.

use std::borrow::Cow;

use crate::InvalidJson;

/// The smallest number of bytes that is written as an attachment in [`Framing::Length`](crate::Framing::Length): 64. Fewer are
/// written as base64, which is then cheaper. It is no limit for reading: an attachment of any size can be read, also an empty one.
pub const ATTACH_FROM_BYTES: usize = 64;

/// An attachment, and the path of the field that it stands for.
pub(crate) struct Attachment<'a> {
    path: Cow<'a, str>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Attachment<'a> {
    /// Makes it from the frame's field `attachment` and the bytes behind its JSON. `None` if the frame has neither.
    ///
    /// # Errors
    ///
    /// If the frame has only one of the two.
    pub(crate) fn new(path: Option<Cow<'a, str>>, bytes: Option<Cow<'a, [u8]>>) -> Result<Option<Self>, InvalidJson> {
        match (path, bytes) {
            (None, None) => Ok(None),
            (Some(path), Some(bytes)) => Ok(Some(Self { path, bytes })),
            (Some(_), None) => Err(InvalidJson::at("attachment", "the frame has none")),
            (None, Some(_)) => Err(InvalidJson::at("attachment", "missing, though the frame has one")),
        }
    }

    /// Returns the bytes for the field at `path`. For a frame in which only one field can be attached.
    ///
    /// # Errors
    ///
    /// If they stand for another field.
    pub(crate) fn at(self, path: &str) -> Result<Cow<'a, [u8]>, InvalidJson> {
        if self.path == path { Ok(self.bytes) } else { Err(self.misplaced()) }
    }

    /// Returns the key within the object `parent` whose value the bytes are, and the bytes. The key is all that follows `parent`
    /// and a dot; it may have dots itself.
    ///
    /// # Errors
    ///
    /// If they stand for a field outside of `parent`, or for `parent` itself.
    pub(crate) fn within(self, parent: &str) -> Result<(String, Cow<'a, [u8]>), InvalidJson> {
        match self.path.strip_prefix(parent).and_then(|rest| rest.strip_prefix('.')) {
            Some(key) => Ok((key.to_owned(), self.bytes)),
            None => Err(self.misplaced()),
        }
    }

    /// The error of an attachment that stands for a field that can't be attached.
    fn misplaced(&self) -> InvalidJson {
        InvalidJson::at("attachment", format!("can't stand for `{}`", self.path))
    }
}
