//! The parameters of those service requests that come by the thousand, in the forms in which SDKs write them, read in one pass;
//! any other form is read by `serde_json`, which alone decides what is wrong.

use std::borrow::Cow;

use serde::Deserialize;

use crate::quick_json::{QuickReader, is_on};
use crate::{Base64Text, InvalidJson, Object, Payload, Priority, decode_base64, read_json};

/// The parameters of `message_bus.send`, or of `event_bus.publish`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusSend<'a> {
    /// The topic.
    pub topic: Cow<'a, str>,
    /// What it carries.
    pub payload: Payload<'a>,
    /// How urgent it is. Absent, it is as urgent as the request that is handled, and `Low` if there is none.
    pub priority: Option<Priority>,
    /// How many milliseconds the caller waits.
    pub ttl_ms: Option<u64>,
}

impl<'a> BusSend<'a> {
    /// Reads them. The payload is as it came: it is not decoded.
    ///
    /// ```
    /// use ixt_protocol::{BusSend, Object, Payload, Priority};
    ///
    /// let params = Object::trusted(r#"{"payload":"aGk=","topic":"greet","priority":1}"#);
    /// let send = BusSend::of_params(&params)?;
    /// assert_eq!((&*send.topic, send.payload), ("greet", Payload::Base64("aGk=".into())));
    /// assert_eq!(send.priority, Some(Priority::Low));
    ///
    /// let attached = Object::trusted(r#"{"topic":"greet"}"#).attach("payload", &b"hi"[..]);
    /// assert_eq!(BusSend::of_params(&attached)?.payload, Payload::from(&b"hi"[..]));
    /// # Ok::<(), ixt_protocol::InvalidJson>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If they are not of this form.
    pub fn of_params(params: &'a Object<'_>) -> Result<Self, InvalidJson> {
        Self::read_quickly(params).map_or_else(|| Self::read_any(params), Ok)
    }

    fn read_quickly(params: &'a Object<'_>) -> Option<Self> {
        if !is_on("params") {
            return None;
        }
        let mut scan = QuickReader::of_text(params.json());
        let (topic, text) = scan.text_beside(br#""topic":""#, br#""payload":""#)?;
        let priority = if scan.skip(br#","priority":"#) { Some(scan.number()?.try_into().ok()?) } else { None };
        let ttl_ms = if scan.skip(br#","ttl_ms":"#) { Some(scan.number()?) } else { None };
        scan.literal(b"}")?;
        scan.end()?;
        let payload = match (params.attached("payload"), text) {
            (Some(attached), _) => Payload::from(attached),
            (None, text) => Payload::Base64(Base64Text::plain(text?)),
        };
        Some(Self { topic: Cow::Borrowed(topic), payload, priority, ttl_ms })
    }

    fn read_any(params: &'a Object<'_>) -> Result<Self, InvalidJson> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow)]
            topic: Cow<'a, str>,
            /// Absent if it is attached.
            #[serde(borrow)]
            payload: Option<Cow<'a, str>>,
            priority: Option<Priority>,
            ttl_ms: Option<u64>,
        }
        let Fields { topic, payload, priority, ttl_ms } = params.read_borrowed()?;
        let payload = match (params.attached("payload"), payload) {
            (Some(attached), _) => Payload::from(attached),
            (None, Some(text)) => Payload::Base64(text.into()),
            (None, None) => return Err(missing("payload")),
        };
        Ok(Self { topic, payload, priority, ttl_ms })
    }
}

/// The parameters of `kv_store.set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvSet<'a> {
    /// The key.
    pub key: Cow<'a, str>,
    /// The bytes to put there.
    pub value: Vec<u8>,
    /// The key is removed when this is over.
    pub ttl_ms: Option<u64>,
    /// Only if this is its revision, or, for 0, if there is no such key.
    pub expected_revision: Option<u64>,
}

impl<'a> KvSet<'a> {
    /// Reads them. An attached value is taken out of them.
    ///
    /// # Errors
    ///
    /// If they are not of this form.
    pub fn of_params(params: &'a mut Object<'_>) -> Result<Self, InvalidJson> {
        let mut attached = params.detach("value");
        let json = params.json();
        Self::read_quickly(json, &mut attached).map_or_else(|| Self::read_any(json, attached), Ok)
    }

    /// `None` says nothing: then the attachment is as it was.
    fn read_quickly(json: &'a str, attached: &mut Option<Vec<u8>>) -> Option<Self> {
        if !is_on("kv_set") {
            return None;
        }
        let mut scan = QuickReader::of_text(json);
        let (key, text) = scan.text_beside(br#""key":""#, br#""value":""#)?;
        let ttl_ms = if scan.skip(br#","ttl_ms":"#) { Some(scan.number()?) } else { None };
        let expected_revision = if scan.skip(br#","expected_revision":"#) { Some(scan.number()?) } else { None };
        scan.literal(b"}")?;
        scan.end()?;
        let value = match (attached.take(), text) {
            (Some(attached), _) => attached,
            (None, text) => decode_base64(text?).ok()?,
        };
        Some(Self { key: Cow::Borrowed(key), value, ttl_ms, expected_revision })
    }

    fn read_any(json: &'a str, attached: Option<Vec<u8>>) -> Result<Self, InvalidJson> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow)]
            key: Cow<'a, str>,
            /// Absent if it is attached.
            #[serde(borrow)]
            value: Option<Cow<'a, str>>,
            ttl_ms: Option<u64>,
            expected_revision: Option<u64>,
        }
        let Fields { key, value, ttl_ms, expected_revision } = serde_json::from_str(json).or_else(|_| read_json(json.as_bytes()))?;
        let value = match (attached, value) {
            (Some(attached), _) => attached,
            (None, Some(text)) => decode_base64(&*text)
                .map_err(|error| InvalidJson { path: "value".to_owned(), message: error.to_string() })?,
            (None, None) => return Err(missing("value")),
        };
        Ok(Self { key, value, ttl_ms, expected_revision })
    }
}

impl Object<'_> {
    /// The text under this key, which is ASCII as the text is, if the object has nothing else, and is written in the usual form.
    #[must_use]
    pub fn only_text<const N: usize>(&self, key: &[u8; N]) -> Option<&str> {
        let mut scan = QuickReader::of_text(self.json());
        scan.literal(b"{\"")?;
        scan.literal(key)?;
        scan.literal(b"\":\"")?;
        let text = scan.text()?;
        scan.literal(b"}")?;
        scan.end()?;
        Some(text)
    }
}

fn missing(field: &str) -> InvalidJson {
    InvalidJson::missing(field)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quick_json::tests::almost;

    const SENT: &[&str] = &[
        r#"{"payload":"aGVsbG8=","topic":"a.b","priority":1,"ttl_ms":50}"#,
        r#"{"topic":"a.b","payload":"","priority":4}"#,
        r#"{"topic":"a","priority":2,"ttl_ms":0}"#,
        r#"{"payload":"e30=","topic":"a"}"#,
    ];
    const SET: &[&str] = &[
        r#"{"value":"aGVsbG8=","key":"a/b","ttl_ms":1,"expected_revision":0}"#,
        r#"{"key":"k","value":"","expected_revision":7}"#,
        r#"{"key":"k","ttl_ms":60000}"#,
    ];

    fn params(json: &str, key: &str, attached: bool) -> Object<'static> {
        let object = Object::trusted(json.to_owned());
        if attached { object.attach(key.to_owned(), b"hi".to_vec()) } else { object }
    }

    #[test]
    fn the_forms_that_come_by_the_thousand_are_read_quickly() {
        for json in SENT {
            let params = params(json, "payload", !json.contains("payload"));
            assert_eq!(BusSend::read_quickly(&params).map(Ok), Some(BusSend::read_any(&params)), "{json}");
        }
        for json in SET {
            let mut attached = (!json.contains("value")).then(|| b"hi".to_vec());
            let any = KvSet::read_any(json, attached.clone());
            assert_eq!(KvSet::read_quickly(json, &mut attached).map(Ok), Some(any), "{json}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (json, error) in [
            ("{}", "`topic`: missing"),
            (r#"{"topic":"t"}"#, "`payload`: missing"),
            (r#"{"topic":"t","payload":5}"#, "`payload`: invalid type: integer `5`, expected a string"),
            (r#"{"topic":"t","payload":"","payload":""}"#, "duplicate field `payload`"),
        ] {
            assert_eq!(BusSend::of_params(&Object::trusted(json)).unwrap_err().to_string(), error, "{json}");
        }
        for (json, error) in [
            (r#"{"value":""}"#, "`key`: missing"),
            (r#"{"key":"k"}"#, "`value`: missing"),
            (r#"{"value":"*","key":"k"}"#, "`value`: not base64"),
        ] {
            let told = KvSet::of_params(&mut Object::trusted(json)).unwrap_err().to_string();
            assert!(told.starts_with(error), "{json}: {told}");
        }
    }

    #[test]
    fn a_text_that_is_not_plain_is_passed_on_escaped() {
        let params = Object::trusted(r#"{"payload":"a\"\u000a\u00e4","topic":"t"}"#);
        let Payload::Base64(text) = BusSend::of_params(&params).unwrap().payload else { panic!("it is text") };
        let mut written = Vec::new();
        text.write(&mut written);
        assert_eq!(String::from_utf8(written).unwrap(), "\"a\\\"\\n\u{e4}\"");
    }

    #[test]
    fn an_object_with_one_text_is_told_from_others() {
        for (json, text) in [
            (r#"{"key":"a/b"}"#, Some("a/b")),
            (r#"{"key":"a"} "#, None),
            (r#"{"key":"\n"}"#, None),
            (r#"{"key":"a","expected_revision":1}"#, None),
            (r#"{"kez":"a"}"#, None),
        ] {
            assert_eq!(Object::trusted(json).only_text(b"key"), text, "{json}");
        }
    }

    proptest! {
        /// Whatever is wrong with them, or unusual: what is read quickly is what serde reads.
        #[test]
        fn what_is_sent_is_read_the_same(json in almost(SENT.to_vec()), attached: bool) {
            let params = params(&json, "payload", attached);
            if let Some(quick) = BusSend::read_quickly(&params) {
                prop_assert_eq!(Ok(quick), BusSend::read_any(&params), "{}", json);
            }
        }

        #[test]
        fn what_is_set_is_read_the_same(json in almost(SET.to_vec()), attached: bool) {
            let attached = attached.then(|| b"hi".to_vec());
            let mut kept = attached.clone();
            match KvSet::read_quickly(&json, &mut kept) {
                Some(quick) => prop_assert_eq!(Ok(quick), KvSet::read_any(&json, attached), "{}", json),
                None => prop_assert_eq!(kept, attached),
            }
        }
    }
}
