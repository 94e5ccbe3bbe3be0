//! What records, unions and newtypes derive. `type_traits` decides about `Eq`, `Hash` and `Copy`, the code of the type
//! about the others. Enums, `Config` and `Topic` have a fixed `#[derive]` in their own code.

/// What a type can derive beyond `Clone`, `Debug` and `PartialEq`. Those three it can always derive, except that a type
/// with a secret has no `PartialEq`. `Default` is up to the code of each kind of type.
#[derive(Clone, Copy)]
pub(crate) struct Derivable {
    /// `Eq` and `Hash`. `false` if the type contains a float or a type of the author's.
    pub(crate) eq: bool,
    /// `Copy`. `false` if the type has a part on the heap, such as a text, a list or a `Box`, or contains a type of the
    /// author's.
    pub(crate) copy: bool,
}

impl Derivable {
    /// Everything: the neutral element of [`Self::and`].
    pub(crate) const ALL: Self = Self { eq: true, copy: true };
    /// Nothing, as for a type that the author has replaced.
    pub(crate) const NONE: Self = Self { eq: false, copy: false };

    /// What a type with two such parts can derive: only what both can.
    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        Self { eq: self.eq && other.eq, copy: self.copy && other.copy }
    }

    /// The attribute `#[derive(…)]` in one line: `Clone`, `Debug`, `PartialEq`, the traits of this value, and `Default` if
    /// `default` is true. Not for types with secrets, which have no `PartialEq`.
    pub(crate) fn attribute(self, default: bool) -> String {
        let copy = if self.copy { "Copy, " } else { "" };
        let eq = if self.eq { ", Eq, Hash" } else { "" };
        let default = if default { ", Default" } else { "" };
        format!("#[derive(Clone, {copy}Debug, PartialEq{eq}{default})]")
    }
}
