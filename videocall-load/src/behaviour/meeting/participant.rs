//! One participant.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use videocall_types::{
    ids::SessionId,
    limits::PROTOCOL_VERSION,
    packet,
    view::PacketView,
    wire::{
        Hello, LayerInfo, MediaKind, MediaPacket, Message, Participant as Member, Ping, Pong,
        PublishState, StreamInfo, control, media_packet::MediaType, packet_wrapper::PacketType,
    },
};

use super::{
    options::MeetingOptions,
    reception::{Arrival, Reception},
    source::{
        Camera, Frame, Media, Microphone, RecordedPictures, RecordedSound, SCREEN, Screen, Source,
    },
    speech::Voice,
    stamp::stamp_of,
    wire::{Sender, counted},
};
use crate::{
    behaviour::{Behaviour, Context},
    clock,
    errors::{Failure, Phase},
    measure::{ErrorClass, MessageKind, Metric},
    transport::{Delivery, Outgoing, Received},
};

/// How often a participant reports and pings.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Changes of the roster are gathered so long before the subscription changes.
const SUBSCRIBE_DELAY: Duration = Duration::from_millis(50);
/// Frames that wait to be sent; a publisher whose path carries less drops pictures.
const MAX_WAITING: usize = 64;
/// Cameras, and screens, of others that are remembered.
const MAX_KNOWN: usize = 512;

/// A participant of a meeting.
pub(super) struct Participant {
    options: Arc<MeetingOptions>,
    /// Place in the meeting, from 0.
    place: u64,
    number: u64,
    user: Bytes,
    random: SmallRng,
    stage: Stage,
    /// What cameras and microphones play.
    media: Option<Result<Arc<Media>, String>>,
    camera: Option<Box<dyn Source>>,
    screen: Option<Box<dyn Source>>,
    microphone: Option<Box<dyn Source>>,
    frames: Vec<Frame>,
    reception: Reception,
    /// Sessions of the others with a camera, in the order of joining.
    cameras: Vec<u64>,
    /// The same of screens.
    screens: Vec<u64>,
    speakers: Vec<u64>,
    subscribe_at: Option<Instant>,
    next_report: Instant,
    /// Token and planned time of the last ping.
    ping: Option<(u64, Instant, Instant)>,
    close_text: Option<Failure>,
}

enum Stage {
    Joining { until: Instant },
    Joined(Sender),
}

impl Participant {
    pub(super) fn new(
        options: Arc<MeetingOptions>,
        media: Option<Result<Arc<Media>, String>>,
        number: u64,
        user: Bytes,
    ) -> Self {
        let place = number % options.participants;
        let audio_counts = options.speakers <= options.loudest;
        // Of what takes part in a stamp, only the publisher must differ between connections.
        let seed = options.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let now = Instant::now();
        Self {
            reception: Reception::new(
                options.max_temporal,
                audio_counts,
                options.layout == super::Layout::Everything || options.legacy,
            ),
            options,
            place,
            number,
            user,
            random: SmallRng::seed_from_u64(seed),
            stage: Stage::Joining { until: now },
            media,
            camera: None,
            screen: None,
            microphone: None,
            frames: Vec::new(),
            cameras: Vec::new(),
            screens: Vec::new(),
            speakers: Vec::new(),
            subscribe_at: None,
            next_report: now,
            ping: None,
            close_text: None,
        }
    }

    fn has_camera(&self) -> bool {
        self.place < self.options.cameras
    }

    fn has_screen(&self) -> bool {
        self.place < self.options.screens
    }

    /// What is played instead of simulated media.
    fn recorded(&self) -> Option<&Arc<Media>> {
        self.media.as_ref()?.as_ref().ok()
    }

    fn has_microphone(&self) -> bool {
        self.place < self.options.speakers
    }

    fn hello(&self) -> Bytes {
        let mut streams = Vec::new();
        if self.has_camera() {
            streams.push(StreamInfo {
                kind: MediaKind::Video.into(),
                stream_id: 1,
                codec: "vp09.00.10.08".to_owned(),
                layers: self.layers(),
                muted: false,
            });
        }
        if self.has_screen() {
            streams.push(StreamInfo {
                kind: MediaKind::Screen.into(),
                stream_id: 1,
                codec: "vp09.00.10.08".to_owned(),
                layers: vec![LayerInfo {
                    spatial: 0,
                    width: SCREEN.width,
                    height: SCREEN.height,
                    bitrate_bps: SCREEN.bitrate,
                    temporal_layers: 1,
                }],
                muted: false,
            });
        }
        if self.has_microphone() {
            streams.push(StreamInfo {
                kind: MediaKind::Audio.into(),
                stream_id: 1,
                codec: "opus".to_owned(),
                ..StreamInfo::default()
            });
        }
        let (layout, max_temporal) = (self.options.layout, self.options.max_temporal);
        packet::control(control::Message::Hello(Hello {
            protocol_version: PROTOCOL_VERSION,
            client: concat!("videocall-load/", env!("CARGO_PKG_VERSION")).to_owned(),
            display_name: format!("Load {}", self.number),
            publish: Some(PublishState { streams }),
            subscribe: Some(layout.subscribe(&[], &[], &[], max_temporal)),
            ..Hello::default()
        }))
    }

    fn layers(&self) -> Vec<LayerInfo> {
        if let Some((width, height, bitrate_bps)) = self.recorded().and_then(|media| media.video())
        {
            return vec![LayerInfo {
                spatial: 0,
                width,
                height,
                bitrate_bps,
                temporal_layers: 1,
            }];
        }
        let layers = self.options.camera_layers().iter().zip(0..);
        layers
            .map(|(layer, spatial)| LayerInfo {
                spatial,
                width: layer.width,
                height: layer.height,
                bitrate_bps: layer.bitrate,
                temporal_layers: super::TEMPORAL_LAYERS as u32,
            })
            .collect()
    }

    /// The server has told the session.
    fn join(&mut self, context: &mut Context<'_>, session: u64) {
        if matches!(self.stage, Stage::Joined(_)) {
            return;
        }
        let Some(session) = SessionId::new(session) else {
            return;
        };
        context.joined();
        self.stage = Stage::Joined(Sender {
            session,
            user: self.user.clone(),
            publisher: clock::now_micros() ^ self.random.random::<u64>(),
            legacy: self.options.legacy,
        });
        let (now, seed) = (context.now(), self.random.random());
        let media = self.recorded().cloned();
        if self.has_camera() {
            let recorded = media
                .clone()
                .and_then(|media| RecordedPictures::new(media, now));
            self.camera = Some(match recorded {
                Some(recorded) => Box::new(recorded),
                None => Box::new(Camera::new(&self.options, now, seed)),
            });
        }
        if self.has_screen() {
            self.screen = Some(Box::new(Screen::new(&self.options, now, seed)));
        }
        if self.has_microphone() {
            let recorded = media.and_then(|media| RecordedSound::new(media, now));
            let (speech, speakers) = (self.options.speech, self.options.speakers);
            self.microphone = Some(match recorded {
                Some(recorded) => Box::new(recorded),
                None => {
                    let voice = Voice::new(speech, self.place, speakers, seed);
                    Box::new(Microphone::new(&self.options, voice, now, seed))
                }
            });
        }
        // Not all participants report at once.
        self.next_report = now + REPORT_EVERY.mul_f64(self.random.random());
    }

    fn publish(&mut self, context: &mut Context<'_>) {
        let Stage::Joined(sender) = &self.stage else {
            return;
        };
        let now = context.now();
        self.frames.clear();
        if let Some(microphone) = &mut self.microphone {
            microphone.poll(now, &mut self.frames);
        }
        for pictures in [&mut self.camera, &mut self.screen].into_iter().flatten() {
            if context.queued() < MAX_WAITING {
                pictures.poll(now, &mut self.frames);
            } else {
                pictures.skip(now);
            }
        }
        for frame in self.frames.drain(..) {
            context.send(Outgoing {
                payload: sender.packet(&frame, Instant::now()),
                delivery: match frame.kind {
                    MessageKind::Audio => Delivery::Datagram,
                    // The base before enhancements, as clients send it.
                    _ => Delivery::Stream {
                        priority: -i32::from(frame.spatial),
                    },
                },
                kind: frame.kind,
                layer: frame.spatial,
            });
        }
    }

    fn report(&mut self, context: &mut Context<'_>) {
        let Stage::Joined(sender) = &self.stage else {
            return;
        };
        let planned = self.next_report;
        self.next_report = planned.max(context.now() - REPORT_EVERY) + REPORT_EVERY;
        // A ping that was not answered is not forgotten: the next ones wait for it, and the time
        // that it took is seen when the answer comes.
        if self.ping.is_none() {
            let token = self.random.random::<u64>() >> 12;
            self.ping = Some((token, planned, context.now()));
            if sender.legacy {
                let probe = sender.round_trip_probe(token);
                context.send(Outgoing {
                    payload: probe,
                    delivery: Delivery::Datagram,
                    kind: MessageKind::Control,
                    layer: 0,
                });
            } else {
                send_control(context, control::Message::Ping(Ping { token }));
            }
        }
        for request in self.reception.keyframe_requests(context.now()) {
            send_control(context, control::Message::KeyframeRequest(request));
        }
        if !self.options.legacy
            && let Some(report) = self.reception.report(context.now())
        {
            send_control(context, control::Message::ReceiverReport(report));
        }
    }

    fn answered(&mut self, context: &mut Context<'_>, token: u64) {
        if let Some((expected, planned, sent)) = self.ping
            && expected == token
        {
            self.ping = None;
            context.recorder().latency(
                Metric::RoundTrip,
                context.now().saturating_duration_since(planned),
                context.now().saturating_duration_since(sent),
            );
        }
    }

    fn control(&mut self, context: &mut Context<'_>, message: control::Message) {
        use control::Message as M;
        match message {
            M::Welcome(welcome) => {
                self.join(context, welcome.session_id);
                if let Some(roster) = welcome.roster {
                    self.control(context, M::Roster(roster));
                }
            }
            M::Roster(roster) => {
                if roster.full {
                    self.cameras.clear();
                    self.screens.clear();
                }
                for session in &roster.left {
                    self.reception.left(*session, context.recorder());
                    self.cameras.retain(|camera| camera != session);
                    self.screens.retain(|screen| screen != session);
                }
                for member in &roster.participants {
                    self.meet(member);
                }
                self.subscribe_soon(context.now());
            }
            M::ActiveSpeakers(speakers) => {
                self.speakers = speakers.session_ids;
                if self.options.layout == super::Layout::Speaker {
                    self.subscribe_soon(context.now());
                }
            }
            M::LayerDemand(demand) => {
                for stream in &demand.streams {
                    if let Some(pictures) = self.pictures(stream.kind()) {
                        pictures.demand(stream);
                    }
                }
            }
            M::KeyframeRequest(request) => {
                if let Some(pictures) = self.pictures(request.kind()) {
                    pictures.request_keyframe(request.spatial);
                }
            }
            M::ForwardState(state) => {
                let (session, kind) = (state.session_id, state.kind());
                let anything = state.spatial.is_some();
                let known = (context.now(), context.recorder());
                self.reception.forwarded(session, kind, anything, known);
            }
            M::Ping(ping) => {
                send_control(context, M::Pong(Pong { token: ping.token }));
            }
            M::Pong(pong) => self.answered(context, pong.token),
            M::Close(close) if close.code != 0 => {
                let code = u16::try_from(close.code).unwrap_or(u16::MAX);
                self.close_text = Some(Failure::closed(4000u16.saturating_add(code), &close.text));
            }
            _ => {}
        }
    }

    fn meet(&mut self, member: &Member) {
        let me = match &self.stage {
            Stage::Joined(sender) => sender.session.get(),
            Stage::Joining { .. } => 0,
        };
        let (session, other) = (member.session_id, member.session_id != me);
        for (kind, known) in [
            (MediaKind::Video, &mut self.cameras),
            (MediaKind::Screen, &mut self.screens),
        ] {
            let mut streams = member.streams.iter();
            let shares = streams.any(|s| s.kind() == kind && !s.muted);
            let knows = known.contains(&session);
            if shares && !knows && other && known.len() < MAX_KNOWN {
                known.push(session);
            } else if !shares && knows {
                known.retain(|known| *known != session);
            }
        }
    }

    /// What this participant publishes of a kind.
    fn pictures(&mut self, kind: MediaKind) -> Option<&mut Box<dyn Source>> {
        match kind {
            MediaKind::Video => self.camera.as_mut(),
            MediaKind::Screen => self.screen.as_mut(),
            _ => None,
        }
    }

    fn subscribe_soon(&mut self, now: Instant) {
        if !self.options.legacy && self.options.layout != super::Layout::Audio {
            self.subscribe_at.get_or_insert(now + SUBSCRIBE_DELAY);
        }
    }

    fn subscribe(&mut self, context: &mut Context<'_>) {
        let (layout, max_temporal) = (self.options.layout, self.options.max_temporal);
        let subscribe =
            layout.subscribe(&self.cameras, &self.screens, &self.speakers, max_temporal);
        if !subscribe.all {
            let shown = subscribe
                .wants
                .iter()
                .map(|w| (w.session_id, counted(w.kind())));
            self.reception.only(shown.collect(), context.recorder());
        } else if subscribe.wants.is_empty() {
            // The same as in Hello.
            return;
        }
        send_control(context, control::Message::Subscribe(subscribe));
    }

    fn media(&mut self, context: &mut Context<'_>, view: &PacketView<'_>, packet: &Bytes) {
        let payload = &packet[view.data.clone()];
        let stamp = stamp_of(payload);
        match (&stamp, &view.routing) {
            (Some(stamp), _) => context.classify(stamp.kind, stamp.spatial),
            (None, Some(routing)) => context.classify(counted(routing.kind), routing.spatial),
            (None, None) => {
                context.classify(MessageKind::Control, 0);
                if let Ok(media) = MediaPacket::decode(payload)
                    && media.media_type() == MediaType::Rtt
                {
                    self.answered(context, media.timestamp as u64);
                }
            }
        }
        if let Some(stamp) = stamp {
            let arrival = Arrival {
                session: view.session_id,
                at: context.now(),
                routing: view.routing,
            };
            let request = self.reception.note(&stamp, arrival, context.recorder());
            if let Some(request) = request {
                send_control(context, control::Message::KeyframeRequest(request));
            }
        }
    }

    /// Asks to be woken for what is next.
    fn arrange(&self, context: &mut Context<'_>) {
        let next = match &self.stage {
            Stage::Joining { until } => Some(*until),
            Stage::Joined(_) => [
                Some(self.next_report),
                self.camera.as_ref().map(|source| source.next_due()),
                self.screen.as_ref().map(|source| source.next_due()),
                self.microphone.as_ref().map(|source| source.next_due()),
                self.subscribe_at,
            ]
            .into_iter()
            .flatten()
            .min(),
        };
        if let Some(next) = next {
            context.wake_at(next);
        }
    }
}

impl Behaviour for Participant {
    fn on_open(&mut self, context: &mut Context<'_>) {
        if let Some(Err(text)) = &self.media {
            return context.fail(Failure::new(ErrorClass::Limit, text.clone()));
        }
        self.stage = Stage::Joining {
            until: context.now() + self.options.join_timeout,
        };
        if !self.options.legacy {
            let hello = self.hello();
            context.send(Outgoing {
                payload: hello,
                delivery: Delivery::Message,
                kind: MessageKind::Control,
                layer: 0,
            });
        }
        self.arrange(context);
    }

    fn on_message(&mut self, context: &mut Context<'_>, message: Received) {
        let packet = message.payload;
        let view = match PacketView::parse(&packet) {
            Ok(view) => view,
            Err(error) => {
                let recorder = context.recorder();
                return recorder.failed(ErrorClass::Protocol, &format_args!("a packet: {error}"));
            }
        };
        if view.is(PacketType::Media) {
            return self.media(context, &view, &packet);
        }
        context.classify(MessageKind::Control, 0);
        if view.is(PacketType::SessionAssigned) && self.options.legacy {
            self.join(context, view.session_id);
        } else if view.control.is_some() {
            match packet::read_control(&packet, &view) {
                Ok(Some(message)) => self.control(context, message),
                Ok(None) => {}
                Err(error) => context.recorder().failed(
                    ErrorClass::Protocol,
                    &format_args!("a control message: {error}"),
                ),
            }
        }
        self.arrange(context);
    }

    fn on_wake(&mut self, context: &mut Context<'_>, _planned: Instant) {
        if let Stage::Joining { until } = self.stage {
            if until <= context.now() {
                let failure = Failure::timeout(Phase::Handshake);
                let text = format!("{failure}: no Welcome");
                return context.fail(Failure::new(failure.class, text));
            }
        } else {
            self.publish(context);
            if self.next_report <= context.now() {
                self.report(context);
            }
            if self.subscribe_at.is_some_and(|at| at <= context.now()) {
                self.subscribe_at = None;
                self.subscribe(context);
            }
        }
        self.arrange(context);
    }

    fn on_close(&mut self, context: &mut Context<'_>, failure: Option<&Failure>) {
        if let Some((_, planned, sent)) = self.ping.take() {
            // The least that the answer would have taken: a stall at the end is not left out.
            let waited = context.now().saturating_duration_since(sent);
            if waited > REPORT_EVERY {
                let late = context.now().saturating_duration_since(planned);
                context.recorder().latency(Metric::RoundTrip, late, waited);
            }
        }
        self.reception
            .end(context.now(), failure.is_none(), context.recorder());
        if failure.is_none()
            && let Some(told) = self.close_text.take()
        {
            context.recorder().failed(told.class, &told.text);
        }
    }
}

fn send_control(context: &mut Context<'_>, message: control::Message) {
    context.send(Outgoing {
        payload: packet::control(message),
        delivery: Delivery::Message,
        kind: MessageKind::Control,
        layer: 0,
    });
}
