//! Who is connected, by user: to end the connections of somebody who is shut out, and to count what all of one's
//! connections, and all from one address, send together. Holds what is open and nothing else.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    domain::{Revoked, TokenId, UserId},
    live::{ConnectionId, Goodbye, Outbox},
    settings::{Limits, Rate},
    telemetry::Limited,
};

use super::limits::{Bucket, neighbourhood};

/// Everybody who is connected.
#[derive(Debug)]
pub(super) struct People {
    here: Mutex<Here>,
    connections_per_user: usize,
    user_messages: Option<Rate>,
    address_messages: Option<Rate>,
}

#[derive(Debug, Default)]
struct Here {
    users: HashMap<UserId, User>,
    addresses: HashMap<IpAddr, (Arc<Bucket>, usize)>,
}

#[derive(Debug)]
struct User {
    messages: Arc<Bucket>,
    connections: Vec<Connected>,
}

#[derive(Debug)]
struct Connected {
    id: ConnectionId,
    token: Option<TokenId>,
    outbox: Arc<Outbox>,
}

/// A connection among them, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    people: Arc<People>,
    id: ConnectionId,
    user: UserId,
    address: IpAddr,
    of_user: Arc<Bucket>,
    of_address: Arc<Bucket>,
}

impl People {
    /// Nobody yet.
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            here: Mutex::default(),
            connections_per_user: limits.connections_per_user,
            user_messages: limits.user_messages,
            address_messages: limits.address_messages,
        })
    }

    /// Takes a connection in; `None` where its user has as many as one may have.
    pub(super) fn enter(
        self: &Arc<Self>,
        id: ConnectionId,
        (user, token): (UserId, Option<TokenId>),
        address: IpAddr,
        outbox: Arc<Outbox>,
    ) -> Option<Seat> {
        let address = neighbourhood(address);
        let mut here = self.here();
        if here.users.get(&user).is_some_and(|user| user.connections.len() >= self.connections_per_user) {
            return None;
        }
        let bucket = |rate| Arc::new(Bucket::new(rate));
        let there = here.users.entry(user.clone());
        let there = there.or_insert_with(|| User { messages: bucket(self.user_messages), connections: Vec::new() });
        there.connections.push(Connected { id, token, outbox });
        let of_user = Arc::clone(&there.messages);
        let (of_address, count) = here.addresses.entry(address).or_insert_with(|| (bucket(self.address_messages), 0));
        *count += 1;
        let of_address = Arc::clone(of_address);
        Some(Seat { people: Arc::clone(self), id, user, address, of_user, of_address })
    }

    /// Ends every connection that is of this user or came with this token.
    pub(super) fn dismiss(&self, revoked: &Revoked, goodbye: &Goodbye) {
        let close = |connected: &Connected| connected.outbox.close(goodbye.clone());
        let here = self.here();
        match revoked {
            Revoked::User(user) => here.users.get(user).into_iter().flat_map(|user| &user.connections).for_each(close),
            Revoked::Token(token) => {
                let all = here.users.values().flat_map(|user| &user.connections);
                all.filter(|connected| connected.token.as_ref() == Some(token)).for_each(close);
            }
        }
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Notes the token that has taken the place of the one before.
    pub(super) fn renew(&self, token: Option<TokenId>) {
        let mut here = self.people.here();
        let connections = here.users.get_mut(&self.user).map(|user| &mut user.connections);
        if let Some(connected) = connections.into_iter().flatten().find(|connected| connected.id == self.id) {
            connected.token = token;
        }
    }

    /// Whether the user and the address may send another message now; else whose limit it is, and for how long.
    pub(super) fn take(&self, now: Instant) -> Result<(), (Limited, Duration)> {
        self.of_user.take(now).map_err(|wait| (Limited::User, wait))?;
        self.of_address.take(now).map_err(|wait| (Limited::Address, wait))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut here = self.people.here();
        if let Some(user) = here.users.get_mut(&self.user) {
            user.connections.retain(|connected| connected.id != self.id);
            if user.connections.is_empty() {
                here.users.remove(&self.user);
            }
        }
        if let Some((_, count)) = here.addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                here.addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn enter(people: &Arc<People>, id: u64, name: &str, token: Option<&str>) -> (Seat, Arc<Outbox>) {
        let outbox = Arc::new(Outbox::new(1_000));
        let token = token.map(|id| TokenId::parse(id).unwrap());
        let address = IpAddr::from([10, 0, 0, 1]);
        (people.enter(ConnectionId(id), (user(name), token), address, Arc::clone(&outbox)).unwrap(), outbox)
    }

    #[test]
    fn a_user_has_a_number_of_connections_and_gets_another_when_one_has_gone() {
        let people = People::new(&Limits { connections_per_user: 2, ..Limits::default() });
        let (first, _) = enter(&people, 1, "ann", None);
        let (_second, _) = enter(&people, 2, "ann", None);
        let try_enter = |id, name| {
            let outbox = Arc::new(Outbox::new(1_000));
            people.enter(ConnectionId(id), (user(name), None), IpAddr::from([10, 0, 0, 1]), outbox)
        };
        assert!(try_enter(3, "ann").is_none());
        assert!(try_enter(4, "ben").is_some());
        drop(first);
        assert!(try_enter(5, "ann").is_some());
    }

    #[test]
    fn whoever_is_dismissed_goes_and_nobody_else() {
        let people = People::new(&Limits::default());
        let (seat, old) = enter(&people, 1, "ann", Some("t-1"));
        let (_second, with_token) = enter(&people, 2, "ann", Some("t-2"));
        let (_third, other) = enter(&people, 3, "ben", Some("t-3"));
        people.dismiss(&Revoked::Token(TokenId::parse("t-2").unwrap()), &Goodbye::RESTARTING);
        assert_eq!([old.is_closed(), with_token.is_closed(), other.is_closed()], [false, true, false]);
        seat.renew(Some(TokenId::parse("t-4").unwrap()));
        people.dismiss(&Revoked::Token(TokenId::parse("t-1").unwrap()), &Goodbye::RESTARTING);
        assert!(!old.is_closed(), "it has another token now");
        people.dismiss(&Revoked::User(user("ann")), &Goodbye::RESTARTING);
        assert_eq!([old.is_closed(), other.is_closed()], [true, false]);
    }

    #[test]
    fn nothing_is_kept_of_those_who_have_gone() {
        let people = People::new(&Limits::default());
        let seats: Vec<_> = (0..100).map(|n| enter(&people, n, &format!("u{}", n % 10), None)).collect();
        let count = || {
            let here = people.here();
            (here.users.len(), here.addresses.len())
        };
        assert_eq!(count(), (10, 1));
        drop(seats);
        assert_eq!(count(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn all_connections_of_a_user_and_all_from_an_address_share_a_limit() {
        let people = People::new(&Limits {
            user_messages: Some(Rate::per_second(1, 4)),
            address_messages: Some(Rate::per_second(1, 6)),
            ..Limits::default()
        });
        let (first, _) = enter(&people, 1, "ann", None);
        let (second, _) = enter(&people, 2, "ann", None);
        let (other, _) = enter(&people, 3, "ben", None);
        let now = Instant::now();
        assert!((0..2).all(|_| first.take(now).is_ok() && second.take(now).is_ok()));
        assert_eq!(first.take(now), Err((Limited::User, Duration::from_secs(1))));
        assert!(other.take(now).is_ok() && other.take(now).is_ok());
        assert_eq!(other.take(now), Err((Limited::Address, Duration::from_secs(1))));
    }
}
