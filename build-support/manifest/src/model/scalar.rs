//! The built-in types without parts, such as `string`: one list, and everything that depends on the type alone. What a new
//! one needs elsewhere is a match on [`Scalar`] that the compiler finds; see "Add a config type" in CONTRIBUTING.md.

macro_rules! scalars {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal,)*) => {
        /// A built-in type without parts. Lists, maps and tables have parts, so they are not here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scalar {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Scalar {
            /// All of them, each once, in the order of the variants. Messages list them in it.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name of the type in a manifest, in lower case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

scalars! {
    /// UTF-8 text of any length.
    String "string",
    /// An integer of 64 bits with a sign, as in TOML.
    Integer "integer",
    /// A floating-point number of 64 bits; never infinite or NaN, which JSON can't express. In a manifest also an integer that it can hold
    /// exactly.
    Float "float",
    /// `true` or `false`.
    Boolean "boolean",
    /// Bytes; base64 text of the standard alphabet with padding, in JSON and in the manifest.
    Bytes "bytes",
    /// A length of time, 0 or more; text such as `"250ms"`, never a number.
    Duration "duration",
    /// A number of bytes, 0 or more; an integer, or text such as `"16MiB"`. In a manifest, and as text, at most 2^63 - 1.
    Size "size",
    /// A path of the file system; any UTF-8 text, also an empty one. It stays as it is written, and whether the file exists is not
    /// checked.
    Path "path",
    /// A point in time; text by RFC 3339 with an offset. In the manifest also a TOML date-time with an offset. In the manifest and
    /// in the host's configuration it is before 9999-12-29.
    Datetime "datetime",
}

/// Which JSON values a type has. `null` is not one of them: that an optional value may be `null` is said by
/// [`Type::optional`](super::Type::optional).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonForm {
    /// Each value is a string.
    Text,
    /// A value is a string or a number: a `size`.
    TextOrNumber,
    /// Each value is a number; whether it has to be an integer depends on the type.
    Number,
    /// Each value is `true` or `false`.
    Boolean,
}

impl Scalar {
    /// The type with this name in a manifest, in lower case and without `?`. `None` if no built-in type without parts has it, as for
    /// `list`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scalar| scalar.name() == name)
    }

    /// The names of the types for which `is` holds, such as [`has_order`](Self::has_order), in the order of
    /// [`ALL`](Self::ALL). For the labels of diagnostics.
    pub(crate) fn names_where(is: impl Fn(Self) -> bool) -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter(move |scalar| is(**scalar)).map(|scalar| scalar.name())
    }

    /// Which JSON values the type has.
    #[must_use]
    pub const fn json_form(self) -> JsonForm {
        match self {
            Self::String | Self::Bytes | Self::Duration | Self::Path | Self::Datetime => JsonForm::Text,
            Self::Size => JsonForm::TextOrNumber,
            Self::Integer | Self::Float => JsonForm::Number,
            Self::Boolean => JsonForm::Boolean,
        }
    }

    /// Whether values have an order, so that `min` and `max` apply. Points in time have none here.
    #[must_use]
    pub const fn has_order(self) -> bool {
        match self {
            Self::Integer | Self::Float | Self::Duration | Self::Size => true,
            Self::String | Self::Boolean | Self::Bytes | Self::Path | Self::Datetime => false,
        }
    }

    /// Whether values have a length, so that `min_length` and `max_length` apply: the characters of a `string`, the bytes of a `bytes`
    /// (not of its base64). Lists and maps have a length too, and are not built-in types without parts.
    #[must_use]
    pub const fn has_length(self) -> bool {
        match self {
            Self::String | Self::Bytes => true,
            Self::Integer | Self::Float | Self::Boolean | Self::Duration | Self::Size | Self::Path | Self::Datetime => {
                false
            }
        }
    }

    /// Whether a config key of the type can be `secret`: the SDK has a secret Rust type for it. An optional one can be secret too;
    /// an enum, or a newtype of the type, can't.
    #[must_use]
    pub const fn can_be_secret(self) -> bool {
        match self {
            Self::String | Self::Bytes => true,
            Self::Integer | Self::Float | Self::Boolean | Self::Duration | Self::Size | Self::Path | Self::Datetime => {
                false
            }
        }
    }
}
