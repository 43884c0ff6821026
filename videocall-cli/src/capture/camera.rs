//! A camera that may be unplugged and plugged in again.

use std::{
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use videocall_capture::{Camera, CaptureError, Wanted, offers};
use videocall_codec::yuv::I420;

use super::{
    Away,
    backoff::{Backoff, is_over},
};
use crate::exit::Failure;

/// As long does the end of the program wait for a camera that gives nothing.
const WAIT: Duration = Duration::from_millis(100);

/// Pictures of a camera, for as long as the program runs.
pub(crate) struct CameraSource {
    state: State,
    index: u32,
    /// Where it was plugged in.
    bus: String,
    wanted: Wanted,
    fps: f64,
    /// When the next picture is due, of a camera that gives more of them than are wanted.
    due: Option<Instant>,
    away: watch::Sender<Away>,
}

enum State {
    Here(Box<Camera>),
    Gone(Backoff),
}

impl CameraSource {
    pub(crate) fn open(
        index: u32,
        wanted: Wanted,
        away: watch::Sender<Away>,
    ) -> Result<Self, Failure> {
        let camera = Camera::open(index, &wanted).map_err(|error| Failure::device(&error))?;
        Ok(Self {
            index,
            bus: camera.bus().to_owned(),
            wanted,
            fps: camera.fps().min(f64::from(wanted.fps)),
            due: None,
            state: State::Here(Box::new(camera)),
            away,
        })
    }

    /// Width and height in pixels.
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.wanted.width, self.wanted.height)
    }

    /// Pictures a second.
    pub(crate) fn fps(&self) -> f64 {
        self.fps
    }

    /// Waits for the next picture and gives the moment at which it was taken; `None` when the
    /// program ends.
    pub(crate) fn next(&mut self, to: &mut I420, stopped: &Receiver<()>) -> Option<Instant> {
        while !is_over(stopped) {
            match &mut self.state {
                State::Here(camera) => match camera.next(WAIT, to) {
                    Ok(Some(taken)) if self.is_due(taken) => return Some(taken),
                    Ok(_) => {}
                    Err(error) => self.lost(&error),
                },
                State::Gone(backoff) => {
                    if !backoff.wait(stopped) {
                        return None;
                    }
                    self.look_again();
                }
            }
        }
        None
    }

    /// Whether a picture is to be shown, so that there are as many as are wanted.
    fn is_due(&mut self, taken: Instant) -> bool {
        let interval = Duration::from_secs_f64(1.0 / self.fps);
        // Some come a little early.
        if self.due.is_some_and(|due| taken + interval / 4 < due) {
            return false;
        }
        let next = self.due.map_or(taken, |due| due.max(taken - interval / 2));
        self.due = Some(next + interval);
        true
    }

    fn lost(&mut self, error: &CaptureError) {
        self.state = State::Gone(Backoff::new());
        self.due = None;
        self.away
            .send_modify(|away| away.camera = Some(error.to_string()));
    }

    /// At the same socket, whatever number it has there now; else under the same number.
    fn look_again(&mut self) {
        let index = offers::find_by_bus(&self.bus).unwrap_or(self.index);
        match Camera::open(index, &self.wanted) {
            Ok(camera) => {
                self.bus = camera.bus().to_owned();
                self.state = State::Here(Box::new(camera));
                self.away.send_modify(|away| away.camera = None);
            }
            Err(error) => {
                tracing::debug!(%error, "the camera is not back yet");
            }
        }
    }
}
