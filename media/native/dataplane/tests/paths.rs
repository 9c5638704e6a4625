//! A peer whose address changes, whose line dies one way, who restarts ICE, or who floods.

mod support;

use dataplane::demux::{classify, Class};
use dataplane::stun::{integrity_key, Builder, Message, BINDING_REQUEST, BINDING_SUCCESS};
use dataplane::{
    Credentials, Engine, Event, Limits, Micros, Op, Path, TransportConfig, MS, SECOND, STREAM,
};
use support::{vp8, Terminal};

const VIDEO_IN: u32 = 1000;
const VIDEO_OUT: u32 = 2000;

fn path(socket: u8, last: u8) -> Path {
    Path {
        socket,
        peer: ([10, 0, 1, last], 6000).into(),
    }
}

fn check(local: &str, password: &str, nominate: bool, number: u32) -> Vec<u8> {
    let mut transaction = [9u8; 12];
    transaction[..4].copy_from_slice(&number.to_be_bytes());
    let builder = Builder::new(BINDING_REQUEST, &transaction).username(local, "them");
    let builder = if nominate {
        builder.use_candidate()
    } else {
        builder
    };
    builder.finish(&integrity_key(password))
}

/// A sender and a viewer in virtual time, and what the engine says and sends.
struct Call {
    engine: Engine,
    sender: Terminal,
    viewer: Terminal,
    now: Micros,
    sent: u64,
    checks: u32,
    events: Vec<Event>,
    /// Where pictures went, and when.
    pictures: Vec<(Path, Micros)>,
    /// Where answers to checks went.
    answers: Vec<Path>,
}

impl Call {
    fn new(limits: Limits) -> Call {
        let mut engine = Engine::new(limits, 7, 1_790_000_000_000_000);
        let sender = Terminal::connect(&mut engine, 1, 0);
        let viewer = Terminal::connect(&mut engine, 2, 0);
        sender.source(&mut engine, 1, VIDEO_IN, 0);
        viewer.sink(&mut engine, 1, VIDEO_OUT, 1, 0);
        let mut call = Call {
            engine,
            sender,
            viewer,
            now: 0,
            sent: 0,
            checks: 0,
            events: Vec::new(),
            pictures: Vec::new(),
            answers: Vec::new(),
        };
        call.collect();
        call.events.clear();
        call
    }

    fn collect(&mut self) {
        self.engine.tick(self.now);
        while let Some(batch) = self.engine.poll_transmit(self.now) {
            for datagram in batch.octets.chunks(batch.segment) {
                match classify(datagram) {
                    Class::Rtp => self.pictures.push((batch.path, self.now)),
                    Class::Stun => self.answers.push(batch.path),
                    _ => {}
                }
            }
        }
        while let Some(event) = self.engine.poll_event() {
            self.events.push(event);
        }
    }

    fn check(&mut self, from: Path, user: &str, password: &str, nominate: bool) {
        self.checks += 1;
        let mut data = check(user, password, nominate, self.checks);
        self.engine.receive(&mut data, from, self.now);
    }

    /// Every 20 ms a picture, and what `each` does.
    fn run(&mut self, for_us: Micros, mut each: impl FnMut(&mut Call)) {
        let until = self.now + for_us;
        while self.now < until {
            self.now += 20 * MS;
            self.keep_sender();
            each(self);
            self.collect();
        }
    }

    fn keep_sender(&mut self) {
        let payload = vp8(self.sent as u16, self.sent == 0, b"picture");
        let timestamp = 1_800 * self.sent as u32;
        let mut data = self.sender.rtp(VIDEO_IN, self.sent, timestamp, &payload);
        self.sent += 1;
        self.engine.receive(&mut data, self.sender.path, self.now);
    }

    fn report(&mut self, from: Path) {
        let mut report = Vec::new();
        dataplane::rtcp::put_receiver_report(&mut report, 1, &[]);
        let mut data = self.viewer.rtcp(report);
        self.engine.receive(&mut data, from, self.now);
    }

    fn counter(&self, name: &str) -> u64 {
        let pairs = self.engine.stats().engine.pairs();
        pairs.into_iter().find(|(n, _)| *n == name).expect(name).1
    }

    /// The longest time without a picture to any of `paths`.
    fn gap(&self, paths: &[Path]) -> Micros {
        let times = self.pictures.iter().filter(|(p, _)| paths.contains(p));
        let times: Vec<Micros> = times.map(|(_, at)| *at).collect();
        let last = times.last().map_or(0, |at| self.now - at);
        times
            .windows(2)
            .map(|w| w[1] - w[0])
            .chain([last])
            .max()
            .unwrap_or(self.now)
    }
}

#[test]
fn pictures_follow_a_viewer_whose_address_changed_once_it_has_checked_from_there() {
    let mut call = Call::new(Limits::default());
    let (before, after) = (call.viewer.path, path(0, 9));
    call.run(SECOND, |call| call.report(before));
    // Its address changes; reports come from the new one, and a check after two seconds and a half.
    let moved = call.now;
    call.run(3 * SECOND, |call| {
        call.report(after);
        if call.now == moved + 2_500 * MS {
            call.check(after, "us2", "ours", false);
        }
    });
    assert!(
        call.counter("drop_unverified_srtcp") > 0,
        "a stranger until it checks"
    );
    let first = call
        .pictures
        .iter()
        .find(|(p, _)| *p == after)
        .expect("moved")
        .1;
    assert!(first - moved <= 2_600 * MS, "{}", first - moved);
    assert!(call.events.contains(&Event::Nominated {
        transport: 2,
        peer: after.peer
    }));
    assert!(call.gap(&[before, after]) <= 100 * MS);
}

#[test]
fn a_check_on_a_spare_path_moves_nothing_while_the_path_in_use_lives() {
    let mut call = Call::new(Limits::default());
    let (used, spare) = (call.viewer.path, path(0, 9));
    call.run(10 * SECOND, |call| {
        if call.now % (2_500 * MS) < 20 * MS {
            call.check(spare, "us2", "ours", false);
            call.check(used, "us2", "ours", true);
        }
    });
    assert!(call.pictures.iter().all(|(p, _)| *p == used));
    assert_eq!(call.counter("drop_no_consent"), 0);
}

#[test]
fn nothing_but_answers_is_sent_to_a_peer_that_went_silent_until_it_is_heard() {
    let mut call = Call::new(Limits::default());
    let viewer = call.viewer.path;
    call.run(SECOND, |call| call.report(viewer));
    let fell = call.now;
    call.run(3_200 * MS, |_| {});
    assert!(call.events.contains(&Event::Silent { transport: 2 }));
    call.run(11 * SECOND, |_| {});
    let last = call.pictures.last().expect("pictures").1;
    assert!(
        (11_900 * MS..=12_100 * MS).contains(&(last - fell)),
        "{}",
        last - fell
    );
    assert!(call.counter("drop_no_consent") > 100);
    let (answers, heard) = (call.answers.len(), call.now);
    call.run(SECOND, |call| call.check(viewer, "us2", "ours", true));
    assert!(call.answers.len() > answers);
    assert!(call.events.contains(&Event::Alive { transport: 2 }));
    let again = call
        .pictures
        .iter()
        .find(|(_, at)| *at > heard)
        .expect("resumed")
        .1;
    assert!(again - heard <= 100 * MS);
}

#[test]
fn a_peer_that_is_heard_every_five_seconds_is_sent_everything() {
    let mut call = Call::new(Limits::default());
    let viewer = call.viewer.path;
    for _ in 0..6 {
        call.report(viewer);
        call.run(5 * SECOND, |_| {});
    }
    assert_eq!(call.counter("drop_no_consent"), 0);
}

/// A link's child: it checks; its parent answers only while `answers`.
fn child(engine: &mut Engine) -> Path {
    let parent = path(0, 77);
    let config = TransportConfig {
        local_ufrag: "child".to_owned(),
        local_pwd: "ours".to_owned(),
        remote_ufrag: "parent".to_owned(),
        remote_pwd: "theirs".to_owned(),
        controlling: true,
        candidates: vec![parent],
        extensions: Vec::new(),
    };
    engine.apply(Op::AddTransport(5, Box::new(config)), 0);
    parent
}

/// Run for `for_us`; answer what `answered` says, and hear media from the parent all the time.
fn talk(
    engine: &mut Engine,
    now: &mut Micros,
    for_us: Micros,
    answered: impl Fn(u64) -> bool,
) -> u64 {
    let (until, mut checks) = (*now + for_us, 0);
    while *now < until {
        *now += 10 * MS;
        engine.tick(*now);
        let mut answers = Vec::new();
        while let Some(batch) = engine.poll_transmit(*now) {
            let message = Message::parse(&batch.octets).expect("ours parse");
            if message.class_method != BINDING_REQUEST {
                continue;
            }
            checks += 1;
            let answer = Builder::new(BINDING_SUCCESS, &message.transaction)
                .xor_mapped(batch.path.peer)
                .finish(&integrity_key("theirs"));
            if answered(checks) {
                answers.push((answer, batch.path));
            }
        }
        for (mut answer, path) in answers {
            engine.receive(&mut answer, path, *now);
        }
        // The parent lives and is heard: it checks too.
        let mut request = Builder::new(BINDING_REQUEST, &[(*now / MS) as u8; 12])
            .username("child", "parent")
            .finish(&integrity_key("ours"));
        engine.receive(&mut request, path(0, 77), *now);
    }
    checks
}

fn told(engine: &mut Engine) -> Vec<Event> {
    std::iter::from_fn(|| engine.poll_event()).collect()
}

#[test]
fn a_child_whose_checks_are_not_answered_is_silent_within_five_seconds_though_it_hears() {
    let mut engine = Engine::new(Limits::default(), 7, 0);
    child(&mut engine);
    let mut now = 0;
    talk(&mut engine, &mut now, 10 * SECOND, |_| true);
    assert!(!told(&mut engine).contains(&Event::Silent { transport: 5 }));
    let checks = talk(&mut engine, &mut now, 5 * SECOND, |_| false);
    assert!(told(&mut engine).contains(&Event::Silent { transport: 5 }));
    assert!(checks > 10, "it asks on and on: {checks}");
    talk(&mut engine, &mut now, SECOND, |_| true);
    assert!(told(&mut engine).contains(&Event::Alive { transport: 5 }));
}

#[test]
fn a_child_that_loses_every_second_answer_stays_connected() {
    let mut engine = Engine::new(Limits::default(), 7, 0);
    child(&mut engine);
    let mut now = 0;
    talk(&mut engine, &mut now, SECOND, |_| true);
    let lost = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 63 == 0;
    talk(&mut engine, &mut now, 60 * SECOND, |n| !lost(n));
    assert!(!told(&mut engine).contains(&Event::Silent { transport: 5 }));
}

/// Send what is due in 2 s; the checks among it, and where they went.
fn checks(engine: &mut Engine, now: &mut Micros) -> Vec<(Path, Vec<u8>)> {
    let until = *now + 2 * SECOND;
    let mut found = Vec::new();
    while *now < until {
        *now += 10 * MS;
        engine.tick(*now);
        while let Some(batch) = engine.poll_transmit(*now) {
            found.push((batch.path, batch.octets));
        }
    }
    found
}

fn answer(engine: &mut Engine, (to, check): &(Path, Vec<u8>), now: Micros) {
    let message = Message::parse(check).expect("ours parse");
    let mut answer = Builder::new(BINDING_SUCCESS, &message.transaction)
        .xor_mapped(to.peer)
        .finish(&integrity_key("theirs"));
    engine.receive(&mut answer, *to, now);
}

#[test]
fn a_child_that_is_redirected_checks_the_stream_alone_and_an_old_answer_moves_nothing() {
    let stream = path(STREAM, 77);
    for reached in [false, true] {
        let mut engine = Engine::new(Limits::default(), 7, 0);
        let (parent, mut now) = (child(&mut engine), 0);
        let asked = checks(&mut engine, &mut now);
        assert!(asked.iter().all(|(to, _)| *to == parent) && !asked.is_empty());
        if reached {
            answer(&mut engine, asked.last().expect("asked"), now);
        }
        told(&mut engine);
        let late = checks(&mut engine, &mut now).pop().expect("it asks again");
        engine.apply(Op::Redirect(5, stream), now);
        answer(&mut engine, &late, now);
        let asked = checks(&mut engine, &mut now);
        assert!(asked.iter().all(|(to, _)| *to == stream) && !asked.is_empty());
        assert!(!told(&mut engine).contains(&Event::Nominated {
            transport: 5,
            peer: stream.peer
        }));
        answer(&mut engine, asked.last().expect("asked"), now);
        assert!(told(&mut engine).contains(&Event::Nominated {
            transport: 5,
            peer: stream.peer
        }));
    }
}

#[test]
fn a_way_that_is_dead_one_way_is_noticed_within_five_seconds_by_whom_it_concerns() {
    // The parent hears nothing more; the child's checks go unanswered though it hears.
    let mut call = Call::new(Limits::default());
    call.run(5 * SECOND, |_| {});
    assert!(call.events.contains(&Event::Silent { transport: 2 }));
    let mut engine = Engine::new(Limits::default(), 7, 0);
    child(&mut engine);
    let mut now = 0;
    talk(&mut engine, &mut now, SECOND, |_| true);
    talk(&mut engine, &mut now, 5 * SECOND, |_| false);
    assert!(told(&mut engine).contains(&Event::Silent { transport: 5 }));
}

fn fresh() -> Credentials {
    Credentials {
        local_ufrag: "again".to_owned(),
        local_pwd: "newer".to_owned(),
        remote_ufrag: "them".to_owned(),
        remote_pwd: "theirs".to_owned(),
    }
}

#[test]
fn a_restart_keeps_pictures_where_they_went_until_the_new_path_is_checked() {
    let mut call = Call::new(Limits::default());
    let (before, after) = (call.viewer.path, path(0, 9));
    call.run(SECOND, |call| call.report(before));
    call.engine
        .apply(Op::RestartIce(2, Box::new(fresh())), call.now);
    call.run(SECOND, |call| call.report(before));
    assert!(call.gap(&[before]) <= 100 * MS);
    // Our answer is lost: the old credentials are good still.
    call.check(before, "us2", "ours", true);
    call.collect();
    assert_eq!(call.counter("drop_stun_ufrag"), 0);
    call.check(after, "again", "newer", true);
    call.run(SECOND, |call| call.report(after));
    assert!(call.gap(&[before, after]) <= 100 * MS);
    assert_eq!(call.pictures.last().expect("pictures").0, after);
    // They are not, once the new ones were used.
    call.check(before, "us2", "ours", true);
    assert_eq!(call.counter("drop_stun_ufrag"), 1);
    let stats = call.engine.stats().transports;
    let viewer = &stats.iter().find(|(id, _)| *id == 2).expect("there").1;
    assert_eq!((viewer.restarts, viewer.moves), (1, 1));
}

#[test]
fn a_stalled_stream_gets_no_new_pictures_until_it_flows_and_its_end_leaves_the_other_path() {
    let mut call = Call::new(Limits::default());
    let (udp, tcp) = (call.viewer.path, path(STREAM, 9));
    call.check(tcp, "us2", "ours", true);
    call.run(SECOND, |call| call.report(tcp));
    assert_eq!(call.pictures.last().expect("pictures").0, tcp);
    call.engine.apply(Op::Stalled(tcp), call.now);
    let (count, at) = (call.pictures.len(), call.now);
    call.run(SECOND, |call| call.report(tcp));
    assert!(
        call.pictures.len() <= count + 1,
        "at most what gathered before"
    );
    assert!(call.counter("drop_stalled_video") >= 45);
    call.engine.apply(Op::Flowing(tcp), call.now);
    call.run(SECOND, |call| call.report(tcp));
    assert!(call.pictures.len() >= count + 45, "since {at}");
    call.engine.apply(Op::PathGone(tcp), call.now);
    call.run(SECOND, |call| call.report(udp));
    assert_eq!(call.pictures.last().expect("pictures").0, udp);
    let mut stranger = vec![22u8; 40];
    call.engine.receive(&mut stranger, tcp, call.now);
    assert_eq!(call.counter("drop_unverified_dtls"), 1);
}

#[test]
fn a_strangers_checks_are_bounded_and_no_picture_is_lost_meanwhile() {
    let mut call = Call::new(Limits::default());
    let viewer = call.viewer.path;
    let junk = check("us2", "not the password", true, 0);
    call.run(2 * SECOND, |call| {
        for _ in 0..600 {
            call.engine
                .receive(&mut junk.clone(), path(0, 66), call.now);
        }
        call.report(viewer);
    });
    let looked = call.counter("drop_stun_integrity");
    assert_eq!(looked + call.counter("drop_flood"), 60_000);
    assert!((10_000..=11_500).contains(&looked), "{looked}");
    assert!(
        call.pictures.len() as u64 + 1 >= call.sent,
        "the last one gathers"
    );
}

#[test]
fn a_participant_that_floods_is_throttled_alone() {
    let limits = Limits {
        packet_rate: 1_000,
        ..Limits::default()
    };
    let mut call = Call::new(limits);
    let viewer = call.viewer.path;
    let flooder = Terminal::connect(&mut call.engine, 3, 0);
    let junk = flooder.rtp(4_000, 1, 0, b"junk");
    call.run(2 * SECOND, |call| {
        for _ in 0..600 {
            call.engine
                .receive(&mut junk.clone(), flooder.path, call.now);
        }
        call.report(viewer);
    });
    assert!(call.counter("drop_rate") > 57_000);
    assert!(
        call.pictures.len() as u64 + 1 >= call.sent,
        "the last one gathers"
    );
    let stats = call.engine.stats().transports;
    let throttled: Vec<u32> = stats
        .iter()
        .filter(|(_, t)| t.throttled > 0)
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(throttled, [3]);
}

#[test]
fn a_participant_floods_with_checks_and_handshakes_and_few_are_looked_at() {
    let mut call = Call::new(Limits::default());
    let flooder = Terminal::connect(&mut call.engine, 3, 0);
    let handshake = [&[22, 254, 253][..], &[0; 60]].concat();
    call.events.clear();
    call.run(2 * SECOND, |call| {
        for _ in 0..300 {
            call.check(flooder.path, "us3", "ours", false);
            let mut handshake = handshake.clone();
            call.engine.receive(&mut handshake, flooder.path, call.now);
        }
        call.report(call.viewer.path);
    });
    let told = call.events.iter();
    let told = told.filter(|event| matches!(event, Event::Dtls { .. }));
    let (looked, answered) = (told.count(), call.answers.len());
    assert!((400..=500).contains(&looked), "{looked} in two seconds");
    assert!((400..=500).contains(&answered), "{answered} in two seconds");
    assert_eq!(call.counter("drop_events_full"), 0);
    assert!(call.pictures.len() as u64 + 1 >= call.sent);
}

#[test]
fn what_one_source_sends_too_much_its_viewers_are_not_sent_and_others_keep_all() {
    let mut call = Call::new(Limits::default());
    let flooder = Terminal::connect(&mut call.engine, 3, 0);
    let victim = Terminal::connect(&mut call.engine, 4, 0);
    flooder.source(&mut call.engine, 3, 3_000, 0);
    victim.sink(&mut call.engine, 3, 4_000, 3, 0);
    let mut sent = 0;
    call.run(2 * SECOND, |call| {
        for _ in 0..300 {
            let payload = vp8(sent as u16, sent == 0, b"picture");
            let mut data = flooder.rtp(3_000, sent, 90 * sent as u32, &payload);
            sent += 1;
            call.engine.receive(&mut data, flooder.path, call.now);
        }
        call.report(call.viewer.path);
    });
    let stats = call.engine.stats();
    let received = stats.sources.iter().find(|(id, ..)| *id == 3);
    let received = received.expect("its source").1.packets;
    let allowed = 2 * 3_000 + 3_000 / 4;
    assert!((6_000..=allowed + 1).contains(&received), "{received}");
    assert_eq!(call.counter("drop_source_rate"), sent - received);
    let throttled = |id| {
        let mut transports = stats.transports.iter();
        transports
            .find(|(known, _)| *known == id)
            .map(|(_, t)| t.throttled)
    };
    assert_eq!(throttled(3), Some(sent - received));
    assert_eq!((throttled(1), throttled(2)), (Some(0), Some(0)));
    let own = call
        .pictures
        .iter()
        .filter(|(to, _)| *to == call.viewer.path);
    assert!(own.count() as u64 + 1 >= call.sent, "the last one gathers");
}
