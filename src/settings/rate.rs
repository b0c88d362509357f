//! How often something may happen, and whose word about an address is taken.

use std::{net::IpAddr, time::Duration};

use super::value::Setting;

/// So many at once, and then one every interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The time after which one more may happen.
    pub interval: Duration,
    /// How many may happen at once after a pause.
    pub burst: u32,
}

impl Rate {
    /// So many a second, and a second's worth of them at once if `burst` says nothing else.
    pub const fn per_second(count: u32, burst: u32) -> Self {
        Self { interval: Duration::from_nanos(1_000_000_000 / count as u64), burst }
    }
}

/// No rate at all stands for no limit.
impl Setting for Option<Rate> {
    const ALLOWED: &'static str = "a rate like \"200/s\", \"200/s burst 2000\" or \"10/m\", or \"off\"";

    fn from_text(text: &str) -> Option<Self> {
        if text == "off" {
            return Some(None);
        }
        let (rate, burst) = match text.split_once(" burst ") {
            Some((rate, burst)) => (rate, Some(number(burst)?)),
            None => (text, None),
        };
        let (count, unit) = rate.split_once('/')?;
        let (count, seconds) = (number(count)?, [("s", 1), ("m", 60)].into_iter().find(|(name, _)| *name == unit)?.1);
        let interval = Duration::from_secs(seconds) / count;
        Some(Some(Rate { interval, burst: burst.unwrap_or(count) }))
    }
}

fn number(text: &str) -> Option<u32> {
    text.replace('_', "").parse().ok().filter(|number| (1..=1_000_000_000).contains(number))
}

/// Addresses that begin alike: `10.0.0.0/8`, or a single one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        (prefix <= bits).then_some(Self { address, prefix })
    }

    /// Whether an address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differ = match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => (ours.to_bits() ^ theirs.to_bits()).leading_zeros(),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (ours.to_bits() ^ theirs.to_bits()).leading_zeros(),
            _ => return false,
        };
        differ >= self.prefix
    }
}

impl Setting for Vec<Network> {
    const ALLOWED: &'static str = "a list of addresses like [\"10.0.0.0/8\", \"::1\"] (in the environment as JSON)";

    fn from_text(text: &str) -> Option<Self> {
        Vec::<String>::from_text(text)?.iter().map(|item| Network::parse(item)).collect()
    }

    fn from_value(value: &toml::Value) -> Option<Self> {
        Vec::<String>::from_value(value)?.iter().map(|item| Network::parse(item)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read() {
        let rate = |text| Option::<Rate>::from_text(text);
        assert_eq!(rate("off"), Some(None));
        assert_eq!(rate("200/s"), Some(Some(Rate::per_second(200, 200))));
        assert_eq!(rate("200/s burst 2_000"), Some(Some(Rate::per_second(200, 2_000))));
        assert_eq!(rate("30/m"), Some(Some(Rate { interval: Duration::from_secs(2), burst: 30 })));
        for bad in ["", "200", "0/s", "-1/s", "5/h", "5/s burst", "5/s burst 0", "many/s", "5/s burst 1 more"] {
            assert_eq!(rate(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_network_holds_the_addresses_that_begin_like_it() {
        let network = |text| Network::parse(text).unwrap();
        let contains = |text, address: &str| network(text).contains(address.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.255.1.2") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"), "as a dual-stack socket shows it");
        assert!(contains("127.0.0.1", "127.0.0.1") && !contains("127.0.0.1", "127.0.0.2"));
        assert!(contains("0.0.0.0/0", "8.8.8.8") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("2001:db8::/32", "2001:db8:1::5") && !contains("2001:db8::/32", "2001:db9::5"));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::1/129", "example.org", "10.0.0.0/x"] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
