//! The processes that share a log in memory: tests let several of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    domain::NodeId,
    event_log::{Known, Life, LifeSign, StreamName},
};

/// Every life, with where it has people.
#[derive(Default)]
pub(super) struct Nodes(BTreeMap<Life, (LifeSign, BTreeSet<StreamName>)>);

impl Nodes {
    pub(super) fn begin(&mut self, node: &NodeId, at_least: u64, lease: Duration) -> u64 {
        let last = self.0.keys().filter(|life| life.node == *node).map(|life| life.incarnation).max();
        let incarnation = last.map_or(at_least, |last| at_least.max(last + 1));
        let life = Life { node: node.clone(), incarnation };
        self.0.insert(life.clone(), (LifeSign { life, beats: 0, lease, known: Known::Nothing }, BTreeSet::new()));
        incarnation
    }

    pub(super) fn beat(&mut self, life: &Life, beats: u64) -> bool {
        let sign = self.0.get_mut(life).map(|(sign, _)| sign).filter(|sign| sign.beats == beats);
        sign.map(|sign| sign.beats += 1).is_some()
    }

    pub(super) fn lives(&self) -> Vec<LifeSign> {
        self.0.values().map(|(sign, _)| sign.clone()).collect()
    }

    pub(super) fn end(&mut self, life: &Life) {
        self.0.remove(life);
    }

    pub(super) fn note(&mut self, life: &Life, stream: &StreamName, are_there: bool) {
        let Some((_, streams)) = self.0.get_mut(life) else { return };
        if are_there {
            streams.insert(stream.clone());
        } else {
            streams.remove(stream);
        }
    }

    pub(super) fn streams(&self, life: &Life) -> Vec<StreamName> {
        self.0.get(life).into_iter().flat_map(|(_, streams)| streams).cloned().collect()
    }
}
