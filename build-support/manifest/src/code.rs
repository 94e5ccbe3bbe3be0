//! Every kind of thing that can be wrong with a manifest: one list, from which the reference page and the tests work.

use std::fmt;

/// How serious a [`Diagnostic`](crate::Diagnostic) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// No code can be made from the manifest.
    Error,
    /// Legal, but probably not meant.
    Warning,
}

macro_rules! codes {
    ($($(#[doc = $summary:literal])+ $variant:ident = $severity:ident $name:literal,)*) => {
        /// The kind of a [`Diagnostic`](crate::Diagnostic), for programs: the text in the brackets of `error[unknown-key]`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $summary])+ $variant,)*
        }

        impl Code {
            /// Every code there is, in the order of the alphabet.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as it is shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether it is an error or a warning.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$variant => Severity::$severity,)*
                }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn summary(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($summary),+).trim_ascii(),)*
                }
            }
        }
    };
}

codes! {
    /// Two manifests of `[requires.from]` provide the same topic.
    AmbiguousImport = Error "ambiguous-import",
    /// Two statements that can't both be true, such as `required = true` and a default.
    Contradiction = Error "contradiction",
    /// A type that is deprecated is used by something that isn't.
    DeprecatedUse = Warning "deprecated-use",
    /// The same name twice in one list.
    Duplicate = Error "duplicate",
    /// A manifest that `[requires.from]` names can't be read, or has mistakes itself.
    ImportFailed = Error "import-failed",
    /// A key that does not go with the type it stands beside, such as `min` with a string.
    Inapplicable = Error "inapplicable",
    /// A type that holds itself without a list, a map or an optional in between.
    InfiniteType = Error "infinite-type",
    /// A default that is not of its type, or outside of its bounds.
    InvalidDefault = Error "invalid-default",
    /// A name that can't be one, such as a topic with spaces.
    InvalidName = Error "invalid-name",
    /// An option of the code generator that matches nothing in the manifest, or can't be read.
    InvalidOption = Error "invalid-option",
    /// A regular expression that can't be read.
    InvalidPattern = Error "invalid-pattern",
    /// A type that can't be read.
    InvalidType = Error "invalid-type",
    /// A value of the right kind that is outside of what is allowed.
    InvalidValue = Error "invalid-value",
    /// A key that has to be there is missing.
    MissingKey = Error "missing-key",
    /// Two names that become the same name in Rust.
    NameCollision = Error "name-collision",
    /// The module does not say that it runs as a process.
    NotAProcess = Warning "not-a-process",
    /// A request, response, payload or case that is not an object.
    NotAnObject = Error "not-an-object",
    /// Something is said about a topic that the module does not provide.
    NotProvided = Error "not-provided",
    /// A deprecated config key that has to be given all the same.
    RequiredDeprecated = Warning "required-deprecated",
    /// A name that is taken already, by the language or by something that is generated for every module.
    ReservedName = Error "reserved-name",
    /// A version of the manifest's schema that does not exist.
    SchemaVersion = Error "schema-version",
    /// The text is not TOML.
    Syntax = Error "syntax",
    /// A key that there is not.
    UnknownKey = Error "unknown-key",
    /// A type that is declared nowhere.
    UnknownType = Error "unknown-type",
    /// The file can't be read.
    Unreadable = Error "unreadable",
    /// A required service of which the manifest does not say who declares it, so that calls to it are not typed.
    UntypedRequirement = Warning "untyped-requirement",
    /// An entry of `[requires.from]` that nothing needs.
    UnusedImport = Error "unused-import",
    /// A type that nothing uses.
    UnusedType = Warning "unused-type",
    /// A value of the wrong kind, such as a number for a name.
    WrongKind = Error "wrong-kind",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(Code::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
    }
}
