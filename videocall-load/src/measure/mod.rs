//! Records what connections meet with.
#![allow(missing_docs)]
// Placeholder until the recorder is here: replace the whole file.
use std::{fmt::Display, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum ErrorClass {
    Dns,
    Connect,
    Tls,
    Handshake,
    Protocol,
    CloseCode(u16),
    Reset,
    Timeout,
    Channel,
    Limit,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum MessageKind {
    Control,
    Audio,
    Video,
    Screen,
    Other,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Metric {
    Connect,
    Join,
    RoundTrip,
    OneWay,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum EndReason {
    Stopped,
    ClosedByServer,
    Failed,
}
#[derive(Clone, Debug, Default)]
pub struct Recorder;
#[allow(unused_variables)]
impl Recorder {
    pub fn connection_planned(&self) {}
    pub fn connection_late(&self, d: Duration) {}
    pub fn connection_started(&self) {}
    pub fn connected(&self, d: Duration) {}
    pub fn connection_ended(&self, r: EndReason) {}
    pub fn failed(&self, c: ErrorClass, d: &dyn Display) {}
    pub fn sent(&self, k: MessageKind, l: u8, b: usize) {}
    pub fn received(&self, k: MessageKind, l: u8, b: usize) {}
    pub fn latency(&self, m: Metric, c: Duration, r: Duration) {}
    pub fn lost(&self, n: u64) {}
    pub fn reordered(&self, n: u64) {}
    pub fn duplicated(&self, n: u64) {}
    pub fn freeze(&self, d: Duration) {}
    pub fn scheduling_delay(&self, d: Duration) {}
}
