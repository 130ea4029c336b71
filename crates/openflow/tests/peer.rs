//! The connection against a peer made of this crate's codec: what a real switch does too rarely to test.

use std::time::Duration;

use openflow::driver::{CloseReason, Config, Connection, Event, Events, OpenError, RequestError};
use openflow::{
    ErrorCode, ErrorMessage, FlowFilter, FrameSplitter, Header, Hello, Message, MultipartReply,
    MultipartRequest, Port, PortDesc, PortReason, PortStatus, Version, decode, encode,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

const SOON: Duration = Duration::from_secs(10);

struct Peer {
    stream: UnixStream,
    splitter: FrameSplitter,
}

impl Peer {
    async fn recv(&mut self) -> (Header, Message) {
        loop {
            if let Some(frame) = self.splitter.next_frame().expect("frames") {
                return decode(frame).expect("message");
            }
            let mut buffer = [0; 4096];
            let read = tokio::time::timeout(SOON, self.stream.read(&mut buffer)).await;
            let n = read.expect("something").expect("read");
            assert!(n > 0, "the connection closed");
            self.splitter.extend(&buffer[..n]);
        }
    }

    async fn send(&mut self, xid: u32, message: &Message) {
        let mut bytes = Vec::new();
        encode(Version::V1_5, xid, message, &mut bytes).expect("encodes");
        self.stream.write_all(&bytes).await.expect("write");
    }

    /// Whether it could still be sent.
    async fn try_send(&mut self, xid: u32, message: &Message) -> bool {
        let mut bytes = Vec::new();
        encode(Version::V1_5, xid, message, &mut bytes).expect("encodes");
        self.stream.write_all(&bytes).await.is_ok()
    }

    /// Answers everything up to and with the next barrier.
    async fn barrier(&mut self) {
        loop {
            let (header, message) = self.recv().await;
            if message == Message::BarrierRequest {
                return self.send(header.xid, &Message::BarrierReply).await;
            }
        }
    }
}

async fn accept(listener: &UnixListener, versions: &[Version]) -> Peer {
    let (stream, _) = listener.accept().await.expect("accept");
    let mut peer = Peer { stream, splitter: FrameSplitter::new() };
    peer.send(0, &Message::Hello(Hello::offering(versions))).await;
    assert!(matches!(peer.recv().await.1, Message::Hello(_)));
    peer
}

async fn connected(config: Config) -> (Peer, Connection, Events, TempDir) {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("peer.mgmt");
    let listener = UnixListener::bind(&path).expect("bind");
    let peer = async {
        let mut peer = accept(&listener, &[Version::V1_5]).await;
        peer.barrier().await;
        peer
    };
    let (peer, opened) = tokio::join!(peer, Connection::open(&path, config));
    let (connection, events) = opened.expect("open");
    (peer, connection, events, dir)
}

async fn next(events: &mut Events) -> Event {
    tokio::time::timeout(SOON, events.next()).await.expect("an event").expect("not closed")
}

fn port_status(n: u32) -> Message {
    let desc = PortDesc {
        port: Port(n),
        hw_addr: types::MacAddr::new([2, 0, 0, 0, 0, 1]),
        name: format!("p{n}"),
        config: 0,
        state: 0,
        properties: Vec::new(),
    };
    Message::PortStatus(PortStatus { reason: PortReason::Add, desc })
}

#[tokio::test]
async fn echo_of_the_switch_is_answered_with_its_bytes() {
    let (mut peer, _connection, _events, _dir) = connected(Config::default()).await;
    peer.send(77, &Message::EchoRequest(vec![1, 2, 3])).await;
    let (header, message) = peer.recv().await;
    assert_eq!((header.xid, message), (77, Message::EchoReply(vec![1, 2, 3])));
}

#[tokio::test]
async fn silent_switch_is_probed_and_then_given_up() {
    let (probe_after, dead_after) = (Duration::from_millis(40), Duration::from_secs(2));
    let config = Config { probe_after, dead_after, ..Config::default() };
    let (mut peer, connection, mut events, _dir) = connected(config).await;
    // One probe answered: still alive.
    let (header, message) = peer.recv().await;
    assert_eq!(message, Message::EchoRequest(Vec::new()));
    peer.send(header.xid, &Message::EchoReply(Vec::new())).await;
    assert!(matches!(peer.recv().await.1, Message::EchoRequest(_)), "probed again");
    let waiting = tokio::spawn(async move { connection.barrier().await });
    assert_eq!(next(&mut events).await, Event::Closed(CloseReason::Dead(dead_after)));
    let answer = waiting.await.expect("joined");
    assert_eq!(answer, Err(RequestError::Closed(CloseReason::Dead(dead_after))));
}

#[tokio::test]
async fn error_goes_to_the_request_of_its_transaction_id() {
    let (mut peer, connection, mut events, _dir) = connected(Config::default()).await;
    let other = connection.clone();
    let (first, second) = (
        tokio::spawn(async move { connection.barrier().await }),
        tokio::spawn(async move { other.request(&Message::FeaturesRequest).await }),
    );
    let error = ErrorMessage { code: ErrorCode::Standard(1, 5), data: Vec::new() };
    let requests = [peer.recv().await, peer.recv().await];
    // An error nobody waits for, then the features', then the barrier's reply: whatever order they were asked in.
    peer.send(0x7000_0000, &Message::Error(error.clone())).await;
    for (header, message) in &requests {
        if *message == Message::FeaturesRequest {
            peer.send(header.xid, &Message::Error(error.clone())).await;
        }
    }
    assert_eq!(second.await.expect("joined"), Err(RequestError::Refused(error.clone())));
    assert!(matches!(next(&mut events).await, Event::Error(header, _) if header.xid == 0x7000_0000));
    for (header, message) in &requests {
        if *message == Message::BarrierRequest {
            peer.send(header.xid, &Message::BarrierReply).await;
        }
    }
    assert_eq!(first.await.expect("joined"), Ok(()));
}

#[tokio::test]
async fn events_nobody_fetches_are_dropped_and_counted() {
    let config = Config { event_capacity: 2, ..Config::default() };
    let (mut peer, connection, mut events, _dir) = connected(config).await;
    for n in 1..=10 {
        peer.send(0, &port_status(n)).await;
    }
    // The barrier shows that requests go on although events are not fetched.
    let (done, ()) = tokio::join!(connection.barrier(), peer.barrier());
    assert_eq!(done, Ok(()));
    for n in 1..=2 {
        assert!(matches!(next(&mut events).await, Event::PortStatus(s) if s.desc.port == Port(n)));
    }
    assert_eq!(next(&mut events).await, Event::Lagged(8));
    peer.send(0, &port_status(11)).await;
    assert!(matches!(next(&mut events).await, Event::PortStatus(s) if s.desc.port == Port(11)));
}

#[tokio::test]
async fn parts_of_a_reply_are_joined_within_the_limit() {
    let config = Config { max_reply: 1190, ..Config::default() };
    let (mut peer, connection, mut events, _dir) = connected(config).await;
    let part = |flags, size| Message::MultipartReply(MultipartReply { kind: 0, flags, body: vec![7; size] });
    let request = Message::MultipartRequest(MultipartRequest::Desc);
    let answering = async {
        let (header, _) = peer.recv().await;
        peer.send(header.xid, &part(1, 400)).await;
        peer.send(header.xid, &part(0, 500)).await;
        peer
    };
    let (reply, mut peer) = tokio::join!(connection.request(&request), answering);
    let Ok(Message::MultipartReply(whole)) = reply else { panic!("{reply:?}") };
    assert_eq!(whole.body.len(), 900);
    let answering = async {
        let (header, _) = peer.recv().await;
        peer.send(header.xid, &part(1, 600)).await;
        peer.send(header.xid, &part(1, 600)).await;
        peer
    };
    let (reply, _peer) = tokio::join!(connection.request(&request), answering);
    assert!(matches!(reply, Err(RequestError::Closed(CloseReason::Protocol(_)))), "{reply:?}");
    assert!(matches!(next(&mut events).await, Event::Closed(_)));
}

/// Collected, the parts would exceed the limit.
#[tokio::test]
async fn a_reply_taken_part_by_part_is_never_held_as_a_whole() {
    let config = Config { max_reply: 1190, ..Config::default() };
    let (mut peer, connection, mut events, _dir) = connected(config).await;
    let part = |flags| Message::MultipartReply(MultipartReply { kind: 1, flags, body: Vec::new() });
    let answering = async {
        let (header, _) = peer.recv().await;
        for n in 0..1000 {
            peer.send(header.xid, &part(1)).await;
            // What comes in between goes where it belongs.
            if n == 500 {
                peer.send(0, &port_status(7)).await;
            }
        }
        peer.send(header.xid, &part(0)).await;
        peer
    };
    let (dumped, mut peer) = tokio::join!(connection.dump_flows_each(FlowFilter::all(), drop), answering);
    assert_eq!(dumped, Ok(()));
    assert!(matches!(next(&mut events).await, Event::PortStatus(s) if s.desc.port == Port(7)));
    let (done, ()) = tokio::join!(connection.barrier(), peer.barrier());
    assert_eq!(done, Ok(()));
}

#[tokio::test]
async fn a_reply_taken_part_by_part_that_breaks_off_is_an_error() {
    let (mut peer, connection, _events, _dir) = connected(Config::default()).await;
    let part = Message::MultipartReply(MultipartReply { kind: 1, flags: 1, body: Vec::new() });
    let answering = async {
        let (header, _) = peer.recv().await;
        peer.send(header.xid, &part).await;
        drop(peer);
    };
    let (dumped, ()) = tokio::join!(connection.dump_flows_each(FlowFilter::all(), drop), answering);
    assert_eq!(dumped, Err(RequestError::Closed(CloseReason::Eof)));

    let (mut peer, connection, _events, _dir) = connected(Config::default()).await;
    let error = ErrorMessage { code: ErrorCode::Standard(18, 7), data: Vec::new() };
    let answering = async {
        let (header, _) = peer.recv().await;
        peer.send(header.xid, &part).await;
        peer.send(header.xid, &Message::Error(error.clone())).await;
        peer
    };
    let (dumped, _peer) = tokio::join!(connection.dump_flows_each(FlowFilter::all(), drop), answering);
    assert_eq!(dumped, Err(RequestError::Refused(error)));
}

#[tokio::test]
async fn bytes_that_are_no_openflow_end_the_connection() {
    let (mut peer, _connection, mut events, _dir) = connected(Config::default()).await;
    peer.stream.write_all(&[6, 14, 0, 3, 0, 0, 0, 0]).await.expect("write");
    assert!(matches!(next(&mut events).await, Event::Closed(CloseReason::Protocol(_))));
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn request_without_reply_times_out_and_the_connection_goes_on() {
    let config = Config { request_timeout: Duration::from_millis(50), ..Config::default() };
    let (mut peer, connection, _events, _dir) = connected(config).await;
    assert_eq!(connection.request(&Message::FeaturesRequest).await, Err(RequestError::Timeout));
    let (done, ()) = tokio::join!(connection.barrier(), peer.barrier());
    assert_eq!(done, Ok(()));
}

#[tokio::test]
async fn no_common_version_is_said_so() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("peer.mgmt");
    let listener = UnixListener::bind(&path).expect("bind");
    let opening = Connection::open(&path, Config::default());
    let (_, opened) = tokio::join!(accept(&listener, &[Version::V1_3]), opening);
    assert!(matches!(opened, Err(OpenError::NoCommonVersion)), "{opened:?}");
}

#[tokio::test]
async fn last_handle_dropped_ends_the_connection() {
    let (mut peer, connection, mut events, _dir) = connected(Config::default()).await;
    drop(connection);
    assert_eq!(next(&mut events).await, Event::Closed(CloseReason::Dropped));
    let mut rest = Vec::new();
    assert_eq!(peer.stream.read_to_end(&mut rest).await.expect("end"), 0);
}

async fn is_cut_off_by(flood: Message) {
    let config = Config { max_reply: 1 << 20, ..Config::default() };
    let (mut peer, connection, mut events, _dir) = connected(config).await;
    // Two messages: what comes back for the first does not end the request.
    let waiting = tokio::spawn(async move { connection.apply(&[Message::SetAsync(Vec::new())]).await });
    let xid = peer.recv().await.0.xid;
    let mut sent = 0;
    while sent < 100_000 && peer.try_send(xid, &flood).await {
        sent += 1;
    }
    let answer = waiting.await.expect("joined");
    let too_large = |reason: &CloseReason| matches!(reason, CloseReason::Protocol(openflow::DecodeError::TooLarge { limit }) if *limit == 1 << 20);
    assert!(matches!(&answer, Err(RequestError::Closed(reason)) if too_large(reason)), "{answer:?}");
    assert!(matches!(next(&mut events).await, Event::Closed(reason) if too_large(&reason)));
}

#[tokio::test]
async fn what_is_held_for_one_request_is_bounded_whatever_it_is_made_of() {
    is_cut_off_by(Message::MultipartReply(MultipartReply { kind: 1, flags: 1, body: Vec::new() })).await;
    is_cut_off_by(Message::Error(ErrorMessage { code: ErrorCode::Standard(1, 1), data: vec![0; 60_000] }))
        .await;
    is_cut_off_by(Message::EchoReply(vec![0; 60_000])).await;
}
