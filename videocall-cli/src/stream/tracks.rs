//! What a picture and its sound are called on the wire.

use videocall_types::{ids::MediaKind, view::Routing};

/// A picture with the sound that belongs to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tracks {
    picture: (MediaKind, u32),
    sound: (MediaKind, u32),
}

/// Camera and microphone.
pub(super) const CAMERA: Tracks = Tracks {
    picture: (MediaKind::Video, 1),
    sound: (MediaKind::Audio, 2),
};

/// A screen and what it plays.
pub(super) const SCREEN: Tracks = Tracks {
    picture: (MediaKind::Screen, 3),
    sound: (MediaKind::ScreenAudio, 4),
};

impl Tracks {
    pub(super) fn is_screen(self) -> bool {
        self.picture.0 == MediaKind::Screen
    }

    pub(super) fn picture_id(self) -> u32 {
        self.picture.1
    }

    pub(super) fn sound_id(self) -> u32 {
        self.sound.1
    }

    /// Of a picture: all but its number, layer, and what it needs.
    pub(super) fn picture(self, capture_us: u64) -> Routing {
        routing(self.picture, capture_us)
    }

    /// Of sound: all but its number and level.
    pub(super) fn sound(self, capture_us: u64) -> Routing {
        routing(self.sound, capture_us)
    }
}

fn routing((kind, stream_id): (MediaKind, u32), capture_us: u64) -> Routing {
    Routing {
        kind,
        stream_id,
        spatial: 0,
        temporal: 0,
        keyframe: false,
        depends_back: 0,
        frame_number: 0,
        capture_us,
        audio_level: 0,
        encrypted: false,
    }
}
