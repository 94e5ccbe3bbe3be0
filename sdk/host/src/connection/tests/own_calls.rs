//! The module's own calls of the host's services.

use super::*;

#[tokio::test]
async fn a_call_of_a_module_is_answered_by_its_id_unless_the_module_cancels_it() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let ask = |id: &str, method: &str, params: &str| {
        format!(r#"{{"type":"service_request"{id},"service":"s","method":"{method}","params":{params}}}"#)
    };
    opened.peer.send(&ask(r#","id":7"#, "echo", r#"{"a":1}"#)).await;
    let answer = opened.peer.next().await;
    assert_eq!(answer, json!({ "type": "service_response", "id": 7, "success": true, "data": { "a": 1 } }));
    opened.peer.send(&ask("", "echo", "{}")).await;
    assert_eq!(opened.peer.next().await, json!({ "type": "service_response", "success": true, "data": {} }));
    // A second call with the id of one that waits is not registered.
    opened.peer.send(&ask(r#","id":8"#, "wait", "{}")).await;
    opened.peer.send(&ask(r#","id":8"#, "wait", "{}")).await;
    opened.peer.send(r#"{"type":"cancel","id":8}"#).await;
    opened.peer.send(&ask(r#","id":8"#, "wait", "{}")).await;
    // A response that is too long for a frame becomes an error.
    opened.peer.send(&ask(r#","id":9"#, "much", "{}")).await;
    let answer = opened.peer.next().await;
    assert_eq!((&answer["id"], &answer["code"]), (&json!(9), &json!("RESOURCE_EXHAUSTED")));
    assert_eq!(
        opened.heard(),
        [
            "s.echo Some(7) true",
            "s.echo None true",
            "s.wait Some(8) true",
            "s.wait Some(8) false",
            "s.wait Some(8) true",
            "s.much Some(9) true",
        ]
    );
}

#[tokio::test]
async fn a_request_of_a_module_that_can_not_be_read_is_answered_at_once() {
    for init in [WITH_IDS, WITHOUT_IDS] {
        for id in [r#","id":7"#, ""] {
            let mut opened = open(init, FRAME_LIMIT).await.unwrap();
            opened.peer.send(&format!(r#"{{"type":"service_request"{id},"service":"s","params":{{"x":NaN}}}}"#)).await;
            let answer = opened.peer.next().await;
            assert_eq!((&answer["type"], &answer["code"]), (&json!("service_response"), &json!("INVALID_INPUT")));
            assert_eq!(answer.get("id"), (!id.is_empty()).then_some(&json!(7)));
        }
    }
}
