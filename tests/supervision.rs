//! Processes that end, hang, send too much or don't read: what happens to them, to their requests, and to other modules.

use std::fs;
use std::time::{Duration, Instant};

use ixt_host::{CallError, CallOptions, InstanceState, Program};
use ixt_tests::{Hosts, Started, block_on, build};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const A: &str = "[provides]\nservices = [\"a\"]";
const B: &str = "[provides]\nservices = [\"b\"]";

fn pid(started: &Started, module: &str) -> Pid {
    let status = started.host.status().into_iter().find(|status| status.name == module).unwrap();
    Pid::from_raw(status.instances[0].pid.unwrap().cast_signed()).unwrap()
}

fn state(started: &Started, module: &str) -> (InstanceState, u64) {
    let status = started.host.status().into_iter().find(|status| status.name == module).unwrap();
    (status.instances[0].state, status.instances[0].restarts)
}

/// Waits for the end of a process that was killed and that is not a child of this one.
fn ends(process: Pid) {
    let patience = Instant::now() + Duration::from_secs(60);
    // Empty for a process that has ended and was not reaped yet.
    while fs::read(format!("/proc/{}/environ", process.as_raw_nonzero())).is_ok_and(|environ| !environ.is_empty()) {
        assert!(Instant::now() < patience, "it lives");
        std::thread::yield_now();
    }
}

#[test]
fn a_process_that_is_killed_is_started_again_and_its_caller_told() {
    block_on(async {
        let mut started = Hosts::new().restarting(5).actor("a", A).actor("b", B).start().await;
        let script = json!({ "do": "call", "topic": "b", "with": { "do": "wait", "for": "ever" } });
        let call = tokio::spawn({
            let host = started.host.clone();
            async move { host.call("a", script.to_string().as_bytes(), CallOptions::default()).await }
        });
        started.logged("waits for ever").await;
        kill_process(pid(&started, "b"), Signal::KILL).unwrap();
        let answer: Value = call.await.unwrap().unwrap().read().unwrap();
        assert_eq!(
            answer,
            json!({ "success": false, "code": "UNAVAILABLE", "retryable": true, "message":
                "b:1.0.0/instance-001 ended while it handled `b`: it was killed by signal 9" })
        );
        let (module, _) = started.logged("is ready").await;
        assert_eq!(module, "b:1.0.0/instance-001");
        assert_eq!(started.ask("b", json!({ "do": "tell" })).await.unwrap()["handled"], 1);
        assert_eq!(state(&started, "b"), (InstanceState::Ready, 1));
        assert_eq!(state(&started, "a"), (InstanceState::Ready, 0));
    });
}

#[test]
fn what_a_process_answers_right_before_it_ends_counts() {
    block_on(async {
        let mut started = Hosts::new().restarting(100).actor("a", A).start().await;
        for _ in 0..20 {
            started.logged("is ready").await;
            let answer = started.ask("a", json!({ "do": "last words" })).await.unwrap();
            assert_eq!(answer, json!({ "said": "goodbye" }));
        }
    });
}

#[test]
fn what_is_idempotent_is_asked_again_and_nothing_else() {
    block_on(async {
        let rest = "[provides]\nservices = [\"once\", \"again\"]\n[services.again]\nidempotent = true";
        let mut started = Hosts::new().restarting(5).actor("a", rest).start().await;
        let answer = started.ask("again", json!({ "do": "exit once" })).await.unwrap();
        assert_eq!(answer, json!({ "handled": 1 }), "by the process that came after it");
        let (_, note) = started.logged("it is tried again, for it is idempotent").await;
        assert!(note.starts_with("`again`, attempt 1 of 3: a:1.0.0/instance-001 ended"), "{note}");
        let (code, reason) = started.error("once", json!({ "do": "exit" })).await;
        assert_eq!(code, "gone");
        assert_eq!(reason, "a:1.0.0/instance-001 ended while it handled `once`: it exited with status 3");
        // It waits for the process that is about to come. One that was alone in two processes that ended has ended them.
        for restarts in [4, 6] {
            let (code, _) = started.error("again", json!({ "do": "exit" })).await;
            assert_eq!(code, "gone");
            started.ask("once", json!({ "do": "tell" })).await.unwrap();
            assert_eq!(state(&started, "a"), (InstanceState::Ready, restarts));
        }
    });
}

#[test]
fn a_process_that_ends_too_often_has_failed_and_says_why() {
    block_on(async {
        let mut started = Hosts::new()
            .restarting(2)
            .actor("a", &format!("{A}\n[config]\non_init = {{ type = \"string\", default = \"exit\" }}"))
            .begin()
            .await;
        let error = started.host.ready().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "a:1.0.0/instance-001 ended before it answered `init`: it exited with status 7; its last lines were:\n    \
             no reason to live"
        );
        let (_, message) = started.logged("it has failed, after 2 restarts within 1h").await;
        assert!(message.contains("no reason to live"), "{message}");
        assert_eq!(state(&started, "a"), (InstanceState::Failed, 2));
        let (code, message) = started.error("a", Value::Null).await;
        assert_eq!(code, "UNAVAILABLE");
        // What it wrote is for those who run it, not for those who call it.
        assert_eq!(
            message,
            "`a` has failed and is not restarted any more: a:1.0.0/instance-001 ended before it answered `init`: it exited with status 7"
        );
        let status = started.host.status();
        assert_eq!(status[0].instances[0].last_lines, ["no reason to live"]);
        // By hand it is.
        let Err(CallError::Replied(reply)) = started.host.restart("a").await else { panic!("it can't be ready") };
        assert!(reply.message.starts_with("a:1.0.0/instance-002 did not get ready, and is tried again: "), "{reply}");
        assert_eq!(
            started.host.restart("x").await.unwrap_err().to_string(),
            "NOT_FOUND: there is no module `x` here; there are: `a`"
        );
        started.host.shutdown().await;
    });
}

#[test]
fn a_process_that_fails_at_first_is_started_again() {
    block_on(async {
        let rest = format!("{A}\n[config]\non_init = {{ type = \"string\", default = \"die once\" }}");
        let mut started = Hosts::new().restarting(2).actor("a", &rest).begin().await;
        started.host.ready().await.unwrap_err();
        started.logged("is ready").await;
        started.ask("a", Value::Null).await.unwrap();
    });
}

#[test]
fn a_module_has_the_time_to_start_that_its_manifest_says_or_that_it_asks_for() {
    let rest = |on_init: &str| {
        format!(
            "{A}\n[artifacts.process]\ninit_timeout = \"50ms\"\n[config]\non_init = {{ type = \"string\", default = \"{on_init}\" }}"
        )
    };
    block_on(async {
        let started = Hosts::new().actor("a", &rest("hang")).begin().await;
        let error = started.host.ready().await.unwrap_err();
        assert_eq!(error.to_string(), "a:1.0.0/instance-001 was ended: after 50ms it had not answered `init`");

        let mut started = Hosts::new().actor("a", &rest("migrate")).begin().await;
        started.logged("is starting: migrates").await;
        let status = started.host.status().remove(0);
        assert_eq!(status.instances[0].starting.as_deref(), Some("migrates"));
        assert!(!status.is_ready());
        // Longer than it would have without asking.
        let late = Instant::now() + Duration::from_millis(50);
        while Instant::now() < late {
            tokio::task::yield_now().await;
        }
        fs::write(started.files.path().join("a/go"), "").unwrap();
        started.host.ready().await.unwrap();
        let status = started.host.status().remove(0);
        assert!(status.is_ready() && status.instances[0].starting.is_none());
        assert_eq!(status.instances[0].restarts, 0);
    });
}

#[test]
fn what_a_process_needs_may_come_late() {
    block_on(async {
        let rest = format!("{A}\n[config]\non_init = {{ type = \"string\", default = \"needs database\" }}");
        let mut hosts = Hosts::new().restarting(2).actor("a", &rest);
        hosts.settings.restart.give_up = false;
        let mut started = hosts.begin().await;
        let (_, message) = started.logged("it was restarted 2 times within 1h").await;
        assert!(
            message.contains("so that it is started again only after 10ms, and its calls are refused until then")
                && message.ends_with("its last lines were:\nno database"),
            "{message}"
        );
        let (code, message) = started.error("a", Value::Null).await;
        assert_eq!(code, "UNAVAILABLE");
        assert!(message.starts_with("`a` ends again and again, and is restarted only now and then: "), "{message}");
        started.logged("it was restarted 2 times").await;
        fs::write(started.files.path().join("a/database"), "").unwrap();
        started.logged("is ready").await;
        started.ask("a", json!({ "do": "tell" })).await.unwrap();
        assert_eq!(started.host.shutdown().await, [""; 0]);
    });
}

#[test]
fn a_host_tells_when_one_of_its_modules_has_failed() {
    block_on(async {
        let rest = format!("{A}\n[config]\non_init = {{ type = \"string\", default = \"exit\" }}");
        let started = Hosts::new().restarting(1).actor("a", &rest).begin().await;
        let failure = started.host.failed().await;
        assert_eq!(
            failure,
            "`a` has failed: a:1.0.0/instance-001 ended before it answered `init`: it exited with status 7"
        );
        let complaints = started.host.shutdown().await;
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("`a` has failed: "), "{complaints:?}");
    });
}

#[test]
fn a_process_that_says_it_is_not_well_is_restarted() {
    block_on(async {
        let mut hosts = Hosts::new().restarting(5).actor("a", A);
        hosts.settings.health_interval = Duration::from_millis(20);
        hosts.settings.health_failures = 2;
        let mut started = hosts.start().await;
        started.logged("is ready").await;
        started.ask("a", json!({ "do": "unwell" })).await.unwrap();
        let (_, message) = started.logged("it was ended").await;
        assert!(
            message.starts_with("it was ended: it says that it is not healthy: {\"healthy\":false,\"reason\":\"told to\"} (2 times in a row)"),
            "{message}"
        );
        started.logged("is ready").await;
    });
}

#[test]
fn failed_health_checks_end_no_process_if_their_number_is_0() {
    block_on(async {
        let mut hosts = Hosts::new().restarting(5).actor("a", A);
        hosts.settings.health_interval = Duration::from_millis(20);
        hosts.settings.health_failures = 0;
        let mut started = hosts.start().await;
        let pid = started.ask("a", json!({ "do": "tell" })).await.unwrap()["pid"].take();
        started.ask("a", json!({ "do": "unwell" })).await.unwrap();
        let (_, message) = started.logged("failed check 5 in a row").await;
        assert!(message.starts_with("it says that it is not healthy: "), "{message}");
        let told = started.ask("a", json!({ "do": "tell" })).await.unwrap();
        assert_eq!(told["pid"], pid);
    });
}

#[test]
fn no_health_checks_are_made_if_their_interval_is_0() {
    block_on(async {
        let mut hosts = Hosts::new().restarting(5).actor("a", A);
        hosts.settings.health_interval = Duration::ZERO;
        let mut started = hosts.start().await;
        started.logged("is ready").await;
        started.ask("a", json!({ "do": "unwell" })).await.unwrap();
        let instance = started.host.status().remove(0).instances.remove(0);
        assert_eq!((instance.state, instance.healthy, instance.restarts), (InstanceState::Ready, None, 0));
        assert_eq!(started.host.shutdown().await, [""; 0]);
    });
}

#[test]
fn a_process_that_does_not_answer_is_restarted() {
    block_on(async {
        let mut hosts = Hosts::new().restarting(5).actor("a", A);
        hosts.settings.health_interval = Duration::from_millis(20);
        hosts.settings.health_timeout = Duration::from_secs(1);
        hosts.settings.health_failures = 2;
        let mut started = hosts.start().await;
        started.logged("is ready").await;
        // It reads nothing any more.
        started.ask("a", json!({ "do": "deaf" })).await.unwrap();
        let (_, message) = started.logged("it was ended").await;
        assert!(
            message.starts_with("it was ended: it has not answered a health check within 1s (2 times in a row)"),
            "{message}"
        );
        started.logged("is ready").await;
    });
}

#[test]
fn a_process_that_ends_while_it_is_shut_down_is_not_waited_for() {
    block_on(async {
        let mut hosts = Hosts::new().actor("a", A);
        hosts.settings.shutdown_grace = Duration::from_secs(3600);
        let started = hosts.start().await;
        started.ask("a", json!({ "do": "touch", "file": "die" })).await.unwrap();
        let complaints = started.host.shutdown().await;
        assert_eq!(complaints, ["a:1.0.0/instance-001: the module did not shut down well: it exited with status 9"]);
    });
}

#[test]
fn what_is_shutting_down_is_not_started_again() {
    block_on(async {
        let fixture = Program::new(build("fixture"));
        let mut started = Hosts::new().module("tests/fixture", fixture, &[("token", "t")]).start().await;
        let waiting = {
            let host = started.host.clone();
            tokio::spawn(async move { host.call("wait", b"", CallOptions::default()).await })
        };
        started.logged("waiting").await;
        let stopping = tokio::spawn(started.host.clone().shutdown());
        while state(&started, "fixture").0 == InstanceState::Ready {
            tokio::task::yield_now().await;
        }
        let error = started.host.restart("fixture").await.unwrap_err();
        assert_eq!(error.to_string(), "UNAVAILABLE: the host is shutting down");
        stopping.await.unwrap();
        waiting.await.unwrap().unwrap_err();
    });
}

#[test]
fn one_without_ids_whose_reply_is_too_long_is_ended_and_no_answer_goes_astray() {
    block_on(async {
        let rest = format!("{A}\n[config]\non_init = {{ type = \"string\", default = \"idless\" }}");
        let mut started = Hosts::new().restarting(5).actor("a", &rest).start().await;
        started.logged("is ready").await;
        let host = started.host.clone();
        let ask = |script: Value| {
            let host = host.clone();
            tokio::spawn(async move { host.call("a", script.to_string().as_bytes(), CallOptions::default()).await })
        };
        let first = ask(json!({ "do": "wait", "for": "file", "file": "go" }));
        started.logged("waits for file").await;
        let long = ask(json!({ "do": "size", "bytes": 17_000_000 }));
        // These wait in some order; behind the long one nothing is answered.
        let others: Vec<_> = (0..3).map(|number| ask(json!({ "number": number }))).collect();
        fs::write(started.files.path().join("a/go"), "").unwrap();
        first.await.unwrap().unwrap();
        let error = long.await.unwrap().unwrap_err().to_string();
        assert!(error.starts_with("INTERNAL: the module's reply is wrong: a frame of 17000"), "{error}");
        // Those that it had not been asked go to the next process.
        for (number, other) in others.into_iter().enumerate() {
            let answer = other.await.unwrap().unwrap();
            let payload = ixt_tests::base64(json!({ "number": number }).to_string().as_bytes());
            assert!(answer.to_json().contains(&payload), "{number} is answered with {answer}");
        }
        assert!(
            started.logged("it was ended").await.1.contains("without ids its replies can't be told apart any more")
        );
        started.logged("is ready").await;
        started.ask("a", json!({ "do": "tell" })).await.unwrap();
    });
}

#[test]
fn one_that_takes_one_request_at_a_time_and_hangs_is_restarted_and_its_queue_goes_to_the_next() {
    block_on(async {
        let rest = format!("{A}\n[config]\non_init = {{ type = \"string\", default = \"idless\" }}");
        let mut hosts = Hosts::new().restarting(5).actor("a", &rest);
        hosts.settings.health_interval = Duration::from_millis(20);
        hosts.settings.health_timeout = Duration::from_secs(1);
        hosts.settings.health_failures = 2;
        let mut started = hosts.start().await;
        started.logged("is ready").await;
        let options = CallOptions { ttl: Some(Duration::from_millis(20)), ..CallOptions::default() };
        let Err(CallError::Replied(reply)) = started.ask_with("a", json!({ "do": "nothing" }), options).await else {
            panic!("it does nothing")
        };
        assert_eq!(reply.code, "DEADLINE_EXCEEDED");
        // This one waits behind it, and goes to the next process, which is the first that is asked.
        let queued = started.ask("a", json!({ "do": "tell" })).await.unwrap();
        assert_eq!(queued["handled"], 1);
        let (_, message) = started.logged("it was ended").await;
        assert!(message.starts_with("it was ended: it still handles a request whose caller gave up "), "{message}");
        started.logged("is ready").await;
    });
}

#[test]
fn a_late_answer_of_one_without_ids_is_not_taken_for_the_next() {
    block_on(async {
        let rest = format!("{A}\n[config]\non_init = {{ type = \"string\", default = \"idless\" }}");
        let mut started = Hosts::new().actor("a", &rest).start().await;
        let options = CallOptions { ttl: Some(Duration::from_millis(20)), ..CallOptions::default() };
        let script = json!({ "do": "wait", "for": "file", "file": "go" });
        started.ask_with("a", script, options).await.unwrap_err();
        let next = {
            let host = started.host.clone();
            tokio::spawn(async move { host.call("a", br#"{"do":"tell"}"#, CallOptions::default()).await })
        };
        started.logged("waits for file").await;
        fs::write(started.files.path().join("a/go"), "").unwrap();
        let answer: Value = next.await.unwrap().unwrap().read().unwrap();
        assert_eq!(answer["handled"], 2, "and not what the first one answers: {answer}");
    });
}

#[test]
fn a_module_that_reads_nothing_holds_up_nobody_and_its_requests_end() {
    block_on(async {
        let started = Hosts::new().actor("a", A).actor("b", B).start().await;
        started.ask("a", json!({ "do": "deaf" })).await.unwrap();
        // More than fits into the socket and the host's buffer for it.
        let payload = vec![b'x'; 5 * 1024 * 1024];
        let options = CallOptions { ttl: Some(Duration::from_secs(60)), ..CallOptions::default() };
        let (one, two) = (started.host.call("a", &payload, options), started.host.call("a", &payload, options));
        tokio::pin!(one, two);
        // A call is sent when it is waited for first.
        std::future::poll_fn(|cx| {
            assert!(one.as_mut().poll(cx).is_pending() && two.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        let refused = started.host.call("a", &payload, options).await.unwrap_err();
        assert_eq!(refused.to_string(), "RESOURCE_EXHAUSTED: a:1.0.0/instance-001 does not read what it is sent");
        started.ask("b", json!({ "do": "tell" })).await.unwrap();
        kill_process(pid(&started, "a"), Signal::KILL).unwrap();
        one.await.unwrap_err();
        two.await.unwrap_err();
    });
}

#[test]
fn a_flood_of_output_holds_up_nobody_and_is_in_the_log_as_a_whole() {
    block_on(async {
        let mut started = Hosts::new().actor("a", A).actor("b", B).start().await;
        let flood = {
            let host = started.host.clone();
            let script = json!({ "do": "print", "text": "flood", "times": 100_000 }).to_string();
            tokio::spawn(async move { host.call("a", script.as_bytes(), CallOptions::default()).await })
        };
        started.logged("flood 0").await;
        // The lines are not read now: the process that writes them waits.
        started.ask("b", json!({ "do": "tell" })).await.unwrap();
        assert!(!flood.is_finished());
        for number in [1, 2, 50_000, 99_999] {
            started.logged(&format!("flood {number}")).await;
        }
        flood.await.unwrap().unwrap();
    });
}

#[test]
fn what_is_stopped_finishes_what_it_has_begun_and_starts_again_when_told() {
    block_on(async {
        let mut started =
            Hosts::new().module("tests/fixture", Program::new(build("fixture")), &[("token", "t")]).start().await;
        let waiting = {
            let host = started.host.clone();
            tokio::spawn(async move { host.call("wait", b"", CallOptions::default()).await })
        };
        started.logged("waiting").await;
        let stopping = {
            let host = started.host.clone();
            tokio::spawn(async move { host.stop("fixture").await })
        };
        // As soon as it is stopping nothing new is taken.
        loop {
            match started.host.call("raw", b"", CallOptions::default()).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => {
                    // The host says so, or the module, if it was on its way already.
                    let says = error.to_string();
                    let expected = ["`fixture` is shutting down", "the module is shutting down"];
                    assert!(expected.iter().any(|text| says == format!("UNAVAILABLE: {text}")), "{says}");
                    break;
                }
            }
        }
        assert!(!waiting.is_finished() && !stopping.is_finished());
        // It ends by its grace, and then the call too.
        stopping.await.unwrap().unwrap();
        waiting.await.unwrap().unwrap_err();
        assert_eq!(state(&started, "fixture"), (InstanceState::Stopped, 0));
        assert_eq!(
            started.error("raw", Value::Null).await,
            ("UNAVAILABLE".to_owned(), "`fixture` is stopped".to_owned())
        );
        started.host.restart("fixture").await.unwrap();
        started.host.call("raw", b"", CallOptions::default()).await.unwrap();
    });
}

#[test]
fn one_that_ignores_sigterm_is_killed() {
    block_on(async {
        let actor = build("actor");
        let program = Program::new("/bin/sh").arg("-c").arg("trap '' TERM; exec \"$0\"").arg(actor);
        let mut hosts = Hosts::new().program("a", A, 1, program);
        hosts.settings.shutdown_grace = Duration::from_millis(100);
        hosts.settings.exit_grace = Duration::from_millis(100);
        let started = hosts.start().await;
        started.ask("a", json!({ "do": "touch", "file": "hang" })).await.unwrap();
        let process = pid(&started, "a");
        let complaints = started.host.shutdown().await;
        assert_eq!(complaints, ["a:1.0.0/instance-001: the module did not shut down within 100ms and was ended"]);
        assert!(rustix::process::test_kill_process(process).is_err(), "it has ended");
    });
}

#[test]
fn what_others_require_is_started_first_and_ended_last() {
    block_on(async {
        let user = "[provides]\nservices = [\"user\"]\n[requires]\nservices = [\"base\", \"elsewhere\"]";
        let mut started =
            Hosts::new().actor("user", user).actor("base", "[provides]\nservices = [\"base\"]").start().await;
        let (module, message) = started.logged("requires").await;
        assert_eq!(module, "user:1.0.0");
        assert_eq!(message, "requires `elsewhere`, which no module here provides: its calls will fail with NOT_FOUND");
        assert_eq!(started.logged("is ready").await.0, "base:1.0.0/instance-001");
        assert_eq!(started.logged("is ready").await.0, "user:1.0.0/instance-001");
        let (host, mut rest) = (started.host.clone(), started);
        host.shutdown().await;
        assert_eq!(rest.logged("has ended").await.0, "user:1.0.0/instance-001");
        assert_eq!(rest.logged("has ended").await.0, "base:1.0.0/instance-001");
    });
}

#[test]
fn a_host_that_is_stopped_while_it_starts_leaves_nothing() {
    block_on(async {
        let first = format!("{A}\n[config]\non_init = {{ type = \"string\", default = \"hang\" }}");
        let second = "[provides]\nservices = [\"b\"]\n[requires]\nservices = [\"a\"]";
        let started = Hosts::new().actor("a", &first).actor("b", second).begin().await;
        let process = loop {
            let status = started.host.status().into_iter().find(|status| status.name == "a").unwrap();
            match status.instances[0].pid {
                Some(pid) => break Pid::from_raw(pid.cast_signed()).unwrap(),
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!(started.host.shutdown().await, [""; 0]);
        ends(process);
    });
}

#[test]
fn a_durable_event_comes_again_after_a_crash_and_another_does_not() {
    block_on(async {
        let publisher = "[provides]\nevents = [\"kept\", \"lost\"]\n[events.kept]\ndurable = true";
        let rest = "[provides]\nservices = [\"a\"]\n[requires]\nevents = [\"kept\", \"lost\"]";
        let mut started = Hosts::new().restarting(5).actor("p", publisher).actor("a", rest).start().await;
        started.host.publish("lost", br#"{"do":"exit","event":1}"#).await.unwrap();
        assert!(started.logged("the event `lost` of ixt-host:").await.1.contains("it exited with status 3"));
        started.logged("is ready").await;
        started.host.publish("kept", br#"{"do":"exit once","event":2}"#).await.unwrap();
        started.logged("the event `kept` is durable and will be sent again").await;
        started.logged("is ready").await;
        let events = started.ask("a", json!({ "do": "events", "least": 1 })).await.unwrap();
        assert_eq!(events, json!({ "events": [2] }));
    });
}

#[test]
fn dropping_a_host_kills_its_modules() {
    let (process, marker) = block_on(async {
        let started = Hosts::new().actor("a", A).start().await;
        let process = pid(&started, "a");
        started.ask("a", json!({ "do": "touch", "file": "hang" })).await.unwrap();
        let marker = started.files.path().join("a/hang");
        assert!(fs::exists(&marker).unwrap());
        drop(started.host);
        (process, marker)
    });
    ends(process);
    drop(marker);
}
