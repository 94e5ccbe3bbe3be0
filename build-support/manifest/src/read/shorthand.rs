//! Parses the short form of a type: `string`, `[string]`, `{integer}`, `Order?`. `type_table` reads the long form.

use crate::model::{Bounds, Scalar, Type, TypeKind};
use crate::source::Span;

/// The most levels of a type: each list, map and `?` is one, and so is the name within. More are an error, so that the recursion has
/// an end.
const MAX_DEPTH: usize = 16;

/// The names of types that need no entry in `[types]` and can have none, first those of [`Scalar::ALL`]. `list`, `map` and `table` are
/// names in the long form only.
pub(super) fn built_in_names<'a>() -> impl Iterator<Item = &'a str> + Clone {
    Scalar::ALL.iter().map(|scalar| scalar.name()).chain(["list", "map", "table"])
}

/// Parses the type that is written at `span`. Any name that is not a [`Scalar`] becomes [`TypeKind::Named`], also `list`, `map` and
/// `table`; whether it is declared is for the caller to check.
///
/// White space around each part is ignored. The type has no bounds, and `span` is the place of each of its parts. The error is the
/// label beside the type: the text is empty, has no type's form, has a `?` twice, or has more than [`MAX_DEPTH`] levels.
pub(super) fn parse(text: &str, span: &Span) -> Result<Type, String> {
    parse_nested(text, span, MAX_DEPTH)
}

/// Parses a type that has at most `depth` levels; more are an error.
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
        TypeKind::List(nested(rest.strip_suffix(']').ok_or("this `[` has no `]`")?)?)
    } else if let Some(rest) = text.strip_prefix('{') {
        TypeKind::Map(nested(rest.strip_suffix('}').ok_or("this `{` has no `}`")?)?)
    } else if let Some(scalar) = Scalar::from_name(text) {
        TypeKind::Scalar(scalar)
    } else if text.is_empty() {
        return Err("a type is missing here".to_owned());
    } else if is_name(text) {
        TypeKind::Named(text.to_owned())
    } else {
        return Err("expected a type such as `string`, `[string]`, `{string}` or `string?`".to_owned());
    };
    Ok(Type { kind, optional: false, bounds: Bounds::default(), span: span.clone() })
}

/// Whether a text has only characters that names of keys, fields and types, and the words of a topic may have: at least one, and
/// ASCII letters, digits, `_` and `-`. What it may begin with is for the caller to check.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Type, String> {
        super::parse(text, &(0..0))
    }

    #[test]
    fn a_type_is_displayed_as_it_is_written() {
        for scalar in Scalar::ALL {
            assert_eq!(parse(scalar.name()).unwrap().to_string(), scalar.name());
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
