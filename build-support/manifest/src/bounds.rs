//! What a value has to keep to. The defaults in a manifest are checked with this, and so is what a host is told to
//! configure a module with.

use regex_lite::Regex;

use crate::model::Bounds;
use crate::value::Value;

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
