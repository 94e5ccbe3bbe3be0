//! A host with one module, with real processes: how the module is started, called and ended, and which mistakes the host reports.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ixt_host::{
    CallError, CallOptions, Config, ConfigError, Deployment, Host, Module, Program, Settings, StartErrorKind,
};
use ixt_tests::{Hosts, Started, block_on, build, program, workspace};
use serde_json::{Value, json};

const ONE: CallOptions = CallOptions { priority: ixt_host::Priority::Normal, ttl: None };

fn fixture(settings: &[(&str, &str)]) -> Hosts {
    let settings: Vec<_> = [("token", "t")].iter().chain(settings).copied().collect();
    Hosts::new().module("tests/fixture", Program::new(build("fixture")), &settings)
}

/// A host with the module `tests/fake`, which has no SDK and answers each topic in another way.
async fn fake() -> Started {
    Hosts::new().module("tests/fake", Program::new(build("fake")), &[]).start().await
}

async fn start_error(hosts: Hosts) -> ixt_host::StartError {
    let started = hosts.begin().await;
    started.host.ready().await.unwrap_err()
}

#[test]
fn a_module_is_started_configured_called_and_shut_down() {
    block_on(async {
        let started = fixture(&[("limit", "5"), ("key", "AAE=")]).start().await;
        let host = &started.host;
        let reply = host.call("config", b"", ONE).await.unwrap();
        assert_eq!(reply.to_json(), r#"{"key":"AAE=","limit":5,"tags":["a"],"token":"t"}"#);
        let reply = host.call("context", b"", ONE).await.unwrap();
        assert!(reply.to_json().contains(r#""source_module":"ixt-host:"#), "{reply}");
        assert!(reply.to_json().contains(r#""module_id":"fixture:1.0.0/instance-001""#), "{reply}");
        let directory = workspace().join("tests/fixture");
        assert!(reply.to_json().contains(&format!(r#""directory":"{}""#, directory.display())), "{reply}");
        let Err(CallError::Replied(error)) = host.call("add", b"{}", ONE).await else {
            panic!("it should not do that")
        };
        assert_eq!(error.code, "INVALID_INPUT");
        assert_eq!(started.host.clone().shutdown().await, [""; 0]);
        let lines = started.rest().await;
        assert!(lines.ends_with(&["closed".to_owned(), "has ended".to_owned()]), "its output is there: {lines:?}");
    });
}

#[test]
fn a_module_that_dies_ends_its_calls_with_the_reason() {
    block_on(async {
        let started = fixture(&[]).start().await;
        let Err(CallError::Gone { reason }) = started.host.call("abort", b"", ONE).await else { panic!("it lives") };
        assert_eq!(reason, "fixture:1.0.0/instance-001 ended while it handled `abort`: it was killed by signal 6");
        let (code, message) = started.error("raw", Value::Null).await;
        assert_eq!(code, "UNAVAILABLE");
        assert!(
            message.starts_with("`fixture` has failed and is not restarted any more: it was killed by signal 6"),
            "{message}"
        );
    });
}

#[test]
fn a_module_that_does_not_start_says_why() {
    block_on(async {
        let error = start_error(fixture(&[("on_init", "no disk")])).await;
        assert_eq!(error.kind().to_string(), "fixture:1.0.0/instance-001 could not initialize: NOT_TODAY: no disk");
        let error = start_error(fixture(&[("on_init", "exit")])).await;
        assert_eq!(
            error.to_string(),
            "fixture:1.0.0/instance-001 ended before it answered `init`: it exited with status 7"
        );
        let error = start_error(fixture(&[("on_init", "panic")])).await;
        assert!(matches!(error.kind(), StartErrorKind::Refused { reply, .. } if reply.code == "INTERNAL"), "{error}");
        let [line] = error.last_lines() else { panic!("what it has logged is passed on: {error}") };
        assert!(
            line.contains("panicked at tests/fixture/src/lib.rs:") && line.ends_with(": as it was told to"),
            "{line}"
        );
        let module = Module::open(workspace().join("tests/fixture")).unwrap();
        let error = Deployment::new(&module, Program::new("x"), &Config::of(module.manifest())).unwrap_err();
        assert!(matches!(&error, ConfigError::Missing { .. }), "{error}");
    });
}

#[test]
fn a_program_that_is_no_module_is_told_apart() {
    block_on(async {
        let error = start_error(Hosts::new().program("m", "", 1, Program::new("/bin/false"))).await;
        assert_eq!(
            error.to_string(),
            "m:1.0.0/instance-001 ended before it connected to its host: it exited with status 1"
        );
        let error = start_error(Hosts::new().program("m", "", 1, Program::new("/no/such/program"))).await;
        assert!(error.to_string().starts_with("can't start /no/such/program: "), "{error}");
    });
}

#[test]
fn a_module_that_does_not_shut_down_well_has_ended_all_the_same() {
    block_on(async {
        let started = fixture(&[("on_shutdown", "can't flush")]).start().await;
        let complaints = started.host.shutdown().await;
        assert_eq!(complaints, ["fixture:1.0.0/instance-001: the module could not shut down: INTERNAL: can't flush"]);
    });
}

#[test]
fn a_request_over_the_limit_is_not_sent() {
    block_on(async {
        // A module that takes lines: with attachments there is more room.
        let started = Hosts::new().actor("a", "[provides]\nservices = [\"a\"]").start().await;
        let error = started.host.call("a", &vec![0; 13 * 1024 * 1024], ONE).await.unwrap_err();
        let CallError::Replied(reply) = error else { panic!("{error}") };
        assert_eq!(reply.code, "RESOURCE_EXHAUSTED");
        assert!(reply.message.contains("is over the limit of 16777216 bytes for a frame"), "{reply}");
        started.host.call("a", &vec![0; 8 * 1024 * 1024], ONE).await.unwrap();

        let started = fixture(&[]).start().await;
        // In base64 neither the request nor the reply would fit.
        let data = started.host.call("raw", &vec![0; 13 * 1024 * 1024], ONE).await.unwrap();
        assert!(data.to_json().ends_with("\"length\":13631488}"));
    });
}

#[test]
fn a_reply_that_is_wrong_ends_its_call_and_the_next_one_is_answered() {
    block_on(async {
        let started = fake().await;
        for (topic, says) in [
            ("wrong", "a `error` frame is wrong: `code`: missing"),
            ("too-long", "is over the limit of 16777216 bytes"),
            ("without-id", "a reply has no `id`, although its reply to `init` had one"),
            ("garbage", "not a frame: expected an object"),
        ] {
            let (code, message) = started.error(topic, Value::Null).await;
            assert_eq!(code, "INTERNAL");
            assert!(message.starts_with("the module's reply is wrong: "), "{message}");
            assert!(message.contains(says), "{message}");
            started.ask("fine", Value::Null).await.unwrap();
        }
    });
}

#[test]
fn what_belongs_to_no_call_is_told() {
    block_on(async {
        let mut started = fake().await;
        started.ask("twice", Value::Null).await.unwrap();
        started.ask("strange", Value::Null).await.unwrap();
        let lines = started.lines();
        let expected = [
            "skipped a reply to the request 2 that nobody waits for",
            "skipped what it sent: frames of type `hello` are not known here",
            "skipped a reply to the request 99 that nobody waits for",
        ];
        assert_eq!(lines[1..], expected);
    });
}

#[test]
fn a_module_that_hangs_up_ends_its_calls() {
    block_on(async {
        let (code, reason) = fake().await.error("close", Value::Null).await;
        assert_eq!(code, "gone");
        assert_eq!(reason, "fake:1.0.0/instance-001 ended while it handled `close`: it exited with status 0");
    });
}

#[test]
fn what_a_module_has_started_ends_with_it() {
    block_on(async {
        let started = fake().await;
        let reply = started.ask("orphan", Value::Null).await.unwrap();
        let child = PathBuf::from(format!("/proc/{}", reply["pid"]));
        assert!(child.exists());
        // The child holds the output's pipe, and `shutdown` waits for its end.
        started.host.shutdown().await;
        // Empty for a process that has ended and was not reaped yet.
        assert!(std::fs::read(child.join("environ")).map_or(true, |environment| environment.is_empty()));
    });
}

#[test]
fn a_call_that_is_dropped_is_cancelled_and_disturbs_no_other() {
    block_on(async {
        let started = fixture(&[]).start().await;
        let host = &started.host;
        {
            let mut wait = std::pin::pin!(host.call("wait", b"", ONE));
            let sent = std::future::poll_fn(|cx| std::task::Poll::Ready(wait.as_mut().poll(cx).is_pending()));
            assert!(sent.await);
        }
        // Had the first call not been cancelled, it would have taken what the second one needs.
        host.call("release", b"", ONE).await.unwrap();
        tokio::time::timeout(Duration::from_secs(60), host.call("wait", b"", ONE)).await.unwrap().unwrap();
    });
}

#[test]
fn a_program_is_the_one_that_the_manifest_names() {
    let scratch = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(scratch.path().join(name), text).unwrap();
    let open = |process: &str| {
        let manifest = "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n";
        write("manifest.toml", &format!("{manifest}{process}"));
        Module::open(scratch.path()).unwrap()
    };
    let error = |process: &str| block_on(program(&open(process))).unwrap_err().to_string();
    write("main.py", "hello");
    std::fs::create_dir(scratch.path().join("dist")).unwrap();
    let file = scratch.path().canonicalize().unwrap().join("main.py");

    for nothing in [error(""), error("[artifacts.process]\nargs = [\"a\"]\n")] {
        let says = "it has no Cargo.toml, and its manifest no [artifacts.process] with the `path` of a program";
        assert!(nothing.contains(says), "{nothing}");
    }
    let missing = error("[artifacts.process]\npath = \"main.js\"\n");
    assert!(missing.contains("main.js, which the manifest's [artifacts.process] names: No such file"), "{missing}");
    let directory = error("[artifacts.process]\npath = \"dist\"\n");
    assert!(directory.contains("it is a directory; `entry` names the file in it"), "{directory}");
    let size = error("[artifacts.process]\npath = \"main.py\"\nsize_bytes = 4\n");
    assert!(size.contains("it has 5 bytes, and `size_bytes` says 4"), "{size}");
    let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let wrong = error(&format!("[artifacts.process]\npath = \"main.py\"\nsha256 = \"{}\"\n", "0".repeat(64)));
    assert!(wrong.contains(&format!("its SHA-256 is {digest}")), "{wrong}");

    let right = format!(
        "[artifacts.process]\npath = \"main.py\"\ninterpreter = \"python3\"\nsha256 = \"{digest}\"\nsize_bytes = 5\n"
    );
    assert_eq!(block_on(program(&open(&right))).unwrap().path(), "python3");
    let unchecked = open("[artifacts.process]\npath = \"main.py\"\ninterpreter = \"python3\"\n");
    assert_eq!(block_on(program(&unchecked)).unwrap(), Program::new("python3").arg(&file));
    let entry = open("[artifacts.process]\npath = \".\"\nentry = \"main.py\"\nargs = [\"a b\"]\n");
    assert_eq!(block_on(program(&entry)).unwrap(), Program::new(&file).arg("a b"));
}

/// A module with its program in its directory, and the program's hash in its manifest.
fn module_with_hash(dir: &Path, program: &str, source: &Path) -> Module {
    put(source, &dir.join(program));
    let open = |sha256: &str| {
        let manifest = format!(
            "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n[provides]\nservices = [\"a\"]\n\
             [artifacts.process]\npath = \"{program}\"\nsha256 = \"{sha256}\"\n"
        );
        std::fs::write(dir.join("manifest.toml"), manifest).unwrap();
        Module::open(dir).unwrap()
    };
    // It says itself what its hash is.
    let error = block_on(ixt_tests::program(&open(&"0".repeat(64)))).unwrap_err().to_string();
    let (_, sha256) = error.split_once("its SHA-256 is ").unwrap();
    open(&sha256[..64])
}

/// Replaces the file at `place` by a copy of `source`. Another process, `cp`, does that: while a process has a program open for writing,
/// neither it nor a process that it starts meanwhile can execute the program.
fn put(source: &Path, place: &Path) {
    let new = place.with_extension("new");
    assert!(Command::new("cp").args([source, &new]).status().unwrap().success());
    std::fs::rename(new, place).unwrap();
}

#[test]
fn a_program_with_a_hash_is_looked_at_before_each_start() {
    let scratch = tempfile::tempdir().unwrap();
    let module = module_with_hash(scratch.path(), "program", &build("actor"));
    let place = scratch.path().canonicalize().unwrap().join("program");
    block_on(async {
        let mut builder = Host::builder(Settings::default());
        let program = program(&module).await.unwrap();
        builder.module(Deployment::new(&module, program, &Config::of(module.manifest())).unwrap()).unwrap();
        let host = builder.start().await.unwrap();
        host.ready().await.unwrap();
        let pid = host.status()[0].instances[0].pid.unwrap();
        let proc = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
        assert_eq!(std::fs::read_link(proc("exe")).unwrap(), place);
        let command = std::fs::read(proc("cmdline")).unwrap();
        assert_eq!(command, [place.to_str().unwrap().as_bytes(), b"\0"].concat(), "it is told its own path");

        put(&build("fake"), &place);
        let Err(CallError::Replied(error)) = host.restart("m").await else { panic!("another program is started") };
        assert_eq!(error.code, "UNAVAILABLE");
        let says = format!("{} is not the program that the manifest was written for: its SHA-256 is ", place.display());
        let declared = module.manifest().process.sha256.clone().unwrap();
        assert!(error.message.contains(&says) && error.message.contains(&declared), "{error}");
        // Not once and for all: it is tried again, as whatever does not start.
        put(&build("actor"), &place);
        host.restart("m").await.unwrap();
        host.call("a", b"", ONE).await.unwrap();
        host.shutdown().await;
    });
}

#[test]
fn a_script_with_a_hash_is_started_by_its_path() {
    let scratch = tempfile::tempdir().unwrap();
    let script = scratch.path().join("script");
    // It finds what is beside it, by its own name.
    std::fs::write(&script, "#!/bin/sh\nexec \"$(dirname \"$0\")/beside\"\n").unwrap();
    assert!(Command::new("chmod").args(["+x".as_ref(), script.as_path()]).status().unwrap().success());
    put(&build("actor"), &scratch.path().join("beside"));
    let module = module_with_hash(scratch.path(), "main.sh", &script);
    block_on(async {
        let mut builder = Host::builder(Settings::default());
        let program = program(&module).await.unwrap();
        builder.module(Deployment::new(&module, program, &Config::of(module.manifest())).unwrap()).unwrap();
        let host = builder.start().await.unwrap();
        host.ready().await.unwrap();
        host.shutdown().await;
    });
}

#[test]
fn a_program_outside_of_its_module_is_told_and_refused_with_a_hash() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().canonicalize().unwrap().join("m");
    std::fs::create_dir(&dir).unwrap();
    put(&build("actor"), &scratch.path().join("elsewhere"));
    std::os::unix::fs::symlink("../elsewhere", dir.join("link")).unwrap();
    let open = |process: &str| {
        let manifest = "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n[artifacts.process]\n";
        std::fs::write(dir.join("manifest.toml"), format!("{manifest}{process}\n")).unwrap();
        Module::open(&dir).unwrap()
    };
    let told = |process: &str| {
        block_on(async {
            let module = open(process);
            let mut settings = Settings::default();
            settings.restart = ixt_host::RestartPolicy::never();
            let mut builder = Host::builder(settings);
            let program = program(&module).await.unwrap();
            builder.module(Deployment::new(&module, program, &Config::of(module.manifest())).unwrap()).unwrap();
            let mut logs = builder.logs().follow_all();
            drop(builder.start().await.unwrap());
            let mut told = Vec::new();
            while let Some(record) = logs.next().await {
                if record.message.contains("which is not in its directory") {
                    told.push(record.message.clone());
                }
            }
            told
        })
    };
    let place = scratch.path().canonicalize().unwrap();
    let message = format!("runs {}, which is not in its directory", place.join("elsewhere").display());
    for path in ["../elsewhere".to_owned(), place.join("elsewhere").display().to_string(), "link".to_owned()] {
        assert_eq!(told(&format!("path = '{path}'")), [message.as_str()], "{path}");
        let refused = open(&format!("path = '{path}'\nsha256 = '{}'", "0".repeat(64)));
        let refused = block_on(program(&refused)).unwrap_err().to_string();
        let says =
            format!("{} is not in the module's directory {}, ", place.join("elsewhere").display(), dir.display());
        assert!(refused.starts_with(&says), "{refused}");
    }
    std::fs::write(dir.join("main.sh"), "exit 1").unwrap();
    let outside = told("path = \"main.sh\"\ninterpreter = \"../sh\"");
    assert!(outside[0].contains("../sh, which is not"), "{outside:?}");
    assert_eq!(told("path = \"main.sh\"\ninterpreter = \"sh\""), [""; 0], "it is found on the PATH");
    assert_eq!(told("path = \"main.sh\"\ninterpreter = \"/bin/sh\""), [""; 0]);
}

#[test]
fn a_module_gets_of_the_environment_what_its_manifest_names() {
    block_on(async {
        let none = "[provides]\nservices = [\"none\"]";
        let some = "[provides]\nservices = [\"some\"]\n[env]\npass = [\"CARGO_PKG_NAME\"]";
        let set = Program::new(build("actor")).env("CARGO_PKG_NAME", "mine").env("NOTIFY_SOCKET", "/mine");
        let started = Hosts::new().actor("none", none).actor("some", some);
        let started = started.program("set", "[provides]\nservices = [\"set\"]", 1, set).start().await;
        let variable = async |topic: &str, name: &str| {
            started.ask(topic, json!({ "do": "variable", "name": name })).await.unwrap()["value"].clone()
        };
        // Cargo sets both for tests.
        assert_eq!(variable("some", "CARGO_PKG_NAME").await, "ixt-tests");
        assert_eq!(variable("some", "CARGO_PKG_VERSION").await, Value::Null);
        assert_eq!(variable("none", "CARGO_PKG_NAME").await, Value::Null);
        assert_eq!(variable("none", "PATH").await, std::env::var("PATH").unwrap());
        assert_eq!(variable("set", "CARGO_PKG_NAME").await, "mine");
        assert_eq!(variable("set", "NOTIFY_SOCKET").await, Value::Null, "nobody speaks for the host");
    });
}

#[test]
fn a_modules_socket_is_for_its_own_process_and_what_that_has_started() {
    block_on(async {
        // The actor is started by what was started, and is not the process that the host knows.
        let script = "mkfifo go && echo waiting && read now < go; \"$0\" & wait";
        let program = Program::new("/bin/sh").arg("-c").arg(script).arg(build("actor"));
        let mut started = Hosts::new().program("m", "[provides]\nservices = [\"a\"]", 1, program).begin().await;
        started.logged("waiting").await;
        // What it writes may be there before its number is.
        let pid = loop {
            if let Some(pid) = started.host.status()[0].instances[0].pid {
                break pid;
            }
            tokio::task::yield_now().await;
        };
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let socket = environment.split(|byte| *byte == 0).find_map(|one| one.strip_prefix(b"IXT_IPC_SOCKET=")).unwrap();
        let mut thief = UnixStream::connect(std::str::from_utf8(socket).unwrap()).unwrap();
        assert_eq!(thief.read(&mut [0]).unwrap(), 0, "it gets nothing, and is closed");
        let (module, told) = started.logged("away from its socket").await;
        assert_eq!(module, "m:1.0.0/instance-001");
        assert!(told.starts_with(&format!("turned process {} (", std::process::id())), "{told}");

        std::fs::write(started.files.path().join("m/go"), "\n").unwrap();
        started.host.ready().await.unwrap();
        let answer = started.ask("a", json!({ "do": "tell" })).await.unwrap();
        assert_ne!(answer["pid"], pid);
    });
}

#[test]
fn a_module_has_the_limits_of_its_manifest() {
    block_on(async {
        let rest = "[provides]\nservices = [\"a\"]\n[limits]\nfiles = 77\nmemory = \"64MiB\"";
        let started = Hosts::new().actor("a", rest).start().await;
        let pid = started.ask("a", json!({ "do": "tell" })).await.unwrap()["pid"].clone();
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let limit = |name: &str| {
            let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
            line[name.len()..].split_whitespace().next().unwrap().to_owned()
        };
        assert_eq!(limit("Max open files"), "77");
        assert_eq!(limit("Max data size"), (64 * 1024 * 1024).to_string());
    });
}

/// The directory of a process's cgroup (v2); `None` if cgroups are not mounted in one of the usual places.
fn cgroup(pid: u64) -> Option<PathBuf> {
    let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(|mount| Path::new(mount).join(own));
    places.into_iter().find(|place| place.join("cgroup.controllers").is_file())
}

#[test]
fn a_limit_of_processors_holds_for_each_process_or_it_is_told_once_that_it_does_not() {
    block_on(async {
        let hosts = Hosts::new().restarting(9);
        let hosts = hosts.actors("m", "[provides]\nservices = [\"a\"]\n[limits]\ncpu = 1.5", 2);
        let builder = hosts.builder();
        let mut logs = builder.logs().follow_all();
        let host = builder.start().await.unwrap();
        host.ready().await.unwrap();
        host.restart("m").await.unwrap();
        let pids: Vec<_> = host.status()[0].instances.iter().map(|instance| u64::from(instance.pid.unwrap())).collect();
        let limits: Vec<_> = pids
            .iter()
            .map(|pid| {
                std::fs::read_to_string(cgroup(*pid)?.join("cpu.max")).ok().filter(|limit| !limit.starts_with("max"))
            })
            .collect();
        host.shutdown().await;
        drop(hosts);
        let mut told = Vec::new();
        while let Some(record) = logs.next().await {
            if record.message.contains("`cpu` in [limits]") {
                told.push(record);
            }
        }
        if limits.iter().all(Option::is_some) {
            assert_eq!((limits.len(), told.len()), (2, 0));
            assert!(limits.into_iter().flatten().all(|limit| limit == "150000 100000\n"));
            assert_ne!(cgroup(pids[0]), cgroup(pids[1]));
        } else {
            let [told] = &told[..] else { panic!("{told:?}") };
            assert_eq!((told.module.as_str(), told.level), ("m:1.0.0", ixt_host::LogLevel::Warn));
            assert!(told.message.contains(" does not hold: ") && told.message.contains("Delegate=yes"), "{told:?}");
            eprintln!("not enforced here: {}", told.message);
        }
    });
}
