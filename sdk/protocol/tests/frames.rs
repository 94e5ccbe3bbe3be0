//! Writes and reads each type of frame in both framings, and checks that the errors of wrong frames name the place and the mistake.

use std::borrow::Cow;

use ixt_protocol::{
    ATTACH_FROM_BYTES, CallContext, DEFAULT_MAX_FRAME_BYTES, Draining, ErrorBody, Frame, FrameDecoder, Framing, Handle,
    HandleContext, HandleMessage, HostFrame, Init, KvChange, KvWatchEnded, LogFrame, LogLevel, ModuleFrame, Object,
    Priority, ProtocolOffer, Readiness, ServiceRequest, Shutdown, StartingFrame, Unreadable, code,
};
use serde_json::value::RawValue;

/// Sizes of the bytes that a frame carries: in the framing `length`, the last one is sent as an attachment.
const SIZES: [usize; 3] = [0, ATTACH_FROM_BYTES - 1, ATTACH_FROM_BYTES];

fn raw(json: &'static str) -> &'static RawValue {
    serde_json::from_str(json).unwrap()
}

fn error(details: bool) -> ErrorBody<'static> {
    ErrorBody {
        details: details.then(|| raw(r#"{"field":"a"}"#)),
        ..ErrorBody::new(code::UNAVAILABLE, if details { "later" } else { "" }, details)
    }
}

fn host_frames(bytes: usize) -> Vec<HostFrame<'static>> {
    let handle = |priority, ttl_ms| Handle {
        message: HandleMessage { topic: "a.b".into(), payload: vec![7; bytes].into(), priority, ttl_ms },
        context: HandleContext {
            trace_id: "t".into(),
            source_module: "m:1.0.0".into(),
            timestamp: 12,
            traceparent: "".into(),
        },
    };
    let offer = ProtocolOffer {
        version: 1,
        max_frame_bytes: 1000,
        framings: vec!["line".to_owned()],
        features: vec!["f".to_owned()],
    };
    let change =
        |value: Option<Vec<u8>>| KvChange { watch: 1, key: "k".into(), revision: 2, value: value.map(Cow::Owned) };
    vec![
        HostFrame::Init(Init { config: raw(r#"{"a":1}"#), module_id: "m:1.0.0/instance-001".into(), protocol: None }),
        HostFrame::Init(Init { config: raw("{}"), module_id: "".into(), protocol: Some(offer) }),
        HostFrame::Handle(handle(Priority::High, Some(50))),
        HostFrame::Event(handle(Priority::Critical, None)),
        HostFrame::ServiceResponse(Ok(Object::parse(r#"{"n":1}"#).unwrap().attach("value", vec![7; bytes]))),
        HostFrame::ServiceResponse(Err(error(true))),
        HostFrame::ServiceResponse(Err(error(false))),
        HostFrame::HealthCheck,
        HostFrame::Shutdown(Shutdown { grace_ms: Some(5) }),
        HostFrame::Shutdown(Shutdown { grace_ms: None }),
        HostFrame::Cancel,
        HostFrame::KvChange(change(Some(vec![7; bytes]))),
        HostFrame::KvChange(change(None)),
        HostFrame::KvWatchEnded(KvWatchEnded { watch: 1 }),
        HostFrame::Draining(Draining { grace_ms: 5000 }),
    ]
}

fn module_frames(bytes: usize) -> Vec<ModuleFrame<'static>> {
    let request = |context| ServiceRequest {
        service: "kv_store".into(),
        method: "set".into(),
        params: Object::parse(r#"{"key":"k"}"#).unwrap().attach("value", vec![7; bytes]),
        context,
    };
    let log = |level, fields: Option<&'static RawValue>| {
        let text = if fields.is_some() { "t" } else { "" };
        ModuleFrame::Log(LogFrame { level, message: text.into(), fields, trace_id: text.into() })
    };
    vec![
        ModuleFrame::Success { data: Object::parse("{}").unwrap().attach("result", vec![7; bytes]) },
        ModuleFrame::Error(error(true)),
        ModuleFrame::Error(error(false)),
        ModuleFrame::ServiceRequest(request(CallContext::default())),
        ModuleFrame::ServiceRequest(request(CallContext { trace_id: "t".into(), parent: None })),
        ModuleFrame::ServiceRequest(request(CallContext { trace_id: "".into(), parent: Some(3) })),
        ModuleFrame::ServiceRequest(request(CallContext { trace_id: "t".into(), parent: Some(3) })),
        ModuleFrame::Cancel,
        log(LogLevel::Trace, None),
        log(LogLevel::Debug, Some(raw("{}"))),
        log(LogLevel::Info, None),
        log(LogLevel::Warn, None),
        log(LogLevel::Error, None),
        ModuleFrame::Starting(StartingFrame { message: "migrates".into(), extend_ms: 30_000 }),
        ModuleFrame::Starting(StartingFrame { message: "".into(), extend_ms: 0 }),
        ModuleFrame::Ready(Readiness { ready: true }),
        ModuleFrame::Ready(Readiness { ready: false }),
    ]
}

/// The only frame in these bytes, and whether it has an attachment.
fn decoded<T>(framing: Framing, written: &[u8], read: impl FnOnce(ixt_protocol::RawFrame<'_>) -> T) -> (T, bool) {
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
    decoder.set_framing(framing);
    decoder.input().extend_from_slice(written);
    let frame = decoder.next_frame().expect("a whole frame").unwrap();
    let attached = frame.attachment.is_some();
    let frame = read(frame);
    assert!(decoder.next_frame().is_none(), "more than one frame");
    (frame, attached)
}

/// How many bytes of a frame the limit does not count: the line end, or the first length.
fn around(framing: Framing) -> usize {
    match framing {
        Framing::Line => 1,
        Framing::Length => 4,
    }
}

#[test]
fn frames_of_a_host_are_read_as_they_were_written() {
    for bytes in SIZES {
        for (id, body) in host_frames(bytes).into_iter().enumerate() {
            let carries = matches!(
                body,
                HostFrame::Handle(_)
                    | HostFrame::Event(_)
                    | HostFrame::ServiceResponse(Ok(_))
                    | HostFrame::KvChange(KvChange { value: Some(_), .. })
            );
            let frame = Frame { id: Some(id as u64).filter(|id| *id > 0), body };
            let mut line = Vec::new();
            frame.write(Framing::Line, &mut line);
            for framing in [Framing::Line, Framing::Length] {
                let mut written = Vec::new();
                let counted = frame.write(framing, &mut written);
                assert_eq!(counted + around(framing), written.len(), "{frame:?}");
                let (again, attached) = decoded(framing, &written, |raw| {
                    let mut again = Vec::new();
                    HostFrame::read(raw).unwrap().write(Framing::Line, &mut again);
                    again
                });
                assert_eq!(String::from_utf8(again).unwrap(), str::from_utf8(&line).unwrap());
                assert_eq!(attached, carries && framing == Framing::Length && bytes >= ATTACH_FROM_BYTES, "{frame:?}");
            }
        }
    }
}

#[test]
fn frames_of_a_module_are_read_as_they_were_written() {
    for bytes in SIZES {
        for (id, body) in module_frames(bytes).into_iter().enumerate() {
            let carries = body.object().is_some();
            let frame = Frame { id: Some(id as u64).filter(|id| *id > 0), body };
            let mut line = Vec::new();
            frame.write(Framing::Line, &mut line);
            for framing in [Framing::Line, Framing::Length] {
                let mut written = Vec::new();
                let counted = frame.write(framing, &mut written);
                assert_eq!(counted + around(framing), written.len(), "{frame:?}");
                let (again, attached) = decoded(framing, &written, |raw| {
                    let mut again = Vec::new();
                    ModuleFrame::read(raw).unwrap().write(Framing::Line, &mut again);
                    again
                });
                assert_eq!(String::from_utf8(again).unwrap(), str::from_utf8(&line).unwrap());
                assert_eq!(attached, carries && framing == Framing::Length && bytes >= ATTACH_FROM_BYTES, "{frame:?}");
                // A sender that does not copy the attachment writes the same bytes.
                let mut apart = Vec::new();
                let (size, attachment) = frame.write_before_attachment(framing, &mut apart);
                let attachment = attachment.map(<[u8]>::to_vec);
                assert_eq!((size, attachment.is_some()), (counted, attached));
                assert_eq!(frame.body.clone().into_attachment(framing), attachment);
                apart.extend(attachment.unwrap_or_default());
                assert_eq!(apart, written);
            }
        }
    }
}

fn unreadable(json: &str) -> (Option<u64>, String) {
    let error = HostFrame::read(json.as_bytes()).map(|frame| frame.id).unwrap_err();
    let id = match error {
        Unreadable::Invalid { id, .. } | Unreadable::UnknownType { id, .. } => id,
        Unreadable::NotAFrame(_) => None,
    };
    (id, error.to_string())
}

#[test]
fn the_error_of_a_wrong_frame_has_the_id_of_its_request() {
    let handle = |message: &str| unreadable(&format!(r#"{{"type":"handle","id":7,"message":{message}}}"#));
    for (message, says) in [
        ("5", "`message`: invalid type: integer `5`, expected an object"),
        (r#""text""#, "`message`: invalid type: string \"text\", expected an object"),
        (r#"["a",""]"#, "`message`: invalid type: sequence, expected an object"),
        ("null", "`message`: invalid type: null, expected an object"),
        (r#"{"payload":""}"#, "`message.topic`: missing"),
        (r#"{"topic":"a"}"#, "`message.payload`: missing"),
        (r#"{"topic":"a","payload":"?"}"#, "`message.payload`: not base64: Invalid symbol 63, offset 0."),
        (
            r#"{"topic":"a","payload":"","priority":5}"#,
            "`message.priority`: 5 is not a priority: expected 1 (low), 2 (normal), 3 (high) or 4 (critical)",
        ),
        (
            r#"{"topic":"a","payload":"","priority":0}"#,
            "`message.priority`: 0 is not a priority: expected 1 (low), 2 (normal), 3 (high) or 4 (critical)",
        ),
    ] {
        assert_eq!(handle(message), (Some(7), format!("a `handle` frame is wrong: {says}")));
    }
    for (json, says) in [
        (r#"{"type":"init","id":7}"#, "a `init` frame is wrong: `config`: missing"),
        (r#"{"type":"service_response","id":7}"#, "a `service_response` frame is wrong: `success`: missing"),
        (
            r#"{"type":"service_response","id":7,"success":true}"#,
            "a `service_response` frame is wrong: `data`: missing",
        ),
        (
            r#"{"type":"service_response","id":7,"success":false}"#,
            "a `service_response` frame is wrong: `code`: missing",
        ),
        (r#"{"type":"no\"ne","id":7}"#, "frames of type `no\"ne` are not known here"),
        (r#"{"type":"none","id":7,"success":5}"#, "frames of type `none` are not known here"),
    ] {
        assert_eq!(unreadable(json), (Some(7), says.to_owned()));
    }
    for (json, says) in [
        ("", "not a frame: expected an object"),
        ("[\"handle\",1]", "not a frame: expected an object"),
        (r#"{"id":7}"#, "not a frame: `type`: missing"),
        (r#"{"type":"handle","id":-1}"#, "a `handle` frame is wrong: `id`: invalid value: integer `-1`, expected u64"),
    ] {
        assert_eq!(unreadable(json), (None, says.to_owned()));
    }
}

/// In particular a `cancel` must not be answered because of a wrong field: its id is that of another request.
#[test]
fn the_fields_of_a_frame_that_has_none_are_ignored() {
    for kind in ["cancel", "health_check"] {
        let json = format!(r#"{{"type":"{kind}","id":7,"message":5,"attachment":"a"}}"#);
        assert_eq!(HostFrame::read(json.as_bytes()).unwrap().id, Some(7));
        let json = format!(r#"{{"type":"{kind}","id":7,"attachment":"a"}}"#);
        assert_eq!(HostFrame::read(json.as_bytes()).unwrap().id, Some(7));
    }
}

#[test]
fn the_error_of_a_wrong_frame_of_a_module_names_the_mistake() {
    for (json, says) in [
        (r#"{"type":"success","id":7}"#, "a `success` frame is wrong: `data`: missing"),
        (r#"{"type":"success","id":7,"data":{},"attachment":"data.a"}"#, "`attachment`: the frame has none"),
        (r#"{"type":"error","id":7}"#, "a `error` frame is wrong: `code`: missing"),
        (r#"{"type":"service_request","id":7,"method":"m","params":{}}"#, "`service`: missing"),
        (r#"{"type":"service_request","id":7,"service":"","method":"m","params":{}}"#, "`service`: missing"),
        (r#"{"type":"service_request","id":7,"service":"s","params":{}}"#, "`method`: missing"),
        (r#"{"type":"service_request","id":7,"service":"s","method":"m"}"#, "`params`: missing"),
        (r#"{"type":"log","message":"m"}"#, "a `log` frame is wrong: `level`: missing"),
        (r#"{"type":"log","level":"loud"}"#, "`level`: unknown variant `loud`"),
        (
            r#"{"type":"starting","extend_ms":-1}"#,
            "a `starting` frame is wrong: `extend_ms`: invalid value: integer `-1`",
        ),
        (r#"{"type":"ready"}"#, "a `ready` frame is wrong: `ready`: missing"),
        (r#"{"type":"ready","ready":"no"}"#, "`ready`: invalid type: string \"no\", expected a boolean"),
        (r#"{"type":"handle","id":7}"#, "frames of type `handle` are not known here"),
        (r#"{"type":"success","id":7,"data":[1]}"#, "a `success` frame is wrong: `data`: expected an object"),
        (r#"{"type":"success","id":7,"data":{"mean":NaN}}"#, "a `success` frame is wrong: `data`: expected value at"),
        (r#"{"type":"error","id":7,"code":"C","details":[1,2]}"#, "`details`: expected an object"),
        (
            r#"{"type":"service_request","id":7,"service":"s","method":"m","params":"p"}"#,
            "`params`: expected an object",
        ),
        (r#"{"type":"log","level":"info","fields":[]}"#, "`fields`: expected an object"),
    ] {
        let error = ModuleFrame::read(json.as_bytes()).map(|frame| frame.id).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// With type and id the receiver can find the request that the frame belongs to.
#[test]
fn the_error_of_a_frame_whose_json_is_broken_has_its_type_and_its_id() {
    let read = |json: &str| ModuleFrame::read(json.as_bytes()).map(|frame| frame.id).unwrap_err();
    let invalid = |json: &str| match read(json) {
        Unreadable::Invalid { id, kind, .. } => (kind, id),
        other => panic!("{other}"),
    };
    assert_eq!(invalid(r#"{"type":"success","data":{"x":NaN},"id":7}"#), ("success".to_owned(), Some(7)));
    assert_eq!(invalid(r#"{"type":"service_request","params":{"x":NaN}}"#), ("service_request".to_owned(), None));
    assert!(matches!(read(r#"{"type":"sucess","id":7,"data":NaN}"#), Unreadable::UnknownType { id: Some(7), .. }));
    assert!(matches!(read("{'type':'success','id':7}"), Unreadable::NotAFrame(_)));
    assert_eq!(unreadable(r#"{"type":"handle","id":7,"message":{"topic":NaN}}"#).0, Some(7));
}

#[test]
fn a_frame_that_is_nested_more_than_128_levels_deep_is_refused() {
    let reply = |depth: usize| {
        let json = format!(r#"{{"type":"success","id":7,"data":{{"a":{}{}}}}}"#, "[".repeat(depth), "]".repeat(depth));
        ModuleFrame::read(json.as_bytes()).map(|frame| {
            let ModuleFrame::Success { data } = frame.body else { panic!() };
            data.read::<serde_json::Value>().unwrap();
        })
    };
    for depth in [60, 126] {
        reply(depth).unwrap();
    }
    for depth in [127, 20_000] {
        let error = reply(depth).unwrap_err().to_string();
        assert_eq!(error, "a `success` frame is wrong: lists and objects are more than 127 deep within one another");
    }
}

#[test]
fn the_texts_of_a_module_have_limits() {
    let long = "t".repeat(ixt_protocol::MAX_NAME_BYTES + 1);
    for (json, says) in [
        (format!(r#"{{"type":"error","id":7,"code":"{long}"}}"#), "`code`: has 257 bytes, more than the 256 that"),
        (
            format!(r#"{{"type":"service_request","id":7,"service":"{long}","method":"m","params":{{}}}}"#),
            "`service`: has 257 bytes",
        ),
        (
            format!(r#"{{"type":"service_request","id":7,"service":"s","method":"{long}","params":{{}}}}"#),
            "`method`: has 257 bytes",
        ),
        (
            format!(
                r#"{{"type":"service_request","id":7,"service":"s","method":"m","params":{{}},"context":{{"trace_id":"{long}"}}}}"#
            ),
            "`context.trace_id`: has 257 bytes",
        ),
        (format!(r#"{{"type":"{long}","id":7}}"#), "tttt` are not known here"),
    ] {
        let error = ModuleFrame::read(json.as_bytes()).map(|frame| frame.id).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    // Texts that say what has happened are cut, between characters.
    let message = format!("x{}", "\u{e4}".repeat(ixt_protocol::MAX_MESSAGE_BYTES / 2));
    for json in [
        format!(r#"{{"type":"error","id":7,"code":"C","message":"{message}"}}"#),
        format!(r#"{{"type":"log","level":"info","message":"m","trace_id":"{long}"}}"#),
        format!(r#"{{"type":"starting","message":"{message}","extend_ms":18446744073709551615}}"#),
    ] {
        match ModuleFrame::read(json.as_bytes()).unwrap().body {
            ModuleFrame::Error(error) => assert_eq!(error.message.len(), ixt_protocol::MAX_MESSAGE_BYTES - 1),
            ModuleFrame::Log(line) => assert_eq!(line.trace_id.len(), 256),
            ModuleFrame::Starting(starting) => {
                assert_eq!((starting.message.len(), starting.extend_ms), (65_535, 3_600_000));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_attachment_stands_for_a_field_that_can_have_one() {
    let wrong = |json: &str| {
        let frame = ixt_protocol::RawFrame {
            framing: Framing::Length,
            json: json.as_bytes(),
            attachment: Some(b"hi"[..].into()),
        };
        HostFrame::read(frame).map(|frame| frame.id).unwrap_err().to_string()
    };
    for (json, says) in [
        (
            r#"{"type":"handle","id":7,"message":{"topic":"a"},"attachment":"message.topic"}"#,
            "`attachment`: can't stand for `message.topic`",
        ),
        (r#"{"type":"handle","id":7,"message":{"topic":"a"}}"#, "`attachment`: missing, though the frame has one"),
        (
            r#"{"type":"service_response","id":7,"success":true,"data":{},"attachment":"data"}"#,
            "`attachment`: can't stand for `data`",
        ),
        (
            r#"{"type":"service_response","id":7,"success":true,"data":[],"attachment":"data.a"}"#,
            "`data`: expected an object",
        ),
    ] {
        assert!(wrong(json).ends_with(says), "{}", wrong(json));
    }
}
