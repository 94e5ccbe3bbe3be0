//! Generated newtypes: a named type of the manifest, perhaps with rules, around another type. The struct itself is in generated code; its
//! field is private.

use std::fmt;

/// The error of the `TryFrom` of a generated newtype: the value breaks a rule of the manifest. Displays as the type's name in the manifest
/// and the first rule that is broken, such as ``not a `Percent`: must be at most 100``. The value is not in it, and is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidValue {
    type_name: &'static str,
    wanted: String,
}

impl InvalidValue {
    /// For generated code. `type_name` is the type's name in the manifest, `wanted` what the value must be, such as "must be at least 1".
    #[must_use]
    pub fn new(type_name: &'static str, wanted: String) -> Self {
        Self { type_name, wanted }
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a `{}`: {}", self.type_name, self.wanted)
    }
}

impl std::error::Error for InvalidValue {}

/// Implements the traits for a generated newtype: `Deref` to the type inside, `Decode`, `Encode`, serde's traits, and `From` the type
/// inside, or `TryFrom` if it has rules. The arguments: its name in Rust and the type inside; if it has rules, also its name in the
/// manifest and the rules.
#[doc(hidden)]
#[macro_export]
macro_rules! __newtype {
    ($type:ident, $inner:ty) => {
        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl ::std::convert::From<$inner> for $type {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        $crate::__private::newtype!(@common $type, $inner, &[]);
    };
    ($type:ident, $inner:ty, $name:literal, $rules:expr) => {
        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl ::std::convert::TryFrom<$inner> for $type {
            type Error = $crate::InvalidValue;

            fn try_from(value: $inner) -> ::std::result::Result<Self, $crate::InvalidValue> {
                match $crate::__private::Decode::check(&value, const { $rules }) {
                    ::std::result::Result::Ok(()) => ::std::result::Result::Ok(Self(value)),
                    ::std::result::Result::Err(wanted) => {
                        ::std::result::Result::Err($crate::InvalidValue::new($name, wanted))
                    }
                }
            }
        }

        $crate::__private::newtype!(@common $type, $inner, $rules);
    };
    (@common $type:ident, $inner:ty, $rules:expr) => {
        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl ::std::ops::Deref for $type {
            type Target = $inner;

            fn deref(&self) -> &$inner {
                &self.0
            }
        }

        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl $crate::__private::Decode for $type {
            fn decode<'de, __D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: __D,
                reading: $crate::__private::Reading<'_>,
            ) -> ::std::result::Result<Self, __D::Error> {
                $crate::__private::Decode::decode(deserializer, reading.with(const { $rules })).map(Self)
            }
        }

        #[allow(deprecated, clippy::all, clippy::pedantic)]
        impl $crate::__private::Encode for $type {
            fn encode<__S: $crate::__private::serde::Serializer>(
                &self,
                serializer: __S,
            ) -> ::std::result::Result<__S::Ok, __S::Error> {
                $crate::__private::Encode::encode(&self.0, serializer)
            }

            fn as_bytes(&self) -> ::std::option::Option<&[u8]> {
                $crate::__private::Encode::as_bytes(&self.0)
            }
        }

        $crate::__private::serde_traits!($type);
    };
}
