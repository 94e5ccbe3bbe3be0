//! The short way to write a type: `string`, `[string]`, `{integer}`, `Order?`.

use crate::Span;
use crate::model::{Bounds, Kind, Type};

/// Deeper nesting than this is a mistake, and recursion has to end somewhere.
const MAX_DEPTH: usize = 16;

/// The names of the types that need no `[types]`. `list`, `map` and `table` are for the long form alone.
pub(crate) const BUILT_IN: [&str; 12] =
    ["string", "integer", "float", "boolean", "bytes", "duration", "size", "path", "datetime", "list", "map", "table"];

/// Reads a type that stands at `span`. Whether a named type exists is for the caller to check; `list`, `map` and
/// `table` come back as names.
pub(crate) fn parse(text: &str, span: &Span) -> Result<Type, String> {
    parse_nested(text, span, MAX_DEPTH)
}

fn parse_nested(text: &str, span: &Span, depth: usize) -> Result<Type, String> {
    let text = text.trim();
    if depth == 0 {
        return Err(format!("nested deeper than {MAX_DEPTH} levels"));
    }
    if let Some(inner) = text.strip_suffix('?') {
        let inner = parse_nested(inner, span, depth - 1)?;
        if inner.optional {
            return Err("optional twice: one `?` is enough".to_owned());
        }
        return Ok(Type { optional: true, ..inner });
    }
    let nested = |inner: &str| parse_nested(inner, span, depth - 1).map(Box::new);
    let kind = if let Some(rest) = text.strip_prefix('[') {
        Kind::List(nested(rest.strip_suffix(']').ok_or("this `[` has no `]`")?)?)
    } else if let Some(rest) = text.strip_prefix('{') {
        Kind::Map(nested(rest.strip_suffix('}').ok_or("this `{` has no `}`")?)?)
    } else {
        match text {
            "string" => Kind::String,
            "integer" => Kind::Integer,
            "float" => Kind::Float,
            "boolean" => Kind::Boolean,
            "bytes" => Kind::Bytes,
            "duration" => Kind::Duration,
            "size" => Kind::Size,
            "path" => Kind::Path,
            "datetime" => Kind::Datetime,
            "" => return Err("a type is missing here".to_owned()),
            name if is_name(name) => Kind::Named(name.to_owned()),
            _ => return Err("expected a type such as `string`, `[string]`, `{string}` or `string?`".to_owned()),
        }
    };
    Ok(Type { kind, optional: false, bounds: Bounds::default(), span: span.clone() })
}

/// What the names of keys, fields, types and the words of a topic are made of.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Type, String> {
        super::parse(text, &(0..0))
    }

    #[test]
    fn a_type_is_displayed_as_it_is_written() {
        for text in ["string", "integer", "float", "boolean", "bytes", "duration", "size", "path", "datetime"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        for text in ["Order", "[string]", "Order?", "[[float?]]?", "{integer}", "{[Order]}?"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn white_space_is_free() {
        assert_eq!(parse(" [ string ? ] ").unwrap(), parse("[string?]").unwrap());
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for text in ["", "?", "[", "]", "[]", "{}", "string??", "[string", "a b", "Größe", "{string", "{a: b}"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_deep_recursion() {
        let deep = format!("{}string{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(parse(&deep).unwrap_err(), "nested deeper than 16 levels");
    }
}
