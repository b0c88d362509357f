//! Hosts of a test's own: network namespaces with cables between them (`tests/hosts.sh`). Unlike behind a proxy, what a
//! node notices of a network that is away is what a kernel notices of it.

use std::{env, net::IpAddr, process::Command};

use crate::support::{
    postgres::{self, OwnServer},
    proxy::Way,
};

/// A network that each host has a cable into, and the one in which the test is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Network {
    /// Where people come from.
    People,
    /// Where the database is.
    Database,
    /// Where NATS is.
    Bell,
}

impl Network {
    const ALL: [Self; 3] = [Self::People, Self::Database, Self::Bell];

    const fn name(self) -> &'static str {
        match self {
            Self::People => "people",
            Self::Database => "database",
            Self::Bell => "bell",
        }
    }

    /// Of a host, counted from 0; `None` for the test.
    pub(crate) fn address(self, host: Option<usize>) -> IpAddr {
        let host = host.map_or(1, |host| host + 11);
        format!("10.77.{}.{host}", self as usize + 1).parse().unwrap()
    }
}

/// Set where there are hosts: how many.
const HOSTS: &str = "TEST_HOSTS";

/// Whether the test is where it has hosts. If not, it runs there, as this test of this program, and with a database of its own,
/// which is reached by a file and so from any network; and here is nothing left to do.
pub(crate) fn entered(hosts: usize, module: &str, test: &str) -> bool {
    if env::var_os(HOSTS).is_some() {
        script(&[&["make", &hosts.to_string()], &Network::ALL.map(Network::name)[..]].concat());
        return true;
    }
    let database = OwnServer::start();
    let test = format!("{}::{test}", module.split_once("::").unwrap().1);
    let run = Command::new(postgres::script("hosts.sh"))
        .arg("enter")
        .arg(env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture"])
        .env(HOSTS, hosts.to_string())
        .env("TEST_DATABASE_URL", database.url())
        .output()
        .unwrap();
    let (output, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    println!("{output}{errors}");
    assert!(run.status.success() && output.contains("1 passed"), "{test} on hosts of its own: {}", run.status);
    false
}

/// The cable of one host into one network.
pub(crate) struct Cable {
    network: Network,
    host: usize,
}

impl Cable {
    pub(crate) const fn new(network: Network, host: usize) -> Self {
        Self { network, host }
    }

    pub(crate) fn set(&self, way: Way) {
        let what = match way {
            Way::Open => "plug",
            // What is not acknowledged is sent again by the kernel, so that of a cable which comes back nothing is lost.
            Way::Held | Way::Lost => "pull",
            Way::Cut => "refuse",
            Way::Slow | Way::Deaf => panic!("a cable is not {way:?}"),
        };
        script(&[what, self.network.name(), &(self.host + 1).to_string()]);
    }
}

fn script(arguments: &[&str]) {
    let output = Command::new(postgres::script("hosts.sh")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
