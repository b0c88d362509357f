//! The server's law: whatever the order of arrival, and however far clients write ahead, everybody ends with
//! the same document; and a context that was lost comes back from the log as it was.

#![expect(clippy::cast_possible_truncation, reason = "the worlds of these tests are small")]

use std::collections::VecDeque;

use proptest::prelude::*;

use super::Context;
use crate::{
    domain::Version,
    text::{Attributes, Delta, Footprint, Priority, RichText, Utf16},
};

/// An edit in the log: who made it, on which version, what was sent, what was applied, and its origin.
#[derive(Debug, Clone)]
struct Logged {
    client: usize,
    base: Version,
    sent: Delta,
    applied: Delta,
    origin: Version,
}

#[derive(Default)]
struct Client {
    document: RichText,
    version: Version,
    /// Sent and not acknowledged, oldest first, as they are now.
    pending: VecDeque<Delta>,
    /// Sent and not yet with the server.
    on_the_way: VecDeque<(Version, Delta)>,
}

#[derive(Default)]
struct World {
    document: RichText,
    log: Vec<Logged>,
    contexts: Vec<Option<Context<Utf16>>>,
    clients: Vec<Client>,
}

impl World {
    fn new(clients: usize) -> Self {
        let mut world = Self::default();
        world.clients.resize_with(clients, Client::default);
        world.contexts.resize_with(clients, || None);
        world
    }

    /// The client edits its own copy and sends the edit off.
    fn edit(&mut self, who: usize, at: usize, length: usize, kind: u8) {
        let client = &mut self.clients[who];
        let end = client.document.length::<Utf16>();
        let at = at % (end + 1);
        let length = (length % 4 + 1).min(end - at);
        let bold = |value: serde_json::Value| -> Attributes { [("bold".to_owned(), value)].into_iter().collect() };
        let edit = match kind % 5 {
            0 | 1 => Delta::new().retain(at).insert(["a", "bc", "def"][who % 3], Attributes::NONE),
            2 => Delta::new().retain(at).delete(length),
            3 => Delta::new().retain(at).format(length, bold(who.is_multiple_of(2).into())),
            _ => Delta::new().retain(at).insert("x", bold(true.into())).delete(length),
        };
        client.document.apply(&edit).expect("it was made for this document");
        client.pending.push_back(edit.clone());
        client.on_the_way.push_back((client.version, edit));
    }

    /// The server takes the client's next edit.
    fn arrive(&mut self, who: usize) {
        let Some((base, sent)) = self.clients[who].on_the_way.pop_front() else { return };
        let mut context = self.contexts[who].take().unwrap_or_else(|| self.rebuilt(who, base));
        self.bring_up(&mut context, who, base);
        let mut again = self.rebuilt(who, base);
        self.bring_up(&mut again, who, base);
        let origin = context.origin();
        let (applied, transformed) = context.carry(sent.clone());
        assert_eq!(again.carry(sent.clone()), (applied.clone(), transformed), "a rebuilt context differs");
        assert_eq!(transformed, applied != sent);
        let length = self.document.length::<Utf16>();
        let seen = length.saturating_add_signed(-self.length_change_before(who, base));
        assert!(sent.base_length() <= seen, "{} > {seen}", sent.base_length());
        self.document.apply(&applied).expect("it was carried to this document");
        assert_eq!(context.committed(), Version(self.log.len() as u64 + 1));
        self.log.push(Logged { client: who, base, sent, applied, origin });
        self.contexts[who] = Some(context);
    }

    fn length_change_before(&self, who: usize, base: Version) -> isize {
        let mut context = self.rebuilt(who, base);
        self.bring_up(&mut context, who, base);
        context.length_change()
    }

    fn bring_up(&self, context: &mut Context<Utf16>, who: usize, base: Version) {
        context.received(base);
        for version in context.reach().0 + 1..=self.log.len() as u64 {
            let logged = &self.log[version as usize - 1];
            assert_ne!(logged.client, who, "its own edits are in its context already");
            context.take_in(Version(version), Footprint::of(&logged.applied));
        }
    }

    /// The context as a server that has just started makes it.
    fn rebuilt(&self, who: usize, base: Version) -> Context<Utf16> {
        let after = |version: Version| (version.0 + 1..).zip(&self.log[version.0 as usize..]);
        let own = after(base).find(|(_, logged)| logged.client == who);
        let mut context = Context::at(own.map_or(base, |(_, logged)| logged.origin));
        for (version, logged) in after(context.origin()) {
            if logged.client == who {
                context.received(logged.base);
                assert_eq!(context.carry(logged.sent.clone()).0, logged.applied);
                assert_eq!(context.committed(), Version(version));
            } else {
                context.take_in(Version(version), Footprint::of(&logged.applied));
            }
        }
        context
    }

    /// The client receives the next version, as an acknowledgement or as a broadcast.
    fn receive(&mut self, who: usize) {
        let client = &mut self.clients[who];
        let Some(logged) = self.log.get(client.version.0 as usize) else { return };
        client.version = client.version.next();
        if logged.client == who {
            client.pending.pop_front().expect("an acknowledgement of something sent");
            return;
        }
        let mut theirs = logged.applied.clone();
        for ours in &mut client.pending {
            let passed = ours.transform(&theirs, Priority::Second);
            *ours = theirs.transform(ours, Priority::First);
            theirs = passed;
        }
        client.document.apply(&theirs).expect("it was carried to this document");
    }

    fn settle(&mut self) {
        for who in 0..self.clients.len() {
            while !self.clients[who].on_the_way.is_empty() {
                self.arrive(who);
            }
        }
        for who in 0..self.clients.len() {
            while (self.clients[who].version.0 as usize) < self.log.len() {
                self.receive(who);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Edit {
        who: usize,
        at: usize,
        length: usize,
        kind: u8,
    },
    Arrive(usize),
    Receive(usize),
    /// The server loses what it remembers of a client.
    Forget(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..3_usize;
    prop_oneof![
        4 => (who.clone(), any::<u16>(), any::<u8>(), any::<u8>())
            .prop_map(|(who, at, length, kind)| Step::Edit { who, at: at.into(), length: length.into(), kind }),
        4 => who.clone().prop_map(Step::Arrive),
        4 => who.clone().prop_map(Step::Receive),
        1 => who.prop_map(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_end_with_the_same_document(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new(3);
        for step in steps {
            match step {
                Step::Edit { who, at, length, kind } => world.edit(who, at, length, kind),
                Step::Arrive(who) => world.arrive(who),
                Step::Receive(who) => world.receive(who),
                Step::Forget(who) => world.contexts[who] = None,
            }
        }
        world.settle();
        for client in &world.clients {
            prop_assert!(client.pending.is_empty());
            prop_assert_eq!(&client.document, &world.document);
        }
    }
}

#[test]
fn a_version_never_goes_back() {
    let mut context = Context::<Utf16>::at(Version(3));
    context.received(Version(1));
    assert_eq!(context.base(), Version(3));
}
