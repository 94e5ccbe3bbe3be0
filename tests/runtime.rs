//! A module's process under load, with handlers that block, and with signals. The host is made of raw bytes.

use std::process::Command;

use ixt_tests::{RawHost, base64, build, entered, fixture, parse, send};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// The fixture, which handles at most `max_concurrency` requests at once.
fn limited(max_concurrency: &str) -> RawHost {
    let mut host = RawHost::start_with(&build("fixture"), &[("IXT_MAX_CONCURRENCY", max_concurrency)]);
    host.init(r#"{"token":"t"}"#);
    host
}

/// The detail `ixt` that the SDK adds to the reply to a health check.
fn health(host: &mut RawHost) -> Value {
    parse(&host.ask(r#"{"type":"health_check","id":900}"#))["data"]["ixt"].take()
}

/// Reads `number` replies. Returns their ids and error codes, sorted by id.
fn replies(host: &mut RawHost, number: usize) -> Vec<(u64, Option<String>)> {
    let mut replies: Vec<_> = (0..number)
        .map(|_| {
            let reply = parse(&host.receive());
            (reply["id"].as_u64().unwrap(), reply["code"].as_str().map(str::to_owned))
        })
        .collect();
    replies.sort();
    replies
}

fn signal(host: &RawHost, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(host.pid()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// The fixture in a process with these environment variables.
fn fixture_with(environment: &[(&str, &str)]) -> RawHost {
    let mut host = RawHost::start_with(&build("fixture"), environment);
    host.init(r#"{"token":"t"}"#);
    host
}

/// How many threads of the process have this name.
fn threads(host: &RawHost, name: &str) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{}/task", host.pid())).unwrap();
    // A thread may end meanwhile.
    let names = threads.filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).ok());
    names.filter(|found| found.trim_end() == name).count()
}

/// On the runtime of the SDK, where a task reads, also with one worker and a reserve, and on one of the author, where a thread reads.
const RUNTIMES: [(&str, &str); 3] =
    [("FIXTURE_RUNTIME", "sdk"), ("TOKIO_WORKER_THREADS", "1"), ("FIXTURE_RUNTIME", "own")];

#[test]
fn handlers_that_block_their_threads_hold_up_nothing() {
    for (runtime, when) in RUNTIMES
        .into_iter()
        .flat_map(|runtime| ["first", "after-call", "after-timer"].into_iter().map(move |when| (runtime, when)))
    {
        let mut host = fixture_with(&[runtime]);
        for id in 10..26 {
            send(&mut host, id, "jam", &format!(r#"{{"when":"{when}"}}"#));
            if when == "after-call" {
                let call = parse(&host.receive());
                assert_eq!((&call["service"], &call["context"]["parent"]), (&json!("kv_store"), &json!(id)), "{call}");
                let call = &call["id"];
                host.send(&format!(
                    r#"{{"type":"service_response","id":{call},"success":true,"data":{{"exists":true}}}}"#
                ));
            }
        }
        // All of them are stuck, and there are more of them than processors.
        while entered(&mut host) < 16 {}
        send(&mut host, 30, "raw", "x");
        assert_eq!(replies(&mut host, 1), [(30, None)], "{runtime:?} {when}");
        send(&mut host, 31, "take", r#"{"sku":"A-1"}"#);
        let call = parse(&host.receive())["id"].clone();
        host.send(&format!(
            r#"{{"type":"service_response","id":{call},"success":true,"data":{{"left":1,"shelf":"low"}}}}"#
        ));
        assert_eq!(replies(&mut host, 1), [(31, None)], "{runtime:?} {when}");
        // A cancelled request is answered, although its thread can't be ended.
        host.send(r#"{"type":"cancel","id":10}"#);
        assert_eq!(replies(&mut host, 1), [(10, Some("CANCELLED".to_owned()))], "{runtime:?} {when}");
        for id in 40..56 {
            send(&mut host, id, "unjam", "");
        }
        let expected: Vec<_> = (11..26).chain(40..56).map(|id| (id, None)).collect();
        assert_eq!(replies(&mut host, 31), expected, "{runtime:?} {when}");
    }
}

#[test]
fn a_handler_that_has_blocked_its_thread_begins_elsewhere_the_next_time() {
    for runtime in RUNTIMES {
        let mut host = fixture_with(&[runtime]);
        let mut readers = Vec::new();
        for id in 10..26 {
            send(&mut host, id, "jam", r#"{"when":"first"}"#);
            // Each for itself, so that each could block the reader.
            while entered(&mut host) < id - 9 {}
            readers.push(threads(&host, "ixt-read"));
        }
        // The first blocks the reader, and another thread reads, or they could not have entered. The others block none.
        assert!(readers.iter().all(|after| *after <= readers[0]), "{readers:?} with {runtime:?}");
        for id in 40..56 {
            send(&mut host, id, "unjam", "");
        }
        assert_eq!(replies(&mut host, 32).len(), 32);
    }
}

#[test]
fn the_task_reads_again_when_the_handler_that_blocked_it_has_ended() {
    let mut host = fixture();
    send(&mut host, 2, "jam", r#"{"when":"first"}"#);
    while entered(&mut host) < 1 {}
    assert!(threads(&host, "ixt-read") >= 1);
    send(&mut host, 3, "unjam", "");
    assert_eq!(replies(&mut host, 2), [(2, None), (3, None)]);
    // The thread gives up reading when it has no more to do, but not at once.
    for id in 4.. {
        send(&mut host, id, "raw", "");
        assert_eq!(replies(&mut host, 1), [(id, None)]);
        if threads(&host, "ixt-read") == 0 {
            break;
        }
    }
    send(&mut host, 2, "raw", "");
    assert_eq!(replies(&mut host, 1), [(2, None)]);
}

#[test]
fn tasks_that_block_all_workers_hold_up_no_request() {
    let processors = std::thread::available_parallelism().unwrap().get();
    for runtime in RUNTIMES {
        let mut host = fixture_with(&[runtime]);
        send(&mut host, 2, "jam", r#"{"when":"in-tasks"}"#);
        assert_eq!(replies(&mut host, 1), [(2, None)]);
        for id in 10..20 {
            send(&mut host, id, "raw", "");
            assert_eq!(replies(&mut host, 1), [(id, None)], "{runtime:?}");
        }
        let workers = match runtime {
            ("TOKIO_WORKER_THREADS", _) => 2,
            (_, "own") => processors,
            _ => processors.max(2),
        };
        // With the handlers of `jam` and `raw`.
        while entered(&mut host) < 11 + workers as u64 {}
        // One more than there are workers.
        for id in (20..).take(workers + 1) {
            send(&mut host, id, "unjam", "");
        }
        assert_eq!(replies(&mut host, workers + 1).len(), workers + 1);
    }
}

#[test]
fn the_call_of_a_task_that_goes_on_computing_is_sent_all_the_same() {
    for runtime in RUNTIMES {
        let mut host = fixture_with(&[runtime]);
        send(&mut host, 2, "jam", r#"{"when":"calling"}"#);
        let frames = [parse(&host.receive()), parse(&host.receive())];
        // The task's thread is blocked from before the call is sent until `unjam`.
        assert!(frames.iter().any(|frame| frame["service"] == "kv_store"), "{runtime:?}: {frames:?}");
        send(&mut host, 3, "unjam", "");
        // The call is dropped after that.
        let frames = [parse(&host.receive()), parse(&host.receive())];
        assert!(frames.iter().any(|frame| frame["type"] == "cancel"), "{runtime:?}: {frames:?}");
    }
}

#[test]
fn requests_over_the_limit_wait_and_what_is_no_request_does_not() {
    let mut host = limited("1");
    send(&mut host, 2, "wait", "");
    send(&mut host, 3, "raw", "");
    send(&mut host, 4, "raw", "");
    let load = health(&mut host);
    assert_eq!((&load["in_flight"], &load["queued"], &load["max_concurrency"]), (&json!(1), &json!(2), &json!(1)));
    host.send(r#"{"type":"cancel","id":3}"#);
    assert_eq!(replies(&mut host, 1), [(3, Some("CANCELLED".to_owned()))]);
    // Nothing but the cancel of the first lets the other have its turn: what would release it waits behind it.
    host.send(r#"{"type":"cancel","id":2}"#);
    assert_eq!(replies(&mut host, 2), [(2, Some("CANCELLED".to_owned())), (4, None)]);
    assert_eq!(health(&mut host)["in_flight"], 0);
}

#[test]
fn a_handler_that_calls_back_is_answered_though_no_other_may_run() {
    let mut host = limited("1");
    send(&mut host, 2, "take", r#"{"sku":"A-1"}"#);
    let call = parse(&host.receive())["id"].clone();
    for id in 3..100 {
        send(&mut host, id, "raw", "");
    }
    host.send(&format!(
        r#"{{"type":"service_response","id":{call},"success":true,"data":{{"left":1,"shelf":"low"}}}}"#
    ));
    assert_eq!(replies(&mut host, 98), (2..100).map(|id| (id, None)).collect::<Vec<_>>());
}

#[test]
fn a_full_queue_refuses_and_says_so() {
    let mut host = limited("1");
    // Several times, since so many frames come in while their reader reads, rests and reads again.
    for _ in 0..8 {
        send(&mut host, 2, "wait", "");
        for id in 3..4099 {
            send(&mut host, id, "raw", "");
        }
        send(&mut host, 5000, "raw", "");
        let reply = parse(&host.receive());
        let expected = json!({
            "type": "error", "id": 5000, "code": "RESOURCE_EXHAUSTED", "retryable": true,
            "message": "the module handles 1 requests, and 4096 more wait",
        });
        assert_eq!(reply, expected);
        host.send(r#"{"type":"cancel","id":2}"#);
        assert_eq!(replies(&mut host, 4097).len(), 4097);
    }
}

#[test]
fn a_thread_that_blocks_for_nobody_still_counts() {
    let mut host = limited("2");
    send(&mut host, 2, "jam.blocking", "");
    while entered(&mut host) < 1 {}
    host.send(r#"{"type":"cancel","id":2}"#);
    assert_eq!(replies(&mut host, 1), [(2, Some("CANCELLED".to_owned()))]);
    send(&mut host, 3, "wait", "");
    send(&mut host, 4, "raw", "");
    let load = health(&mut host);
    assert_eq!((&load["in_flight"], &load["queued"]), (&json!(2), &json!(1)), "{load}");
    host.send(r#"{"type":"cancel","id":3}"#);
    assert_eq!(replies(&mut host, 2), [(3, Some("CANCELLED".to_owned())), (4, None)]);
    // It sees that its caller has given up, and its permit is free when it ends.
    send(&mut host, 5, "unjam", "");
    assert_eq!(replies(&mut host, 1), [(5, None)]);
    while health(&mut host)["in_flight"] != 0 {}
}

#[test]
fn the_limit_is_a_number_above_zero() {
    for wrong in ["0", "-1", "many", ""] {
        let mut module = Command::new(build("fixture"));
        module.env("IXT_IPC_SOCKET", "/nowhere").env("IXT_MAX_CONCURRENCY", wrong);
        let output = module.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let expected = format!("ERROR IXT_MAX_CONCURRENCY is `{wrong}`, not a number of requests above 0\n");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
    }
    let mut host = RawHost::start_with(&build("fixture"), &[("IXT_MAX_CONCURRENCY", "7")]);
    let reply = parse(&host.ask(r#"{"type":"init","id":1,"config":{"token":"t"}}"#));
    assert_eq!(reply["data"]["ixt"]["max_concurrency"], 7, "{reply}");
}

#[test]
fn a_host_that_writes_all_before_it_reads_is_read_all_the_same() {
    let mut host = fixture();
    // Much more than the socket holds, in either direction.
    let payload = base64(&vec![b'x'; 100_000]);
    for id in 2..202 {
        host.send(&format!(r#"{{"type":"handle","id":{id},"message":{{"topic":"raw","payload":"{payload}"}}}}"#));
    }
    let mut answered: Vec<u64> = (0..200)
        .map(|_| {
            let reply = parse(&host.receive());
            assert_eq!(reply["data"]["result"].as_str().map(str::len), Some(payload.len()));
            reply["id"].as_u64().unwrap()
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, (2..202).collect::<Vec<_>>());
}

#[test]
fn what_comes_while_the_reader_handles_what_it_has_read_is_read_too() {
    for runtime in RUNTIMES {
        let mut host = fixture_with(&[runtime]);
        let spin = |id| format!(r#"{{"type":"handle","id":{id},"message":{{"topic":"spin","payload":""}}}}"#) + "\n";
        for spins in [4, 10, 70, 100, 4, 10, 70, 100] {
            // They keep it busy for one turn or several. What comes then is the last thing that comes.
            host.send_raw((1000..1000 + spins).map(spin).collect::<String>().as_bytes());
            let mut answered = replies(&mut host, 1);
            send(&mut host, 2, "raw", "");
            answered.extend(replies(&mut host, spins));
            answered.sort();
            let all = [2].into_iter().chain(1000..).take(spins + 1);
            assert_eq!(answered, all.map(|id| (id, None)).collect::<Vec<_>>(), "{runtime:?}");
        }
    }
}

#[test]
fn a_signal_lets_the_module_finish_with_calls_that_still_work() {
    let mut host = fixture();
    send(&mut host, 2, "take", r#"{"sku":"A-1"}"#);
    let call = parse(&host.receive())["id"].clone();
    signal(&host, Signal::TERM);
    // From some moment on nothing new is taken.
    let mut id = 3;
    loop {
        send(&mut host, id, "raw", "");
        let reply = parse(&host.receive());
        assert_eq!(reply["id"], id);
        if reply["code"] == "UNAVAILABLE" {
            break;
        }
        id += 1;
    }
    host.send(&format!(
        r#"{{"type":"service_response","id":{call},"success":true,"data":{{"left":1,"shelf":"low"}}}}"#
    ));
    let (rest, status, stderr) = host.end();
    assert_eq!(rest, "{\"type\":\"success\",\"id\":2,\"data\":{\"left\":1,\"shelf\":\"low\"}}\n");
    assert_eq!((status.code(), stderr.as_str()), (Some(0), "INFO closed\n"));
}

#[test]
fn requests_that_wait_are_refused_at_shutdown() {
    let mut host = limited("1");
    send(&mut host, 2, "wait", "");
    send(&mut host, 3, "raw", "");
    host.send(r#"{"type":"shutdown","id":4,"grace_ms":60000}"#);
    let reply = parse(&host.receive());
    assert_eq!((&reply["id"], &reply["code"], &reply["retryable"]), (&json!(3), &json!("UNAVAILABLE"), &json!(true)));
    host.send(r#"{"type":"cancel","id":2}"#);
    assert_eq!(replies(&mut host, 2), [(2, Some("CANCELLED".to_owned())), (4, None)]);
}

#[test]
fn a_second_signal_ends_the_module_at_once() {
    let mut host = fixture();
    send(&mut host, 2, "wait", "");
    while entered(&mut host) < 1 {}
    signal(&host, Signal::TERM);
    // The first one was seen when nothing new is taken any more.
    while parse(&host.ask(r#"{"type":"health_check","id":3}"#))["code"] != "UNAVAILABLE" {}
    signal(&host, Signal::TERM);
    let (_, status, stderr) = host.end();
    assert_eq!(status.code(), Some(128 + 15));
    assert!(!stderr.contains("closed"), "{stderr}");
}

#[test]
fn a_host_that_does_not_read_costs_log_lines_and_no_reply() {
    let mut host = RawHost::start(&build("fixture"));
    let init = r#"{"type":"init","id":1,"config":{"token":"t"},"protocol":{"version":1,"max_frame_bytes":100000,"features":["log"]}}"#;
    host.ask(init);
    for id in 2..12 {
        let message = json!({ "message": "x".repeat(1000), "times": 1000 }).to_string();
        send(&mut host, id, "say", &message);
    }
    // How many are dropped depends on who is faster; that none is lost without a word doesn't.
    let (mut lines, mut dropped, mut answered) = (0, 0, 0);
    while answered < 10 {
        let frame = parse(&host.receive());
        let message = frame["message"].as_str().unwrap_or_default();
        if frame["type"] == "success" {
            answered += 1;
        } else if let Some((number, rest)) = message.split_once(' ')
            && rest.starts_with("log lines were dropped")
        {
            dropped += number.parse::<usize>().unwrap();
        } else {
            lines += 1;
        }
    }
    // What came after the last reply.
    while lines + dropped < 10_000 {
        let frame = parse(&host.receive());
        match frame["message"].as_str().and_then(|message| message.split_once(' ')) {
            Some((number, _)) => dropped += number.parse::<usize>().unwrap(),
            None => lines += 1,
        }
    }
    assert_eq!(lines + dropped, 10_000, "{dropped} dropped");
}

#[test]
fn a_destructor_that_panics_takes_nothing_with_it() {
    let mut host = fixture();
    send(&mut host, 2, "wait", "");
    send(&mut host, 3, "bomb", "");
    while entered(&mut host) < 2 {}
    host.send(r#"{"type":"cancel","id":3}"#);
    assert_eq!(replies(&mut host, 1), [(3, Some("CANCELLED".to_owned()))]);
    send(&mut host, 4, "release", "");
    assert_eq!(replies(&mut host, 2), [(2, None), (4, None)]);
}

#[test]
fn what_was_taken_is_done_though_the_host_hangs_up() {
    let mut host = fixture();
    let spin = r#"{"type":"handle","id":7,"message":{"topic":"spin","payload":""}}"#;
    host.send_raw(format!("{spin}\n").repeat(60).as_bytes());
    // Without its last line end, so that it is read with the rest and is no frame itself.
    host.send_raw(b"{");
    host.close_output();
    let (_, status, stderr) = host.end();
    assert_eq!((status.code(), stderr.matches("INFO spun\n").count()), (Some(0), 60), "{stderr}");
    assert!(stderr.ends_with("INFO closed\n"), "{stderr}");
}

#[test]
fn a_module_that_was_not_initialized_exits() {
    let init = r#"{"type":"init","id":1,"config":{"token":"t","on_init":"hang"}}"#;
    let mut host = RawHost::start(&build("fixture"));
    host.send(init);
    assert_eq!(parse(&host.ask(r#"{"type":"cancel","id":1}"#))["code"], "CANCELLED");
    assert_eq!(host.end().1.code(), Some(1));

    let mut host = RawHost::start(&build("fixture"));
    assert_eq!(parse(&host.ask(r#"{"type":"init","id":1}"#))["code"], "INVALID_INPUT");
    assert_eq!(host.end().1.code(), Some(1));

    // The reply to `init` is longer than the host says it takes.
    let mut host = RawHost::start(&build("fixture"));
    let tiny = r#"{"type":"init","id":1,"config":{"token":"t"},"protocol":{"version":1,"max_frame_bytes":10,"framings":["length"]}}"#;
    assert_eq!(parse(&host.ask(tiny))["code"], "INTERNAL");
    assert_eq!(host.end().1.code(), Some(1));
}

#[test]
fn a_shutdown_that_blocks_its_thread_is_not_waited_for() {
    let mut host = RawHost::start(&build("fixture"));
    host.init(r#"{"token":"t","on_shutdown":"block"}"#);
    let reply = parse(&host.ask(r#"{"type":"shutdown","id":2,"grace_ms":20}"#));
    assert_eq!(reply["code"], "DEADLINE_EXCEEDED", "{reply}");
    assert_eq!(host.end().1.code(), Some(1));
}

/// A module that prints while it shuts down, and writes a file after that.
fn printing() -> RawHost {
    let mut host = RawHost::start(&build("fixture"));
    host.init(r#"{"token":"t","on_shutdown":"print"}"#);
    host
}

#[test]
fn what_is_printed_when_the_log_is_gone_keeps_no_shutdown_from_its_end() {
    let shutdown = r#"{"type":"shutdown","id":2,"grace_ms":60000}"#;
    for how in ["hangs up", "asks", "asks and hangs up"] {
        let mut host = printing();
        host.lose_log();
        if how.starts_with("asks") {
            host.send(shutdown);
        }
        if how.ends_with("hangs up") {
            host.hang_up();
        }
        let file = host.dir().join("cleaned-up");
        assert_eq!(host.wait().code(), Some(0), "{how}");
        assert!(file.exists(), "{how}");
    }
    // A log that is still read gets it, whether the host has hung up or not.
    for hangs_up in [true, false] {
        let mut host = printing();
        if hangs_up {
            host.hang_up();
        } else {
            host.send(shutdown);
        }
        let stdout = host.stdout();
        let (_, status, stderr) = host.end();
        assert_eq!(status.code(), Some(0));
        assert_eq!(stdout, "prints to stdout\n");
        assert!(stderr.contains("prints to stderr in a thread of its own\n"), "{stderr}");
    }
}

#[test]
fn a_cancel_is_never_answered_whatever_else_it_says() {
    let mut host = fixture();
    send(&mut host, 2, "wait", "");
    while entered(&mut host) < 1 {}
    host.send(r#"{"type":"cancel","id":2,"attachment":"message.payload"}"#);
    assert_eq!(replies(&mut host, 1), [(2, Some("CANCELLED".to_owned()))]);
    assert_eq!(health(&mut host)["in_flight"], 0, "the next line is the answer to this");
}
