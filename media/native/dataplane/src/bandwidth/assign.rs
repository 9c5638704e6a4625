//! The engine's side of the estimate: reports taken, and each picture told how much it may have.

use crate::allowed::{Allowed, Coming};
use crate::bandwidth::allocate::{allocate, Claim};
use crate::bandwidth::report::Report;
use crate::engine::Engine;
use crate::ext::Extension;
use crate::layers::{several, Step};
use crate::sink::{Sink, Wanted};
use crate::transport::Transport;
use crate::types::{Event, Kind, Micros, MS};

/// How often paths are shared out while nothing happens.
pub(crate) const EVERY_US: Micros = 100 * MS;
/// What a picture costs beyond its payload, in percent.
const OVERHEAD: u64 = 106;
/// Pictures that got more expensive, as by a key frame, keep what they have for so long.
const TOLERANCE_US: Micros = 1_500 * MS;

/// One sink's part in the sharing out.
struct Party {
    sink: usize,
    steps: Vec<Step>,
    claim: Claim,
}

impl Engine {
    pub(crate) fn on_report(&mut self, key: usize, report: &Report<'_>, now: Micros) {
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        if transport.ids.id(Extension::Twcc).is_none() {
            return;
        }
        let fell = transport.bandwidth.on_report(report, now);
        self.estimated(key, fell, now);
    }

    pub(crate) fn on_remb(&mut self, key: usize, bps: u64, now: Micros) {
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        let fell = transport.bandwidth.on_remb(bps, now);
        self.estimated(key, fell, now);
    }

    fn estimated(&mut self, key: usize, fell: bool, now: Micros) {
        if fell {
            self.share_out(key, now);
        }
        let transport = self.tables.transports.get(key);
        let due =
            |t: &Transport| !t.bandwidth.pacer.is_empty() || t.bandwidth.prober.bps().is_some();
        if transport.is_some_and(due) {
            self.due.push_back(key);
        }
    }

    /// Every path shared out anew, and probes begun where more is wished for.
    pub(crate) fn tick_bandwidth(&mut self, now: Micros) {
        let all = self.tables.transports.iter();
        let known = all.filter(|(_, transport)| transport.bandwidth.known());
        let keys: Vec<usize> = known.map(|(key, _)| key).collect();
        for key in keys {
            if let Some(transport) = self.tables.transports.get_mut(key) {
                transport.bandwidth.tick(now);
            }
            self.share_out(key, now);
        }
    }

    /// Share a transport's path out among its sinks.
    pub(crate) fn share_out(&mut self, key: usize, now: Micros) {
        let parties = self.parties(key, now);
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        let bandwidth = &mut transport.bandwidth;
        let Some(estimate) = bandwidth.estimate(now).filter(|_| bandwidth.settled()) else {
            return;
        };
        bandwidth.weigh_sound(estimate, now);
        let audio = bandwidth.audio_bps(now);
        let claims: Vec<Claim> = parties.iter().map(|party| party.claim.clone()).collect();
        let shares = allocate(estimate, audio, &claims, bandwidth.calm(now));
        let pairs = || shares.choices.iter().zip(&claims);
        let lowers = pairs().any(|(choice, claim)| *choice < claim.now);
        if pairs().any(|(choice, claim)| *choice > claim.now) {
            bandwidth.raised(now);
        }
        let kept = claims
            .iter()
            .filter_map(|claim| claim.steps.get(claim.now?));
        let cost = audio + kept.sum::<u64>();
        let patient = bandwidth.tolerates(lowers, cost, estimate, TOLERANCE_US, now);
        let wished_bps = shares.wished_bps.max(bandwidth.wished_along(now));
        bandwidth.probe(wished_bps, now);
        if bandwidth.prober.bps().is_some() {
            self.due.push_back(key);
        }
        let flows = shares.choices.iter().any(Option::is_some);
        bandwidth.spare.take(shares.left_bps, audio, flows, now);
        let spare = bandwidth.spare.clone();
        for (party, choice) in parties.iter().zip(&shares.choices) {
            if !(patient && *choice < party.claim.now) {
                let step = choice.and_then(|at| party.steps.get(at));
                let allowed = match step {
                    Some(step) => Allowed::UpTo(*step),
                    None if self.fits_single(party.sink, &spare) => Allowed::Thumbnails,
                    None => Allowed::Paused,
                };
                self.grant(party, allowed, *choice != party.claim.now, now);
            }
        }
        self.next_single(key, now);
    }

    fn parties(&self, key: usize, now: Micros) -> Vec<Party> {
        let Some(transport) = self.tables.transports.get(key) else {
            return Vec::new();
        };
        let sinks = transport.sinks.iter();
        sinks.filter_map(|&sink| self.party(sink, now)).collect()
    }

    /// What a sink could get; `None` for sound and where nothing flows.
    fn party(&self, sink_key: usize, now: Micros) -> Option<Party> {
        let sink = self.tables.sinks.get(sink_key)?;
        if sink.config.kind != Kind::Video {
            return None;
        }
        let live = sink.live.map(|epoch| epoch.source_key);
        let source = sink.wanted.map(|wanted| wanted.source).or(live)?;
        let source = self.tables.sources.get(source)?;
        let steps = sink
            .decodable(&source.steps(now), source.codec)
            .into_owned();
        // Room is kept for a small copy that is spare now, else its large one would go up and down.
        if sink.want.beside.is_some() && !several(&steps) {
            return None;
        }
        let steps = useful(steps, sink);
        let last = steps.len().checked_sub(1)?;
        let has = match sink.allowed {
            Allowed::Paused | Allowed::Thumbnails => None,
            Allowed::Free => Some(last),
            // The least goes on even when what was allowed is gone.
            Allowed::UpTo(most) => Some(
                steps
                    .iter()
                    .rposition(|step| step.place() <= most.place())
                    .unwrap_or(0),
            ),
        };
        let cost = |step: &Step| step.bps.saturating_mul(OVERHEAD) / 100;
        let claim = Claim {
            priority: sink.want.priority,
            steps: steps.iter().map(cost).collect(),
            now: has,
        };
        Some(Party {
            sink: sink_key,
            steps,
            claim,
        })
    }

    fn grant(&mut self, party: &Party, allowed: Allowed, other: bool, now: Micros) {
        let Some(sink) = self.tables.sinks.get_mut(party.sink) else {
            return;
        };
        let (id, before) = (sink.id, std::mem::replace(&mut sink.allowed, allowed));
        let (was, is) = (before.coming(), allowed.coming());
        let live = match is {
            Coming::Paused => sink.live.take(),
            _ => None,
        };
        if let Some(epoch) = live {
            // Nothing of what waits is worth its place in the queue now.
            sink.wanted.get_or_insert(Wanted {
                source: epoch.source_key,
                layer: epoch.layer,
            });
            self.leave(party.sink, epoch.source_key);
        }
        if was != is {
            self.tell(Event::Video {
                sink: id,
                coming: is,
            });
        }
        if was != is || other {
            self.follow_now(party.sink, now);
        }
    }
}

/// The steps a viewer has use for: none above the smallest picture as high as it wants.
fn useful(mut steps: Vec<Step>, sink: &Sink) -> Vec<Step> {
    let height = sink.want.height;
    let tall = steps
        .iter()
        .find(|step| height > 0 && step.height >= height)
        .map(|step| (step.layer, step.spatial));
    if let Some(picture) = tall {
        steps.retain(|step| (step.layer, step.spatial) <= picture);
    }
    steps
}
