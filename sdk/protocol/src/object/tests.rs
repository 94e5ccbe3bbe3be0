use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::*;
use crate::deserialize_base64;

#[derive(Debug, PartialEq, Deserialize)]
struct Image {
    name: String,
    #[serde(deserialize_with = "deserialize_base64")]
    pixels: Vec<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "Image")]
struct Empty;

impl TryFrom<Image> for Empty {
    type Error = String;

    fn try_from(image: Image) -> Result<Self, String> {
        if image.pixels.is_empty() { Ok(Self) } else { Err("there are pixels".to_owned()) }
    }
}

#[derive(Debug, Deserialize)]
struct Short {
    #[serde(deserialize_with = "short")]
    #[expect(dead_code, reason = "it is too long")]
    short: Vec<u8>,
}

fn short<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let bytes: Vec<u8> = deserialize_base64(deserializer)?;
    match bytes.len() {
        0 => Err(serde::de::Error::custom("empty")),
        1..=10 => Ok(bytes),
        _ => Err(serde::de::Error::custom("longer than 10 bytes")),
    }
}

#[test]
fn bytes_outside_are_read_as_base64_is() {
    let image = || Image { name: "n".to_owned(), pixels: b"\xFF\0".to_vec() };
    let json = r#"{"name":"n"}"#;
    for object in
        [Object::trusted(json).attach("pixels", &b"\xFF\0"[..]), Object::trusted(r#"{"name":"n","pixels":"/wA="}"#)]
    {
        assert_eq!(object.clone().read::<Image>(), Ok(image()));
        let value: serde_json::Value = object.clone().read().unwrap();
        assert_eq!(value["pixels"], "/wA=");
        assert_eq!(object.into_json().len(), r#"{"name":"n","pixels":"/wA="}"#.len());
    }
    // A reader of text gets base64, even if the bytes are text themselves.
    let text: BTreeMap<String, String> = Object::trusted(json).attach("text", &b"hello"[..]).read().unwrap();
    assert_eq!(text["text"], "aGVsbG8=");
    // The same holds for a reader of the whole object as text.
    let whole: Box<RawValue> = Object::trusted(json).attach("pixels", &b"\xFF\0"[..]).read().unwrap();
    assert_eq!(whole.get(), r#"{"pixels":"/wA=","name":"n"}"#);
    let other = Object::trusted(json).attach("other", &b"x"[..]);
    assert_eq!(other.read::<Image>().unwrap_err().to_string(), "`pixels`: missing");
    let twice = Object::trusted(json).attach("name", &b"x"[..]);
    assert_eq!(twice.read::<Image>().unwrap_err().to_string(), "duplicate field `name`");
}

#[test]
fn bytes_outside_are_not_copied_and_what_is_wrong_behind_them_is_told() {
    let pixels = vec![7; 1000];
    let place = pixels.as_ptr();
    let image: Image = Object::trusted(r#"{"name":"n"}"#).attach("pixels", pixels).read().unwrap();
    assert_eq!((image.pixels.as_ptr(), image.pixels.len()), (place, 1000));

    let large = Object::trusted("{}").attach("short", vec![7; 1000]);
    assert_eq!(large.read::<Short>().unwrap_err().to_string(), "`short`: longer than 10 bytes");
    let nameless = Object::trusted("{}").attach("pixels", vec![7; 1000]);
    assert_eq!(nameless.read::<Image>().unwrap_err().to_string(), "`name`: missing");
    // The error is that of the first attempt, even if a second one without the bytes succeeds.
    let image = Object::trusted(r#"{"name":"n"}"#).attach("pixels", vec![7; 1000]);
    assert_eq!(image.read::<Empty>().unwrap_err().to_string(), "there are pixels");
}

#[test]
fn the_rest_of_an_object_is_as_it_was() {
    for (json, whole) in
        [("{}", r#"{"a\"":"aGk="}"#), ("{ }", r#"{"a\"":"aGk="}"#), (r#"{ "b": 1 }"#, r#"{"a\"":"aGk=","b": 1 }"#)]
    {
        assert_eq!(Object::trusted(json).attach("a\"", &b"hi"[..]).to_json(), whole);
    }
}

#[test]
fn bytes_are_attached_from_64_on_where_the_framing_can_do_that() {
    for (bytes, framing, attached) in
        [(63, Framing::Length, false), (64, Framing::Length, true), (64, Framing::Line, false)]
    {
        let object = Object::trusted(r#"{"n":1}"#).attach("b", vec![7; bytes]);
        let mut output = Vec::new();
        let place = object.write("data", framing, &mut output);
        assert_eq!(place.as_deref(), attached.then_some("data.b"));
        let text = String::from_utf8(output).unwrap();
        assert_eq!(text.ends_with(r#""data":{"n":1}"#), attached, "{text}");
        assert_eq!(text.contains(r#""b":"BwcH"#), !attached, "{text}");
        assert_eq!(object.into_attachment(framing), attached.then(|| vec![7; bytes]));
    }
    assert_eq!(Object::trusted(r#"{"b":""}"#).into_attachment(Framing::Length), None);
}

#[test]
fn bytes_are_taken_out_by_their_key() {
    let mut object = Object::trusted(r#"{"n":1}"#).attach("b", b"hi".to_vec());
    assert_eq!((object.attached("n"), object.attached("b")), (None, Some(&b"hi"[..])));
    assert_eq!(object.bytes(), r#"{"n":1}"#.len() + 2);
    assert_eq!((object.json(), &*object.to_json()), (r#"{"n":1}"#, r#"{"b":"aGk=","n":1}"#));
    assert_eq!(object.to_string(), object.clone().into_json());
    assert_eq!((object.detach("n"), object.detach("b"), object.detach("b")), (None, Some(b"hi".to_vec()), None));
    assert_eq!((object.json(), &*object.to_json(), object.bytes()), (r#"{"n":1}"#, r#"{"n":1}"#, 7));
}
