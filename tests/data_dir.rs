//! The data directory of `ixt run`: keys and values, backups, damage, quotas, and a disk that is full.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ixt_tests::{Running, actors, ixt, parse};
use rustix::process::{Pid, Signal};
use serde_json::json;

const A: &str = "[provides]\nservices = [\"a\"]\nevents = [\"e\"]";
const B: &str = "[provides]\nservices = [\"b\"]\n[requires]\nevents = [\"e\"]";

#[test]
fn keys_and_values_are_shown_changed_and_kept() {
    let dir = actors(&[("a", A)]);
    let data = dir.path().join("data");
    let args = ["--data-dir", data.to_str().unwrap()];
    let mut running = Running::start(dir, &args);
    running.logged("is ready");
    assert_eq!(running.fails(&["kv", "get", "a", "k"]), (1, "error: `a` has no key `k`\n".to_owned()));
    let mut watch = ixt(running.dir.path(), &["kv", "watch", "a", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut changes = BufReader::new(watch.stdout.take().unwrap()).lines();
    // It watches when it says so, which only programs see; the first change that it tells is late enough.
    let script = |value: &str| {
        json!({ "do": "ask", "service": "kv_store", "method": "set",
            "params": { "key": "k", "value": ixt_tests::base64(value.as_bytes()) } })
        .to_string()
    };
    let patience = Instant::now() + Duration::from_secs(60);
    let told = std::thread::scope(|scope| {
        let first = scope.spawn(|| changes.next().unwrap().unwrap());
        while !first.is_finished() {
            running.ok(&["call", "a", &script("hello")]);
            assert!(Instant::now() < patience, "no change is told");
        }
        first.join().unwrap()
    });
    assert_eq!(parse(&told)["key"], "k");
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert_eq!(running.ok(&["kv", "get", "a", "k"]), "hello");
    running.ok(&["kv", "set", "a", "n/1", "--", "-5"]);
    let revision = parse(&running.ok(&["kv", "set", "a", "n/2", "two", "--json"]))["revision"].as_u64().unwrap();
    let (status, error) = running.fails(&["kv", "set", "a", "n/2", "x", "--expected-revision", "1"]);
    assert_eq!(status, 1);
    assert!(error.starts_with("error: ABORTED: ") && error.contains(&revision.to_string()), "{error}");
    assert_eq!(running.ok(&["kv", "list", "a", "n/"]), "n/1\nn/2\n");
    running.ok(&["kv", "delete", "a", "n/1"]);
    assert_eq!(running.fails(&["kv", "delete", "a", "n/1"]).0, 1);
    assert_eq!(
        running.fails(&["kv", "list", "x"]).1,
        "error: NOT_FOUND: there is no module `x` here; there are: `a`\n"
    );

    // Another host can't have them.
    let other = actors(&[("a", A)]);
    let mut all = vec!["run", other.path().to_str().unwrap()];
    let modules = other.path().join("modules");
    all[1] = modules.to_str().unwrap();
    all.extend(args);
    let refused = ixt(other.path(), &all).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains(&format!("the data directory {} is in use by another host", data.display())), "{error}");

    // kill -9, and there they are.
    running.signal(Signal::KILL);
    running.ends();
    let dir = std::mem::replace(&mut running.dir, tempfile::tempdir().unwrap());
    let mut again = Running::start(dir, &args);
    again.logged("is ready");
    assert_eq!(again.ok(&["kv", "get", "a", "n/2"]), "two");
    assert_eq!(again.stop(), Some(0));
}

#[test]
fn a_backup_is_made_while_the_host_runs_and_is_a_store_again() {
    let dir = actors(&[("a", A), ("b", B)]);
    let data = dir.path().join("data");
    let args = ["--data-dir", data.to_str().unwrap()];
    let mut running = Running::start(dir, &args);
    running.logged("is ready");
    running.ok(&["kv", "set", "a", "k", "one"]);
    running.ok(&["kv", "set", "b", "k", "two"]);
    let backup = running.dir.path().join("backup");
    let path = backup.to_str().unwrap();
    assert_eq!(running.ok(&["kv", "backup", path]), format!("2 keys are in {path}\n"));
    let (status, error) = running.fails(&["kv", "backup", path]);
    assert_eq!(status, 1);
    assert!(error.starts_with("error: FAILED_PRECONDITION: can't write a backup to "), "{error}");
    running.ok(&["kv", "set", "a", "k", "later"]);
    // From where the command runs, and not from where the host does.
    let mut beside = ixt(running.dir.path(), &["kv", "backup", "beside", "--json"]);
    let beside = beside.current_dir(running.dir.path()).output().unwrap();
    assert_eq!(parse(&String::from_utf8(beside.stdout).unwrap())["keys"], 2);
    assert!(running.dir.path().join("beside").exists());
    // A host that runs has its data directory for itself.
    for command in ["check", "repair"] {
        let (status, error) = running.fails(&["kv", command, args[0], args[1]]);
        assert_eq!(status, 2);
        assert!(error.contains("is in use by another host"), "{error}");
    }
    assert_eq!(running.stop(), Some(0));

    fs::rename(&backup, data.join("kv.redb")).unwrap();
    let dir = std::mem::replace(&mut running.dir, tempfile::tempdir().unwrap());
    let mut again = Running::start(dir, &args);
    again.logged("is ready");
    assert_eq!(again.ok(&["kv", "get", "a", "k"]), "one");
    assert_eq!(again.ok(&["kv", "get", "b", "k"]), "two");
    assert_eq!(again.stop(), Some(0));
}

#[test]
fn a_damaged_store_is_told_plainly_and_what_is_whole_is_saved() {
    let dir = actors(&[("a", A)]);
    let data = dir.path().join("data");
    let place = data.to_str().unwrap().to_owned();
    let args = ["--data-dir", place.as_str()];
    let mut running = Running::start(dir, &args);
    running.logged("is ready");
    for number in 0..20 {
        running.ok(&["kv", "set", "a", &format!("key/{number}"), &number.to_string().repeat(500)]);
    }
    assert_eq!(running.stop(), Some(0));
    let dir = std::mem::replace(&mut running.dir, tempfile::tempdir().unwrap());
    let run = |args: &[&str]| {
        let output = ixt(dir.path(), args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let whole = "20 keys of 1 module are whole";
    assert_eq!(run(&["kv", "check", args[0], args[1]]), (0, format!("{whole}\n"), String::new()));
    let nothing = (0, format!("{whole}: there is nothing to repair\n"), String::new());
    assert_eq!(run(&["kv", "repair", args[0], args[1]]), nothing);
    // The one that is used if nothing is said.
    let mut default = ixt(dir.path(), &["kv", "check"]);
    let default = default.env("XDG_DATA_HOME", dir.path()).output().unwrap();
    assert_eq!(default.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&default.stderr).contains("there is no store of keys and values in "));

    // One value.
    let file = data.join("kv.redb");
    let mut bytes = fs::read(&file).unwrap();
    let value = "7".repeat(500);
    let at = bytes.windows(500).position(|window| window == value.as_bytes()).unwrap();
    bytes[at + 100] = b'x';
    fs::write(&file, &bytes).unwrap();
    let (status, told, error) = run(&["kv", "check", args[0], args[1]]);
    let damaged = "the value of the key `key/7` of `a` is not what was written";
    let lost = "1 of the 20 keys of `a` are lost";
    assert_eq!((status, told), (1, format!("19 keys of 1 module are whole\ndamaged: {damaged}\ndamaged: {lost}\n")));
    let repair = format!("`ixt kv repair --data-dir {place}`");
    assert_eq!(
        error,
        format!("error: the store of keys and values in {place} is damaged: {repair} saves what is whole\n")
    );
    let told = parse(&run(&["kv", "check", args[0], args[1], "--json"]).1);
    assert_eq!(told, json!({ "whole": false, "modules": { "a": 19 }, "damage": [damaged, lost] }));
    let aside = format!("{}.damaged-1", file.display());
    assert_eq!(
        run(&["kv", "repair", args[0], args[1]]),
        (
            0,
            format!(
                "19 keys of 1 module are saved; the damaged file is kept as {aside}\nlost: {damaged}\nlost: {lost}\n"
            ),
            String::new()
        )
    );
    assert!(fs::read(aside).unwrap() == bytes);
    assert_eq!(run(&["kv", "check", args[0], args[1]]).0, 0);

    // Most of it: what the host says is one line, and no trace of a panic.
    bytes[4096..].fill(b'x');
    fs::write(&file, &bytes).unwrap();
    let modules = dir.path().join("modules");
    let (status, _, error) = run(&["run", modules.to_str().unwrap(), args[0], args[1]]);
    let plain = format!(
        "error: {} is damaged: parts of it are not what was written there: `ixt kv check --data-dir {place}` tells what is \
         whole, and {repair} saves what can be read, or put a backup in its place\n",
        file.display()
    );
    assert_eq!(status, 2);
    assert!(error.ends_with(&plain) && !error.contains("panicked"), "{error}");
    let (status, told, error) = run(&["kv", "check", args[0], args[1]]);
    assert_eq!(status, 1);
    assert!(told.starts_with("0 keys of 0 modules are whole\ndamaged: nothing of it can be read: "), "{told}");
    assert!(!error.contains("panicked"), "{error}");
    let (status, told, error) = run(&["kv", "repair", args[0], args[1], "--json"]);
    assert_eq!((status, error.as_str()), (0, ""));
    assert_eq!(parse(&told)["aside"], format!("{}.damaged-2", file.display()));
    assert_eq!(run(&["kv", "check", args[0], args[1]]).1, "0 keys of 0 modules are whole\n");
}

#[test]
fn a_module_has_as_much_room_as_the_configuration_says() {
    let dir = actors(&[("a", A), ("b", B)]);
    let config = dir.path().join("host.toml");
    let run = |text: &str| {
        fs::write(&config, text).unwrap();
        let modules = dir.path().join("modules");
        let all = ["run", modules.to_str().unwrap(), "--ephemeral", "--config", config.to_str().unwrap()];
        let output = ixt(dir.path(), &all).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, error) = run("[kv]\nquota = \"much\"\n");
    assert_eq!(status, Some(2));
    assert!(error.contains("expected a size such as \"256MiB\"") && error.contains("much"), "{error}");

    fs::write(&config, "[kv]\nquota = \"1KiB\"\n[modules.b]\nkv_quota = \"1MiB\"\n").unwrap();
    let mut running = Running::start(dir, &["--config", config.to_str().unwrap()]);
    running.logged("is ready");
    let value = "x".repeat(2000);
    let (status, error) = running.fails(&["kv", "set", "a", "k", &value]);
    assert_eq!(status, 1);
    let full = "error: RESOURCE_EXHAUSTED: there is no room for the value: the module's keys and values have 0 bytes (64 of \
                them for each key), and may have 1024: ";
    assert!(error.starts_with(full), "{error}");
    running.ok(&["kv", "set", "b", "k", &value]);
    // The module is told the same.
    let script = json!({ "do": "ask", "service": "kv_store", "method": "set",
        "params": { "key": "k", "value": ixt_tests::base64(value.as_bytes()) } });
    let answer = running.run(&["call", "a", &script.to_string()]);
    let said = format!("{}{}", String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    assert!(said.contains("RESOURCE_EXHAUSTED"), "{said}");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_data_directory_of_others_or_of_a_later_version_is_refused() {
    let dir = actors(&[("a", A)]);
    let modules = dir.path().join("modules");
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let run = || {
        let all = ["run", modules.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
        let output = ixt(dir.path(), &all).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
    let error = run();
    assert!(error.contains(&format!("`chmod 700 {}`", data.display())), "{error}");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(data.join("format"), "99\n").unwrap();
    let error = run();
    assert!(error.contains("has format version 99, and this program reads versions up to 3"), "{error}");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "nothing is made there");
}

#[test]
fn a_data_directory_that_can_not_be_written_to_is_an_error_with_its_name() {
    let dir = actors(&[("a", A)]);
    let modules = dir.path().join("modules");
    // Not even root can write there.
    let output = ixt(dir.path(), &["run", modules.to_str().unwrap(), "--data-dir", "/proc/ixt-data"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("/proc/ixt-data"), "{error}");
}

#[test]
fn a_disk_that_is_full_fails_the_write_and_nothing_else() {
    let dir = actors(&[("a", A)]);
    let data = dir.path().join("data");
    let modules = dir.path().join("modules");
    let command = {
        let dir = dir.path();
        let ixt = ixt(dir, &[]);
        let mut command = Command::new("/bin/sh");
        // A process that writes more than it may is ended, unless it ignores that signal: then the write fails.
        command.args(["-c", "trap '' 25; exec \"$0\" \"$@\""]).arg(ixt.get_program()).arg("run").arg(modules);
        command.arg("--data-dir").arg(&data).envs(ixt.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    };
    let mut running = Running::spawn(dir, command);
    running.logged("is ready");
    running.ok(&["kv", "set", "a", "small", "1"]);
    // No file may grow any more: to the process that is a full disk.
    let host = Pid::from_child(&running.ixt);
    let size = fs::metadata(data.join("kv.redb")).unwrap().len();
    let limit = |size| rustix::process::Rlimit { current: size, maximum: None };
    rustix::process::prlimit(Some(host), rustix::process::Resource::Fsize, limit(Some(size))).unwrap();
    let large = running.dir.path().join("large");
    fs::write(&large, vec![7; 4 * 1024 * 1024]).unwrap();
    let from = format!("@{}", large.display());
    let (status, error) = running.fails(&["kv", "set", "a", "large", "--data", &from]);
    assert_eq!(status, 1);
    assert!(error.starts_with("error: UNAVAILABLE: ") && error.contains("File too large"), "{error}");
    assert_eq!(running.ok(&["kv", "get", "a", "small"]), "1", "what is there can be read");
    rustix::process::prlimit(Some(host), rustix::process::Resource::Fsize, limit(None)).unwrap();
    running.ok(&["kv", "set", "a", "large", "--data", &from]);
    assert_eq!(running.stop(), Some(0));
}
