//! Nodes on one database.

use std::path::PathBuf;

use scriptorium::text::Delta;

use super::hosts::{Cable, Network};
use crate::support::{
    log::Database,
    nats,
    postgres::{Schema, server},
    proxy::{Place, Proxy, Way},
    server::Server,
};

/// Several nodes, and each one's ways to what they share.
pub(crate) struct Ground {
    pub(crate) nodes: Vec<Server>,
    /// To the database; none on a file.
    pub(super) ways: Vec<Line>,
    /// To the NATS that they ring by, if they do.
    pub(super) bells: Vec<Line>,
    /// To those who are connected, where there are hosts.
    pub(super) doors: Vec<Line>,
    /// What stands between networks and what is not in any.
    relays: Vec<Proxy>,
    /// Goes last, after those who use it.
    schema: Option<Schema>,
}

impl Ground {
    pub(crate) async fn on_one_file(nodes: usize, settings: &[(&str, &str)]) -> Self {
        let mut all = vec![Server::start_with(settings).await];
        for _ in 1..nodes {
            all.push(all[0].another().await);
        }
        Self { nodes: all, ..Self::empty() }
    }

    /// Each node reaches Postgres on a way of its own.
    pub(crate) async fn on_postgres(nodes: usize, settings: &[(&str, &str)]) -> Self {
        Self::ringing(nodes, settings, None).await
    }

    /// The same, and they ring by a NATS, which each reaches on a way of its own.
    pub(super) async fn ringing_by_nats(nodes: usize, settings: &[(&str, &str)]) -> Self {
        Self::ringing(nodes, settings, Some(nats::server())).await
    }

    async fn ringing(nodes: usize, settings: &[(&str, &str)], nats: Option<&str>) -> Self {
        let schema = Schema::make().await;
        let mut ground = Self::empty();
        for _ in 0..nodes {
            let way = Proxy::to(place(server())).await;
            let mut node = Server::prepare(settings);
            node.set_database(&schema.through(&through(server(), &way)));
            if let Some(nats) = nats {
                let bell = Proxy::to(at_nats(nats)).await;
                node.set("CLUSTER__DOORBELL", "nats");
                node.set("CLUSTER__NATS_URL", &format!("nats://{}", bell.address()));
                ground.bells.push(Line::Wire(bell));
            }
            node.restart().await;
            ground.ways.push(Line::Wire(way));
            ground.nodes.push(node);
        }
        ground.schema = Some(schema);
        ground
    }

    /// Each node is on a host of its own (`hosts::entered`), with a cable to its people, to the database and to NATS.
    pub(super) async fn on_hosts(nodes: usize, settings: &[(&str, &str)]) -> Self {
        let schema = Schema::make().await;
        let mut ground = Self::empty();
        let database = Proxy::at(Network::Database.address(None), place(server())).await;
        let bell = Proxy::at(Network::Bell.address(None), at_nats(nats::server())).await;
        for host in 0..nodes {
            for (lines, network) in [
                (&mut ground.ways, Network::Database),
                (&mut ground.bells, Network::Bell),
                (&mut ground.doors, Network::People),
            ] {
                let cable = Cable::new(network, host);
                // An earlier campaign may have left it otherwise.
                cable.set(Way::Open);
                lines.push(Line::Cable(cable));
            }
            let mut node = Server::prepare(settings);
            node.set_database(&schema.through(&through(server(), &database)));
            node.set("CLUSTER__DOORBELL", "nats");
            node.set("CLUSTER__NATS_URL", &format!("nats://{}", bell.address()));
            node.set_host(format!("h{}", host + 1), Network::People.address(Some(host)));
            node.restart().await;
            ground.nodes.push(node);
        }
        ground.relays = vec![database, bell];
        ground.schema = Some(schema);
        ground
    }

    const fn empty() -> Self {
        Self {
            nodes: Vec::new(),
            ways: Vec::new(),
            bells: Vec::new(),
            doors: Vec::new(),
            relays: Vec::new(),
            schema: None,
        }
    }

    /// What a document's events did to it, by their message ids, in order.
    pub(crate) async fn applied(&self, document: &str) -> Vec<(String, Delta)> {
        self.database().await.applied(document).await
    }

    /// The events of a document's presence stream.
    pub(super) async fn presence(&self, document: &str) -> Vec<String> {
        self.database().await.presence(document).await
    }

    pub(crate) async fn database(&self) -> Database {
        Database::at(&self.url()).await
    }

    /// The address of the database, past every proxy.
    pub(crate) fn url(&self) -> String {
        self.schema.as_ref().map_or_else(|| self.nodes[0].database_url(), Schema::url)
    }

    /// Ends all connections of a node to the database; it can make new ones.
    pub(crate) fn cut(&self, node: usize) {
        let Line::Wire(wire) = &self.ways[node] else { panic!("it is on a host of its own") };
        wire.cut();
    }

    /// Stops all nodes.
    pub(crate) async fn end(mut self) {
        for node in &mut self.nodes {
            assert!(node.terminate().await.success());
        }
    }
}

/// The way from a node to something that it needs.
pub(super) enum Line {
    /// By a proxy.
    Wire(Proxy),
    /// By a network.
    Cable(Cable),
}

impl Line {
    pub(super) fn set(&self, way: Way) {
        match self {
            Self::Wire(wire) => wire.set(way),
            Self::Cable(cable) => cable.set(way),
        }
    }
}

fn at_nats(url: &str) -> Place {
    Place::Tcp(url.trim_start_matches("nats://").to_owned())
}

/// An address in its parts: who, where, which database, and the rest.
fn parts(url: &str) -> (&str, &str, &str, Vec<&str>) {
    let rest = url.split_once("://").unwrap().1;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, "postgres"));
    let (who, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    (who, host, database, query.split('&').filter(|pair| !pair.is_empty()).collect())
}

/// Where the server of an address is.
pub(crate) fn place(url: &str) -> Place {
    let (_, host, _, query) = parts(url);
    match query.iter().find_map(|pair| pair.strip_prefix("host=")) {
        Some(folder) => Place::Unix(PathBuf::from(folder).join(".s.PGSQL.5432")),
        None if host.contains(':') => Place::Tcp(host.to_owned()),
        None => Place::Tcp(format!("{host}:5432")),
    }
}

/// The same address by another way.
pub(crate) fn through(url: &str, way: &Proxy) -> String {
    let (who, _, database, mut query) = parts(url);
    query.retain(|pair| !pair.starts_with("host="));
    query.push("sslmode=disable");
    format!("postgres://{who}@{}/{database}?{}", way.address(), query.join("&"))
}
