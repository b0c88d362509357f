//! A whole client: its state and its connection, with delivery in the hands of the test.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{
    core::{Core, Manner, Received},
    edits::Chance,
    server::Server,
    socket::{Incoming, Socket},
};

/// A client instance that may or may not be connected.
pub(crate) struct Client {
    pub(crate) core: Core,
    pub(crate) socket: Option<Socket>,
    /// The code and reason of the last close frame.
    pub(crate) closed: Option<(u16, String)>,
}

impl Client {
    /// A client that is not connected yet.
    pub(crate) fn new(document: &str, client_id: &str, manner: Manner) -> Self {
        Self { core: Core::new(document, client_id, manner), socket: None, closed: None }
    }

    /// Opens a document and waits until its content is there.
    pub(crate) async fn open(server: &Server, document: &str, client_id: &str, manner: Manner) -> Self {
        let mut client = Self::new(document, client_id, manner);
        client.connect(server).await;
        client.deliver_until("the document", Core::is_live).await;
        client
    }

    /// Connects (again): resumes where it was, and sends again what was not acknowledged.
    pub(crate) async fn connect(&mut self, server: &Server) {
        self.connect_to(server.address()).await;
    }

    pub(crate) async fn connect_to(&mut self, address: SocketAddr) {
        let mut socket = Socket::open(address, &self.core.opening()).await;
        let resent = self.core.connected();
        let _ = socket.send_all(resent.iter().map(Value::to_string)).await;
        self.closed = None;
        self.socket = Some(socket);
    }

    /// Waits until the service has acknowledged everything in flight. The acks stay undelivered.
    pub(crate) async fn wait_for_acks(&mut self) {
        if let (Some(last), Some(socket)) = (self.core.last_in_flight(), &mut self.socket) {
            let is_ack = |frame: &Incoming| matches!(frame, Incoming::Envelope(it) if it["event"] == "operation_ack" && it["message_id"] == last);
            socket.wait_until_waiting(is_ack).await;
        }
    }

    /// Lets go of the connection without a goodbye; what came and was not delivered is lost.
    pub(crate) fn disconnect(&mut self) -> Option<Socket> {
        self.socket.take()
    }

    /// Sends; a connection that turns out to be gone is let go.
    pub(crate) async fn send(&mut self, envelope: &Value) {
        if let Some(socket) = &mut self.socket {
            // A failure shows as the end of the connection, after everything that still came.
            let _ = socket.send_all([envelope.to_string()]).await;
        }
    }

    /// Makes a random edit and sends it.
    pub(crate) async fn edit_at_random(&mut self, chance: &mut Chance) {
        let envelope = self.core.edit_at_random(chance);
        self.send(&envelope).await;
    }

    /// An impossible edit, and one that builds on it.
    pub(crate) async fn edit_in_vain(&mut self) {
        if self.core.is_live() {
            let operation = json!({"type": "delete", "position": 1_000_000, "length": 1});
            let impossible = self.core.refused_edit(operation, None, "INVALID_OPERATION");
            let operation = json!({"type": "insert", "position": 0, "content": "never"});
            let after = impossible["message_id"].as_str().map(str::to_owned);
            let follower = self.core.refused_edit(operation, after.as_deref(), "PREDECESSOR_REFUSED");
            self.send(&impossible).await;
            self.send(&follower).await;
        }
    }

    /// Says something about the text.
    pub(crate) async fn remark_at_random(&mut self, chance: &mut Chance) {
        if let Some(envelope) = self.core.remark_at_random(chance) {
            self.send(&envelope).await;
        }
    }

    /// Delivers the next frame, waiting for it. `None` where the connection is over.
    pub(crate) async fn deliver(&mut self) -> Option<Received> {
        loop {
            let incoming = self.socket.as_mut()?.wait_for(&self.core.waits_for()).await;
            match self.take(incoming) {
                Some(Received::Other) => {}
                other => {
                    self.say().await;
                    return other;
                }
            }
        }
    }

    /// Delivers up to `most` frames of those that have already come.
    pub(crate) async fn deliver_what_came(&mut self, most: usize) -> Vec<Received> {
        let mut received = Vec::new();
        for _ in 0..most {
            let Some(incoming) = self.socket.as_mut().and_then(Socket::next_now) else { break };
            received.extend(self.take(incoming));
        }
        self.say().await;
        received
    }

    /// Delivers frames until the condition holds.
    pub(crate) async fn deliver_until(&mut self, what: &str, condition: impl Fn(&Core) -> bool) {
        while !condition(&self.core) {
            assert!(
                self.deliver().await.is_some(),
                "{}: the connection ended before {what}: {:?}",
                self.core.client_id,
                self.closed
            );
        }
    }

    /// Delivers frames until the condition holds, the connection ends, or an edit has been refused for want of
    /// the database.
    pub(crate) async fn deliver_until_over(&mut self, condition: impl Fn(&Core) -> bool) {
        while !condition(&self.core) && !self.core.has_been_refused() {
            if self.deliver().await.is_none() {
                return;
            }
        }
    }

    fn take(&mut self, incoming: Incoming) -> Option<Received> {
        match incoming {
            Incoming::Envelope(envelope) => Some(self.core.receive(&envelope)),
            Incoming::Pong(_) => Some(Received::Other),
            Incoming::Close(code, reason) => {
                self.closed = Some((code, reason));
                Some(Received::Other)
            }
            Incoming::End => {
                self.socket = None;
                None
            }
        }
    }

    /// Sends what the state wants to say.
    async fn say(&mut self) {
        for envelope in self.core.outgoing() {
            self.send(&envelope).await;
        }
    }
}
