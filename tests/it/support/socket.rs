//! A raw connection of the document dialect: sends anything, hides nothing.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use serde_json::Value;
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::{
        Mutex, OwnedMutexGuard,
        mpsc::{UnboundedReceiver, unbounded_channel},
    },
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Bytes, Error, Message,
        client::IntoClientRequest,
        handshake::client::Response,
        http::{HeaderName, HeaderValue},
        protocol::WebSocketConfig,
    },
};

use super::within;

/// What a client asks for when it opens a document.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opening {
    /// The document, as it stands in the path.
    pub(crate) document: String,
    /// The query's pairs.
    pub(crate) query: Vec<(String, String)>,
    /// More headers of the request.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Whether it is to be watched while it is written once more.
    pub(crate) replay: bool,
    /// The size of the socket's receive buffer, where it matters.
    pub(crate) receive_buffer: Option<u32>,
}

impl Opening {
    /// Opens this document with an empty query.
    pub(crate) fn of(document: &str) -> Self {
        Self { document: document.to_owned(), ..Self::default() }
    }

    /// With one more pair in the query.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// With one more header.
    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// As this user with this client id (authentication `none`).
    pub(crate) fn guest(document: &str, name: &str) -> Self {
        Self::of(document).with("user_id", format!("user-{name}")).with("client_id", name)
    }

    /// Watches this document while it is written once more.
    pub(crate) fn replay(document: &str) -> Self {
        Self { replay: true, ..Self::of(document) }
    }

    fn url(&self, address: SocketAddr) -> String {
        let query: Vec<_> = self.query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let replay = if self.replay { "/replay" } else { "" };
        format!("ws://{address}/v1/ws/documents/{}{replay}{mark}{}", escaped(&self.document), query.join("&"))
    }
}

/// Percent-encodes what may not stand in a path segment or a query value; `%` itself is left, so that a
/// test can write malformed escapes.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b':' | b'~' | b'%' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// What comes from the server, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Incoming {
    /// One envelope (an array comes as several).
    Envelope(Value),
    /// A WebSocket pong.
    Pong(Bytes),
    /// A close frame, with its code and reason.
    Close(u16, String),
    /// Nothing more comes.
    End,
}

type Sink = SplitSink<WebSocketStream<TcpStream>, Message>;

/// An open connection whose frames are taken off the network at once, as a browser does.
pub(crate) struct Socket {
    sink: Arc<Mutex<Option<Sink>>>,
    frames: UnboundedReceiver<(usize, Incoming)>,
    waiting: VecDeque<Incoming>,
    reader: JoinHandle<()>,
    /// Held while nothing is to be read.
    gate: Arc<Mutex<()>>,
    closed_gate: Option<OwnedMutexGuard<()>>,
    /// The headers of the 101.
    pub(crate) response: Response,
    /// The most envelopes that came in one frame.
    pub(crate) largest_frame: usize,
}

/// Opens a bare WebSocket that reads only when asked to.
pub(crate) async fn connect(
    address: SocketAddr,
    opening: &Opening,
) -> Result<(WebSocketStream<TcpStream>, Response), Error> {
    let mut request = opening.url(address).into_client_request()?;
    for (name, value) in &opening.headers {
        request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    let socket = TcpSocket::new_v4()?;
    if let Some(size) = opening.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    let stream = within("a TCP connection", socket.connect(address)).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None).read_buffer_size(16 * 1024);
    within("the upgrade", client_async_with_config(request, stream, Some(config))).await
}

impl Socket {
    /// Opens a document.
    pub(crate) async fn open(address: SocketAddr, opening: &Opening) -> Self {
        Self::try_open(address, opening).await.unwrap_or_else(|error| panic!("could not open {opening:?}: {error}"))
    }

    /// Opens a document; the HTTP status where the upgrade is refused.
    pub(crate) async fn refused(address: SocketAddr, opening: &Opening) -> u16 {
        match Self::try_open(address, opening).await {
            Err(Error::Http(response)) => response.status().as_u16(),
            Err(other) => panic!("{opening:?}: {other}"),
            Ok(_) => panic!("{opening:?} was upgraded"),
        }
    }

    /// Opens a document, or says why not.
    pub(crate) async fn try_open(address: SocketAddr, opening: &Opening) -> Result<Self, Error> {
        let (stream, response) = connect(address, opening).await?;
        let (sink, mut stream) = stream.split();
        let sink = Arc::new(Mutex::new(Some(sink)));
        let hung_up = Arc::clone(&sink);
        let (sender, frames) = unbounded_channel();
        let gate = Arc::new(Mutex::new(()));
        let entrance = Arc::clone(&gate);
        let reader = tokio::spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                drop(entrance.lock().await);
                let (size, incoming) = read(message);
                if incoming.into_iter().any(|one| sender.send((size, one)).is_err()) {
                    return;
                }
            }
            // Both halves go, and with them the TCP connection: a browser does not linger either.
            drop((stream, hung_up.lock().await.take()));
            let _ = sender.send((0, Incoming::End));
        });
        Ok(Self { sink, frames, waiting: VecDeque::new(), reader, gate, closed_gate: None, response, largest_frame: 0 })
    }

    /// Takes no more off the network than the one frame that it waits for.
    pub(crate) async fn stop_reading(&mut self) {
        self.closed_gate = Some(Arc::clone(&self.gate).lock_owned().await);
    }

    /// Reads again.
    pub(crate) fn read_on(&mut self) {
        self.closed_gate = None;
    }

    /// Sends an envelope (or an array of them).
    pub(crate) async fn send(&mut self, envelope: &Value) {
        self.send_text(envelope.to_string()).await;
    }

    /// Sends a text frame, whatever it holds.
    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        self.send_message(Message::text(text.into())).await.expect("the connection is open");
    }

    /// Sends any frame; an error where the connection is gone.
    pub(crate) async fn send_message(&mut self, message: Message) -> Result<(), Error> {
        let mut sink = self.sink.lock().await;
        let sink = sink.as_mut().ok_or(Error::ConnectionClosed)?;
        within("the server to take a frame", sink.send(message)).await
    }

    /// Hands many envelopes over and flushes once; an error where the connection is gone.
    pub(crate) async fn send_all(&mut self, envelopes: impl IntoIterator<Item = String>) -> Result<(), Error> {
        let mut sink = self.sink.lock().await;
        let sink = sink.as_mut().ok_or(Error::ConnectionClosed)?;
        for envelope in envelopes {
            within("the server to take a frame", sink.feed(Message::text(envelope))).await?;
        }
        within("the server to take the frames", sink.flush()).await
    }

    /// The next thing that comes.
    pub(crate) async fn next(&mut self) -> Incoming {
        self.wait_for("a frame").await
    }

    /// The next thing that comes; `what` is it that should.
    pub(crate) async fn wait_for(&mut self, what: &str) -> Incoming {
        if let Some(first) = self.waiting.pop_front() {
            return first;
        }
        let (size, incoming) = within(what, self.frames.recv()).await.unwrap_or((0, Incoming::End));
        self.largest_frame = self.largest_frame.max(size);
        incoming
    }

    /// The next thing, where it has already come.
    pub(crate) fn next_now(&mut self) -> Option<Incoming> {
        self.waiting.pop_front().or_else(|| {
            let (size, incoming) = self.frames.try_recv().ok()?;
            self.largest_frame = self.largest_frame.max(size);
            Some(incoming)
        })
    }

    /// Waits until something like this has come, and takes nothing.
    pub(crate) async fn wait_until_waiting(&mut self, wanted: impl Fn(&Incoming) -> bool) {
        while !self.waiting.iter().rev().any(&wanted) {
            let (size, incoming) = within("a frame", self.frames.recv()).await.unwrap_or((0, Incoming::End));
            assert_ne!(incoming, Incoming::End, "the connection ended");
            self.largest_frame = self.largest_frame.max(size);
            self.waiting.push_back(incoming);
        }
    }

    /// Looks at the next thing, where it has already come, without taking it.
    pub(crate) fn peek_now(&mut self) -> Option<&Incoming> {
        if let Some(next) = self.next_now() {
            self.waiting.push_front(next);
        }
        self.waiting.front()
    }

    /// The next envelope, past those about who is present.
    pub(crate) async fn envelope(&mut self) -> Value {
        loop {
            match self.next().await {
                Incoming::Envelope(envelope) if envelope["type"] == "presence" => {}
                Incoming::Envelope(envelope) => return envelope,
                other => panic!("expected an envelope, got {other:?}"),
            }
        }
    }

    /// The next envelope, whatever it is about.
    pub(crate) async fn any_envelope(&mut self) -> Value {
        match self.next().await {
            Incoming::Envelope(envelope) => envelope,
            other => panic!("expected an envelope, got {other:?}"),
        }
    }

    /// The next envelope must be about who is present, and this event; its `data`.
    pub(crate) async fn expect_presence(&mut self, event: &str) -> Value {
        let mut envelope = self.any_envelope().await;
        assert!(envelope["type"] == "presence" && envelope["event"] == event, "expected {event}, got {envelope}");
        assert!(super::wire::is_time(&envelope["data"]["timestamp"]), "{envelope}");
        envelope["data"].take()
    }

    /// The next envelope, past those about who is present, must be this event; its `data`.
    pub(crate) async fn expect(&mut self, kind: &str, event: &str) -> Value {
        let mut envelope = self.envelope().await;
        assert!(envelope["type"] == kind && envelope["event"] == event, "expected {kind}/{event}, got {envelope}");
        envelope["data"].take()
    }

    /// The next envelope must be this error; its `data`.
    pub(crate) async fn expect_error(&mut self, code: &str) -> Value {
        let data = self.expect("system", "error").await;
        assert_eq!(data["error_code"], code, "{data}");
        assert!(data["message"].as_str().is_some_and(|text| !text.is_empty()), "an error says what is wrong: {data}");
        assert!(data["details"].is_object() && data["recoverable"].is_boolean(), "{data}");
        assert!(super::wire::is_time(&data["timestamp"]), "{data}");
        data
    }

    /// The connection must be closed with this code; its reason.
    pub(crate) async fn expect_close(&mut self, code: u16) -> String {
        loop {
            match self.next().await {
                Incoming::Close(got, reason) => {
                    assert_eq!(got, code, "{reason}");
                    return reason;
                }
                Incoming::End => panic!("the connection ended without a close frame"),
                Incoming::Envelope(_) | Incoming::Pong(_) => {}
            }
        }
    }

    /// Asserts that the connection is alive and that nothing else is on its way: a sync comes after
    /// everything that happened before. Answers the version and the text of the document.
    pub(crate) async fn expect_silence(&mut self) -> (u64, String) {
        self.send(&serde_json::json!({"type": "system", "event": "document_sync", "data": {}})).await;
        let document = &self.expect("system", "document_sync").await["document"];
        (document["version"].as_u64().unwrap(), document["content"].as_str().unwrap().to_owned())
    }

    /// Says goodbye and waits until the server has answered.
    pub(crate) async fn close(mut self) {
        let _ = self.send_message(Message::Close(None)).await;
        while self.next().await != Incoming::End {}
    }
}

impl Drop for Socket {
    /// Lets the connection go without a goodbye.
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// What a frame means, and how many envelopes it held.
fn read(message: Message) -> (usize, Vec<Incoming>) {
    match message {
        Message::Text(text) => match serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("the server sent broken JSON ({error}): {text}"))
        {
            Value::Array(all) => (all.len(), all.into_iter().map(Incoming::Envelope).collect()),
            one => (1, vec![Incoming::Envelope(one)]),
        },
        Message::Pong(bytes) => (0, vec![Incoming::Pong(bytes)]),
        Message::Close(Some(frame)) => (0, vec![Incoming::Close(frame.code.into(), frame.reason.to_string())]),
        Message::Close(None) => (0, vec![Incoming::Close(1005, String::new())]),
        Message::Ping(_) | Message::Frame(_) => (0, vec![]),
        Message::Binary(bytes) => panic!("the server sent {} bytes of binary", bytes.len()),
    }
}
