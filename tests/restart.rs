//! Restarts of a module: what its callers notice, and what happens if the new version can't be started.

use std::fs;
use std::path::Path;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ixt_host::{
    CallError, CallOptions, Config, Deployment, InstanceState, LoadRequest, Loader, Loading, Module, Notice, Program,
};
use ixt_tests::{Hosts, Started, block_on, build};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const A: &str = "[provides]\nservices = [\"a\"]";

/// A loader that reads the manifest again, and keeps the program.
struct Again;

impl Loader for Again {
    fn load<'a>(&'a self, request: LoadRequest<'a>) -> Loading<'a> {
        Box::pin(async move {
            let running = request.running;
            assert!(request.guard.is_some(), "builds are to be told to the host's guard");
            (request.notify)(Notice::Step("reads it again".to_owned()));
            let module = Module::open(running.module().dir()).map_err(|report| report.to_string())?;
            let config = Config::of(module.manifest());
            Deployment::new(&module, running.program().clone(), &config).map_err(|error| error.to_string())
        })
    }
}

async fn started(hosts: Hosts) -> Started {
    hosts.loader(std::sync::Arc::new(Again)).start().await
}

/// Writes another manifest of a module, with this version and these lines beside its name.
fn write(started: &Started, name: &str, version: &str, rest: &str) {
    let manifest = format!("schema_version = \"3.0\"\n[module]\nname = \"{name}\"\nversion = \"{version}\"\n{rest}\n");
    fs::write(started.files.path().join(name).join("manifest.toml"), manifest).unwrap();
}

/// Reloads a module. Returns the notices that came meanwhile, and the outcome.
async fn reload(started: &Started, name: &str) -> (Vec<Notice>, Result<(), String>) {
    let notices = Mutex::new(Vec::new());
    let done = started.host.reload(name, false, &|notice| notices.lock().unwrap().push(notice)).await;
    (notices.into_inner().unwrap(), done.map_err(|error| error.to_string()))
}

/// The ids and states of a module's processes.
fn instances(started: &Started, name: &str) -> Vec<(String, InstanceState)> {
    let status = started.host.status().into_iter().find(|status| status.name == name).unwrap();
    status.instances.into_iter().map(|instance| (instance.id, instance.state)).collect()
}

fn id(answer: &Value) -> &str {
    answer["module_id"].as_str().unwrap()
}

/// Calls again and again until `stop` is set. Returns, for each call, the id of the process that has answered.
async fn calls(started: &Started, topic: &str, stop: &AtomicBool) -> Vec<String> {
    let mut ids = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let answer = started.ask(topic, json!({ "do": "tell" })).await.unwrap();
        ids.push(id(&answer).to_owned());
    }
    ids
}

#[test]
fn nobody_is_refused_while_a_process_is_replaced_and_what_it_has_begun_it_finishes() {
    block_on(async {
        for on_init in ["", "idless"] {
            let rest = format!("{A}\n[config]\non_init = {{ type = \"string\", default = \"{on_init}\" }}");
            let mut started = started(Hosts::new().actor("a", &rest)).await;
            started.logged("is ready").await;
            let host = started.host.clone();
            let slow = tokio::spawn(async move {
                let script = json!({ "do": "wait", "for": "file", "file": "go" }).to_string();
                host.call("a", script.as_bytes(), CallOptions::default()).await
            });
            started.logged("waits for file").await;
            let stop = AtomicBool::new(false);
            let restart = async {
                let replaced = started.host.restart("a");
                let mut replaced = pin!(replaced);
                // It has taken over, and the old one still has its request.
                loop {
                    tokio::select! {
                        biased;
                        done = &mut replaced => panic!("the old one has not answered yet: {done:?}"),
                        () = tokio::task::yield_now() => {}
                    }
                    if instances(&started, "a").iter().any(|(_, state)| *state == InstanceState::Draining) {
                        break;
                    }
                }
                assert_eq!(
                    instances(&started, "a"),
                    [
                        ("a:1.0.0/instance-001".to_owned(), InstanceState::Draining),
                        ("a:1.0.0/instance-002".to_owned(), InstanceState::Ready)
                    ]
                );
                started.ask("a", json!({ "do": "tell" })).await.unwrap();
                fs::write(started.files.path().join("a/go"), "").unwrap();
                replaced.await.unwrap();
                stop.store(true, Ordering::Relaxed);
            };
            let (answered, ()) = tokio::join!(calls(&started, "a", &stop), restart);
            let answer: Value = slow.await.unwrap().unwrap().read().unwrap();
            assert_eq!(answer, json!({ "waited": true }));
            assert_eq!(answered.last().unwrap(), "a:1.0.0/instance-002");
            assert_eq!(instances(&started, "a"), [("a:1.0.0/instance-002".to_owned(), InstanceState::Ready)]);
            // The number is free again.
            started.host.restart("a").await.unwrap();
            assert_eq!(instances(&started, "a"), [("a:1.0.0/instance-001".to_owned(), InstanceState::Ready)]);
        }
    });
}

#[test]
fn a_restart_takes_the_manifest_as_it_is_and_tells_what_that_breaks() {
    block_on(async {
        let rest = "[provides]\nservices = [\"a\", \"old\"]\n[config]\nlimit = { type = \"integer\", default = 1 }";
        let started = started(Hosts::new().actors("a", rest, 2)).await;
        write(
            &started,
            "a",
            "1.1.0",
            "[provides]\nservices = [\"a\", \"new\"]\n[config]\nlimit = { type = \"integer\", default = 2 }",
        );
        let (notices, done) = reload(&started, "a").await;
        done.unwrap();
        assert_eq!(notices[0], Notice::Step("reads it again".to_owned()));
        let breaking: Vec<_> = notices
            .iter()
            .filter_map(|notice| match notice {
                Notice::Change { breaking: true, text } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert!(breaking.iter().any(|text| text.contains("`old`") && text.contains("manifest.toml:")), "{breaking:?}");
        // One process, as is said now.
        assert_eq!(instances(&started, "a").len(), 1);
        assert_eq!(started.host.status()[0].version, "1.1.0");
        let told = started.ask("new", json!({ "do": "tell" })).await.unwrap();
        assert_eq!(id(&told), "a:1.1.0/instance-003");
        let (code, _) = started.error("old", Value::Null).await;
        assert_eq!(code, "NOT_FOUND");
    });
}

#[test]
fn one_that_does_not_start_leaves_the_old_one_serving() {
    block_on(async {
        let started = started(Hosts::new().actor("a", A)).await;
        let config = "[config]\non_init = { type = \"string\", default = \"exit\" }";
        write(&started, "a", "1.0.1", &format!("[provides]\nservices = [\"a\", \"more\"]\n{config}"));
        let stop = AtomicBool::new(false);
        let restart = async {
            let (_, done) = reload(&started, "a").await;
            stop.store(true, Ordering::Relaxed);
            done.unwrap_err()
        };
        let (answered, error) = tokio::join!(calls(&started, "a", &stop), restart);
        assert_eq!(
            error,
            "UNAVAILABLE: a:1.0.1/instance-002 did not get ready, and a:1.0.0/instance-001 goes on: a:1.0.1/instance-002 \
             ended before it answered `init`: it exited with status 7"
        );
        assert!(answered.iter().all(|id| id == "a:1.0.0/instance-001"));
        assert_eq!(instances(&started, "a"), [("a:1.0.0/instance-001".to_owned(), InstanceState::Ready)]);
        assert_eq!(started.error("more", Value::Null).await.0, "NOT_FOUND", "it was withdrawn");
        assert_eq!(started.host.status()[0].version, "1.0.0");

        // Nor do these change anything.
        write(&started, "a", "1.0.1", "[provides]\nservices = [\"a\"]\n[config]\nkey = { type = \"integer\" }");
        let says = "FAILED_PRECONDITION: `a` is not restarted, and goes on as it was: ";
        let error = reload(&started, "a").await.1.unwrap_err();
        assert_eq!(error, format!("{says}no value for the config key `key`, which has no default"));
        write(&started, "a", "one", A);
        let error = reload(&started, "a").await.1.unwrap_err();
        assert!(error.starts_with(says) && error.contains("manifest.toml:4:11"), "{error}");
        let manifest = "schema_version = \"3.0\"\n[module]\nname = \"b\"\nversion = \"1.0.0\"\n";
        fs::write(started.files.path().join("a/manifest.toml"), manifest).unwrap();
        let error = reload(&started, "a").await.1.unwrap_err();
        assert!(error.starts_with(&format!("{says}its manifest names it `b` now")), "{error}");
        assert_eq!(instances(&started, "a"), [("a:1.0.0/instance-001".to_owned(), InstanceState::Ready)]);
    });
}

#[test]
fn a_restart_that_fails_is_in_the_log_once_whoever_asked_for_it() {
    block_on(async {
        let started = started(Hosts::new().actor("a", A)).await;
        let logged = |text: &str| {
            let mut log = started.host.logs().follow(usize::MAX);
            std::iter::from_fn(|| log.try_next()).filter(|record| record.message.contains(text)).count()
        };
        write(&started, "a", "1.0.1", &format!("{A}\n{}", on_init("exit")));
        reload(&started, "a").await.1.unwrap_err();
        assert_eq!(logged("a:1.0.1/instance-002 did not get ready"), 1);
        started.host.reload_changed(false, &|_, _| ()).await[0].1.as_ref().unwrap_err();
        assert_eq!(logged("did not get ready"), 2);
        write(&started, "a", "one", A);
        for times in 1..=2 {
            match times {
                1 => drop(reload(&started, "a").await.1.unwrap_err()),
                _ => drop(started.host.reload_changed(false, &|_, _| ()).await[0].1.as_ref().unwrap_err().clone()),
            }
            assert_eq!(logged("`a` is not restarted, and goes on as it was: "), times);
        }
    });
}

#[test]
fn a_topic_of_another_module_is_refused_before_anything_is_started() {
    block_on(async {
        let started = started(Hosts::new().actor("a", A).actor("b", "[provides]\nservices = [\"b\"]")).await;
        write(&started, "a", "1.1.0", "[provides]\nservices = [\"a\", \"b\"]");
        assert_eq!(
            reload(&started, "a").await.1.unwrap_err(),
            "FAILED_PRECONDITION: `a` can't provide `b`, for `b` does: a topic has one provider. It goes on as it was"
        );
        let told = started.ask("b", json!({ "do": "tell" })).await.unwrap();
        assert_eq!(id(&told), "b:1.0.0/instance-001");
        assert_eq!(instances(&started, "a"), [("a:1.0.0/instance-001".to_owned(), InstanceState::Ready)]);
    });
}

#[test]
fn one_that_does_not_overlap_ends_first_and_calls_wait() {
    block_on(async {
        let alone = format!("{A}\n[artifacts.process]\noverlap = false\n");
        let mut started = started(Hosts::new().actor("a", &alone)).await;
        started.logged("is ready").await;
        let pid = started.host.status()[0].instances[0].pid.unwrap();
        let stop = AtomicBool::new(false);
        let restart = async {
            started.host.restart("a").await.unwrap();
            stop.store(true, Ordering::Relaxed);
        };
        let (answered, ()) = tokio::join!(calls(&started, "a", &stop), restart);
        assert!(!answered.is_empty());
        assert_eq!(instances(&started, "a"), [("a:1.0.0/instance-002".to_owned(), InstanceState::Ready)]);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        let (module, _) = started.logged("has ended").await;
        assert_eq!(module, "a:1.0.0/instance-001");
        assert_eq!(started.logged("is ready").await.0, "a:1.0.0/instance-002", "not before");

        // What does not start makes room again.
        write(
            &started,
            "a",
            "1.0.1",
            &format!("{alone}[config]\non_init = {{ type = \"string\", default = \"exit\" }}"),
        );
        stop.store(false, Ordering::Relaxed);
        let restart = async {
            let (_, done) = reload(&started, "a").await;
            stop.store(true, Ordering::Relaxed);
            done.unwrap_err()
        };
        let (answered, error) = tokio::join!(calls(&started, "a", &stop), restart);
        assert!(
            error.starts_with(
                "UNAVAILABLE: a:1.0.1/instance-001 did not get ready, and what ran before was started again, as a:1.0.0/instance-00"
            ),
            "{error}"
        );
        assert!(answered.last().unwrap().starts_with("a:1.0.0/"), "nobody was refused, and the old one answers");
        assert_eq!(instances(&started, "a").len(), 1);
    });
}

#[test]
fn only_what_has_changed_is_reloaded_and_what_was_stopped_stays_so() {
    block_on(async {
        let hosts = Hosts::new().actor("a", A).actor("b", "[provides]\nservices = [\"b\"]").actor("c", "");
        let started = started(hosts).await;
        write(&started, "b", "1.0.1", "[provides]\nservices = [\"b\"]");
        write(&started, "c", "1.0.1", "");
        started.host.stop("c").await.unwrap();
        let results = started.host.reload_changed(false, &|_, _| ()).await;
        let results: Vec<_> = results.into_iter().map(|(name, result)| (name, result.unwrap())).collect();
        assert_eq!(results, [("a".to_owned(), false), ("b".to_owned(), true), ("c".to_owned(), false)]);
        assert_eq!(instances(&started, "a"), [("a:1.0.0/instance-001".to_owned(), InstanceState::Ready)]);
        assert_eq!(instances(&started, "b"), [("b:1.0.1/instance-002".to_owned(), InstanceState::Ready)]);
        assert_eq!(instances(&started, "c"), [("c:1.0.0/instance-001".to_owned(), InstanceState::Stopped)]);
        let again = started.host.reload_changed(false, &|_, _| ()).await;
        assert!(again.into_iter().all(|(_, result)| !result.unwrap()), "nothing has changed since");
    });
}

#[test]
fn a_module_that_is_stopped_while_it_is_restarted_is_stopped() {
    block_on(async {
        let mut started = started(Hosts::new().actor("a", A)).await;
        started.logged("is ready").await;
        write(&started, "a", "1.0.1", &format!("{A}\n[config]\non_init = {{ type = \"string\", default = \"hang\" }}"));
        let host = started.host.clone();
        let restart = tokio::spawn(async move { host.reload("a", false, &|_| ()).await });
        while instances(&started, "a").len() < 2 {
            tokio::task::yield_now().await;
        }
        started.host.stop("a").await.unwrap();
        let Err(CallError::Replied(error)) = restart.await.unwrap() else { panic!("it was stopped") };
        assert_eq!(error.message, "the module was stopped before its restart was done");
        assert_eq!(instances(&started, "a"), [("a:1.0.1/instance-002".to_owned(), InstanceState::Stopped)]);
        assert_eq!(started.error("a", Value::Null).await.1, "`a` is stopped");
    });
}

/// The examples are what users have: modules of the SDK that call each other, one with a database.
#[test]
fn all_examples_are_replaced_while_they_are_called() {
    block_on(async {
        let database = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/orders.db", database.path().display());
        let mut hosts = Hosts::new();
        for (name, config) in
            [("echo", vec![]), ("mail", vec![]), ("notifications", vec![]), ("orders", vec![("database_url", &*url)])]
        {
            hosts = hosts.module(&format!("examples/{name}"), Program::new(build(name)), &config);
        }
        let started = hosts.start().await;
        let (stop, call) = (AtomicBool::new(false), &started.host);
        let again = async |topic: &str, request: &dyn Fn(u64) -> Value| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let payload = request(number).to_string();
                call.call(topic, payload.as_bytes(), CallOptions::default()).await.unwrap();
                number += 1;
            }
            number
        };
        let restart = async {
            for name in ["mail", "orders", "notifications", "echo", "mail", "orders"] {
                started.host.restart(name).await.unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        };
        let (echo, orders, notifications, ()) = tokio::join!(
            again("my.service.process", &|number| json!({ "number": number })),
            again("orders.place", &|_| json!({ "sku": "A-1", "quantity": 1 })),
            again("notifications.send", &|number| json!({ "user_id": number, "message": "hello" })),
            restart,
        );
        assert!(echo > 0 && orders > 0 && notifications > 0, "{echo}, {orders}, {notifications}");
        let last = started.ask("orders.get", json!({ "id": orders })).await.unwrap();
        assert_eq!(last["id"], orders, "none was lost, and none placed twice");
        assert_eq!(started.host.shutdown().await, [""; 0]);
    });
}

#[test]
fn a_long_poll_ends_when_its_module_is_to_end() {
    block_on(async {
        let mut hosts = Hosts::new().module("tests/fixture", Program::new(build("fixture")), &[("token", "t")]);
        hosts.settings.shutdown_grace = std::time::Duration::from_secs(3600);
        let mut started = hosts.start().await;
        let host = started.host.clone();
        let poll = tokio::spawn(async move { host.call("poll", b"", CallOptions::default()).await });
        started.logged("polls").await;
        started.host.restart("fixture").await.unwrap();
        assert_eq!(poll.await.unwrap().unwrap().read::<Value>().unwrap(), json!({ "came": false }));
    });
}

fn on_init(what: &str) -> String {
    format!("[config]\non_init = {{ type = \"string\", default = \"{what}\" }}")
}

/// Starts a reload in a task, which returns the outcome.
fn restarting(started: &Started, name: &'static str) -> tokio::task::JoinHandle<Result<(), CallError>> {
    let host = started.host.clone();
    tokio::spawn(async move { host.reload(name, false, &|_| ()).await })
}

/// Waits until `so` holds for the processes of a module.
async fn until(started: &Started, name: &str, so: impl Fn(&[(String, InstanceState)]) -> bool) {
    while !so(&instances(started, name)) {
        tokio::task::yield_now().await;
    }
}

/// Waits for the process of the replica that is being started, and returns its id.
async fn pid_of_new(started: &Started) -> Pid {
    loop {
        let status = started.host.status().remove(0);
        if let Some(pid) = status.instances.get(1).and_then(|instance| instance.pid) {
            return Pid::from_raw(pid.cast_signed()).unwrap();
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn who_waits_for_what_does_not_come_is_answered_and_its_events_hold_up_no_others() {
    block_on(async {
        let rest = |services: &str, events: &str| {
            format!(
                "[provides]\nservices = [{services}]\nevents = [\"one\", \"two\"]\n[requires]\nevents = [{events}]\n"
            )
        };
        let started = started(Hosts::new().actor("a", &rest("\"a\"", "\"one\""))).await;
        let more = rest("\"a\", \"more\"", "\"one\", \"two\"");
        write(&started, "a", "1.0.1", &format!("{more}{}", on_init("hang")));
        let restart = restarting(&started, "a");
        let new = pid_of_new(&started).await;
        let host = started.host.clone();
        let waits = tokio::spawn(async move { host.call("more", b"{}", CallOptions::default()).await });
        while started.host.status()[0].calls_waiting == 0 {
            tokio::task::yield_now().await;
        }
        started.host.publish("two", br#"{"event":"two"}"#).await.unwrap();
        started.host.publish("one", br#"{"event":"one"}"#).await.unwrap();
        let events = started.ask("a", json!({ "do": "events", "least": 1 })).await.unwrap();
        assert_eq!(events["events"].as_array().unwrap().len(), 1, "{events}");
        kill_process(new, Signal::KILL).unwrap();
        restart.await.unwrap().unwrap_err();
        let Err(CallError::Replied(error)) = waits.await.unwrap() else { panic!("nobody has it") };
        assert_eq!(error.message, "`a` does not provide `more`");
        let status = started.host.status().remove(0);
        assert_eq!((status.events_waiting, status.events_dropped), (0, 1));
    });
}

#[test]
fn events_go_to_the_new_process_while_the_old_one_has_one() {
    block_on(async {
        let rest = "[provides]\nservices = [\"a\"]\nevents = [\"e\"]\n[requires]\nevents = [\"e\"]\n";
        let mut started = started(Hosts::new().actor("a", &format!("{rest}{}", on_init("idless")))).await;
        started.host.publish("e", br#"{"event":"one","do":"wait","for":"file","file":"go"}"#).await.unwrap();
        started.logged("waits for file").await;
        let restart = restarting(&started, "a");
        until(&started, "a", |all| all.iter().any(|(_, state)| *state == InstanceState::Draining)).await;
        started.host.publish("e", br#"{"event":"two"}"#).await.unwrap();
        let events = started.ask("a", json!({ "do": "events", "least": 1 })).await.unwrap();
        assert_eq!(id(&started.ask("a", json!({ "do": "tell" })).await.unwrap()), "a:1.0.0/instance-002");
        assert_eq!(events["events"].as_array().unwrap().len(), 1, "{events}");
        fs::write(started.files.path().join("a/go"), "").unwrap();
        restart.await.unwrap().unwrap();
    });
}

#[test]
fn what_is_stopped_within_a_restart_of_several_stays_so() {
    block_on(async {
        let mut started = started(Hosts::new().actors("a", A, 2)).await;
        let mut slow = Vec::new();
        for _ in 0..2 {
            let host = started.host.clone();
            let script = json!({ "do": "wait", "for": "file", "file": "go" }).to_string();
            slow.push(tokio::spawn(async move { host.call("a", script.as_bytes(), CallOptions::default()).await }));
            started.logged("waits for file").await;
        }
        let host = started.host.clone();
        let restart = tokio::spawn(async move { host.restart("a").await });
        until(&started, "a", |all| all.iter().any(|(_, state)| *state == InstanceState::Draining)).await;
        let host = started.host.clone();
        let stop = tokio::spawn(async move { host.stop("a").await });
        until(&started, "a", |all| all.iter().all(|(_, state)| *state != InstanceState::Ready)).await;
        fs::write(started.files.path().join("a/go"), "").unwrap();
        stop.await.unwrap().unwrap();
        let error = restart.await.unwrap().unwrap_err().to_string();
        assert_eq!(error, "UNAVAILABLE: the module was stopped before its restart was done");
        assert!(instances(&started, "a").iter().all(|(_, state)| *state == InstanceState::Stopped));
        for slow in slow {
            slow.await.unwrap().unwrap();
        }
    });
}

#[test]
fn what_is_stopped_while_it_is_built_stays_so() {
    /// A loader that blocks until the barrier releases it.
    struct Slow(std::sync::Arc<tokio::sync::Barrier>);

    impl Loader for Slow {
        fn load<'a>(&'a self, request: LoadRequest<'a>) -> Loading<'a> {
            Box::pin(async move {
                self.0.wait().await;
                self.0.wait().await;
                Again.load(request).await
            })
        }
    }

    block_on(async {
        let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(2));
        let hosts = Hosts::new().actor("a", A).loader(std::sync::Arc::new(Slow(std::sync::Arc::clone(&barrier))));
        let started = hosts.start().await;
        write(&started, "a", "1.0.1", A);
        let restart = restarting(&started, "a");
        barrier.wait().await;
        started.host.stop("a").await.unwrap();
        barrier.wait().await;
        let error = restart.await.unwrap().unwrap_err().to_string();
        assert_eq!(error, "UNAVAILABLE: the module was stopped before its restart was done");
        assert_eq!(instances(&started, "a"), [("a:1.0.0/instance-001".to_owned(), InstanceState::Stopped)]);
    });
}

#[test]
fn where_there_is_nothing_to_go_back_to_the_new_one_is_what_counts() {
    block_on(async {
        let mut hosts = Hosts::new().restarting(100).actor("a", A);
        hosts.settings.restart.max_backoff = std::time::Duration::from_secs(3600);
        hosts.settings.restart.backoff = std::time::Duration::from_secs(3600);
        let started = started(hosts).await;
        started.host.stop("a").await.unwrap();
        write(&started, "a", "1.0.1", &format!("{A}\n{}", on_init("exit")));
        let error = reload(&started, "a").await.1.unwrap_err();
        assert!(error.contains("a:1.0.1/instance-002 did not get ready, and is tried again: "), "{error}");
        assert_eq!(started.host.status()[0].version, "1.0.1");
        // As it was before: that is another one than what is tried now.
        write(&started, "a", "1.0.0", A);
        let results = started.host.reload_changed(false, &|_, _| ()).await;
        assert!(results[0].1.as_ref().unwrap(), "it was replaced");
        let told = started.ask("a", json!({ "do": "tell" })).await.unwrap();
        assert_eq!(id(&told), "a:1.0.0/instance-001");
    });
}

#[test]
fn a_process_that_warms_up_takes_over_when_it_is_ready() {
    block_on(async {
        let started = started(Hosts::new().actor("a", A)).await;
        write(&started, "a", "1.0.1", &format!("{A}\n{}", on_init("warms up")));
        let restart = restarting(&started, "a");
        pid_of_new(&started).await;
        for _ in 0..20 {
            let told = started.ask("a", json!({ "do": "tell" })).await.unwrap();
            assert_eq!(id(&told), "a:1.0.0/instance-001");
        }
        fs::write(started.files.path().join("a/go"), "").unwrap();
        restart.await.unwrap().unwrap();
        let told = started.ask("a", json!({ "do": "tell" })).await.unwrap();
        assert_eq!(id(&told), "a:1.0.1/instance-002");

        // One that never is has failed to start.
        fs::remove_file(started.files.path().join("a/go")).unwrap();
        let never = format!("{A}\n[artifacts.process]\ninit_timeout = \"200ms\"\n{}", on_init("warms up"));
        write(&started, "a", "1.0.2", &never);
        let error = reload(&started, "a").await.1.unwrap_err();
        assert!(error.ends_with("after 200ms it had not said that it takes calls"), "{error}");
        assert_eq!(id(&started.ask("a", json!({ "do": "tell" })).await.unwrap()), "a:1.0.1/instance-002");
    });
}

#[test]
fn a_process_that_is_killed_while_it_drains_is_told_as_that() {
    block_on(async {
        let mut started = started(Hosts::new().actor("a", A)).await;
        let host = started.host.clone();
        let slow = tokio::spawn(async move {
            let script = json!({ "do": "wait", "for": "ever" }).to_string();
            host.call("a", script.as_bytes(), CallOptions::default()).await
        });
        started.logged("waits for ever").await;
        let old = Pid::from_raw(started.host.status()[0].instances[0].pid.unwrap().cast_signed()).unwrap();
        let restart = restarting(&started, "a");
        until(&started, "a", |all| all.iter().any(|(_, state)| *state == InstanceState::Draining)).await;
        kill_process(old, Signal::KILL).unwrap();
        restart.await.unwrap().unwrap();
        let error = slow.await.unwrap().unwrap_err().to_string();
        assert_eq!(error, "a:1.0.0/instance-001 ended while it handled `a`: it was killed by signal 9");
    });
}

#[test]
fn a_host_that_is_dropped_within_a_restart_lets_go_of_all() {
    block_on(async {
        let data = tempfile::tempdir().unwrap();
        let hosts = || {
            let mut hosts = Hosts::new().actor("a", A);
            hosts.settings.data_dir = Some(data.path().to_owned());
            hosts
        };
        let first = started(hosts()).await;
        write(&first, "a", "1.0.1", &format!("{A}\n{}", on_init("hang")));
        let restart = restarting(&first, "a");
        pid_of_new(&first).await;
        restart.abort();
        assert!(restart.await.unwrap_err().is_cancelled());
        drop(first);
        // The store is one host's at a time.
        let second = hosts();
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while second.builder().start().await.is_err() {
            assert!(std::time::Instant::now() < patience, "the store is still in use");
            tokio::task::yield_now().await;
        }
    });
}
