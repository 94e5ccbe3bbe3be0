use std::net::IpAddr;

use ixt_host::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;

/// The client's end of a connection to a host without modules, and the sender of the server's phase.
async fn connect(buffer: usize) -> (DuplexStream, watch::Sender<ServerPhase>) {
    let host = Host::builder(Settings::default()).start().await.unwrap();
    let (sender, phase) = watch::channel(ServerPhase::Open);
    let site = Site { host, names: Names::new(IpAddr::from([127, 0, 0, 1]), &[]), phase };
    let (here, there) = duplex(buffer);
    tokio::spawn(async move { serve_one(there, &site).await });
    (here, sender)
}

/// Everything that the server sends until it closes the connection.
async fn rest(stream: &mut DuplexStream) -> String {
    let mut answer = Vec::new();
    // An error is the end too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// Reads one answer with the body `ok`, on a connection that stays open.
async fn ok(stream: &mut DuplexStream) -> String {
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\nok\n") {
        answer.push(stream.read_u8().await.unwrap().into());
    }
    answer
}

const HEALTHZ: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

async fn ask(request: &str) -> String {
    let (mut stream, _phase) = connect(1 << 20).await;
    let _ = stream.write_all(request.as_bytes()).await;
    rest(&mut stream).await
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_for_a_page_is_refused() {
    for (request, status) in [
        ("GET / HTTP/1.1\r\nhost: localhost", "404 Not Found"),
        ("GET /metrics/ HTTP/1.1\r\nhost: localhost", "404 Not Found"),
        ("POST /metrics HTTP/1.1\r\nhost: localhost", "405 Method Not Allowed"),
        ("GET /metrics HTTP/1.1\r\nhost: evil.example", "403 Forbidden"),
        ("GET /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1", "413 Payload Too Large"),
        ("GET /metrics HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked", "413 Payload Too Large"),
        ("GET /metrics HTTP/9", "400 Bad Request"),
        ("HEAD /healthz HTTP/1.1\r\nhost: localhost", "200 OK"),
        ("GET /healthz?x HTTP/1.1\r\nhost: localhost", "200 OK"),
    ] {
        let answer = ask(&format!("{request}\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {answer}");
        assert_eq!(answer.contains("allow: GET, HEAD\r\n"), status.starts_with("405"), "{answer}");
        assert_eq!(
            answer.contains("connection: close\r\n"),
            status.starts_with('4') && !status.starts_with("40") || status.starts_with("400"),
            "{answer}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn headers_have_a_limit() {
    let long = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(MAX_HEADER_BYTES));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(MAX_HEADERS));
    for request in [long, many] {
        let answer = ask(&request).await;
        assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_has_to_come_in_time_and_an_answer_to_be_taken() {
    let (mut stream, _phase) = connect(1 << 20).await;
    let start = Instant::now();
    stream.write_all(&HEALTHZ[..20]).await.unwrap();
    assert_eq!((rest(&mut stream).await.as_str(), start.elapsed().as_secs()), ("", CLIENT_TIMEOUT.as_secs()));

    // The buffer is too small for the answer, which is not read.
    let (mut stream, phase) = connect(64).await;
    let start = Instant::now();
    stream.write_all(HEALTHZ).await.unwrap();
    phase.closed().await;
    assert_eq!(start.elapsed().as_secs(), CLIENT_TIMEOUT.as_secs());
    assert!(rest(&mut stream).await.len() <= 64);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_stays_is_told_to_close_when_the_host_shuts_down() {
    let (mut stream, phase) = connect(1 << 20).await;
    for _ in 0..2 {
        stream.write_all(HEALTHZ).await.unwrap();
        assert!(!ok(&mut stream).await.contains("connection: close"));
    }
    phase.send_replace(ServerPhase::Draining);
    stream.write_all(HEALTHZ).await.unwrap();
    let last = rest(&mut stream).await;
    assert!(last.starts_with("HTTP/1.1 200 OK\r\n") && last.contains("connection: close\r\n"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_was_begun_is_answered_and_a_connection_without_a_request_closed() {
    let (mut idle, phase) = connect(1 << 20).await;
    idle.write_all(HEALTHZ).await.unwrap();
    ok(&mut idle).await;
    let start = Instant::now();
    phase.send_replace(ServerPhase::Closing);
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(start.elapsed(), Duration::ZERO);

    let (mut begun, phase) = connect(1 << 20).await;
    begun.write_all(&HEALTHZ[..20]).await.unwrap();
    // The clock stands still until the server has read it.
    tokio::time::sleep(Duration::from_millis(1)).await;
    phase.send_replace(ServerPhase::Closing);
    begun.write_all(&HEALTHZ[20..]).await.unwrap();
    let answer = rest(&mut begun).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_server_ends_in_bounded_time_and_takes_nobody_afterwards() {
    let host = Host::builder(Settings::default()).start().await.unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::new(listener, &[]).unwrap();
    let address = server.address;
    assert_eq!(server.description(), format!("http://{address} serves /healthz, /metrics, /readyz"));
    let serving = server.start(host);
    // A client that sends half a request.
    let mut half = tokio::net::TcpStream::connect(address).await.unwrap();
    half.write_all(&HEALTHZ[..20]).await.unwrap();
    let mut asked = tokio::net::TcpStream::connect(address).await.unwrap();
    asked.write_all(HEALTHZ).await.unwrap();
    assert_eq!(asked.read_u8().await.unwrap(), b'H');
    serving.drain();
    let mut late = tokio::net::TcpStream::connect(address).await.unwrap();
    late.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    late.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n[-]host failed: it is shutting down\nreadyz check failed\n"), "{answer}");
    serving.end().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert_eq!(half.read(&mut [0; 1]).await.unwrap_or(0), 0);
}
