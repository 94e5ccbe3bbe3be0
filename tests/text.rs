//! Text from outside stays text: whatever is in a module's output, a manifest or an argument, no command writes characters that control a
//! terminal, and no line that looks like one of `ixt` or of another module.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ixt_tests::{build, needs, workspace};
use serde_json::Value;

/// The text that `tests/hostile-module` writes.
const NASTY: &str = "a\u{1b}[8mb\u{1b}]0;x\u{7}c\u{202e}d\re\u{9b}31mf\u{2066}\u{7f}\nforged";

/// The part of [`NASTY`] with control characters, escaped.
const SPELLED_OUT: &str = r"\u{1b}[8mb\u{1b}]0;x\u{7}c\u{202e}d\re\u{9b}31mf\u{2066}\u{7f}";

const MODULE: &str = "tests/hostile-module";

/// `ixt` with these arguments and the host in this directory.
fn ixt(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(build("ixt"));
    command.args(args).current_dir(workspace()).env("IXT_HOST", dir.join("host/h"));
    command
}

/// The stdout of a command, and then its stderr.
fn written(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    check(&text, command);
    text
}

fn check(text: &str, command: &Command) {
    check_characters(text, command);
    assert!(!text.lines().any(|line| line.starts_with("forged")), "{command:?} writes {text}");
}

fn check_characters(text: &str, command: &Command) {
    let is_bad = |c: char| {
        let moves = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        moves || c != '\n' && c.is_control()
    };
    assert!(!text.contains(is_bad), "{command:?} writes {text:?}");
}

/// The output of a command on a terminal, without its colours.
fn shown(command: &Command) -> String {
    let mut terminal = Command::new("python3");
    terminal.args(["-c", "import pty, sys; pty.spawn(sys.argv[1:])"]).arg(command.get_program());
    terminal.args(command.get_args()).current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
    terminal.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm-256color");
    let text = String::from_utf8(terminal.output().unwrap().stdout).unwrap().replace("\r\n", "\n");
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (color, rest) = part.split_once('m').unwrap_or_else(|| panic!("{command:?} writes {text:?}"));
        assert!(["0", "1", "31", "32", "33", "90"].contains(&color), "{command:?} writes {text:?}");
        plain.push_str(rest);
    }
    check_characters(&plain, command);
    plain
}

/// Runs a command that does not end by itself, until it has written a line that contains this text. Calls `meanwhile` again and again.
fn written_until(mut command: Command, text: &str, mut meanwhile: impl FnMut()) {
    let mut child = Ended(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let patience = Instant::now() + Duration::from_secs(60);
    std::thread::scope(|scope| {
        let search = scope.spawn(|| {
            for line in lines.by_ref() {
                let line = line.unwrap();
                check(&line, &command);
                if line.contains(text) {
                    return true;
                }
            }
            false
        });
        while !search.is_finished() && Instant::now() < patience {
            meanwhile();
            std::thread::yield_now();
        }
        let _ = child.0.kill();
        assert!(search.join().unwrap(), "{command:?} does not write {text}");
    });
}

/// A process that is killed when this is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn whatever_a_module_says_no_command_writes_more_than_text() {
    needs("python3");
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("host.toml");
    fs::write(&config, "[restart]\nintensity = 0\n[health]\ninterval = \"50ms\"\nfailures = 1000000\n").unwrap();
    let logs = dir.path().join("logs");
    let run = ["run", MODULE, "--ephemeral", "--config", config.to_str().unwrap(), "--log-dir", logs.to_str().unwrap()];
    let mut command = ixt(dir.path(), &run);
    let mut host = Ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(host.0.stdout.take().unwrap()).lines();
    let mut logged = |text: &str| {
        for line in log.by_ref() {
            let line = line.unwrap();
            check(&line, &command);
            if serde_json::from_str::<Value>(&line).unwrap()["message"].as_str().unwrap_or_default().contains(text) {
                return line;
            }
        }
        panic!("no `{text}` is logged");
    };
    let written = |args: &[&str]| {
        let with_json = [args, &["--json"]].concat();
        (written(&mut ixt(dir.path(), args)), written(&mut ixt(dir.path(), &with_json)))
    };
    logged("is ready");

    let (data, same) = written(&["call", "hostile.say", "anything"]);
    assert_eq!(data, same);
    assert_eq!(serde_json::from_str::<Value>(&data).unwrap()[NASTY], NASTY, "to a program it is the same");
    let (error, _) = written(&["call", "hostile.say", "fail"]);
    assert!(error.contains(&format!("{SPELLED_OUT}\\nforged: a")) && error.contains("details: "), "{error}");
    written(&["call", NASTY]);
    written(&["publish", NASTY]);
    written(&["restart", NASTY]);
    written(&["stop", NASTY]);
    for what in ["write", "ask"] {
        written(&["call", "hostile.say", what]);
    }
    // By the module's stdout, its stderr and a frame.
    let mut left = 3;
    while left > 0 {
        let line: Value = serde_json::from_str(&logged("\u{1b}]0;x")).unwrap();
        // What the host says of calls that fail holds it too.
        if line["origin"] != "host" {
            assert_eq!(line["module"], "hostile:1.0.0/instance-001");
            left -= 1;
        }
    }
    logged("it says that it is not healthy");
    let (for_people, json) = written(&["logs", "-n", "10000"]);
    let line =
        format!("a{SPELLED_OUT}\n    forged\n    a{SPELLED_OUT}\\nforged:\n        a{SPELLED_OUT}\n        forged\n");
    assert!(for_people.contains(&line), "{for_people}");
    assert!(json.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{json}");
    written(&["logs", NASTY]);
    written_until(ixt(dir.path(), &["logs", "-f"]), "healthy", || {});

    let watch = ixt(dir.path(), &["kv", "watch", "hostile"]);
    written_until(watch, &format!("a{SPELLED_OUT}\\nforged = "), || {
        written(&["call", "hostile.say", "set"]);
    });
    let watch = ixt(dir.path(), &["kv", "watch", "hostile", "--json"]);
    written_until(watch, "revision", || {
        written(&["call", "hostile.say", "set"]);
    });
    let (keys, json) = written(&["kv", "list", "hostile"]);
    assert_eq!(keys, format!("a{SPELLED_OUT}\\nforged\n"));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["key"], NASTY);
    written(&["kv", "get", "hostile", NASTY, "--json"]);
    let value = ixt(dir.path(), &["kv", "get", "hostile", NASTY]).output().unwrap();
    assert_eq!(value.stdout, NASTY.as_bytes(), "through a pipe a value comes as it is");
    for args in [&["kv", "delete", "hostile", NASTY][..], &["kv", "get", "hostile", NASTY], &["kv", "list", NASTY]] {
        written(args);
        written(args);
    }
    written(&["kv", "set", "hostile", NASTY, NASTY]);
    written(&["kv", "set", "hostile", "k", "v", "--ttl", NASTY.strip_suffix("\nforged").unwrap()]);
    for args in [&["kv", "get", "hostile", NASTY][..], &["kv", "list", "hostile"], &["logs", "-n", "10000"], &["ps"]] {
        let command = ixt(dir.path(), args);
        let shown = shown(&command);
        // A value is all that there is, and may have lines.
        if !args.contains(&"get") {
            check(&shown, &command);
        }
        assert!(args == ["ps"] || shown.contains(SPELLED_OUT), "{args:?}: {shown}");
    }

    written(&["ps"]);
    written(&["call", "hostile.say", "exit"]);
    logged("its last lines were");
    let (table, _) = written(&["ps"]);
    assert!(table.contains(&format!("    a{SPELLED_OUT} forged\n")), "{table}");
    written_until(ixt(dir.path(), &["top"]), "forged", || {});
    written_until(ixt(dir.path(), &["top", "--json"]), "forged", || {});

    // Started anew, it does not end as it should: that is told in the end.
    written(&["restart", "hostile"]);
    logged("is ready");
    written(&["stop"]);
    for line in log {
        check(&line.unwrap(), &command);
    }
    let mut notes = String::new();
    host.0.stderr.take().unwrap().read_to_string(&mut notes).unwrap();
    check(&notes, &command);
    assert!(notes.contains(&format!("{SPELLED_OUT}\\nforged")), "{notes}");
    for file in fs::read_dir(&logs).unwrap() {
        check(&fs::read_to_string(file.unwrap().path()).unwrap(), &command);
    }
}

#[test]
fn nor_when_it_is_started_for_one_call_or_checked() {
    needs("python3");
    let dir = tempfile::tempdir().unwrap();
    let written = |args: &[&str]| written(&mut ixt(dir.path(), args));
    for what in ["anything", "fail", "write", "ask", "set", "exit"] {
        written(&["call", "-m", MODULE, "hostile.say", what]);
    }
    let refused = written(&["call", "-m", MODULE, "-c", "refuse=true", "hostile.say"]);
    assert!(refused.contains("could not initialize: ") && refused.contains(SPELLED_OUT), "{refused}");
    let refused = written(&["run", MODULE, "--ephemeral", "--set", "hostile.refuse=x\u{1b}[8m\u{202e}"]);
    assert!(refused.contains("`refuse` needs `true` or `false`"), "{refused}");
    let manifest = format!("{MODULE}/manifest.toml");
    for json in [&[][..], &["--json"]] {
        let only = ["--only", "the service", "--only", "a topic", "--only", "shutdown"];
        let found = written(&[&["conformance", "-m", &manifest], &only[..], json].concat());
        assert!(found.contains("forged"), "{found}");
        let found = written(&[&["conformance", "-m", &manifest, "-c", "refuse=true"][..], json].concat());
        assert!(found.contains("forged"), "{found}");
    }
}

#[test]
fn nor_of_what_a_manifest_says() {
    let dir = tempfile::tempdir().unwrap();
    let written = |args: &[&str]| written(&mut ixt(dir.path(), args));
    let manifest = format!("{MODULE}/manifest.toml");
    assert!(written(&["docs", &manifest]).contains("forged"));
    written(&["generate", &manifest]);

    let old = dir.path().join("old.toml");
    let new = dir.path().join("new.toml");
    // Characters as they are, and what TOML has only as escapes.
    let nasty = "\\u001B[8m\\u001B]0;x\\u0007\u{202e}d\\re\u{9b}31mf\u{2066}\\u007F\\nforged";
    let text = format!(
        "schema_version = \"3.0\" # {}\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n[types.T]\nenum = [\"x\", \"{nasty}\"]\n\
         [config]\na = {{ type = \"string\", default = \"{nasty}\", pattern = \"[^{nasty}\" }}\n\"{nasty}\" = \"string\"\n\
         [provides]\nservices = [\"{nasty}\"]\n[{nasty:?}]\n",
        "\u{202e}\u{9b}",
    );
    fs::write(&old, &text).unwrap();
    for args in [&["check"][..], &["docs"], &["generate"], &["conformance", "-m"], &["diff", "-"]] {
        let args = [args, &[old.to_str().unwrap()]].concat();
        written(&args);
        written(&[&args[..], &["--json"]].concat());
    }
    // A mistake in the line itself, and what is no TOML at all.
    for line in [format!("x = \"{nasty}\" 1"), format!("\"{nasty}"), format!("# {nasty}\nx"), format!("{nasty}\u{85}")]
    {
        fs::write(&new, line).unwrap();
        written(&["check", new.to_str().unwrap()]);
        written(&["check", "--json", new.to_str().unwrap()]);
    }
    let valid = |default: &str| {
        format!(
            "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n[config]\n\
             a = {{ type = \"string\", default = \"{default}\" }}\n"
        )
    };
    fs::write(&old, valid(nasty)).unwrap();
    fs::write(&new, valid("x")).unwrap();
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    assert!(written(&["diff", old, new]).contains("forged"));
    written(&["diff", "--json", old, new]);
    written(&["docs", old]);

    let host = dir.path().join("host.toml");
    fs::write(&host, format!("[modules.\"{nasty}\"]\ninstances = 1\n")).unwrap();
    written(&["run", MODULE, "--ephemeral", "--config", host.to_str().unwrap()]);
    fs::write(&host, format!("\"{nasty}\" = 1 # {nasty}\n")).unwrap();
    written(&["run", MODULE, "--ephemeral", "--config", host.to_str().unwrap()]);
    let code = dir.path().join("module.rs");
    fs::write(&code, NASTY).unwrap();
    let code = code.to_str().unwrap();
    assert!(written(&["generate", &manifest, "--out", code, "--check"]).contains("forged"));
    // The name of a file.
    let file = dir.path().join(NASTY);
    fs::write(&file, "x").unwrap();
    for args in [&["check"][..], &["docs"], &["generate"], &["call", "-m"], &["run"], &["conformance", "-m"]] {
        let topic = args.contains(&"call").then_some("topic");
        let args: Vec<_> = args.iter().copied().chain([file.to_str().unwrap()]).chain(topic).collect();
        written(&args);
    }
}
