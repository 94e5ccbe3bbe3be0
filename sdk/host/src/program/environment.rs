//! The environment of a module's processes: a base that every program needs, what the manifest asks for, and what the
//! host's configuration sets. Nothing else of the host's environment is passed on, since a variable may hold another
//! module's secret. The environment of builds is made in `build/cargo.rs`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use ixt_manifest::Env;
use ixt_manifest::language::reserved_variable;

/// The variables of the host's environment that each module gets if they are set there, in addition to `LC_*`.
const BASE: [&str; 10] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "TZ",
    "TMPDIR",
    // Where Python and Node.js look for libraries.
    "PYTHONPATH",
    "NODE_PATH",
    // Settings of the SDK.
    "IXT_LOG",
    "IXT_MAX_CONCURRENCY",
];

/// The variables of a process, from three sources, of which a later one wins: what is passed on of `host` (the host's
/// environment), what the manifest sets, and `configured` (what [`Program::env`](super::Program::env) sets). Reserved
/// variables (see [`reserved_variable`]) are left out: the caller adds those that the host itself sets.
/// `PYTHONUNBUFFERED=1` is added unless the variable is set.
pub(crate) fn environment(
    host: impl Iterator<Item = (OsString, OsString)>,
    manifest: &Env,
    configured: &BTreeMap<OsString, OsString>,
) -> BTreeMap<OsString, OsString> {
    let is_passed = |name: &OsStr| {
        let Some(name) = name.to_str() else { return false };
        BASE.contains(&name) || name.starts_with("LC_") || manifest.pass.iter().any(|passed| passed.as_str() == name)
    };
    let passed = host.filter(|(name, _)| is_passed(name));
    let set = manifest.set.iter().map(|variable| (variable.name.as_str().into(), variable.value.as_str().into()));
    let configured = configured.iter().map(|(name, value)| (name.clone(), value.clone()));
    let mut variables: BTreeMap<_, _> = passed.chain(set).chain(configured).collect();
    // With `NOTIFY_SOCKET` a module could speak to the service manager for its host, with `IXT_MODULE_ID` its processes
    // could pass for those of another module.
    variables.retain(|name, _| name.to_str().and_then(reserved_variable).is_none());
    // Otherwise Python buffers what it prints into a pipe, and the buffer is lost when the process is killed.
    variables.entry("PYTHONUNBUFFERED".into()).or_insert_with(|| "1".into());
    variables
}

#[cfg(test)]
mod tests {
    use ixt_manifest::{Manifest, Source};

    use super::*;

    fn manifest(rest: &str) -> Manifest {
        let text = format!("schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n{rest}");
        Manifest::parse(&Source::new("manifest.toml", text)).unwrap()
    }

    /// The names of a process's variables, if the host has the variables `host`, the manifest ends with the text
    /// `pass`, and the configuration sets the variables `set`.
    fn names(host: &[&str], pass: &str, set: &[&str]) -> Vec<String> {
        let manifest = manifest(pass);
        let variables = |names: &[&str]| names.iter().map(|name| (name.into(), "x".into())).collect::<BTreeMap<_, _>>();
        let environment = environment(variables(host).into_iter(), &manifest.env, &variables(set));
        environment.into_keys().map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_module_gets_a_base_and_what_its_manifest_names() {
        let host = ["PATH", "HOME", "LC_ALL", "LC_TIME", "TZ", "IXT_LOG", "IXT_HOST", "TOKEN", "RUST_LOG", "LCX"];
        let base = ["HOME", "IXT_LOG", "LC_ALL", "LC_TIME", "PATH", "PYTHONUNBUFFERED", "TZ"];
        assert_eq!(names(&host, "", &[]), base);
        assert_eq!(names(&host, "[env]\n", &[]), base, "an empty table is none");
        let more = names(&host, "[env]\npass = [\"RUST_LOG\", \"NOT_SET\"]\n", &[]);
        assert_eq!(more, ["HOME", "IXT_LOG", "LC_ALL", "LC_TIME", "PATH", "PYTHONUNBUFFERED", "RUST_LOG", "TZ"]);
    }

    #[test]
    fn what_is_configured_comes_first_then_the_manifest_and_what_is_the_hosts_never_comes() {
        let variables = |variables: &[(&str, &str)]| {
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect::<BTreeMap<OsString, OsString>>()
        };
        let host = variables(&[("PATH", "/hosts"), ("TZ", "UTC"), ("LISTEN_FDS", "1"), ("MODE", "hosts")]);
        let configured = variables(&[("PATH", "/configured"), ("NOTIFY_SOCKET", "x")]);
        let manifest = manifest("[env.set]\nPATH = \"/manifests\"\nMODE = \"manifests\"\nTZ = \"CET\"\n");
        let all = environment(host.into_iter(), &manifest.env, &configured);
        let expected = [("PATH", "/configured"), ("MODE", "manifests"), ("PYTHONUNBUFFERED", "1"), ("TZ", "CET")];
        assert_eq!(all, variables(&expected));
        assert_eq!(names(&["WATCHDOG_USEC"], "", &["A", "IXT_IPC_SOCKET", "IXT_MODULE_ID"]), ["A", "PYTHONUNBUFFERED"]);
    }

    #[test]
    fn python_is_unbuffered_unless_somebody_says_otherwise() {
        let unbuffered = |pass: &str, configured: &BTreeMap<_, _>| {
            let host = [("PYTHONUNBUFFERED".into(), "host".into())];
            environment(host.into_iter(), &manifest(pass).env, configured)[OsStr::new("PYTHONUNBUFFERED")].clone()
        };
        assert_eq!(unbuffered("", &BTreeMap::new()), "1");
        assert_eq!(unbuffered("[env]\npass = [\"PYTHONUNBUFFERED\"]", &BTreeMap::new()), "host");
        assert_eq!(unbuffered("[env.set]\nPYTHONUNBUFFERED = \"\"", &BTreeMap::new()), "");
        assert_eq!(unbuffered("", &[("PYTHONUNBUFFERED".into(), OsString::new())].into()), "");
    }
}
