//! Where the service listens.

use std::{
    fmt,
    net::{SocketAddr, ToSocketAddrs},
};

use super::value::Setting;

/// An address with a port, as it was written, and the IP addresses that it stood for when the settings were read. They
/// are resolved once, so that the addresses that were checked are those that are listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    written: String,
    addresses: Vec<SocketAddr>,
}

impl Listen {
    /// The addresses, IPv4 first. The service listens on the first one that it can.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The host as it was written.
    pub(super) fn host(&self) -> &str {
        self.written.rsplit_once(':').map_or("", |(host, _)| host)
    }

    /// Whether nobody on another machine can reach any of them.
    pub fn is_loopback(&self) -> bool {
        self.addresses.iter().all(|address| address.ip().to_canonical().is_loopback())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl<IP: Into<std::net::IpAddr>> From<(IP, u16)> for Listen {
    fn from(address: (IP, u16)) -> Self {
        let address = SocketAddr::from(address);
        Self { written: address.to_string(), addresses: vec![address] }
    }
}

impl Setting for Listen {
    const ALLOWED: &'static str = "an IP address or a host name that can be resolved, with a port, like \
        \"127.0.0.1:8080\", \"[::]:8080\" or \"localhost:8080\"";
    fn from_text(text: &str) -> Option<Self> {
        let mut addresses: Vec<_> = text.to_socket_addrs().ok()?.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        addresses.dedup();
        (!addresses.is_empty()).then(|| Self { written: text.to_owned(), addresses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_and_ipv4_comes_first() {
        let listen = Listen::from_text("localhost:8080").unwrap();
        assert_eq!(listen.addresses()[0], SocketAddr::from(([127, 0, 0, 1], 8080)));
        assert!(listen.is_loopback());
        assert_eq!((listen.to_string().as_str(), listen.host()), ("localhost:8080", "localhost"));
        assert_eq!(Listen::from_text("[::1]:1").unwrap().addresses().len(), 1);
        for odd in ["localhost", "", ":8080", "127.0.0.1", "127.0.0.1:99999", "no such host:80", "https://a:80"] {
            assert_eq!(Listen::from_text(odd), None, "{odd}");
        }
    }

    #[test]
    fn one_address_that_others_reach_is_enough_to_be_reached() {
        let at = |addresses: &[&str]| Listen {
            written: "host:1".to_owned(),
            addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
        };
        assert!(at(&["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"]).is_loopback());
        assert!(!at(&["127.0.0.1:1", "192.0.2.7:1"]).is_loopback());
        assert!(!at(&["0.0.0.0:1"]).is_loopback());
    }
}
