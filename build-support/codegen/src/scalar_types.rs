//! The Rust types of the manifest's scalar types, and what they can derive. `rust_types` has the Rust types of all
//! types.

use ixt_manifest::Scalar;

use crate::derives::Derivable;

/// The Rust type of the values, if they are not secret. `Timestamp` needs the feature `datetime` of `ixt-sdk`.
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

/// The Rust type of secret values.
///
/// # Panics
///
/// If the type can't be secret ([`Scalar::can_be_secret`]). The manifest's checks exclude that.
pub(crate) fn secret_type(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::String => "::ixt_sdk::SecretString",
        Scalar::Bytes => "::ixt_sdk::SecretSlice<u8>",
        Scalar::Integer
        | Scalar::Float
        | Scalar::Boolean
        | Scalar::Duration
        | Scalar::Size
        | Scalar::Path
        | Scalar::Datetime => unreachable!("a value of type `{}` can't be secret", scalar.name()),
    }
}

/// Whether the Rust type implements `Default`. All of them do; a new one has to be listed here.
pub(crate) const fn has_default(scalar: Scalar) -> bool {
    match scalar {
        Scalar::String
        | Scalar::Integer
        | Scalar::Float
        | Scalar::Boolean
        | Scalar::Bytes
        | Scalar::Duration
        | Scalar::Size
        | Scalar::Path
        | Scalar::Datetime => true,
    }
}

/// What the Rust type can derive, if the value is not secret.
pub(crate) const fn derivable(scalar: Scalar) -> Derivable {
    match scalar {
        Scalar::Integer | Scalar::Boolean | Scalar::Duration | Scalar::Size | Scalar::Datetime => Derivable::ALL,
        Scalar::Float => Derivable { eq: false, copy: true },
        Scalar::String | Scalar::Bytes | Scalar::Path => Derivable { eq: true, copy: false },
    }
}
