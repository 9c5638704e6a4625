//! Everything that is counted, by name.  Integers only; monotone unless the name ends in `_now`.

use hashbrown::HashMap;

macro_rules! counted {
    ($(#[$doc:meta])* $name:ident { $($field:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name { $(pub $field: u64),* }

        impl $name {
            /// Add another's counts to these.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }

            /// Every counter as (name, value), in order of declaration.
            pub fn pairs(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field)),*]
            }
        }
    };
}

counted! {
    /// The engine's own counters; each reason to drop something has its own.
    Counters {
        packets_in, bytes_in, packets_out, bytes_out, packets_forwarded,
        stun_answered, rtcp_in, rtcp_out, dtls_in, dtls_out, keyframe_joins, redundant_out, bundled_out, padding_out,
        nacks_in, nacks_out, keyframe_requests_in, keyframe_requests_out, cache_hits,
        lost, recovered,
        drop_short, drop_unknown, drop_oversize,
        drop_stun_malformed, drop_stun_cookie, drop_stun_fingerprint, drop_stun_ufrag,
        drop_stun_integrity, drop_stun_response, drop_stun_role, drop_path_taken, drop_flood, drop_rate,
        drop_source_rate,
        drop_unverified_dtls, drop_unverified_srtp, drop_unverified_srtcp, drop_dtls_no_path,
        drop_events_full, drop_no_keys, drop_bad_key,
        drop_malformed_rtp, drop_malformed_rtcp, drop_malformed_red, drop_srtp_auth, drop_srtcp_auth,
        drop_replay, drop_srtcp_replay, drop_ssrc_cap, drop_srtcp_cap, drop_unbound, drop_codec,
        drop_duplicate, drop_late, drop_rtx_empty, drop_send_queue,
        drop_congested_video, drop_congested_audio, drop_stalled_video, drop_paced_video, drop_no_path,
        drop_no_consent, drop_index_spent, drop_overtaken, drop_unfed, left_out,
        crossed_packets, crossed_datagrams, drop_crossing_video, drop_crossing_audio,
        drop_crossing_datagram, drop_crossing_stale,
        drop_pli_rate, drop_nack_rate, drop_nack_unknown, drop_unknown_op,
        transports_now, sources_now, sinks_now,
    }
}

counted! {
    /// One transport.
    TransportStats {
        packets_in, bytes_in, packets_out, bytes_out, rtt_us_now, paths_now, ssrcs_now, silences,
        moves, restarts, throttled, estimate_bps_now, queue_us_now, probes,
    }
}

counted! {
    /// One source, all layers together.  `expected` and `missed` are those of reception reports:
    /// what was lost on the way, whether or not a retransmission made up for it, but not sound that
    /// came along with later sound: it may never have been sent by itself.
    SourceStats {
        packets, bytes, lost, recovered, keyframes, nacks_sent, plis_sent, layers_now, layer_now,
        sinks_now, expected, missed, jitter_us_now,
    }
}

counted! {
    /// One sink.  `lost_by_peer` of `expected_by_peer` is what its receiver reported; `layer_now` is
    /// the layer it is fed from, counted from 1, and 0 while it is fed nothing.
    SinkStats {
        packets, bytes, nacks_received, retransmitted, plis_received, switches, thinned,
        lost_by_peer, expected_by_peer, jitter_us_now, layer_now, waiting_now,
        paused_now, lowered_now, thumbnails, thumbnails_now,
    }
}

/// A snapshot of everything.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub engine: Counters,
    pub transports: Vec<(u32, TransportStats)>,
    /// With the codec last seen, if any.
    pub sources: Vec<(u32, SourceStats, Option<crate::types::Codec>)>,
    pub sinks: Vec<(u32, SinkStats)>,
    /// Sinks that other workers' sources feed here.
    pub mirrors: Vec<(u32, u64)>,
}

impl Stats {
    /// Those of several workers that share a port, as if they were one.
    pub fn merged(all: impl IntoIterator<Item = Stats>) -> Stats {
        let mut merged = Stats::default();
        for mut stats in all {
            merged.engine.add(&stats.engine);
            merged.transports.append(&mut stats.transports);
            merged.sources.append(&mut stats.sources);
            merged.sinks.append(&mut stats.sinks);
            merged.mirrors.append(&mut stats.mirrors);
        }
        let mut fed: HashMap<u32, u64> = HashMap::new();
        for (source, sinks) in &merged.mirrors {
            *fed.entry(*source).or_default() += sinks;
        }
        for (id, stats, _) in &mut merged.sources {
            stats.sinks_now += fed.get(id).copied().unwrap_or(0);
        }
        merged
    }
}
