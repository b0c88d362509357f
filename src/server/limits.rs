//! Buckets that fill at a rate, by the generic cell rate algorithm: one moment of memory for each, and no timer.
//!
//! Our own instead of a library's: it is a page, it goes by the clock that tests can pause, and the table of buckets
//! has a bound that holds whatever addresses come.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::settings::Rate;

/// Buckets that one table holds at most. When it is full of such as are not full themselves, those who are new share
/// one.
const MOST: usize = 65_536;

/// When a bucket will be full again; it is full now if that is past.
#[derive(Debug, Clone, Copy)]
struct Full(Instant);

impl Full {
    /// Takes one out, or says after which time there will be one.
    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let full = self.0.max(now) + rate.interval;
        let latest = now + rate.interval * rate.burst;
        if full > latest {
            return Err(full - latest);
        }
        self.0 = full;
        Ok(())
    }
}

/// The bucket of one thing that exists as long as it counts: a connection, a user who is here.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Option<Rate>,
    full: Mutex<Full>,
}

impl Bucket {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self { rate, full: Mutex::new(Full(Instant::now())) }
    }

    /// Takes one out, or says after which time there will be one.
    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        self.full.lock().unwrap_or_else(PoisonError::into_inner).take(rate, now)
    }

    /// Takes so many out for work that is done, be there as many or not: who comes next waits the longer.
    pub(super) fn charge(&self, count: u32, now: Instant) {
        let Some(rate) = self.rate else { return };
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        full.0 = full.0.max(now) + rate.interval.saturating_mul(count);
    }
}

/// The buckets of those who come and go: addresses, users. Full ones are forgotten.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    rate: Option<Rate>,
    most: usize,
    table: Mutex<Table<K>>,
}

#[derive(Debug)]
struct Table<K> {
    known: HashMap<K, Full>,
    others: Full,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self::of(rate, MOST)
    }

    fn of(rate: Option<Rate>, most: usize) -> Self {
        let table = Table { known: HashMap::new(), others: Full(Instant::now()) };
        Self { rate, most, table: Mutex::new(table) }
    }

    /// Takes one out of somebody's bucket, or says after which time there will be one.
    pub(super) fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let mut table = self.table();
        if let Some(full) = table.known.get_mut(&key) {
            return full.take(rate, now);
        }
        if table.known.len() >= self.most {
            table.known.retain(|_, full| full.0 > now);
        }
        if table.known.len() >= self.most {
            return table.others.take(rate, now);
        }
        let mut full = Full(now);
        let taken = full.take(rate, now);
        table.known.insert(key, full);
        taken
    }

    /// Forgets those that are full, and gives back their room.
    pub(super) fn sweep(&self, now: Instant) {
        let mut table = self.table();
        table.known.retain(|_, full| full.0 > now);
        table.known.shrink_to_fit();
    }

    fn table(&self) -> MutexGuard<'_, Table<K>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose an address is, as far as can be told: the networks of IPv6 are given out in /64s.
pub(super) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// A wait in whole milliseconds, never shorter than it is.
pub(super) fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::per_second(10, 3);

    #[tokio::test(start_paused = true)]
    async fn a_burst_and_then_one_every_interval() {
        let bucket = Bucket::new(Some(RATE));
        let take = || bucket.take(Instant::now());
        assert_eq!([take(), take(), take()], [Ok(()), Ok(()), Ok(())]);
        assert_eq!(take(), Err(Duration::from_millis(100)));
        tokio::time::advance(Duration::from_millis(60)).await;
        assert_eq!(take(), Err(Duration::from_millis(40)), "one that was refused costs nothing");
        tokio::time::advance(Duration::from_millis(40)).await;
        assert_eq!(take(), Ok(()));
        assert!(take().is_err());
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!([take(), take(), take()], [Ok(()), Ok(()), Ok(())]);
        assert!(take().is_err(), "a long pause saves no more than a burst");
        let unlimited = Bucket::new(None);
        assert!((0..10_000).all(|_| unlimited.take(Instant::now()).is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_charged_is_waited_for() {
        let bucket = Bucket::new(Some(RATE));
        let take = || bucket.take(Instant::now());
        bucket.charge(2, Instant::now());
        assert_eq!(take(), Ok(()));
        bucket.charge(10, Instant::now());
        assert_eq!(take(), Err(Duration::from_millis(1_100)));
        tokio::time::advance(Duration::from_millis(1_100)).await;
        assert_eq!(take(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn each_has_a_bucket_and_the_table_a_bound() {
        let buckets = Buckets::of(Some(RATE), 100);
        let now = Instant::now();
        assert!((0..3).all(|_| buckets.take(0, now).is_ok()));
        assert!(buckets.take(0, now).is_err() && buckets.take(1, now).is_ok());
        let admitted = (2..10_000).filter(|key| buckets.take(*key, now).is_ok()).count();
        assert_eq!(admitted, 98 + 3, "those who found no room share one bucket");
        assert_eq!(buckets.table().known.len(), 100);
        assert!(buckets.take(0, now).is_err(), "who is known stays so");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!((20_000..20_050).all(|key| buckets.take(key, Instant::now()).is_ok()), "full ones made room");
        assert_eq!(buckets.table().known.len(), 50);
        tokio::time::advance(Duration::from_secs(1)).await;
        buckets.sweep(Instant::now());
        assert_eq!(buckets.table().known.capacity(), 0);
    }

    #[test]
    fn a_house_has_one_bucket() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_eq!(millis(Duration::from_micros(1)), 1);
    }
}
