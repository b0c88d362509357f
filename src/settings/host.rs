//! The hosts that the service is known by. A web page can let a name of its own lead to the service's address (DNS
//! rebinding); the browser then takes the service for a part of that page. The name stays in the request, and tells.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::uri::Authority;
use toml::Value;

use super::{AuthMode, Settings, value::Setting};

/// A host, without a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An IP address.
    Address(IpAddr),
    /// A name, in lower case.
    Name(String),
}

/// A host that an operator allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedHost {
    /// `*`
    Any,
    /// This one.
    Only(Host),
}

impl Host {
    /// Reads the authority of a request, of which the port does not count. `None` where it is not one.
    pub fn of_request(authority: &str) -> Option<Self> {
        let authority: Authority = authority.parse().ok().filter(|_| !authority.contains('@'))?;
        Self::read(authority.host())
    }

    /// An IPv6 address may stand in brackets.
    fn read(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        // `localhost.` is `localhost`.
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        (!name.is_empty() && name.chars().all(is_allowed)).then(|| Self::Name(name.to_ascii_lowercase()))
    }
}

impl Setting for Vec<AllowedHost> {
    const ALLOWED: &'static str = "a list of host names and IP addresses without ports, like [\"docs.example.org\", \
        \"10.0.0.7\", \"[::1]\"], or [\"*\"] for any (in the environment as JSON)";
    fn from_text(text: &str) -> Option<Self> {
        Vec::<String>::from_text(text)?.iter().map(|item| allowed(item)).collect()
    }
    fn from_value(value: &Value) -> Option<Self> {
        Vec::<String>::from_value(value)?.iter().map(|item| allowed(item)).collect()
    }
}

fn allowed(text: &str) -> Option<AllowedHost> {
    if text == "*" { Some(AllowedHost::Any) } else { Host::read(text).map(AllowedHost::Only) }
}

impl Settings {
    /// Whether the service is known by this host: by those of `server.allowed_hosts`, where there are any. Otherwise by any
    /// where tokens are asked for, because a page has none; without tokens only by where it listens.
    pub fn is_known_by(&self, host: &Host) -> bool {
        let allowed = &self.server.allowed_hosts;
        if !allowed.is_empty() {
            return allowed.iter().any(|it| matches!(it, AllowedHost::Any) || *it == AllowedHost::Only(host.clone()));
        }
        self.auth.mode == AuthMode::Jwt || self.listens_at(host)
    }

    fn listens_at(&self, host: &Host) -> bool {
        let listen = &self.server.listen;
        match host {
            Host::Name(name) => name == "localhost" || Host::read(listen.host()).as_ref() == Some(host),
            Host::Address(address) => {
                let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
                // The unspecified address stands for every one that the machine has. An address is no name that could
                // be led elsewhere.
                let is_of_listen = |ip: IpAddr| ip.is_unspecified() || ip.to_canonical() == *address;
                loopback.contains(address) || listen.addresses().iter().any(|it| is_of_listen(it.ip()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::{Listen, value::Setting};

    use super::*;

    fn is_known(settings: &Settings, authority: &str) -> bool {
        Host::of_request(authority).is_some_and(|host| settings.is_known_by(&host))
    }

    fn listening_at(listen: &str) -> Settings {
        let mut settings = Settings::default();
        settings.server.listen = Listen::from_text(listen).unwrap();
        settings
    }

    const OWN: [&str; 9] = [
        "localhost",
        "localhost:8080",
        "LocalHost.:1",
        "127.0.0.1",
        "127.0.0.1:9",
        "[::1]",
        "[::1]:8080",
        "[0:0:0:0:0:0:0:1]:1",
        "[::ffff:127.0.0.1]:1",
    ];
    const FOREIGN: [&str; 10] = [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "evil.example.localhost",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example@127.0.0.1",
        "192.0.2.8:8080",
        "",
        "127.0.0.1:8080/x",
    ];

    #[test]
    fn without_tokens_the_service_is_known_by_where_it_listens() {
        let settings = Settings::default();
        for host in OWN {
            assert!(is_known(&settings, host), "{host}");
        }
        for host in FOREIGN {
            assert!(!is_known(&settings, host), "{host}");
        }
        let settings = listening_at("192.0.2.7:80");
        assert!(is_known(&settings, "192.0.2.7") && is_known(&settings, "localhost:80"));
        assert!(!is_known(&settings, "192.0.2.8") && !is_known(&settings, "evil.example"));
    }

    #[test]
    fn the_unspecified_address_stands_for_every_address_and_for_no_name() {
        for listen in ["0.0.0.0:80", "[::]:80"] {
            let settings = listening_at(listen);
            assert!(is_known(&settings, "192.0.2.7:80") && is_known(&settings, "[2001:db8::1]"), "{listen}");
            assert!(!is_known(&settings, "evil.example"), "{listen}");
        }
    }

    #[test]
    fn with_tokens_it_is_known_by_any_host_that_is_one() {
        let mut settings = Settings::default();
        settings.auth.mode = AuthMode::Jwt;
        assert!(is_known(&settings, "evil.example:1") && !is_known(&settings, "a b") && !is_known(&settings, ""));
    }

    #[test]
    fn allowed_hosts_take_the_place_of_the_default_whatever_the_port() {
        let mut settings = Settings::default();
        let allow = |text: &str| Vec::<AllowedHost>::from_text(text);
        settings.server.allowed_hosts = allow(r#"["Docs.Example.org", "2001:db8::1"]"#).unwrap();
        for mode in [AuthMode::None, AuthMode::Jwt] {
            settings.auth.mode = mode;
            assert!(is_known(&settings, "docs.example.org") && is_known(&settings, "docs.example.org:8443"));
            assert!(is_known(&settings, "[2001:db8::1]:80"));
            assert!(!is_known(&settings, "localhost") && !is_known(&settings, "a.docs.example.org"));
        }
        settings.server.allowed_hosts = allow(r#"["*"]"#).unwrap();
        assert!(is_known(&settings, "evil.example"));
        for odd in [r#"["docs.example.org:80"]"#, r#"["https://docs.example.org"]"#, r#"[""]"#, r#"["*.a"]"#, "a"] {
            assert_eq!(allow(odd), None, "{odd}");
        }
    }
}
