//! What Python has added and not dropped: a wrong id is an error of the call and not of a worker,
//! and an operation goes to the worker on which its transport lives.

use std::collections::{HashMap, HashSet};

use dataplane::{Credentials, Kind, Limits, Op, SinkConfig, SourceConfig, TransportConfig};

/// A sentence for the caller.
pub type Wrong = String;

/// An operation and the worker it is for.
pub type Order = (u8, Op);

/// Transports of one group on one worker, beyond which the next goes to whichever has least to do.
/// Forty-eight terminals that see nine others each take about half a core.
const TOGETHER: usize = 48;

struct Members {
    worker: u8,
    group: String,
    ufrag: String,
    former: Option<String>,
    sources: HashSet<u32>,
    sinks: HashSet<u32>,
    ssrcs: HashSet<u32>,
}

struct SinkEntry {
    transport: u32,
    worker: u8,
    ssrcs: Vec<u32>,
    kind: Kind,
}

struct SourceEntry {
    transport: u32,
    worker: u8,
    config: SourceConfig,
    /// Workers that may have a mirror of it, as a bit set.
    mirrors: u64,
}

pub struct Registry {
    limits: Limits,
    transports: HashMap<u32, Members>,
    ufrags: HashSet<String>,
    sources: HashMap<u32, SourceEntry>,
    sinks: HashMap<u32, SinkEntry>,
    /// Transports and sinks on each worker.
    loads: Vec<usize>,
    /// Transports of each group on each worker.
    groups: HashMap<String, Vec<usize>>,
}

fn unless(wrong: bool, sentence: impl FnOnce() -> Wrong) -> Result<(), Wrong> {
    if wrong {
        Err(sentence())
    } else {
        Ok(())
    }
}

impl Registry {
    /// For `workers` workers, 1..=64.
    pub fn new(workers: usize, limits: Limits) -> Self {
        Registry {
            limits,
            transports: HashMap::new(),
            ufrags: HashSet::new(),
            sources: HashMap::new(),
            sinks: HashMap::new(),
            loads: vec![0; workers],
            groups: HashMap::new(),
        }
    }

    /// Check an operation, note what it does, and say who is to carry out what.
    ///
    /// # Errors
    /// The sentence for the caller; then nothing has changed.  To drop what is not there is no
    /// error and gives no orders.
    pub fn admit(&mut self, op: Op) -> Result<Vec<Order>, Wrong> {
        match op {
            Op::AddTransport(id, config) => self.add_transport(id, config, String::new()),
            Op::DropTransport(id) => Ok(self.drop_transport(id)),
            Op::RestartIce(id, new) => self.restart_ice(id, new),
            Op::SetKeys { transport, .. }
            | Op::SendDtls(transport, _)
            | Op::Redirect(transport, _) => Ok(vec![(self.members(transport)?.worker, op)]),
            Op::AddSource(id, config) => self.add_source(id, config),
            Op::DropSource(id) => Ok(self.drop_source(id)),
            Op::AddSink(id, config) => self.add_sink(id, config),
            Op::DropSink(id) => Ok(self.drop_sink(id)),
            Op::Route { sink, source } => self.route(sink, source),
            Op::RequestKeyframe(source) => Ok(vec![(self.home(source)?, op)]),
            Op::Strain(level) => {
                let all = 0..self.loads.len() as u8;
                Ok(all.map(|worker| (worker, Op::Strain(level))).collect())
            }
            Op::Want { sink, .. } => Ok(vec![(self.sink(sink)?.worker, op)]),
            // Said by those who know, never asked for from outside.
            Op::Elsewhere { .. } | Op::Mirror { .. } | Op::DropMirror(_) => Ok(Vec::new()),
            Op::Stalled(_) | Op::Flowing(_) | Op::PathGone(_) => Ok(Vec::new()),
        }
    }

    fn members(&mut self, transport: u32) -> Result<&mut Members, Wrong> {
        self.transports
            .get_mut(&transport)
            .ok_or_else(|| format!("transport {transport}: unknown"))
    }

    fn source(&mut self, source: u32) -> Result<&mut SourceEntry, Wrong> {
        self.sources
            .get_mut(&source)
            .ok_or_else(|| format!("source {source}: unknown"))
    }

    fn sink(&self, sink: u32) -> Result<&SinkEntry, Wrong> {
        self.sinks
            .get(&sink)
            .ok_or_else(|| format!("sink {sink}: unknown"))
    }

    /// Whether there is such a transport.
    pub fn has(&self, transport: u32) -> Result<(), Wrong> {
        unless(!self.transports.contains_key(&transport), || {
            format!("transport {transport}: unknown")
        })
    }

    /// The worker on which a source lives.
    pub fn home(&mut self, source: u32) -> Result<u8, Wrong> {
        self.source(source).map(|entry| entry.worker)
    }

    fn load(&mut self, worker: u8, more: isize) {
        if let Some(load) = self.loads.get_mut(usize::from(worker)) {
            *load = load.saturating_add_signed(more);
        }
    }

    /// Orders for every worker but `home`: an ufrag belongs to `worker` there, or to nobody.
    fn told(&self, ufrag: &str, home: u8, worker: Option<u8>) -> Vec<Order> {
        let others = (0..self.loads.len() as u8).filter(|other| *other != home);
        let order = |other| {
            let ufrag = ufrag.to_owned();
            (other, Op::Elsewhere { ufrag, worker })
        };
        others.map(order).collect()
    }

    fn route(&mut self, sink: u32, source: Option<u32>) -> Result<Vec<Order>, Wrong> {
        let (worker, kind) = self.sink(sink).map(|entry| (entry.worker, entry.kind))?;
        let mut orders = Vec::new();
        if let Some(id) = source {
            let entry = self.source(id)?;
            unless(kind != entry.config.kind, || {
                format!("sink {sink} and source {id}: one is audio, one is video")
            })?;
            if entry.worker != worker {
                entry.mirrors |= 1 << worker;
                let mirror = Op::Mirror {
                    source: id,
                    worker: entry.worker,
                    config: Box::new(entry.config.clone()),
                };
                orders.push((worker, mirror));
            }
        }
        orders.push((worker, Op::Route { sink, source }));
        Ok(orders)
    }

    /// Where a group's next transport is to live: with the others, whose packets then need not
    /// cross, until they are too many for one worker.
    fn place(&self, group: &str) -> u8 {
        let counts = self.groups.get(group).into_iter().flatten();
        let some = counts.enumerate();
        let roomy = some.filter(|(_, count)| (1..TOGETHER).contains(*count));
        let least = self.loads.iter().enumerate().min_by_key(|(_, load)| **load);
        let beside = roomy.max_by_key(|(_, count)| **count);
        beside.or(least).map_or(0, |(at, _)| at as u8)
    }

    /// Count a transport in or out of its group, if it has one.
    fn count(&mut self, group: &str, worker: u8, more: isize) {
        if group.is_empty() {
            return;
        }
        let counts = self.groups.entry(group.to_owned());
        let counts = counts.or_insert_with(|| vec![0; self.loads.len()]);
        if let Some(count) = counts.get_mut(usize::from(worker)) {
            *count = count.saturating_add_signed(more);
        }
        if counts.iter().all(|count| *count == 0) {
            self.groups.remove(group);
        }
    }

    /// Add a transport; those of one `group` live together as far as one worker can serve them.
    ///
    /// # Errors
    /// As `admit`.
    pub fn add_transport(
        &mut self,
        id: u32,
        config: Box<TransportConfig>,
        group: String,
    ) -> Result<Vec<Order>, Wrong> {
        let ufrag = config.local_ufrag.clone();
        unless(self.transports.contains_key(&id), || {
            format!("transport {id}: exists already")
        })?;
        unless(self.ufrags.contains(&ufrag), || {
            format!("local_ufrag {ufrag}: in use already")
        })?;
        unless(self.transports.len() >= self.limits.max_transports, || {
            let most = self.limits.max_transports;
            format!("transport {id}: limit {most} reached")
        })?;
        let worker = self.place(&group);
        self.load(worker, 1);
        self.count(&group, worker, 1);
        self.ufrags.insert(ufrag.clone());
        let members = Members {
            worker,
            group,
            ufrag: ufrag.clone(),
            former: None,
            sources: HashSet::new(),
            sinks: HashSet::new(),
            ssrcs: HashSet::new(),
        };
        self.transports.insert(id, members);
        let mut orders = self.told(&ufrag, worker, Some(worker));
        orders.push((worker, Op::AddTransport(id, config)));
        Ok(orders)
    }

    /// A transport answers to `ufrag` from now on; to the one before it until the next restart.
    fn restart_ice(&mut self, id: u32, new: Box<Credentials>) -> Result<Vec<Order>, Wrong> {
        let ufrag = new.local_ufrag.clone();
        unless(self.ufrags.contains(&ufrag), || {
            format!("local_ufrag {ufrag}: in use already")
        })?;
        let members = self.members(id)?;
        let worker = members.worker;
        let before = std::mem::replace(&mut members.ufrag, ufrag.clone());
        let former = members.former.replace(before);
        let mut orders = self.told(&ufrag, worker, Some(worker));
        orders.push((worker, Op::RestartIce(id, new)));
        if let Some(former) = former {
            self.ufrags.remove(&former);
            orders.extend(self.told(&former, worker, None));
        }
        self.ufrags.insert(ufrag);
        Ok(orders)
    }

    fn drop_transport(&mut self, id: u32) -> Vec<Order> {
        let Some(members) = self.transports.remove(&id) else {
            return Vec::new();
        };
        let worker = members.worker;
        self.load(worker, -1 - members.sinks.len() as isize);
        self.count(&members.group, worker, -1);
        let mut orders = vec![(worker, Op::DropTransport(id))];
        for source in &members.sources {
            if let Some(entry) = self.sources.remove(source) {
                orders.extend(self.unmirror(*source, &entry));
            }
        }
        self.sinks.retain(|sink, _| !members.sinks.contains(sink));
        for ufrag in [Some(members.ufrag), members.former].into_iter().flatten() {
            self.ufrags.remove(&ufrag);
            orders.extend(self.told(&ufrag, worker, None));
        }
        orders
    }

    fn add_source(&mut self, id: u32, config: Box<SourceConfig>) -> Result<Vec<Order>, Wrong> {
        unless(self.sources.contains_key(&id), || {
            format!("source {id}: exists already")
        })?;
        let members = self.members(config.transport)?;
        members.sources.insert(id);
        let entry = SourceEntry {
            transport: config.transport,
            worker: members.worker,
            config: (*config).clone(),
            mirrors: 0,
        };
        let worker = entry.worker;
        self.sources.insert(id, entry);
        Ok(vec![(worker, Op::AddSource(id, config))])
    }

    fn drop_source(&mut self, id: u32) -> Vec<Order> {
        let Some(entry) = self.sources.remove(&id) else {
            return Vec::new();
        };
        if let Some(members) = self.transports.get_mut(&entry.transport) {
            members.sources.remove(&id);
        }
        let mut orders = vec![(entry.worker, Op::DropSource(id))];
        orders.extend(self.unmirror(id, &entry));
        orders
    }

    /// Orders to take down a source's mirrors.
    fn unmirror(&self, id: u32, entry: &SourceEntry) -> Vec<Order> {
        let workers = 0..self.loads.len() as u8;
        let held = workers.filter(|worker| entry.mirrors & 1 << worker != 0);
        held.map(|worker| (worker, Op::DropMirror(id))).collect()
    }

    fn add_sink(&mut self, id: u32, config: Box<SinkConfig>) -> Result<Vec<Order>, Wrong> {
        unless(self.sinks.contains_key(&id), || {
            format!("sink {id}: exists already")
        })?;
        let (transport, most) = (config.transport, self.limits.max_sinks);
        let ssrcs: Vec<u32> = std::iter::once(config.ssrc)
            .chain(config.rtx_ssrc)
            .collect();
        let members = self.members(transport)?;
        unless(members.sinks.len() >= most, || {
            format!("sink {id}: limit {most} of transport {transport} reached")
        })?;
        let distinct: HashSet<u32> = ssrcs.iter().copied().collect();
        let clash = distinct.len() != ssrcs.len() || !distinct.is_disjoint(&members.ssrcs);
        unless(clash, || {
            format!("sink {id}: an SSRC is in use on transport {transport}")
        })?;
        members.sinks.insert(id);
        members.ssrcs.extend(&ssrcs);
        let worker = members.worker;
        self.load(worker, 1);
        let entry = SinkEntry {
            transport,
            worker,
            ssrcs,
            kind: config.kind,
        };
        self.sinks.insert(id, entry);
        Ok(vec![(worker, Op::AddSink(id, config))])
    }

    fn drop_sink(&mut self, id: u32) -> Vec<Order> {
        let Some(entry) = self.sinks.remove(&id) else {
            return Vec::new();
        };
        self.load(entry.worker, -1);
        if let Some(members) = self.transports.get_mut(&entry.transport) {
            members.sinks.remove(&id);
            members.ssrcs.retain(|ssrc| !entry.ssrcs.contains(ssrc));
        }
        vec![(entry.worker, Op::DropSink(id))]
    }
}
