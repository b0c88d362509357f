//! People on several nodes are in one document: they see each other come, move and go, and a client that comes again on
//! another node takes over. All of it is rung for: nothing here waits for a node to look by itself.

use serde_json::{Value, json};

use super::ground::Ground;
use crate::presence::present as present_in;
use crate::support::{
    proxy::Way,
    say::{WITH_TOKENS, commit, content, edit, guest, insert, opened, signed, token},
    socket::{Incoming, Opening, Socket},
    within,
};

/// Nodes that look by themselves so seldom that nothing is found by it.
const SELDOM: [(&str, &str); 2] = [("CLUSTER__POLL", "1h"), ("AUTH__REVOCATIONS_POLL", "1h")];

async fn nodes(count: usize, more: &[(&str, &str)]) -> Ground {
    Ground::on_postgres(count, &[&SELDOM, more].concat()).await
}

fn cursor(position: u64, version: u64) -> Value {
    let data = json!({"cursor": {"position": position}, "version": version});
    json!({"type": "presence", "event": "cursor_update", "data": data})
}

/// Who is here and where, as a sync tells it.
async fn present(socket: &mut Socket) -> Vec<(String, u64)> {
    socket.send(&json!({"type": "system", "event": "document_sync", "data": {}})).await;
    loop {
        let envelope = socket.any_envelope().await;
        if envelope["event"] == "document_sync" {
            let users = envelope["data"]["active_users"].as_array().unwrap().clone();
            let user = |it: &Value| {
                (it["user_id"].as_str().unwrap().to_owned(), it["cursor_position"].as_u64().unwrap_or_default())
            };
            return users.iter().map(user).collect();
        }
    }
}

/// Asks until the answer is this one.
async fn expect_present(socket: &mut Socket, users: &[(&str, u64)]) {
    let is_it = |here: &[(String, u64)]| here.iter().map(|(user, at)| (user.as_str(), *at)).eq(users.iter().copied());
    while !is_it(&present(socket).await) {
        // What is not known yet is told when it is.
        socket.any_envelope().await;
    }
}

async fn expect_superseded(old: &mut Socket) {
    loop {
        match old.next().await {
            Incoming::Close(code, reason) => return assert_eq!((code, &*reason), (1008, "superseded")),
            Incoming::End => panic!("the connection ended without a word"),
            Incoming::Envelope(_) | Incoming::Pong(_) => {}
        }
    }
}

/// Waits until ann's comings are recorded: two that come at the very same moment cannot know of each other.
async fn recorded(ground: &Ground, comings: u64) {
    within("the older one to be recorded", async {
        let joined = |body: &String| body.contains("joined.1") && body.contains("user-ann");
        while (ground.presence("doc").await.iter().filter(|body| joined(body)).count() as u64) < comings {}
    })
    .await;
}

#[tokio::test]
async fn people_on_two_nodes_see_each_other_come_move_and_go() {
    let ground = nodes(2, &[]).await;
    let [one, other] = &ground.nodes[..] else { panic!("two nodes") };
    let mut ann = guest(one, "doc", "ann").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "0123456789"))).await;
    let mut ben = guest(other, "doc", "ben").await;
    assert_eq!(ann.expect_presence("user_joined").await["user"]["id"], "user-ben");
    expect_present(&mut ben, &[("user-ann", 0), ("user-ben", 0)]).await;
    ben.send(&cursor(5, 1)).await;
    let moved = ann.expect_presence("cursor_update").await;
    assert_eq!((&moved["user_id"], &moved["cursor"]["position"]), (&json!("user-ben"), &json!(5)));
    // It moves with the text on the node that only heard of it.
    commit(&mut ann, &edit("m2", 1, insert(0, "ab"))).await;
    expect_present(&mut ann, &[("user-ann", 0), ("user-ben", 7)]).await;
    // A second connection on the other node is no second arrival, and its end no departure.
    let tablet = Opening::of("doc").with("user_id", "user-ben").with("client_id", "tablet");
    let tablet = opened(one, &tablet).await;
    ben.close().await;
    expect_present(&mut ann, &[("user-ann", 0), ("user-ben", 7)]).await;
    tablet.close().await;
    assert_eq!(ann.expect_presence("user_left").await["user_id"], "user-ben");
    ground.end().await;
}

#[tokio::test]
async fn a_client_that_comes_again_on_another_node_takes_over() {
    let ground = nodes(2, &[]).await;
    let mut onlooker = guest(&ground.nodes[0], "doc", "onlooker").await;
    let mut at = 0;
    let mut old = guest(&ground.nodes[at], "doc", "ann").await;
    assert_eq!(onlooker.expect_presence("user_joined").await["user"]["id"], "user-ann");
    // To and fro: the later one stays, on whichever node.
    for round in 0..6 {
        recorded(&ground, round + 1).await;
        at = 1 - at;
        let mut new = guest(&ground.nodes[at], "doc", "ann").await;
        let version = commit(&mut new, &edit(&format!("m{round}"), round, insert(0, "x"))).await;
        assert_eq!(version, round + 1, "the newer one writes on");
        expect_superseded(&mut old).await;
        old = new;
    }
    expect_present(&mut onlooker, &[("user-ann", 0), ("user-onlooker", 0)]).await;
    old.send(&cursor(1, 6)).await;
    assert_eq!(onlooker.expect_presence("cursor_update").await["user_id"], "user-ann", "and never left");
    ground.end().await;
}

#[tokio::test]
async fn what_a_paused_node_still_has_of_a_client_that_went_elsewhere_is_not_done_again() {
    let ground = nodes(2, &[]).await;
    let mut old = guest(&ground.nodes[0], "doc", "ann").await;
    let mut ben = guest(&ground.nodes[1], "doc", "ben").await;
    commit(&mut old, &edit("m0", 0, insert(0, "ann:"))).await;
    recorded(&ground, 1).await;
    ground.nodes[0].signal("STOP");
    let edits: Vec<_> = (1..=20).map(|n| edit(&format!("m{n}"), 1, insert(3 + n, "x"))).collect();
    old.send_all(edits.iter().map(Value::to_string)).await.unwrap();
    let mut new = opened(&ground.nodes[1], &Opening::guest("doc", "ann").with("since", 1)).await;
    // Half of it again; the other half is on its way as well, but so far only to the node that stands still.
    for edit in &edits[..10] {
        commit(&mut new, edit).await;
    }
    ground.nodes[0].signal("CONT");
    new.send_all(edits[10..].iter().map(Value::to_string)).await.unwrap();
    let mut acknowledged = std::collections::BTreeSet::new();
    while acknowledged.len() < 10 {
        let ack = new.envelope().await;
        assert_eq!(ack["event"], "operation_ack", "{ack}");
        acknowledged.insert(ack["message_id"].to_string());
    }
    expect_superseded(&mut old).await;
    let shown = (21, format!("ann:{}", "x".repeat(20)));
    assert_eq!(content(&ground.nodes[0], "doc").await, shown);
    assert_eq!(content(&ground.nodes[1], "doc").await, shown);
    commit(&mut ben, &edit("last", 0, insert(0, "ben, "))).await;
    ground.nodes[1].verify().await;
    ground.end().await;
}

#[tokio::test]
async fn who_is_shut_out_on_one_node_is_shut_out_on_all_at_once() {
    let ground = nodes(2, &WITH_TOKENS).await;
    let admin = token("root", json!({"*": ["admin"]}), 600.0);
    let opening = Opening::of("doc").with("token", token("ann", json!(["read"]), 600.0)).with("client_id", "c");
    let mut ann = opened(&ground.nodes[1], &opening).await;
    let ban = json!({"user_id": "ann", "until": "2099-01-01T00:00:00Z"});
    assert_eq!(ground.nodes[0].post("/v1/revocations", Some(&admin), &ban).await.0, 201);
    while let Incoming::Envelope(envelope) = ann.next().await {
        if envelope["event"] == "disconnect" {
            assert_eq!(envelope["data"], json!({"reason": "banned", "code": 4004}));
            break;
        }
    }
    assert_eq!(ann.expect_close(4004).await, "banned");
    ground.end().await;
}

#[tokio::test]
async fn the_people_of_a_node_that_died_have_left_and_those_of_one_that_only_slept_come_again() {
    let mut ground = nodes(3, &[("CLUSTER__LEASE", "600ms")]).await;
    let mut ann = guest(&ground.nodes[0], "doc", "ann").await;
    let ben = guest(&ground.nodes[1], "doc", "ben").await;
    let mut eve = guest(&ground.nodes[2], "doc", "eve").await;
    expect_present(&mut ann, &[("user-ann", 0), ("user-ben", 0), ("user-eve", 0)]).await;
    expect_present(&mut eve, &[("user-ann", 0), ("user-ben", 0), ("user-eve", 0)]).await;
    ground.nodes[1].kill().await;
    drop(ben);
    expect_present(&mut ann, &[("user-ann", 0), ("user-eve", 0)]).await;
    ground.nodes[2].signal("STOP");
    expect_present(&mut ann, &[("user-ann", 0)]).await;
    ground.nodes[2].signal("CONT");
    expect_present(&mut ann, &[("user-ann", 0), ("user-eve", 0)]).await;
    // What she writes after her sleep is written.
    let version = commit(&mut eve, &edit("m", 0, insert(0, "awake"))).await;
    assert_eq!(version, 1);
    ground.nodes[1].restart().await;
    ground.end().await;
}

#[tokio::test]
async fn a_node_that_was_cut_off_hears_what_it_missed_when_it_is_back() {
    let ground = Ground::on_postgres(2, &[]).await;
    let mut ann = guest(&ground.nodes[0], "doc", "ann").await;
    let mut ben = guest(&ground.nodes[1], "doc", "ben").await;
    commit(&mut ann, &edit("m1", 0, insert(0, "a"))).await;
    assert_eq!(ben.expect("operation", "operation_broadcast").await["version"], 1);
    for (version, way) in [Way::Cut, Way::Held, Way::Lost].into_iter().enumerate() {
        let version = version as u64 + 2;
        ground.ways[1].set(way);
        commit(&mut ann, &edit(&format!("m{version}"), version - 1, insert(0, "b"))).await;
        ground.ways[1].set(Way::Open);
        assert_eq!(ben.expect("operation", "operation_broadcast").await["version"], version);
    }
    ground.end().await;
}

#[tokio::test]
async fn a_document_that_nobody_here_has_open_is_let_go_although_others_write_to_it() {
    let ground = nodes(2, &[("DOCUMENTS__IDLE_UNLOAD", "1s")]).await;
    let mut ann = guest(&ground.nodes[0], "doc", "ann").await;
    let ben = guest(&ground.nodes[1], "doc", "ben").await;
    assert!(ground.nodes[1].metric("scriptorium_documents_open").await > 0.5);
    ben.close().await;
    let mut version = 0;
    within("the document to be let go", async {
        while ground.nodes[1].metric("scriptorium_documents_open").await > 0.5 {
            version = commit(&mut ann, &edit(&format!("m{version}"), version, insert(0, "x"))).await;
        }
    })
    .await;
    // And it is there for whoever comes.
    let mut ben = opened(&ground.nodes[1], &Opening::guest("doc", "ben").with("since", version)).await;
    commit(&mut ann, &edit("last", version, insert(0, "y"))).await;
    assert_eq!(ben.expect("operation", "operation_broadcast").await["version"], version + 1);
    ground.end().await;
}

#[tokio::test]
async fn what_a_user_says_on_two_nodes_at_one_moment_ends_alike_on_both() {
    let ground = nodes(2, &WITH_TOKENS).await;
    let token = |name: &str| {
        let claims = json!({"sub": "ann", "name": name, "permissions": ["read", "write"], "exp": 4_000_000_000_u64});
        signed(&claims)
    };
    let tab = |name: &str| Opening::of("doc").with("token", token(name)).with("client_id", name);
    let mut tabs = [opened(&ground.nodes[0], &tab("one")).await, opened(&ground.nodes[1], &tab("two")).await];
    commit(&mut tabs[0], &edit("m", 0, insert(0, &"x".repeat(100)))).await;
    tabs[1].expect("operation", "operation_broadcast").await;
    for round in 0..12 {
        let said = [(round * 4 + 1, format!("Ann {round}")), (round * 4 + 2, format!("Anna {round}"))];
        for (tab, (position, name)) in tabs.iter_mut().zip(&said) {
            let renamed = json!({"type": "system", "event": "authenticate", "data": {"token": token(name)}});
            tab.send_all([cursor(*position, 1).to_string(), renamed.to_string()]).await.unwrap();
        }
        within("both nodes to show what was recorded last", async {
            loop {
                let recorded = ground.presence("doc").await;
                let recorded: Vec<Value> = recorded.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
                // Which of the two is recorded last, once both are.
                let last = |is_it: &dyn Fn(&Value, &(u64, String)) -> bool| {
                    let place = |it| recorded.iter().rposition(|body| is_it(body, it));
                    Some(usize::from(place(&said[1])? > place(&said[0])?))
                };
                let moved = last(&|body, it| body[0] == "moved.1" && body[1][3][0] == it.0);
                let named = last(&|body, it| body[0] == "joined.1" && body[4] == it.1.as_str());
                let (Some(moved), Some(named)) = (moved, named) else { continue };
                let expected = json!([said[moved].0, said[named].1]);
                let mut shown = Vec::new();
                for tab in &mut tabs {
                    let here = present_in(tab).await;
                    shown.push(json!([here[0]["cursor_position"], here[0]["name"]]));
                }
                if shown.iter().all(|shown| *shown == expected) {
                    break;
                }
            }
        })
        .await;
    }
    ground.end().await;
}
