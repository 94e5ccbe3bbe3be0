//! Lists of names in messages. The names are not escaped.

/// `` `a`, `b` ``. Without names the empty text.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// `` `a`, `b` and `c` ``. Without names the empty text.
pub(crate) fn all_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match (names.pop(), names.join(", ")) {
        (None, _) => String::new(),
        (Some(only), others) if others.is_empty() => only,
        (Some(last), others) => format!("{others} and {last}"),
    }
}

/// `` one of `a`, `b` ``, or only the name if there is just one. Without names the empty text.
pub(crate) fn one_of<'a>(names: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let many = names.clone().into_iter().nth(1).is_some();
    if many { format!("one of {}", list(names)) } else { list(names) }
}
