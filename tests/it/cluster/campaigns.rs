//! The seeded campaigns with clients spread over several nodes and moving between them: nodes that are stopped,
//! killed, and paused, while everybody writes. Nothing acknowledged is lost, nothing happens twice, and at rest
//! all agree.

use std::time::Duration;

use tokio::time::timeout;

use super::{ground::Ground, hosts};
use crate::support::{
    client::Client,
    core::{Core, Manner},
    edits::Chance,
    model::referee,
    number_from_env,
    proxy::Way,
    server::Server,
    wire,
};

const NODES: usize = 3;

#[tokio::test]
async fn at_rest_everybody_agrees_whichever_node_they_were_on() {
    campaigns(12, async |settings| Ground::on_one_file(NODES, settings).await).await;
}

#[tokio::test]
async fn at_rest_everybody_agrees_although_nodes_on_postgres_are_killed_paused_and_cut_off() {
    campaigns(8, async |settings| Ground::on_postgres(NODES, settings).await).await;
}

#[tokio::test]
async fn at_rest_everybody_agrees_although_the_nats_that_nodes_ring_by_comes_and_goes() {
    campaigns(4, async |settings| Ground::ringing_by_nats(NODES, settings).await).await;
}

#[tokio::test]
async fn at_rest_everybody_agrees_although_nodes_on_hosts_of_their_own_are_cut_off_by_the_network() {
    const TEST: &str = "at_rest_everybody_agrees_although_nodes_on_hosts_of_their_own_are_cut_off_by_the_network";
    if hosts::entered(NODES, module_path!(), TEST) {
        campaigns(4, async |settings| Ground::on_hosts(NODES, settings).await).await;
    }
}

/// So many, one after the other, unless the environment says how many and from which seed on.
async fn campaigns(count: u64, ground: impl AsyncFn(&[(&str, &str)]) -> Ground) {
    let first = number_from_env("CAMPAIGN_SEED", 1);
    for seed in first..first + number_from_env("CAMPAIGNS", count) {
        println!("CAMPAIGN_SEED={seed}");
        let mut chance = Chance::of(seed);
        let settings = settings(&mut chance);
        campaign(ground(&settings).await, has_short_leases(&settings), &mut chance).await;
    }
}

/// Small bounds, so that short histories meet them.
fn settings(chance: &mut Chance) -> [(&'static str, &'static str); 5] {
    [
        // Short enough that a node that stands still is taken for dead.
        ("CLUSTER__LEASE", *chance.one_of(&["30s", "300ms"])),
        ("DOCUMENTS__MAX_RESUME_EVENTS", *chance.one_of(&["10000", "25"])),
        ("DOCUMENTS__RECENT_EDITS", *chance.one_of(&["2000", "8"])),
        ("SNAPSHOTS__EVERY_EVENTS", *chance.one_of(&["1000", "7"])),
        ("CLUSTER__POLL", *chance.one_of(&["50ms", "300ms"])),
    ]
}

fn has_short_leases(settings: &[(&str, &str)]) -> bool {
    settings.contains(&("CLUSTER__LEASE", "300ms"))
}

/// Short leases have run out by then.
const DEATH: Duration = Duration::from_secs(3);
/// What a node logs that has taken another one for dead.
const CLEARED: &str = "cleared up after a node";

/// Several nodes, and clients of which each is connected to one of them.
struct Campaign<'a> {
    ground: Ground,
    clients: Vec<Client>,
    /// Which node each client was last connected to.
    at: Vec<usize>,
    /// Whether people say something about the text, or the database is away at times. A comment that was refused for that
    /// is not sent again where it was: it would not mean the same.
    has_comments: bool,
    has_short_leases: bool,
    chance: &'a mut Chance,
}

async fn campaign(ground: Ground, has_short_leases: bool, chance: &mut Chance) {
    let has_comments = chance.one_in(2);
    let mut campaign = Campaign { ground, clients: Vec::new(), at: Vec::new(), has_comments, has_short_leases, chance };
    for n in 0..campaign.chance.below(5) + 2 {
        let manner = *campaign.chance.one_of(&Manner::ALL);
        let mut client = Client::new("campaign", &format!("client-{n}"), manner);
        client.core.expects_outages = !campaign.ground.ways.is_empty() && !has_comments;
        campaign.clients.push(client);
        campaign.at.push(0);
        campaign.connect_anywhere(n).await;
    }
    for _ in 0..campaign.chance.below(250) + 50 {
        campaign.step().await;
    }
    campaign.rest().await;
    campaign.agree().await;
}

/// Somebody new. A node whose database was away may not know yet that it is back; then they come again.
async fn newcomer(node: &Server, manner: Manner) -> Client {
    let mut newcomer = Client::new("campaign", "newcomer", manner);
    newcomer.core.expects_outages = true;
    while !newcomer.core.is_live() {
        newcomer.connect(node).await;
        newcomer.deliver_until_over(Core::is_live).await;
    }
    newcomer
}

impl Campaign<'_> {
    async fn connect_anywhere(&mut self, at: usize) {
        self.at[at] = self.chance.below(NODES);
        self.clients[at].connect(&self.ground.nodes[self.at[at]]).await;
    }

    async fn connect_elsewhere(&mut self, at: usize) {
        self.clients[at].disconnect();
        self.at[at] = (self.at[at] + 1 + self.chance.below(NODES - 1)) % NODES;
        self.clients[at].connect(&self.ground.nodes[self.at[at]]).await;
    }

    fn clients_of(&self, node: usize) -> Vec<usize> {
        (0..self.clients.len()).filter(|at| self.at[*at] == node && self.clients[*at].socket.is_some()).collect()
    }

    async fn step(&mut self) {
        let at = self.chance.below(self.clients.len());
        match self.chance.below(100) {
            0..=7 if self.has_comments => self.remark(at).await,
            0..=44 => self.edit(at).await,
            45..=77 => {
                let most = self.chance.below(8);
                self.clients[at].deliver_what_came(most).await;
            }
            78..=82 => {
                if !self.clients[at].core.is_settled() {
                    self.clients[at].deliver().await;
                }
            }
            83..=86 => self.repeat(at).await,
            87 | 88 => self.refused(at).await,
            89 | 90 => {
                if self.clients[at].core.is_live() && self.clients[at].socket.is_some() {
                    let request = self.clients[at].core.ask_for_sync();
                    self.clients[at].send(&request).await;
                }
            }
            94..=96 if !self.ground.bells.is_empty() => self.lose_the_doorbell(),
            93 if !self.ground.doors.is_empty() => self.lose_people().await,
            91..=96 => {
                self.clients[at].disconnect();
                self.connect_anywhere(at).await;
            }
            97 => {
                self.clients[at].disconnect();
            }
            98 if !self.ground.ways.is_empty() => {
                if self.has_comments || self.chance.one_in(4) {
                    self.pause().await;
                } else {
                    let way = *self.chance.one_of(&[Way::Cut, Way::Held, Way::Lost]);
                    self.lose_the_database(way).await;
                }
            }
            _ => self.restart().await,
        }
    }

    async fn edit(&mut self, at: usize) {
        if self.clients[at].socket.is_none() {
            self.connect_anywhere(at).await;
        }
        let client = &mut self.clients[at];
        if client.core.is_live() {
            client.edit_at_random(self.chance).await;
        } else {
            client.deliver().await;
        }
    }

    async fn remark(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if client.core.is_live() && client.socket.is_some() {
            client.remark_at_random(self.chance).await;
        }
    }

    async fn repeat(&mut self, at: usize) {
        if let Some(envelope) = self.clients[at].core.repeat_at_random(self.chance) {
            self.clients[at].send(&envelope).await;
        }
    }

    async fn refused(&mut self, at: usize) {
        self.clients[at].edit_in_vain().await;
    }

    /// One node ends, by force or not, and comes back; its clients go wherever they like.
    async fn restart(&mut self) {
        let node = self.chance.below(NODES);
        if self.chance.one_in(2) {
            self.ground.nodes[node].kill().await;
        } else {
            assert!(self.ground.nodes[node].terminate().await.success(), "a stop that was asked for exits 0");
        }
        self.ground.nodes[node].restart().await;
        for at in 0..self.clients.len() {
            if self.at[at] == node {
                if self.chance.one_in(2) {
                    while self.clients[at].deliver().await.is_some() {}
                }
                self.clients[at].disconnect();
                self.connect_anywhere(at).await;
            }
        }
    }

    /// A node stands still while its clients write to it and then go elsewhere; when it goes on, what they wrote to
    /// it is still on the way.
    async fn pause(&mut self) {
        let node = self.chance.below(NODES);
        // The others may be quick to take it for dead, while they write.
        let before = self.cleared_by_others(node);
        self.ground.nodes[node].signal("STOP");
        for at in self.clients_of(node) {
            for _ in 0..self.chance.below(3) {
                if self.clients[at].core.is_live() {
                    self.clients[at].edit_at_random(self.chance).await;
                }
            }
            self.connect_elsewhere(at).await;
        }
        self.others_write(node).await;
        if self.has_short_leases && self.chance.one_in(2) {
            // Unless they have before, when it could not reach the database, and it has not noticed yet.
            let _cleared = timeout(DEATH, async {
                while self.cleared_by_others(node) == before {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        self.ground.nodes[node].signal("CONT");
        self.others_write(node).await;
    }

    /// How often the other nodes have taken one for dead.
    fn cleared_by_others(&self, node: usize) -> usize {
        let others = [(node + 1) % NODES, (node + 2) % NODES];
        others.iter().flat_map(|other| self.ground.nodes[*other].log()).filter(|line| line.contains(CLEARED)).count()
    }

    /// A node's way to the database is cut, held, or lost. Its clients get no ack for what they write, and come again.
    async fn lose_the_database(&mut self, way: Way) {
        let node = self.chance.below(NODES);
        let cut_off = self.clients_of(node);
        self.ground.ways[node].set(way);
        for at in &cut_off {
            for _ in 0..=self.chance.below(3) {
                if self.clients[*at].core.is_live() {
                    self.clients[*at].edit_at_random(self.chance).await;
                }
            }
        }
        self.others_write(node).await;
        if way == Way::Cut && self.chance.one_in(2) {
            // Until one of them has been told that nothing can be written; or all of it was written before the way was cut.
            if let Some(at) = cut_off.first().filter(|at| self.clients[**at].core.in_flight() > 0) {
                let is_over = |core: &Core| core.has_been_refused() || core.in_flight() == 0;
                self.clients[*at].deliver_until_over(is_over).await;
            }
        }
        let goes_elsewhere = self.chance.one_in(2);
        if goes_elsewhere {
            for at in &cut_off {
                self.connect_elsewhere(*at).await;
            }
            self.others_write(node).await;
        }
        self.ground.ways[node].set(Way::Open);
        for at in cut_off.into_iter().filter(|_| !goes_elsewhere) {
            self.clients[at].disconnect();
            self.connect_anywhere(at).await;
        }
    }

    /// Nobody reaches a node any more, and sometimes it reaches nothing either. Those who were there come to another one, while
    /// they are still connected to the first, and what they wrote to it arrives when it is back.
    async fn lose_people(&mut self) {
        let node = self.chance.below(NODES);
        let cut_off = self.clients_of(node);
        self.ground.doors[node].set(Way::Lost);
        let is_alone = !self.has_comments && self.chance.one_in(2);
        if is_alone {
            self.ground.ways[node].set(Way::Lost);
            self.ground.bells[node].set(Way::Lost);
        }
        for at in cut_off {
            for _ in 0..self.chance.below(3) {
                if self.clients[at].core.is_live() {
                    self.clients[at].edit_at_random(self.chance).await;
                }
            }
            self.connect_elsewhere(at).await;
        }
        self.others_write(node).await;
        self.ground.doors[node].set(Way::Open);
        if is_alone {
            self.ground.ways[node].set(Way::Open);
            self.ground.bells[node].set(Way::Open);
        }
        self.others_write(node).await;
    }

    /// A node's way to NATS changes: it is cut, or nothing arrives on it, for now or for ever, or it is open again.
    fn lose_the_doorbell(&mut self) {
        let bell = self.chance.one_of(&self.ground.bells);
        bell.set(*self.chance.one_of(&[Way::Open, Way::Held, Way::Lost, Way::Cut]));
    }

    /// Those on the other nodes write and read on.
    async fn others_write(&mut self, node: usize) {
        for at in 0..self.clients.len() {
            if self.at[at] != node && self.clients[at].socket.is_some() {
                if self.clients[at].core.is_live() {
                    self.clients[at].edit_at_random(self.chance).await;
                }
                self.clients[at].deliver_what_came(5).await;
            }
        }
    }

    async fn rest(&mut self) {
        for at in 0..self.clients.len() {
            // A node whose database was away says so, and its clients come again.
            while !self.clients[at].core.is_settled() || self.clients[at].socket.is_none() {
                if self.clients[at].socket.is_none() {
                    self.connect_anywhere(at).await;
                }
                self.clients[at].deliver_until_over(Core::is_settled).await;
                if !self.clients[at].core.is_settled() {
                    self.clients[at].disconnect();
                }
            }
        }
        // Whoever comes makes their node read to the end.
        let mut newest = 0;
        for node in &self.ground.nodes {
            newest = newcomer(node, Manner::PLAIN).await.core.version;
        }
        for client in &mut self.clients {
            client.deliver_until("the newest version", |core| core.version >= newest && core.is_settled()).await;
            // Comments are no versions: who asks for the document has heard of all that came before.
            let request = client.core.ask_for_sync();
            client.send(&request).await;
            client.deliver_until("a last sync", Core::is_settled).await;
        }
    }

    async fn agree(self) {
        let version = self.clients[0].core.version;
        let document = self.clients[0].core.local().clone();
        let remarks = self.clients[0].core.remarks().clone();
        for client in &self.clients {
            client.core.assert_shows(&document, version);
            assert_eq!(*client.core.remarks(), remarks, "{}'s comments", client.core.client_id);
        }
        for node in &self.ground.nodes {
            let manner = *self.chance.one_of(&Manner::ALL);
            let newcomer = newcomer(node, manner).await;
            newcomer.core.assert_shows(&document, version);
            assert_eq!(*newcomer.core.remarks(), remarks, "a newcomer's comments");
        }
        let text = wire::plain_text(&document);
        if version > 0 {
            let replayed = self.ground.nodes[0].replay("campaign", None).await;
            assert!(
                replayed == text || replayed.strip_suffix('\n') == Some(&text),
                "a replay gives {replayed:?}, everybody has {text:?}"
            );
        }
        self.ground.nodes[0].verify().await;
        let log = self.ground.applied("campaign").await;
        let model = referee(&log, &self.clients.iter().map(|client| &client.core).collect::<Vec<_>>());
        assert_eq!((model.version(), model.document()), (version, document), "the nodes did what the contract says");
        self.ground.end().await;
    }
}
