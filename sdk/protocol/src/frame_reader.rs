//! Reads the JSON of a frame by serde: finds its `type`, then reads `id`, `attachment` and the fields of that type in one pass. The
//! fields of each type of frame are a struct that derives `Deserialize`.
//!
//! Fields of other types of frames are unknown fields, which are ignored. After an error, [`type_and_id`] looks for the frame's id,
//! so that the receiver can answer even if the JSON is broken. Frames in the form in which this crate writes them seldom come here:
//! `quick_json` reads the most frequent ones.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::attachment::Attachment;
use crate::broken_json::{MAX_DEPTH, is_deeper_than, type_and_id};
use crate::text_limits::shortened;
use crate::{Frame, InvalidJson, MAX_NAME_BYTES, RawFrame, Unreadable, read_json};

/// A frame whose type is known, and whose fields are not read yet.
pub(crate) struct FrameReader<'a> {
    raw: RawFrame<'a>,
    frame_type: Cow<'a, str>,
}

impl<'a> FrameReader<'a> {
    /// Finds the frame's type.
    ///
    /// # Errors
    ///
    /// [`Unreadable::NotAFrame`] if it is not an object, or has no `type` that is a string. In broken JSON, [`type_and_id`] has to
    /// find it.
    pub(crate) fn new(raw: RawFrame<'a>) -> Result<Self, Unreadable> {
        if raw.json.trim_ascii_start().first() != Some(&b'{') {
            // serde would accept an array as the fields in order.
            return Err(Unreadable::NotAFrame(InvalidJson::at("", "expected an object")));
        }
        let frame_type = match first_type(raw.json) {
            Some(frame_type) => Cow::Borrowed(frame_type),
            None => any_type(raw.json).map_err(Unreadable::NotAFrame)?,
        };
        Ok(Self { raw, frame_type })
    }

    /// The frame's type. If the frame has several, this is one of them; [`read`](Self::read) and the other methods then return an
    /// error.
    pub(crate) fn frame_type(&self) -> &str {
        &self.frame_type
    }

    /// Reads the fields as `T`, and calls `body`, which makes the frame's body of them and of the attachment, if there is one.
    ///
    /// # Errors
    ///
    /// [`Unreadable::Invalid`] if the frame is nested too deeply, its fields can't be read as `T`, it has an attachment without the
    /// field `attachment` or the other way round, or `body` fails; [`Unreadable::NotAFrame`] instead if [`type_and_id`] finds no
    /// type or several.
    pub(crate) fn read<T: Deserialize<'a>, B>(
        self,
        body: impl FnOnce(T, Option<Attachment<'a>>) -> Result<B, InvalidJson>,
    ) -> Result<Frame<B>, Unreadable> {
        let Self { raw: RawFrame { json, attachment, .. }, frame_type } = self;
        let read = read_fields(json).and_then(|FrameFields { id, attachment: path, fields }| {
            Ok(Frame { id, body: body(fields, Attachment::new(path, attachment)?)? })
        });
        read.map_err(|error| invalid(json, frame_type, error))
    }

    /// Reads the id of a frame that has no fields. All other fields are ignored, even if they are wrong: the id of a `cancel` is that
    /// of another request, which must not be answered with an error about the `cancel`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), if the JSON or the id is wrong.
    pub(crate) fn read_id<B>(self, body: B) -> Result<Frame<B>, Unreadable> {
        /// `type` is here so that a second one is an error.
        #[derive(Deserialize)]
        struct Id {
            #[serde(rename = "type")]
            _type: IgnoredAny,
            id: Option<u64>,
        }

        let Self { raw, frame_type } = self;
        let read = if is_deeper_than(raw.json, MAX_DEPTH) { Err(InvalidJson::too_deep()) } else { read_json(raw.json) };
        match read {
            Ok(Id { id, .. }) => Ok(Frame { id, body }),
            Err(error) => Err(invalid(raw.json, frame_type, error)),
        }
    }

    /// The error of a frame whose type this side does not know: [`Unreadable::UnknownType`], or [`Unreadable::NotAFrame`] if the
    /// frame has several types.
    pub(crate) fn unknown(self) -> Unreadable {
        let Self { raw, frame_type } = self;
        match type_and_id(raw.json) {
            None => Unreadable::NotAFrame(InvalidJson::at("type", "there are several")),
            Some((_, id)) => Unreadable::UnknownType { id, kind: shortened(frame_type, MAX_NAME_BYTES).into_owned() },
        }
    }
}

/// The error of a frame whose fields or whose JSON are wrong: [`Unreadable::Invalid`] with its id if [`type_and_id`] finds a type,
/// otherwise [`Unreadable::NotAFrame`].
fn invalid(json: &[u8], frame_type: Cow<'_, str>, error: InvalidJson) -> Unreadable {
    match type_and_id(json) {
        None => Unreadable::NotAFrame(error),
        Some((_, id)) => Unreadable::Invalid { id, kind: frame_type.into_owned(), error },
    }
}

/// The frame's type, if it is the first field, as in almost all frames, and has no escapes. `None` otherwise. Does not check the
/// rest of the frame.
fn first_type(json: &[u8]) -> Option<&str> {
    let rest = json.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"type\"")?;
    let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = memchr::memchr2(b'"', b'\\', rest)?;
    if rest[end] == b'"' { std::str::from_utf8(&rest[..end]).ok() } else { None }
}

/// The frame's type, at any place of the object, also in broken JSON.
///
/// # Errors
///
/// That of serde, if the object has no `type` that is a string, or several.
fn any_type(json: &[u8]) -> Result<Cow<'_, str>, InvalidJson> {
    #[derive(Deserialize)]
    struct Type<'a> {
        #[serde(borrow, rename = "type")]
        frame_type: Cow<'a, str>,
    }
    match read_json(json) {
        Ok(Type { frame_type }) => Ok(frame_type),
        Err(error) => type_and_id(json).map(|(frame_type, _)| Cow::Owned(frame_type)).ok_or(error),
    }
}

/// The fields of a frame: those of its type in `fields`, and those that any frame may have.
struct FrameFields<'a, T> {
    /// `None` if it is absent or `null`.
    id: Option<u64>,
    /// The path of the field that the attachment stands for.
    attachment: Option<Cow<'a, str>>,
    fields: T,
}

/// Reads the fields, unless the frame is nested too deeply.
fn read_fields<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<FrameFields<'a, T>, InvalidJson> {
    if is_deeper_than(json, MAX_DEPTH) { Err(InvalidJson::too_deep()) } else { read_json(json) }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for FrameFields<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FrameFieldsVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for FrameFieldsVisitor<T> {
            type Value = FrameFields<'de, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let mut own = OwnFields { map, seen: Seen::default(), id: None, attachment: None };
                let fields = T::deserialize(MapAccessDeserializer::new(&mut own))?;
                let OwnFields { id, attachment, .. } = own;
                Ok(FrameFields { id, attachment, fields })
            }
        }

        deserializer.deserialize_map(FrameFieldsVisitor(PhantomData))
    }
}

/// A map without the keys that any frame may have. It reads those into its fields, and passes the others on.
struct OwnFields<'de, A> {
    map: A,
    seen: Seen,
    id: Option<u64>,
    attachment: Option<Cow<'de, str>>,
}

/// Which of the keys that any frame may have were found.
#[derive(Default)]
struct Seen {
    frame_type: bool,
    id: bool,
    attachment: bool,
}

/// Marks a key as found.
///
/// # Errors
///
/// If it was found before.
fn once<E: Error>(seen: &mut bool, key: &'static str) -> Result<(), E> {
    if std::mem::replace(seen, true) { Err(E::duplicate_field(key)) } else { Ok(()) }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for &mut OwnFields<'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(BorrowedText(key)) = self.map.next_key()? {
            match &*key {
                "type" => {
                    once(&mut self.seen.frame_type, "type")?;
                    self.map.next_value::<IgnoredAny>()?;
                }
                "id" => {
                    once(&mut self.seen.id, "id")?;
                    self.id = self.map.next_value()?;
                }
                "attachment" => {
                    once(&mut self.seen.attachment, "attachment")?;
                    self.attachment =
                        self.map.next_value::<Option<BorrowedText<'de>>>()?.map(|BorrowedText(path)| path);
                }
                _ => return seed.deserialize(key.into_deserializer()).map(Some),
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// A string, borrowed if it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct BorrowedText<'a>(#[serde(borrow)] Cow<'a, str>);

/// Deserializes a struct from a JSON object only: serde would also accept an array as the fields in order.
pub(crate) fn deserialize_fields<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct MapVisitor<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for MapVisitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(MapVisitor(PhantomData))
}

/// Deserializes a field whose value must be a JSON object, as its text, for `#[serde(deserialize_with)]`. `null` is an error.
pub(crate) fn deserialize_object<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<&'a RawValue, D::Error> {
    let value = <&RawValue>::deserialize(deserializer)?;
    if value.get().starts_with('{') { Ok(value) } else { Err(D::Error::custom("expected an object")) }
}

/// Deserializes a field whose value must be a JSON object, as its text, for `#[serde(deserialize_with)]`. `null` is read as absent.
pub(crate) fn deserialize_optional_object<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    match Option::<&RawValue>::deserialize(deserializer)? {
        Some(value) if !value.get().starts_with('{') => Err(D::Error::custom("expected an object")),
        value => Ok(value),
    }
}
