//! Shares of what the process has little of: turns for long work, and room for the bodies of requests.
//!
//! A [`Quota`] has an amount, of which one user gets a part at most, so that others always find something. What somebody
//! holds is a value of its own, which work takes along: it is given back when the work ends, not when its request does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::domain::UserId;

/// How long somebody waits for a turn.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// An amount that users share.
#[derive(Debug)]
pub(super) struct Quota {
    all: Arc<Semaphore>,
    /// As much as one user may hold.
    each: usize,
    /// Those who hold something or wait for it, and how often.
    users: Mutex<HashMap<UserId, (Arc<Semaphore>, usize)>>,
}

/// A part of a quota, given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    all: OwnedSemaphorePermit,
    of_user: OwnedSemaphorePermit,
    user: Known,
}

/// A user among [`Quota::users`], until it is dropped.
#[derive(Debug)]
struct Known {
    quota: Arc<Quota>,
    user: UserId,
    share: Arc<Semaphore>,
}

impl Quota {
    pub(super) fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { all: Arc::new(Semaphore::new(all)), each, users: Mutex::default() })
    }

    /// One of the amount; waits for it, first come, first served, but no longer than [`PATIENCE`].
    pub(super) async fn turn(self: &Arc<Self>, user: &UserId) -> Option<Held> {
        let user = self.know(user);
        timeout(PATIENCE, async {
            let of_user = Arc::clone(&user.share).acquire_owned().await.ok()?;
            let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(Held { all, of_user, user })
        })
        .await
        .ok()?
    }

    /// Nothing of the amount as yet: what is needed is taken bit by bit.
    pub(super) fn nothing(self: &Arc<Self>, user: &UserId) -> Option<Held> {
        let user = self.know(user);
        let of_user = Arc::clone(&user.share).try_acquire_many_owned(0).ok()?;
        let all = Arc::clone(&self.all).try_acquire_many_owned(0).ok()?;
        Some(Held { all, of_user, user })
    }

    fn know(self: &Arc<Self>, user: &UserId) -> Known {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let (share, count) = users.entry(user.clone()).or_insert_with(|| (Arc::new(Semaphore::new(self.each)), 0));
        *count += 1;
        Known { quota: Arc::clone(self), user: user.clone(), share: Arc::clone(share) }
    }
}

impl Held {
    /// Takes more, if so much is left; waits for nothing.
    pub(super) fn grow(&mut self, by: usize) -> bool {
        let Ok(by) = u32::try_from(by) else { return false };
        let of_user = Arc::clone(&self.user.share).try_acquire_many_owned(by);
        let all = Arc::clone(&self.user.quota.all).try_acquire_many_owned(by);
        match (of_user, all) {
            (Ok(of_user), Ok(all)) => {
                self.of_user.merge(of_user);
                self.all.merge(all);
                true
            }
            _ => false,
        }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let mut users = self.quota.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = users.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.user);
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

    #[tokio::test(start_paused = true)]
    async fn one_user_gets_a_part_and_waits_for_more_within_a_bound() {
        let quota = Quota::new(3, 2);
        let first = (quota.turn(&user("ann")).await.unwrap(), quota.turn(&user("ann")).await.unwrap());
        assert!(quota.turn(&user("ann")).await.is_none(), "a third one, in vain");
        let other = quota.turn(&user("ben")).await.unwrap();
        assert!(quota.turn(&user("cem")).await.is_none(), "all are taken");
        drop(first);
        assert!(quota.turn(&user("cem")).await.is_some());
        drop(other);
        assert!(quota.users.lock().unwrap().is_empty(), "nobody is remembered");
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_stops_waiting_takes_nothing() {
        let quota = Quota::new(1, 1);
        let held = quota.turn(&user("ann")).await.unwrap();
        assert!(timeout(Duration::from_secs(1), quota.turn(&user("ann"))).await.is_err());
        assert!(timeout(Duration::from_secs(1), quota.turn(&user("ben"))).await.is_err());
        drop(held);
        assert!(quota.turn(&user("ben")).await.is_some());
        assert!(quota.users.lock().unwrap().is_empty());
    }

    #[test]
    fn what_is_held_grows_as_far_as_there_is_some() {
        let quota = Quota::new(100, 70);
        let (mut ann, mut ben) = (quota.nothing(&user("ann")).unwrap(), quota.nothing(&user("ben")).unwrap());
        assert!(ann.grow(60) && !ann.grow(11) && ann.grow(10), "as much as one user may hold");
        assert!(!ben.grow(31) && ben.grow(30), "as much as there is");
        drop(ann);
        assert!(ben.grow(40));
        drop(ben);
        assert_eq!((quota.all.available_permits(), quota.users.lock().unwrap().len()), (100, 0));
    }
}
