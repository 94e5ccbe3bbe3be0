//! The traits that a generated type derives.

/// What a type can derive beyond `Clone`, `Debug` and `PartialEq`, which every type without secrets can.
#[derive(Clone, Copy)]
pub(crate) struct Derivable {
    /// `Eq` and `Hash`: not if it contains a float.
    pub(crate) eq: bool,
    /// `Copy`: not if it has a part on the heap.
    pub(crate) copy: bool,
}

impl Derivable {
    pub(crate) const ALL: Self = Self { eq: true, copy: true };
    pub(crate) const NONE: Self = Self { eq: false, copy: false };

    /// What a type can derive that has a part of either kind: only what both can.
    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        Self { eq: self.eq && other.eq, copy: self.copy && other.copy }
    }

    /// The attribute `#[derive(…)]`; with `Default` if `default` is true.
    pub(crate) fn attribute(self, default: bool) -> String {
        let copy = if self.copy { "Copy, " } else { "" };
        let eq = if self.eq { ", Eq, Hash" } else { "" };
        let default = if default { ", Default" } else { "" };
        format!("#[derive(Clone, {copy}Debug, PartialEq{eq}{default})]")
    }
}
