//! The Rust types of the manifest's built-in types without parts, and what they can derive.

use ixt_manifest::Scalar;

/// The Rust type of the values. The feature `datetime` of `ixt-sdk` has `Timestamp`.
pub(crate) const fn rust_type(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::String => "::std::string::String",
        Scalar::Integer => "i64",
        Scalar::Float => "f64",
        Scalar::Boolean => "bool",
        Scalar::Bytes => "::ixt_sdk::Bytes",
        Scalar::Duration => "::std::time::Duration",
        Scalar::Size => "u64",
        Scalar::Path => "::std::path::PathBuf",
        Scalar::Datetime => "::ixt_sdk::Timestamp",
    }
}

/// Whether the Rust type is `Eq` and `Hash`, and whether it is `Copy`.
pub(crate) const fn is_eq_and_copy(scalar: Scalar) -> (bool, bool) {
    match scalar {
        Scalar::Float => (false, true),
        Scalar::Integer | Scalar::Boolean | Scalar::Duration | Scalar::Size | Scalar::Datetime => (true, true),
        Scalar::String | Scalar::Bytes | Scalar::Path => (true, false),
    }
}
