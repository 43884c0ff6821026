//! What the others are told is on offer: the stream of a device that is unplugged is muted until it
//! is back, and layers that cannot be sent are left out.

use tokio::sync::watch;
use videocall_types::{
    ids::MediaKind,
    wire::{LayerInfo, PublishState},
};

use crate::capture::Away;

/// Which devices are away, and what is offered.
pub(super) struct Devices {
    away: watch::Receiver<Away>,
    known: Away,
    publish: PublishState,
}

/// A device has gone, or is back.
pub(super) struct Change {
    pub(super) device: &'static str,
    /// Why it has gone.
    pub(super) reason: Option<String>,
    /// What is offered now.
    pub(super) publish: PublishState,
}

impl Devices {
    pub(super) fn new(away: watch::Receiver<Away>, publish: PublishState) -> Self {
        Self {
            away,
            known: Away::default(),
            publish,
        }
    }

    /// Waits for the next change; for ever, if there is no device.
    pub(super) async fn changed(&mut self) -> Change {
        loop {
            let now = self.away.borrow_and_update().clone();
            if now.camera != self.known.camera {
                self.known.camera.clone_from(&now.camera);
                return self.change("camera", MediaKind::Video, now.camera);
            }
            if now.microphone != self.known.microphone {
                self.known.microphone.clone_from(&now.microphone);
                return self.change("microphone", MediaKind::Audio, now.microphone);
            }
            if self.away.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// What is offered when these are the layers of the picture, if it changes.
    pub(super) fn offer(&mut self, layers: &[LayerInfo]) -> Option<PublishState> {
        let mut streams = self.publish.streams.iter_mut();
        let video = streams.find(|stream| stream.kind == i32::from(MediaKind::Video))?;
        if video.layers.len() == layers.len() {
            return None;
        }
        video.layers = layers.to_vec();
        Some(self.publish.clone())
    }

    fn change(&mut self, device: &'static str, kind: MediaKind, reason: Option<String>) -> Change {
        let streams = self.publish.streams.iter_mut();
        for stream in streams.filter(|stream| stream.kind == i32::from(kind)) {
            stream.muted = reason.is_some();
        }
        Change {
            device,
            reason,
            publish: self.publish.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use videocall_types::wire::StreamInfo;

    use super::*;

    #[tokio::test]
    async fn the_stream_of_the_device_is_muted_while_it_is_away() {
        let stream = |kind: MediaKind| StreamInfo {
            kind: kind.into(),
            ..StreamInfo::default()
        };
        let publish = PublishState {
            streams: vec![stream(MediaKind::Video), stream(MediaKind::Audio)],
        };
        let (sender, away) = watch::channel(Away::default());
        let mut devices = Devices::new(away, publish);
        let muted = |change: &Change| -> Vec<bool> {
            change
                .publish
                .streams
                .iter()
                .map(|stream| stream.muted)
                .collect()
        };
        sender.send_modify(|away| away.camera = Some("gone".to_owned()));
        let change = devices.changed().await;
        assert_eq!(
            (change.device, muted(&change)),
            ("camera", vec![true, false])
        );
        sender.send_modify(|away| away.microphone = Some("gone".to_owned()));
        assert_eq!(muted(&devices.changed().await), [true, true]);
        sender.send_modify(|away| away.camera = None);
        let change = devices.changed().await;
        assert_eq!(
            (change.reason.is_none(), muted(&change)),
            (true, vec![false, true])
        );
    }
}
