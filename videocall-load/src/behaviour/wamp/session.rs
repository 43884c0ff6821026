//! One WAMP session.

use std::{collections::HashMap, sync::Arc, time::Instant};

use serde_json::{Value, json};

use super::{
    WampMode, WampOptions,
    codec::{decode, encode},
};
use crate::{
    behaviour::{Behaviour, Context, Factory, meeting::Window},
    clock,
    errors::{Failure, Phase},
    measure::{ErrorClass, MessageKind, Metric},
    transport::{Delivery, Outgoing, Received, Request},
};

/// Message types (WAMP, section 6.5).
mod kind {
    pub(super) const HELLO: u64 = 1;
    pub(super) const WELCOME: u64 = 2;
    pub(super) const ABORT: u64 = 3;
    pub(super) const GOODBYE: u64 = 6;
    pub(super) const ERROR: u64 = 8;
    pub(super) const PUBLISH: u64 = 16;
    pub(super) const PUBLISHED: u64 = 17;
    pub(super) const SUBSCRIBE: u64 = 32;
    pub(super) const SUBSCRIBED: u64 = 33;
    pub(super) const EVENT: u64 = 36;
    pub(super) const CALL: u64 = 48;
    pub(super) const RESULT: u64 = 50;
    pub(super) const REGISTER: u64 = 64;
    pub(super) const REGISTERED: u64 = 65;
    pub(super) const INVOCATION: u64 = 68;
    pub(super) const YIELD: u64 = 70;
}

/// Publishers whose events are followed at most.
const MAX_PUBLISHERS: usize = 10_000;
/// Requests without an answer at most; beyond it the session waits.
const MAX_OUTSTANDING: usize = 64;

/// Makes WAMP sessions.
#[derive(Clone, Debug)]
pub struct Wamp {
    options: Arc<WampOptions>,
}

impl Wamp {
    /// Sessions with those options.
    pub fn factory(options: WampOptions) -> Self {
        Self {
            options: Arc::new(options),
        }
    }
}

impl Factory for Wamp {
    fn request(&self, _number: u64) -> Request {
        Request {
            subprotocols: vec![self.options.serializer.subprotocol()],
            ..Request::default()
        }
    }

    fn behaviour(&self, number: u64) -> Box<dyn Behaviour> {
        let publishes = self.options.publishers.is_none_or(|count| number < count);
        Box::new(Session {
            options: self.options.clone(),
            publishes,
            stage: Stage::Greeting,
            last_request: 0,
            // Differs between the sessions of one place.
            publisher: clock::now_micros() ^ (number << 40),
            sequence: 0,
            due: Instant::now(),
            outstanding: HashMap::new(),
            windows: HashMap::new(),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting,
    /// Subscribing or registering.
    Preparing,
    Ready,
}

struct Session {
    options: Arc<WampOptions>,
    publishes: bool,
    stage: Stage,
    last_request: u64,
    publisher: u64,
    sequence: u64,
    /// When the next publication or call is due.
    due: Instant,
    /// By request: when it was planned and sent.
    outstanding: HashMap<u64, (Instant, Instant)>,
    windows: HashMap<u64, Window>,
}

impl Session {
    fn send(&self, context: &mut Context<'_>, message: &Value) {
        context.send(Outgoing {
            payload: encode(self.options.serializer, message),
            delivery: match self.options.serializer {
                super::Serializer::Json => Delivery::Text,
                super::Serializer::Msgpack => Delivery::Message,
            },
            kind: match message[0].as_u64() {
                Some(kind::PUBLISH | kind::CALL | kind::YIELD) => MessageKind::Other,
                _ => MessageKind::Control,
            },
            layer: 0,
        });
    }

    fn request(&mut self) -> u64 {
        self.last_request += 1;
        self.last_request
    }

    fn procedure(&self) -> String {
        format!("{}.p{}", self.options.uri, self.publisher)
    }

    fn welcomed(&mut self, context: &mut Context<'_>) {
        context.joined();
        let request = self.request();
        let message = match self.options.mode {
            WampMode::Session => return self.ready(context),
            WampMode::Pubsub => json!([kind::SUBSCRIBE, request, {}, self.options.uri]),
            WampMode::Rpc => json!([kind::REGISTER, request, {}, self.procedure()]),
        };
        self.stage = Stage::Preparing;
        self.send(context, &message);
        context.wake_in(self.options.timeout);
    }

    fn ready(&mut self, context: &mut Context<'_>) {
        self.stage = Stage::Ready;
        self.due = context.now();
        self.work(context);
    }

    /// Publishes or calls what is due.
    fn work(&mut self, context: &mut Context<'_>) {
        let (mode, pause) = (self.options.mode, self.options.pause);
        if mode == WampMode::Session || !self.publishes {
            return;
        }
        while self.due <= context.now() && self.outstanding.len() < MAX_OUTSTANDING {
            let planned = self.due;
            self.due += pause.max(std::time::Duration::from_micros(10));
            self.sequence += 1;
            let request = self.request();
            let arguments = json!([
                clock::micros(planned),
                clock::micros(context.now()),
                self.publisher,
                self.sequence,
                "x".repeat(self.options.bytes)
            ]);
            let message = match mode {
                WampMode::Rpc => json!([kind::CALL, request, {}, self.procedure(), arguments]),
                _ => json!([
                    kind::PUBLISH,
                    request,
                    {"acknowledge": true, "exclude_me": false},
                    self.options.uri,
                    arguments
                ]),
            };
            self.outstanding.insert(request, (planned, context.now()));
            self.send(context, &message);
        }
        // With all places taken only the deadline of the oldest request is waited for.
        let oldest = self.outstanding.values().map(|(_, sent)| *sent).min();
        let deadline = oldest.map(|sent| sent + self.options.timeout);
        let next = (self.outstanding.len() < MAX_OUTSTANDING).then_some(self.due);
        if let Some(at) = next.into_iter().chain(deadline).min() {
            context.wake_at(at);
        }
    }

    fn answered(&mut self, context: &mut Context<'_>, request: Option<u64>) {
        let request = request.unwrap_or(0);
        if let Some((planned, sent)) = self.outstanding.remove(&request) {
            context.recorder().latency(
                Metric::RoundTrip,
                context.now().saturating_duration_since(planned),
                context.now().saturating_duration_since(sent),
            );
            self.work(context);
        }
    }

    fn event(&mut self, context: &mut Context<'_>, arguments: &Value) {
        let number = |place: usize| arguments[place].as_u64();
        let (Some(planned), Some(sent), Some(publisher), Some(sequence)) =
            (number(0), number(1), number(2), number(3))
        else {
            return;
        };
        let recorder = context.recorder();
        recorder.latency(
            Metric::OneWay,
            clock::since(planned, context.now()),
            clock::since(sent, context.now()),
        );
        if !self.windows.contains_key(&publisher) && self.windows.len() >= MAX_PUBLISHERS {
            return;
        }
        let found = self.windows.entry(publisher).or_default().note(sequence);
        recorder.lost(MessageKind::Other, 0, found.lost);
        recorder.reordered(MessageKind::Other, 0, found.reordered);
        recorder.duplicated(MessageKind::Other, 0, found.duplicated);
    }

    fn error(&self, context: &mut Context<'_>, uri: Option<&Value>) {
        let uri = uri.and_then(Value::as_str).unwrap_or("no reason");
        let text = format!("the router answered with {uri}");
        if self.stage == Stage::Ready {
            context.recorder().failed(ErrorClass::Protocol, &text);
        } else {
            context.fail(Failure::new(ErrorClass::Handshake, text));
        }
    }
}

impl Behaviour for Session {
    fn on_open(&mut self, context: &mut Context<'_>) {
        let offered = self.options.serializer.subprotocol();
        if context.subprotocol() != Some(offered) {
            let chosen = context.subprotocol().unwrap_or("none");
            let text = format!("the server chose the subprotocol {chosen}, not {offered}");
            return context.fail(Failure::new(ErrorClass::Handshake, text));
        }
        let roles = json!({"publisher": {}, "subscriber": {}, "caller": {}, "callee": {}});
        let hello = json!([kind::HELLO, self.options.realm, {"roles": roles}]);
        self.send(context, &hello);
        context.wake_in(self.options.timeout);
    }

    fn on_message(&mut self, context: &mut Context<'_>, message: Received) {
        context.classify(MessageKind::Control, 0);
        let (kind, list) = match decode(self.options.serializer, &message.payload) {
            Ok(message) => message,
            Err(error) => {
                return context.fail(Failure::new(ErrorClass::Protocol, error.to_string()));
            }
        };
        let number = |place: usize| list.get(place).and_then(Value::as_u64);
        match kind {
            kind::WELCOME if self.stage == Stage::Greeting => self.welcomed(context),
            kind::SUBSCRIBED | kind::REGISTERED if self.stage == Stage::Preparing => {
                self.ready(context);
            }
            kind::PUBLISHED | kind::RESULT => {
                context.classify(MessageKind::Other, 0);
                self.answered(context, number(1));
            }
            kind::EVENT => {
                context.classify(MessageKind::Other, 0);
                if let Some(arguments) = list.get(4) {
                    self.event(context, arguments);
                }
            }
            kind::INVOCATION => {
                context.classify(MessageKind::Other, 0);
                let arguments = list.get(4).cloned().unwrap_or(json!([]));
                self.send(context, &json!([kind::YIELD, number(1), {}, arguments]));
            }
            kind::ERROR => {
                let request = number(2);
                self.error(context, list.get(4));
                if let Some(request) = request {
                    self.outstanding.remove(&request);
                }
            }
            kind::ABORT => self.error(context, list.get(2)),
            kind::GOODBYE => {
                let goodbye = json!([kind::GOODBYE, {}, "wamp.close.goodbye_and_out"]);
                self.send(context, &goodbye);
                context.close(1000, "");
            }
            _ => {}
        }
    }

    fn on_wake(&mut self, context: &mut Context<'_>, _planned: Instant) {
        let now = context.now();
        let timeout = self.options.timeout;
        let overdue = self
            .outstanding
            .values()
            .any(|(_, sent)| *sent + timeout <= now);
        if self.stage != Stage::Ready || overdue {
            return context.fail(Failure::timeout(Phase::Open));
        }
        self.work(context);
    }

    fn on_close(&mut self, context: &mut Context<'_>, _failure: Option<&Failure>) {
        for window in self.windows.values_mut() {
            let lost = window.finish().lost;
            context.recorder().lost(MessageKind::Other, 0, lost);
        }
    }
}
