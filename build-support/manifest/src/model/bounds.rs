//! What a value has to keep to. The defaults in a manifest are checked with this, and so is what a host is told to
//! configure a module with.

use regex_lite::Regex;

use crate::model::Bounds;
use crate::read::value::Value;

impl Bounds {
    /// Checks a value against these bounds, themselves not checked again.
    ///
    /// # Errors
    ///
    /// What the value has to be, such as "at least 1". The value itself is not shown: it may be secret.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        if let Some(min) = &self.min
            && value.partial_cmp(&min.value).is_some_and(std::cmp::Ordering::is_lt)
        {
            return Err(format!("at least {}", min.value));
        }
        if let Some(max) = &self.max
            && value.partial_cmp(&max.value).is_some_and(std::cmp::Ordering::is_gt)
        {
            return Err(format!("at most {}", max.value));
        }
        if let Some((length, unit)) = length(value) {
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

/// How long a value is, and in what that is counted: one, and many.
fn length(value: &Value) -> Option<(u64, [&'static str; 2])> {
    let (length, unit) = match value {
        Value::String(text) => (text.chars().count(), ["character", "characters"]),
        Value::Bytes(bytes) => (bytes.len(), ["byte", "bytes"]),
        Value::List(items) => (items.len(), ["item", "items"]),
        Value::Map(entries) => (entries.len(), ["entry", "entries"]),
        _ => return None,
    };
    Some((length as u64, unit))
}

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
