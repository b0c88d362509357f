//! Every form of a kept projection ever shipped stays readable, and what is written is written so.

use std::{fs, path::Path};

use serde::Deserialize;

use super::{decode_blame, decode_contributions, encode_blame, encode_contributions};
use crate::{
    domain::{Seq, Timestamp, UserId, Version},
    projection::{Blame, Contribution, Contributions, Kept, Run},
};

#[derive(Deserialize)]
struct Golden {
    what: String,
    seq: u64,
    stored: String,
    runs: Option<Vec<(u32, String, u64, i64)>>,
    authors: Option<Vec<Author>>,
}

type Author = (String, u64, u64, u64, u64, i64, i64);

fn golden() -> Vec<Golden> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stored/kept.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

#[test]
fn every_form_of_a_kept_projection_stays_readable() {
    let (mut blames, mut all) = (0, 0);
    for Golden { what, seq, stored, runs, authors } in golden() {
        all += 1;
        let seq = Seq(seq);
        if let Some(runs) = runs {
            blames += 1;
            let users: Vec<_> = runs.iter().map(|(_, author, ..)| user(author)).collect();
            let runs = runs.iter().zip(&users).map(|((length, _, version, time), author)| Run {
                length: *length,
                author,
                version: Version(*version),
                time: Timestamp(*time),
            });
            let runs: Vec<_> = runs.collect();
            let read = decode_blame(seq, stored.as_bytes()).unwrap();
            assert_eq!((read.seq(), read.runs().collect::<Vec<_>>()), (seq, runs.clone()), "{what}");
            assert_eq!(encode_blame(&Blame::restore(seq, runs)).unwrap(), stored, "{what}");
        }
        if let Some(authors) = authors {
            let contribution = |(name, edits, added, removed, comments, first, last): &Author| {
                let (edits, added, removed, comments) = (*edits, *added, *removed, *comments);
                let (first, last) = (Timestamp(*first), Timestamp(*last));
                (user(name), Contribution { edits, added, removed, comments, first, last })
            };
            let meant = Contributions::restore(seq, authors.iter().map(contribution));
            assert_eq!(decode_contributions(seq, stored.as_bytes()).unwrap(), meant, "{what}");
            assert_eq!(encode_contributions(&meant).unwrap(), stored, "{what}");
        }
    }
    assert_eq!((blames, all), (2, 4));
}

#[test]
fn what_is_no_kept_projection_is_refused() {
    for odd in [
        "",
        "[]",
        "[\"blame.2\",[],[]]",
        "[\"contributions.1\"]",
        "[\"blame.1\"]",
        "[\"blame.1\",[]]",
        "[\"blame.1\",[\"ann\"],[1,0,1]]",
        "[\"blame.1\",[\"ann\"],[1,1,1,1]]",
        "[\"blame.1\",[\"ann\"],[1,-1,1,1]]",
        "[\"blame.1\",[\"ann\"],[0,0,1,1]]",
        "[\"blame.1\",[\"ann\"],[-1,0,1,1]]",
        "[\"blame.1\",[\"ann\"],[1,0,-1,1]]",
        "[\"blame.1\",[\"\"],[]]",
    ] {
        assert!(decode_blame(Seq(1), odd.as_bytes()).is_err(), "{odd}");
    }
    for odd in
        ["[\"blame.1\",[],[]]", "[\"contributions.1\",[\"ann\",1]]", "[\"contributions.1\",[\"ann\",-1,0,0,0,0,0]]"]
    {
        assert!(decode_contributions(Seq(1), odd.as_bytes()).is_err(), "{odd}");
    }
}
