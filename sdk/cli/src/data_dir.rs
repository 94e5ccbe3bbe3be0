//! Where a host keeps its modules' keys and values: the default of `--data-dir`, for `ixt run`, `ixt kv check` and `ixt kv repair`.
//! `ixt call --module` has no default: it keeps them in memory.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// `given` as it is, or else the default directory by the XDG Base Directory Specification: `$XDG_DATA_HOME/ixt`, or `~/.local/share/ixt`
/// if that variable is unset or no absolute path.
///
/// The directory is not made here, and need not exist. Fails with status 2 if `given` is `None` and neither `XDG_DATA_HOME` nor `HOME` is
/// an absolute path.
pub(crate) fn data_dir_or_default(given: Option<&Path>) -> Result<PathBuf> {
    data_dir(given, |name| env::var_os(name)).ok_or_else(|| {
        Failure::usage(
            "there is no place for data, because HOME is not set, or is not an absolute path: give --data-dir DIR, or --ephemeral to keep nothing",
        )
    })
}

/// As [`data_dir_or_default`], with the variables of `variable`; `None` if there is no directory.
fn data_dir(given: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(given) = given {
        return Some(given.to_owned());
    }
    let dir = |name| variable(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let data = dir("XDG_DATA_HOME").or_else(|| dir("HOME").map(|home| home.join(".local/share")));
    data.map(|data| data.join("ixt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_follows_the_xdg_specification() {
        let with = |data: &'static str, home: &'static str| {
            data_dir(None, |name| {
                let value = if name == "HOME" { home } else { data };
                (!value.is_empty()).then(|| value.into())
            })
        };
        assert_eq!(with("/data", "/home/u"), Some("/data/ixt".into()));
        assert_eq!(with("relative", "/home/u"), Some("/home/u/.local/share/ixt".into()));
        assert_eq!(with("", ""), None);
        assert_eq!(data_dir(Some(Path::new("here")), |_| Some("/data".into())), Some("here".into()));
    }
}
