//! The short way to write a type: `string`, `[string]`, `Order?`.

use crate::Type;

/// Deeper nesting than this is a mistake, and recursion has to end somewhere.
const MAX_DEPTH: usize = 16;

/// Reads a type. Whether a named type exists is for the caller to check.
pub(crate) fn parse(text: &str) -> Result<Type, String> {
    parse_nested(text, MAX_DEPTH)
}

fn parse_nested(text: &str, depth: usize) -> Result<Type, String> {
    let text = text.trim();
    if depth == 0 {
        return Err(format!("nested deeper than {MAX_DEPTH} levels"));
    }
    if let Some(inner) = text.strip_suffix('?') {
        return match parse_nested(inner, depth - 1)? {
            Type::Optional(_) => Err("optional twice: one `?` is enough".to_owned()),
            inner => Ok(Type::Optional(Box::new(inner))),
        };
    }
    if let Some(rest) = text.strip_prefix('[') {
        let item = rest.strip_suffix(']').ok_or("this `[` has no `]`")?;
        return Ok(Type::List(Box::new(parse_nested(item, depth - 1)?)));
    }
    Ok(match text {
        "string" => Type::String,
        "integer" => Type::Integer,
        "float" => Type::Float,
        "boolean" => Type::Boolean,
        "bytes" => Type::Bytes,
        "" => return Err("a type is missing here".to_owned()),
        name if is_name(name) => Type::Named(name.to_owned()),
        _ => return Err("expected a type such as `string`, `[string]` or `string?`".to_owned()),
    })
}

/// The names of the types that need no `[types]`.
pub(crate) const BUILT_IN: [&str; 5] = ["string", "integer", "float", "boolean", "bytes"];

/// What the names of keys, fields, types and the words of a topic are made of.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_displayed_as_it_is_written() {
        for text in ["string", "integer", "float", "boolean", "bytes", "Order", "[string]", "Order?", "[[float?]]?"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn white_space_is_free() {
        assert_eq!(parse(" [ string ? ] ").unwrap(), parse("[string?]").unwrap());
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for text in ["", "?", "[", "]", "[]", "string??", "[string", "a b", "Größe", "{string"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_deep_recursion() {
        let deep = format!("{}string{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(parse(&deep).unwrap_err(), "nested deeper than 16 levels");
    }
}
