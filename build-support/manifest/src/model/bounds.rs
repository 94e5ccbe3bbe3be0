//! `min`, `max`, `min_length`, `max_length` and `pattern`, and the check of a value against them. Used for the defaults and
//! other values of a manifest, and by the host for each value of a module's configuration. The SDK has its own check of what a
//! module receives. `read::bounds` reads them.

use std::cmp::Ordering;

use regex_lite::Regex;

use super::Value;
use crate::source::Span;

/// What the values of a type have to satisfy beyond the type itself. `None`: the manifest has no such bound, so every value satisfies it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bounds {
    /// The least value that is allowed, itself included, of the same type as the values. Only for `integer`, `float`, `duration` and
    /// `size`.
    pub min: Option<Bound<Value>>,
    /// The greatest value that is allowed, itself included, for the same types as `min`. It is not less than `min`.
    pub max: Option<Bound<Value>>,
    /// The least length that is allowed: characters (Unicode scalar values) of a `string`, bytes of a `bytes`, items of a list,
    /// entries of a map. Only for these types. 0 to 2^63 - 1.
    pub min_length: Option<Bound<u64>>,
    /// The greatest length that is allowed, in the same units and for the same types. It is not less than `min_length`.
    pub max_length: Option<Bound<u64>>,
    /// A regular expression of the crate `regex-lite` that has to match somewhere in the value: without `^` and `$`, not the whole value.
    /// Only for `string`. The manifest's reader has compiled it, so it is valid.
    pub pattern: Option<Bound<String>>,
}

/// A bound, with its place in the manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound<T> {
    /// The bound itself.
    pub value: T,
    /// Where its value is written in the manifest, with quotes if it has some.
    pub span: Span,
}

impl Bounds {
    /// Whether there are no bounds, so that every value of the type is allowed. A `min_length` of 0 is a bound.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The bounds in words for people, one text for each, in the order of the fields: "at least 1", "at most 64 long", "matches
    /// ^a+$". Empty without bounds. `code` marks up the values and the pattern, which may have characters that mean something in
    /// Markdown or to a terminal; lengths are not passed to it. A value is given to it as its `Display` writes it.
    #[must_use]
    pub fn in_words(&self, code: impl Fn(&str) -> String) -> Vec<String> {
        let Self { min, max, min_length, max_length, pattern } = self;
        let mut words = Vec::new();
        for (at, bound) in [("at least", min), ("at most", max)] {
            words.extend(bound.iter().map(|bound| format!("{at} {}", code(&bound.value.to_string()))));
        }
        for (at, bound) in [("at least", min_length), ("at most", max_length)] {
            words.extend(bound.iter().map(|bound| format!("{at} {} long", bound.value)));
        }
        words.extend(pattern.iter().map(|pattern| format!("matches {}", code(&pattern.value))));
        words
    }

    /// Checks a value, which has to be of the type of the bounds: a bound that does not apply to it is ignored. Its parts are not
    /// checked: the types of list items and of map values have separate bounds. The `pattern` is compiled anew in each call.
    ///
    /// # Errors
    ///
    /// The first bound that the value violates, in the order of the fields, in words that follow "expected": "at least 1". The
    /// value itself is not part of them, since it may be secret. A `pattern` that is not a valid regular expression is violated
    /// by every string.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        if let Some(min) = &self.min
            && value.partial_cmp(&min.value).is_some_and(Ordering::is_lt)
        {
            return Err(format!("at least {}", min.value));
        }
        if let Some(max) = &self.max
            && value.partial_cmp(&max.value).is_some_and(Ordering::is_gt)
        {
            return Err(format!("at most {}", max.value));
        }
        if let Some((length, unit)) = value.length() {
            if let Some(min) = &self.min_length
                && length < min.value
            {
                return Err(format!("at least {}", counted(min.value, unit)));
            }
            if let Some(max) = &self.max_length
                && length > max.value
            {
                return Err(format!("at most {}", counted(max.value, unit)));
            }
        }
        if let (Some(pattern), Value::String(text)) = (&self.pattern, value)
            && !Regex::new(&pattern.value).is_ok_and(|regex| regex.is_match(text))
        {
            return Err(format!("text that matches the pattern `{}`", pattern.value));
        }
        Ok(())
    }
}

/// A number with its unit, in the singular for 1, otherwise in the plural.
fn counted(count: u64, [one, many]: [&str; 2]) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Manifest, Source};

    #[test]
    fn a_bound_itself_is_within_and_what_is_beyond_is_told() {
        let manifest = "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n[config]\n\
            number = { type = \"integer\", min = 2, max = 4 }\n\
            text = { type = \"string\", min_length = 1, max_length = 2, pattern = \"^a+$\" }\n\
            bytes = { type = \"bytes\", max_length = 1 }\n\
            list = { type = \"[string]\", min_length = 2 }\n\
            map = { type = \"{string}\", max_length = 1 }\n";
        let manifest = Manifest::parse(&Source::new("manifest.toml", manifest)).unwrap();
        let check = |key: &str, value: Value| {
            let key = manifest.config.iter().find(|field| field.name.as_str() == key).unwrap();
            key.ty.bounds.check(&value).err().unwrap_or_default()
        };
        let text = |text: &str| Value::String(text.to_owned());
        let list = |length: usize| Value::List(vec![text("x"); length]);
        let map = |length: usize| Value::Map((0..length).map(|key| (key.to_string(), text("x"))).collect());
        for (key, value, says) in [
            ("number", Value::Integer(1), "at least 2"),
            ("number", Value::Integer(2), ""),
            ("number", Value::Integer(4), ""),
            ("number", Value::Integer(5), "at most 4"),
            ("text", text(""), "at least 1 character"),
            ("text", text("a"), ""),
            ("text", text("aa"), ""),
            ("text", text("aaa"), "at most 2 characters"),
            ("text", text("\u{e4}\u{e4}"), "text that matches the pattern `^a+$`"),
            ("bytes", Value::Bytes(vec![0]), ""),
            ("bytes", Value::Bytes(vec![0, 0]), "at most 1 byte"),
            ("list", list(1), "at least 2 items"),
            ("list", list(2), ""),
            ("map", map(1), ""),
            ("map", map(2), "at most 1 entry"),
        ] {
            assert_eq!(check(key, value.clone()), says, "{key}: {value:?}");
        }
    }
}
