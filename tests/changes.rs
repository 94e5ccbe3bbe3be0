//! How changes of a manifest are judged: every directory in `manifests/changes/` has an old manifest and a new one, and
//! `tests/golden/changes/` the report on the difference.
//!
//! To accept an intended change: `IXT_UPDATE_GOLDEN=1 cargo test -p ixt-tests --test changes`, then read the diff.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use ixt_manifest::{ChangeRule, Manifest, Report, Severity, Source, compare};
use ixt_tests::{build, workspace};
use serde_json::Value;

fn cases() -> Vec<String> {
    let dir = fs::read_dir(workspace().join("manifests/changes")).unwrap();
    let mut cases: Vec<_> = dir.map(|case| case.unwrap().file_name().into_string().unwrap()).collect();
    cases.sort();
    cases
}

fn read(case: &str, which: &str) -> (Source, Manifest) {
    let path = format!("manifests/changes/{case}/{which}.toml");
    let source = Source::new(&path, fs::read_to_string(workspace().join(&path)).unwrap());
    let manifest = Manifest::parse(&source).unwrap_or_else(|report| panic!("{report}"));
    (source, manifest)
}

fn judge(old: &(Source, Manifest), new: &(Source, Manifest)) -> Report {
    compare((&old.0, &old.1), (&new.0, &new.1))
}

#[test]
fn changes_are_judged_as_expected() {
    for case in cases() {
        let report = judge(&read(&case, "old"), &read(&case, "new")).to_string();
        let path = workspace().join(format!("tests/golden/changes/{case}.txt"));
        if std::env::var_os("IXT_UPDATE_GOLDEN").is_some() {
            fs::write(&path, &report).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(report, expected, "{} is out of date: IXT_UPDATE_GOLDEN=1", path.display());
    }
}

#[test]
fn there_is_a_change_for_every_rule() {
    let mut seen = Vec::new();
    for case in cases() {
        let (old, new) = (read(&case, "old"), read(&case, "new"));
        // Backwards, what was compatible breaks.
        for report in [judge(&old, &new), judge(&new, &old)] {
            seen.extend(report.diagnostics().iter().map(ixt_manifest::Diagnostic::code));
        }
    }
    let missing: Vec<_> = ChangeRule::ALL.iter().filter(|rule| !seen.contains(&rule.as_str())).collect();
    assert!(missing.is_empty(), "no case in manifests/changes/ shows {missing:?}");
}

#[test]
fn a_manifest_compared_with_itself_has_not_changed() {
    for case in cases() {
        let (old, new) = (read(&case, "old"), read(&case, "new"));
        assert!(judge(&old, &old).is_empty() && judge(&new, &new).is_empty(), "{case}");
    }
    let everything = workspace().join("manifests/valid/everything.toml");
    let source = Source::read(&everything).unwrap();
    let everything = (source.clone(), Manifest::parse(&source).unwrap());
    assert!(judge(&everything, &everything).is_empty());
}

#[test]
fn what_breaks_one_way_is_compatible_or_to_note_the_other_way() {
    for case in ["bounds-in", "bounds-out", "values", "promises"] {
        let (old, new) = (read(case, "old"), read(case, "new"));
        let count = |report: &Report| (report.count(Severity::Breaking), report.count(Severity::Compatible));
        let (there, back) = (count(&judge(&old, &new)), count(&judge(&new, &old)));
        assert_eq!(there, (back.1, back.0), "{case}");
    }
}

#[test]
fn the_command_exits_1_if_a_change_breaks_something() {
    let ixt = build("ixt");
    let diff = |old: &str, new: &str, more: &[&str], input: &str| {
        let mut command = Command::new(&ixt);
        command.args(["diff", old, new]).args(more).current_dir(workspace());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut command = command.spawn().unwrap();
        command.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = command.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (old, new) = ("manifests/changes/services/old.toml", "manifests/changes/services/new.toml");
    let golden = fs::read_to_string(workspace().join("tests/golden/changes/services.txt")).unwrap();
    let (status, stdout, stderr) = diff(old, new, &[], "");
    assert_eq!((status, stderr.as_str()), (Some(1), ""));
    assert!(stdout.starts_with(&golden) && stdout.contains(" breaking change"), "{stdout}");
    assert_eq!(diff(new, new, &[], ""), (Some(0), String::new(), String::new()));

    let text = fs::read_to_string(workspace().join(old)).unwrap();
    let (status, stdout, _) = diff("-", new, &["--json"], &text);
    assert_eq!(status, Some(1));
    let first: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&first["severity"], &first["related"][0]["file"]), (&"breaking".into(), &"<stdin>".into()), "{first}");

    let (status, _, stderr) = diff(old, "manifests/invalid/bounds.toml", &[], "");
    assert_eq!((status, stderr.starts_with("error[")), (Some(2), true), "{stderr}");
}
