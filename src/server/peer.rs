//! Where a request comes from.

use std::net::IpAddr;

use http::HeaderMap;

use crate::settings::Network;

/// Who opened the TCP connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Where the client is: whoever connects, unless that is a trusted proxy, which says for whom. Read from the end, for
/// each proxy adds what it saw: what comes before the first one that is not trusted was written by anybody.
pub(super) fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut address = peer.to_canonical();
    if !is_trusted(address) {
        return address;
    }
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Some(hop) = read(hop.trim()) else { break };
        address = hop.to_canonical();
        if !is_trusted(address) {
            break;
        }
    }
    address
}

/// An address, which some proxies write with its port.
fn read(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| hop.parse().ok().map(|with_port: std::net::SocketAddr| with_port.ip()))
}

#[cfg(test)]
mod tests {
    use crate::settings::Settings;

    use super::*;

    fn seen(peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        address(peer.parse().unwrap(), &headers, &trusted()).to_string()
    }

    /// As an operator writes them.
    fn trusted() -> Vec<Network> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]").unwrap();
        Settings::load(Some(file.path())).unwrap().server.trusted_proxies
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(seen("192.0.2.7", &["1.1.1.1"]), "192.0.2.7");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(
            seen("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.0.0.2"]),
            "1.1.1.1",
            "what a client writes is not believed"
        );
        assert_eq!(seen("10.0.0.1", &["6.6.6.6", "1.1.1.1, 10.0.0.2", "10.9.9.9"]), "1.1.1.1");
        assert_eq!(seen("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1, nonsense"]), "10.0.0.1");
        assert_eq!(seen("::1", &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(seen("::ffff:10.0.0.1", &["1.1.1.1:80"]), "1.1.1.1");
    }
}
