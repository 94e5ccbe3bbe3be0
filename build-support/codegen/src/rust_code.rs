//! The generated code as text.
//!
//! Most items are written with `quote!` and formatted by prettyplease. The items of which a large manifest has many
//! (records, unions, topics, keys, methods for topics) are written as lines that are already formatted: to parse and
//! format them would take nearly all of a build script's time. A quoted item has a *blank* where such lines are
//! inserted. With the option `sdk`, all of the code is parsed and formatted once more at the end.

use proc_macro2::{Ident, Literal, TokenStream, TokenTree};

/// Lines of code without line ends, indented as if they began at the left margin.
pub(crate) type Lines = Vec<String>;

/// The text before and after the name of a blank, as in `__ARMS__`.
const BLANK: &str = "__";

/// Rust items, formatted. [`Self::text`] puts an empty line between them. The default has no items.
#[derive(Default)]
pub(crate) struct RustCode {
    /// The text of each item, with a line end at its end. Lines that were written together are one item here.
    items: Vec<String>,
}

impl RustCode {
    /// Formats quoted items.
    ///
    /// # Panics
    ///
    /// If they are not valid Rust, by a mistake in this crate.
    pub(crate) fn quoted(items: TokenStream) -> Self {
        let file = syn::parse2(items).expect("ixt-build writes Rust that parses");
        Self { items: format_items(file) }
    }

    /// Formats quoted items, and replaces their blanks by lines. The blank `ARMS` is the identifier `__ARMS__` in one
    /// of two places. In `&[__ARMS__]`, as the only item of a list in brackets, the lines become the items. At the
    /// beginning of a line, as in `__ARMS__ => {}` or `fn __ARMS__();`, the lines replace the whole line. A blank may
    /// be in several places. One without lines is removed; one that is not in `blanks` stays in the code.
    ///
    /// # Panics
    ///
    /// Those of [`Self::quoted`].
    pub(crate) fn filled(items: TokenStream, blanks: &[(&str, Lines)]) -> Self {
        let Self { items } = Self::quoted(items);
        Self { items: items.iter().map(|item| fill(item, blanks)).collect() }
    }

    /// One item, or several without empty lines between them, from formatted lines without line ends. They are not
    /// parsed here: rustc finds a mistake in them, or `with_sdk` if it is used.
    pub(crate) fn lines(lines: &[String]) -> Self {
        Self { items: vec![text(lines)] }
    }

    /// Adds items at the end, in their order.
    pub(crate) fn extend(&mut self, code: Self) {
        self.items.extend(code.items);
    }

    /// Adds lines, such as attributes, before the first item. If there are no items, the lines are dropped.
    pub(crate) fn prepend(&mut self, lines: &[String]) {
        if let Some(first) = self.items.first_mut() {
            first.insert_str(0, &text(lines));
        }
    }

    /// A public Rust module of these items, as one item. The lines `attributes` come before it. Without items, the
    /// module is empty.
    pub(crate) fn module(self, mut attributes: Lines, ident: &Ident) -> Self {
        let items = self.text();
        attributes.extend(block(&format!("pub mod {ident}"), &items.lines().map(str::to_owned).collect::<Lines>()));
        Self::lines(&attributes)
    }

    /// The text of all items, each with a line end, and with an empty line between two of them. Empty if there are none.
    pub(crate) fn text(&self) -> String {
        self.items.join("\n")
    }
}

/// Formats the items one by one, since prettyplease puts no empty lines between the items of a file.
fn format_items(mut file: syn::File) -> Vec<String> {
    std::mem::take(&mut file.items)
        .into_iter()
        .map(|item| {
            file.items = vec![item];
            prettyplease::unparse(&file)
        })
        .collect()
}

/// The lines with a line end after each.
fn text(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

/// Replaces the blanks of a formatted item; see [`RustCode::filled`].
fn fill(item: &str, blanks: &[(&str, Lines)]) -> String {
    let mut filled = Lines::new();
    for line in item.lines() {
        if !line.contains(BLANK) {
            filled.push(line.to_owned());
            continue;
        }
        let trimmed = line.trim_start();
        let indent = &line[..line.len() - trimmed.len()];
        // Only in these two places: a text from the manifest may look like a blank.
        let alone = |name: &str| trimmed.strip_prefix("fn ").unwrap_or(trimmed).starts_with(name);
        let blank = blanks.iter().find_map(|(name, lines)| {
            let name = format!("{BLANK}{name}{BLANK}");
            let in_list = trimmed.split_once(&format!("&[{name}]"));
            (in_list.is_some() || alone(&name)).then_some((in_list, lines))
        });
        match blank {
            None => filled.push(line.to_owned()),
            Some((None, lines)) => filled.extend(indented(indent, lines)),
            Some((Some((before, after)), lines)) => {
                filled.push(format!("{indent}{before}&["));
                filled.extend(indented(&format!("{indent}    "), lines));
                filled.push(format!("{indent}]{after}"));
            }
        }
    }
    text(&filled)
}

/// The lines with `indent` before each that is not empty.
fn indented(indent: &str, lines: &[String]) -> impl Iterator<Item = String> {
    lines.iter().map(move |line| if line.is_empty() { String::new() } else { format!("{indent}{line}") })
}

/// `head { body }` with the body indented, or `head {}` if the body is empty.
pub(crate) fn block(head: &str, body: &[String]) -> Lines {
    if body.is_empty() {
        return vec![format!("{head} {{}}")];
    }
    let mut lines = vec![format!("{head} {{")];
    lines.extend(indented("    ", body));
    lines.push("}".to_owned());
    lines
}

/// The lines with `end`, such as a comma, at the end of the last one. Without lines, nothing is added.
pub(crate) fn ending(mut lines: Lines, end: &str) -> Lines {
    if let Some(last) = lines.last_mut() {
        last.push_str(end);
    }
    lines
}

/// The Rust string literal for a text, with its quotes. Quotes, backslashes and line ends in the text are escaped.
pub(crate) fn string(text: &str) -> String {
    Literal::string(text).to_string()
}

/// The tokens of a text, for `quote!`.
///
/// # Panics
///
/// If the text can't be split into Rust tokens, by a mistake in this crate.
pub(crate) fn tokens(text: &str) -> TokenStream {
    text.parse().expect("ixt-build writes Rust that parses")
}

/// The code with the path `sdk` in place of `::ixt_sdk`. Comments other than doc comments are lost, since the code is
/// parsed and formatted again. In a longer path that has `::ixt_sdk` in it, such as one of the author's, it is replaced
/// too; texts and doc comments stay.
///
/// # Panics
///
/// If the code is not valid Rust, by a mistake in this crate.
pub(crate) fn with_sdk(code: &str, sdk: &TokenStream) -> String {
    RustCode::quoted(replace_sdk(tokens(code), sdk)).text()
}

/// Replaces the path `::ixt_sdk` at any depth of the code, but not in literals.
fn replace_sdk(code: TokenStream, sdk: &TokenStream) -> TokenStream {
    let mut replaced = Vec::<TokenTree>::new();
    for token in code {
        match token {
            // Every path to the SDK begins with `::`. Without, `ixt_sdk` is the name of something else, such as a field.
            TokenTree::Ident(ident) if ident == "ixt_sdk" && ends_with_colons(&replaced) => {
                replaced.truncate(replaced.len() - 2);
                replaced.extend(sdk.clone());
            }
            TokenTree::Group(group) => {
                let content = replace_sdk(group.stream(), sdk);
                replaced.push(proc_macro2::Group::new(group.delimiter(), content).into());
            }
            token => replaced.push(token),
        }
    }
    replaced.into_iter().collect()
}

/// Whether the last two tokens are `::`.
fn ends_with_colons(tokens: &[TokenTree]) -> bool {
    let is_colon = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':');
    matches!(tokens, [.., first, second] if is_colon(first) && is_colon(second))
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn lines_fill_the_blanks_at_their_place() {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Lines>();
        let items = quote! {
            mod m {
                /// `__ARMS__`
                const NAME: &str = "__ARMS__";
                const LIST: &[u8] = &[__LIST__];
                trait T {
                    fn __METHODS__();
                }
                fn f(x: u8) {
                    match x {
                        __ARMS__ => {}
                        _ => {}
                    }
                }
            }
        };
        let blanks = [
            ("LIST", lines(&["1,", "2,"])),
            ("METHODS", lines(&["fn a();", "", "fn b();"])),
            ("ARMS", lines(&["0 => {}"])),
        ];
        let expected = r#"mod m {
    /// `__ARMS__`
    const NAME: &str = "__ARMS__";
    const LIST: &[u8] = &[
        1,
        2,
    ];
    trait T {
        fn a();

        fn b();
    }
    fn f(x: u8) {
        match x {
            0 => {}
            _ => {}
        }
    }
}
"#;
        assert_eq!(RustCode::filled(items, &blanks).text(), expected);
    }

    #[test]
    fn only_paths_of_the_sdk_get_its_other_path() {
        let code = "pub struct S {\n    pub ixt_sdk: ::ixt_sdk::Bytes,\n}\n";
        assert_eq!(with_sdk(code, &quote!(crate::sdk)), code.replace("::ixt_sdk", "crate::sdk"));
    }
}
