//! What Python has added and not dropped, so that a wrong id is an error of the call and not of
//! the worker.

use std::collections::{HashMap, HashSet};

use dataplane::Limits;

/// A sentence for the caller.
pub type Wrong = String;

#[derive(Default)]
struct Members {
    ufrag: String,
    former: Option<String>,
    sources: HashSet<u32>,
    sinks: HashSet<u32>,
    ssrcs: HashSet<u32>,
}

struct SinkEntry {
    transport: u32,
    ssrcs: Vec<u32>,
    kind: dataplane::Kind,
}

#[derive(Default)]
pub struct Registry {
    transports: HashMap<u32, Members>,
    ufrags: HashSet<String>,
    sources: HashMap<u32, (u32, dataplane::Kind)>,
    sinks: HashMap<u32, SinkEntry>,
}

fn unless(wrong: bool, sentence: impl FnOnce() -> Wrong) -> Result<(), Wrong> {
    if wrong {
        Err(sentence())
    } else {
        Ok(())
    }
}

impl Registry {
    fn members(&mut self, transport: u32) -> Result<&mut Members, Wrong> {
        self.transports
            .get_mut(&transport)
            .ok_or_else(|| format!("transport {transport}: unknown"))
    }

    pub fn transport(&mut self, transport: u32) -> Result<(), Wrong> {
        self.members(transport).map(|_| ())
    }

    pub fn source(&self, source: u32) -> Result<dataplane::Kind, Wrong> {
        let known = self.sources.get(&source);
        known
            .map(|(_, kind)| *kind)
            .ok_or_else(|| format!("source {source}: unknown"))
    }

    pub fn route(&self, sink: u32, source: Option<u32>) -> Result<(), Wrong> {
        let known = self.sinks.get(&sink);
        let entry = known.ok_or_else(|| format!("sink {sink}: unknown"))?;
        let Some(source) = source else {
            return Ok(());
        };
        let kind = self.source(source)?;
        unless(kind != entry.kind, || {
            format!("sink {sink} and source {source}: one is audio, one is video")
        })
    }

    pub fn add_transport(&mut self, id: u32, ufrag: &str, limits: &Limits) -> Result<(), Wrong> {
        unless(self.transports.contains_key(&id), || {
            format!("transport {id}: exists already")
        })?;
        unless(self.ufrags.contains(ufrag), || {
            format!("local_ufrag {ufrag}: in use already")
        })?;
        unless(self.transports.len() >= limits.max_transports, || {
            format!("transport {id}: limit {} reached", limits.max_transports)
        })?;
        self.ufrags.insert(ufrag.to_owned());
        let members = Members {
            ufrag: ufrag.to_owned(),
            ..Members::default()
        };
        self.transports.insert(id, members);
        Ok(())
    }

    /// A transport answers to `ufrag` from now on; to the one before it until the next restart.
    pub fn restart_ice(&mut self, id: u32, ufrag: &str) -> Result<(), Wrong> {
        unless(self.ufrags.contains(ufrag), || {
            format!("local_ufrag {ufrag}: in use already")
        })?;
        let members = self.members(id)?;
        let former = members.former.replace(members.ufrag.clone());
        ufrag.clone_into(&mut members.ufrag);
        former.map(|former| self.ufrags.remove(&former));
        self.ufrags.insert(ufrag.to_owned());
        Ok(())
    }

    /// Whether it was known.
    pub fn drop_transport(&mut self, id: u32) -> bool {
        let Some(members) = self.transports.remove(&id) else {
            return false;
        };
        self.ufrags.remove(&members.ufrag);
        members.former.map(|former| self.ufrags.remove(&former));
        self.sources
            .retain(|source, _| !members.sources.contains(source));
        self.sinks.retain(|sink, _| !members.sinks.contains(sink));
        true
    }

    pub fn add_source(
        &mut self,
        id: u32,
        transport: u32,
        kind: dataplane::Kind,
    ) -> Result<(), Wrong> {
        unless(self.sources.contains_key(&id), || {
            format!("source {id}: exists already")
        })?;
        self.members(transport)?.sources.insert(id);
        self.sources.insert(id, (transport, kind));
        Ok(())
    }

    pub fn drop_source(&mut self, id: u32) -> bool {
        let Some((transport, _)) = self.sources.remove(&id) else {
            return false;
        };
        if let Some(members) = self.transports.get_mut(&transport) {
            members.sources.remove(&id);
        }
        true
    }

    pub fn add_sink(
        &mut self,
        id: u32,
        transport: u32,
        kind: dataplane::Kind,
        ssrcs: Vec<u32>,
        limits: &Limits,
    ) -> Result<(), Wrong> {
        unless(self.sinks.contains_key(&id), || {
            format!("sink {id}: exists already")
        })?;
        let members = self.members(transport)?;
        unless(members.sinks.len() >= limits.max_sinks, || {
            format!(
                "sink {id}: limit {} of transport {transport} reached",
                limits.max_sinks
            )
        })?;
        let distinct: HashSet<u32> = ssrcs.iter().copied().collect();
        let clash = distinct.len() != ssrcs.len() || !distinct.is_disjoint(&members.ssrcs);
        unless(clash, || {
            format!("sink {id}: an SSRC is in use on transport {transport}")
        })?;
        members.sinks.insert(id);
        members.ssrcs.extend(&ssrcs);
        let entry = SinkEntry {
            transport,
            ssrcs,
            kind,
        };
        self.sinks.insert(id, entry);
        Ok(())
    }

    pub fn drop_sink(&mut self, id: u32) -> bool {
        let Some(entry) = self.sinks.remove(&id) else {
            return false;
        };
        if let Some(members) = self.transports.get_mut(&entry.transport) {
            members.sinks.remove(&id);
            members.ssrcs.retain(|ssrc| !entry.ssrcs.contains(ssrc));
        }
        true
    }
}
