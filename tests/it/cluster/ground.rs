//! Nodes on one database.

use std::path::PathBuf;

use scriptorium::text::Delta;

use super::proxy::{Place, Proxy};
use crate::support::{
    log::Database,
    postgres::{Schema, server},
    server::Server,
};

/// Several nodes, and each one's way to the database where that is one.
pub(crate) struct Ground {
    pub(crate) nodes: Vec<Server>,
    /// None on a file.
    pub(super) ways: Vec<Proxy>,
    /// Goes last, after those who use it.
    schema: Option<Schema>,
}

impl Ground {
    pub(crate) async fn on_one_file(nodes: usize, settings: &[(&str, &str)]) -> Self {
        let mut all = vec![Server::start_with(settings).await];
        for _ in 1..nodes {
            all.push(all[0].another().await);
        }
        Self { nodes: all, ways: Vec::new(), schema: None }
    }

    /// Each node reaches Postgres on a way of its own.
    pub(crate) async fn on_postgres(nodes: usize, settings: &[(&str, &str)]) -> Self {
        let schema = Schema::make().await;
        let mut ground = Self { nodes: Vec::new(), ways: Vec::new(), schema: None };
        for _ in 0..nodes {
            let way = Proxy::to(place(server())).await;
            let mut node = Server::prepare(settings);
            node.set_database(&schema.through(&through(server(), &way)));
            node.restart().await;
            ground.ways.push(way);
            ground.nodes.push(node);
        }
        ground.schema = Some(schema);
        ground
    }

    /// What a document's events did to it, by their message ids, in order.
    pub(crate) async fn applied(&self, document: &str) -> Vec<(String, Delta)> {
        self.database().await.applied(document).await
    }

    /// The events of a document's presence stream.
    pub(super) async fn presence(&self, document: &str) -> Vec<String> {
        self.database().await.presence(document).await
    }

    async fn database(&self) -> Database {
        match &self.schema {
            Some(schema) => Database::at(&schema.url()).await,
            None => Database::of(&self.nodes[0]).await,
        }
    }

    /// Stops all nodes.
    pub(crate) async fn end(mut self) {
        for node in &mut self.nodes {
            assert!(node.terminate().await.success());
        }
    }
}

/// An address in its parts: who, where, which database, and the rest.
fn parts(url: &str) -> (&str, &str, &str, Vec<&str>) {
    let rest = url.split_once("://").unwrap().1;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, "postgres"));
    let (who, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    (who, host, database, query.split('&').filter(|pair| !pair.is_empty()).collect())
}

fn place(url: &str) -> Place {
    let (_, host, _, query) = parts(url);
    match query.iter().find_map(|pair| pair.strip_prefix("host=")) {
        Some(folder) => Place::Socket(PathBuf::from(folder).join(".s.PGSQL.5432")),
        None if host.contains(':') => Place::Tcp(host.to_owned()),
        None => Place::Tcp(format!("{host}:5432")),
    }
}

fn through(url: &str, way: &Proxy) -> String {
    let (who, _, database, mut query) = parts(url);
    query.retain(|pair| !pair.starts_with("host="));
    query.push("sslmode=disable");
    format!("postgres://{who}@{}/{database}?{}", way.address, query.join("&"))
}
