//! `ixt check`, `ixt diff` and `ixt generate`.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Manifests, or directories. In a directory every manifest.toml is checked, at any depth; if there is none, the .toml files
    /// directly in it.
    #[arg(default_value = ".", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// The manifest before the change. `-` reads it from stdin: git show main:manifest.toml | ixt diff - manifest.toml
    pub(crate) old: PathBuf,
    /// The manifest after the change.
    pub(crate) new: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GenerateArgs {
    /// The manifest, or a directory of manifests.
    pub(crate) path: PathBuf,
    /// Write the code to this file instead of stdout. For a directory of manifests, write files to this directory.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
    /// Write nothing. Report whether the files of --out are up to date, and the difference if they are not.
    #[arg(long, requires = "out")]
    pub(crate) check: bool,
    /// Derive more traits for a generated type, such as `Order=PartialOrd`.
    #[arg(long, value_name = "TYPE=DERIVES", value_parser = type_option)]
    pub(crate) derive: Vec<(String, String)>,
    /// Add an attribute to a generated type.
    #[arg(long, value_name = "TYPE=ATTRIBUTE", value_parser = type_option)]
    pub(crate) attribute: Vec<(String, String)>,
    /// Use a type of your crate instead of a generated one, such as `Money=crate::money::Money`.
    #[arg(long, value_name = "TYPE=RUST_PATH", value_parser = type_option)]
    pub(crate) replace: Vec<(String, String)>,
    /// The path of the SDK crate in the generated code. The default is `::ixt_sdk`.
    #[arg(long, value_name = "RUST_PATH")]
    pub(crate) sdk: Option<String>,
}

/// Reads the value of `--derive`, `--attribute` or `--replace`, `TYPE=…`: the type's Rust name, and the text after the first `=`. Only a
/// text without `=` is an error: neither part is checked here, and each may be empty.
pub(super) fn type_option(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').ok_or("expected the name of a type, `=`, and its new derive, attribute or path")?;
    Ok((name.to_owned(), value.to_owned()))
}
