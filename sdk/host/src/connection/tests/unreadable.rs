//! Frames of a module that can't be read, or can't be assigned to a request.

use super::*;

#[tokio::test]
async fn a_wrong_reply_ends_its_request_and_frames_for_no_request_are_complained_about() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let (_pending, answer) = opened.call(&topic(), message(""));
    opened.peer.next().await;
    opened.peer.send(r#"{"type":"success","id":2}"#).await;
    assert_eq!(answer.await.unwrap(), "INTERNAL: the module's reply is wrong: `data`: missing (false)");
    opened.peer.send(r#"{"type":"success","id":9,"data":{}}"#).await;
    opened.peer.send(r#"{"type":"error","id":9}"#).await;
    opened.peer.send(r#"{"type":"dance","id":9}"#).await;
    let answer = opened.peer.next().await;
    assert_eq!((&answer["id"], &answer["code"]), (&json!(9), &json!("UNIMPLEMENTED")));
    opened.peer.send(r#"{"type":"service_request","id":10,"service":"s"}"#).await;
    let answer = opened.peer.next().await;
    assert_eq!((&answer["id"], &answer["code"]), (&json!(10), &json!("INVALID_INPUT")));
    assert_eq!(
        opened.heard(),
        [
            "skipped a reply to the request 9 that nobody waits for",
            "skipped what it sent: a `error` frame is wrong: `code`: missing",
            "skipped what it sent: frames of type `dance` are not known here",
            "its request was refused: a `service_request` frame is wrong: `method`: missing",
        ]
    );
}

#[tokio::test]
async fn a_caller_gets_an_error_at_once_whatever_comes_in_place_of_the_reply() {
    for (reply, says) in [
        (r#"{"type":"success"ID,"data":{"mean":NaN}}"#, "`data`: expected value at line 1 column "),
        (r#"{"data":{"mean":Infinity},"type":"success"ID}"#, "`data`: expected value at line 1 column "),
        (r#"{"type":"success"ID,"data":[1]}"#, "`data`: expected an object"),
        (r#"{"type":"success"ID,"data":"x"}"#, "`data`: expected an object"),
        (r#"{"type":"success"ID,"data":{}"#, "EOF while parsing an object at line 1 column "),
        (r#"{"type":"error"ID,"code":"C","details":[1,2]}"#, "`details`: expected an object"),
        (r#"{"type":"error"ID,"code":5}"#, "`code`: invalid type: integer `5`, expected a string"),
        (r#"{"type":"sucess"ID,"data":{}}"#, "frames of type `sucess` are not known here"),
        ("Traceback (most recent call last):", "not a frame: expected an object"),
        ("{'type':'success','data':{}}", "not a frame: key must be a string at line 1 column 2"),
        ("\u{0}\u{1}", "not a frame: expected an object"),
    ] {
        for (init, id) in [(WITH_IDS, r#","id":2"#), (WITHOUT_IDS, "")] {
            let mut opened = open(init, FRAME_LIMIT).await.unwrap();
            let (_pending, answer) = opened.call(&topic(), message(""));
            opened.peer.next().await;
            let reply = reply.replace("ID", id);
            opened.peer.send(&reply).await;
            let answer = answer.await.unwrap();
            assert!(answer.starts_with("INTERNAL: the module's reply is wrong: "), "{reply}: {answer}");
            assert!(answer.contains(says), "{reply}: {answer}");
            // If it may have been no reply, a module without ids is ended: its next reply would go to the wrong caller.
            let is_a_reply = reply.contains("success\"") || reply.contains("error\"");
            assert_eq!(opened.connection.load().is_some(), !id.is_empty() || is_a_reply, "{reply}");
        }
    }
}

#[tokio::test]
async fn a_reply_without_an_id_reaches_no_caller_if_the_module_has_used_ids() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let (_first, first) = opened.call(&topic(), message("1"));
    let (_second, second) = opened.call(&topic(), message("2"));
    opened.peer.send(r#"{"type":"success","data":{"for":"the second"}}"#).await;
    let says =
        "INTERNAL: the module's reply is wrong: a reply has no `id`, although its reply to `init` had one (false)";
    assert_eq!((first.await.unwrap().as_str(), second.await.unwrap().as_str()), (says, says));
    assert!(opened.heard()[0].ends_with("it was skipped, and what waited for a reply got an error"));
    let (_next, next) = opened.call(&topic(), message("3"));
    opened.peer.send(r#"{"type":"success","id":4,"data":{}}"#).await;
    assert_eq!(next.await.unwrap(), "{}");
}

#[tokio::test]
async fn a_frame_over_the_limit_ends_each_request_that_it_may_reply_to() {
    let long = format!(r#"{{"type":"success","id":2,"data":{{"a":"{}"}}}}"#, "x".repeat(FRAME_LIMIT));
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let (_one, one) = opened.call(&topic(), message(""));
    let (_other, other) = opened.call(&topic(), message(""));
    opened.peer.send(&long).await;
    let wrong = "INTERNAL: the module's reply is wrong: a frame of 1041 bytes is over the limit of 1000 bytes (false)";
    assert_eq!((one.await.unwrap().as_str(), other.await.unwrap().as_str()), (wrong, wrong));
    assert_eq!(opened.heard().len(), 1);
    let (_next, next) = opened.call(&topic(), message(""));
    opened.peer.send(r#"{"type":"success","id":4,"data":{}}"#).await;
    assert_eq!(next.await.unwrap(), "{}", "the connection lives on");

    let mut opened = open(WITHOUT_IDS, FRAME_LIMIT).await.unwrap();
    let (_one, one) = opened.call(&topic(), message(""));
    opened.peer.send(&long).await;
    assert_eq!(one.await.unwrap(), wrong);
    opened.connection.closed().await;
    assert!(opened.connection.end_reason().unwrap().contains("its replies can't be told apart"));
    assert!(opened.connection.load().is_none());
}

/// Its room is for other modules then.
#[tokio::test(start_paused = true)]
async fn a_module_that_does_not_complete_a_large_frame_is_ended() {
    let mut opened = open(WITH_IDS, 1 << 20).await.unwrap();
    let (_pending, answer) = opened.call(&topic(), message(""));
    let part = vec![b'x'; 300 * 1024];
    opened.peer.stream.write_all(&part).await.unwrap();
    // A byte now and then does not put off the end.
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _ = opened.peer.stream.write_all(b"x").await;
    }
    opened.connection.closed().await;
    let reason = opened.connection.end_reason().unwrap();
    assert!(reason.contains("a part of a large frame"), "{reason}");
    opened.connection.close(&reason);
    assert!(answer.await.unwrap().contains("a part of a large frame"));
}
