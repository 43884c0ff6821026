//! What meetings are like.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{layout::Layout, source::Media, speech::Speech};

/// One simulcast layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerOptions {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bits per second.
    pub bitrate: u32,
}

/// The layers of `--layers 3`; fewer leave out the largest.
pub const LAYERS: [LayerOptions; 3] = [
    LayerOptions {
        width: 320,
        height: 180,
        bitrate: 150_000,
    },
    LayerOptions {
        width: 640,
        height: 360,
        bitrate: 500_000,
    },
    LayerOptions {
        width: 1280,
        height: 720,
        bitrate: 1_500_000,
    },
];

/// What meetings are like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeetingOptions {
    /// Connections that join the same meeting.
    pub participants: u64,
    /// How many of a meeting have their camera on.
    pub cameras: u64,
    /// How many of a meeting share their screen.
    pub screens: u64,
    /// How many of a meeting have their microphone on.
    pub speakers: u64,
    /// When those speak.
    pub speech: Speech,
    /// What everybody looks at.
    pub layout: Layout,
    /// Highest temporal layer that everybody wants.
    pub max_temporal: Option<u32>,
    /// Speak as clients of videocall.rs do: no Hello, no routing header, one layer.
    pub legacy: bool,
    /// The simulcast layers of a camera, smallest first.
    pub layers: Vec<LayerOptions>,
    /// Pictures a second.
    pub fps: u32,
    /// A keyframe comes at least this often.
    pub keyframe_interval: Duration,
    /// Bits per second of a voice.
    pub audio_bitrate: u32,
    /// How many of those who speak the server forwards. With more than that it is the server's
    /// right to leave out sound, so that gaps of sound are not counted as loss.
    pub loudest: u64,
    /// IVF or WebM file that cameras and microphones play, instead of simulated media.
    pub media: Option<PathBuf>,
    /// Begins the names of the meetings.
    pub name: String,
    /// For the server's answer to the join.
    pub join_timeout: Duration,
    /// Makes a run repeatable.
    pub seed: u64,
}

impl Default for MeetingOptions {
    fn default() -> Self {
        Self {
            participants: 10,
            cameras: 3,
            screens: 0,
            speakers: 3,
            speech: Speech::Steady,
            layout: Layout::Everything,
            max_temporal: None,
            legacy: false,
            layers: LAYERS.to_vec(),
            fps: 30,
            keyframe_interval: Duration::from_secs(10),
            audio_bitrate: 32_000,
            loudest: 5,
            media: None,
            name: "load".to_owned(),
            join_timeout: Duration::from_secs(10),
            seed: 1,
        }
    }
}

impl MeetingOptions {
    /// Refuses what contradicts itself.
    pub fn check(&self) -> Result<(), String> {
        let require = |holds: bool, what: &str| {
            if holds { Ok(()) } else { Err(what.to_owned()) }
        };
        require(self.participants > 0, "a meeting has no participants")?;
        require(
            self.cameras <= self.participants,
            "a meeting has more cameras than participants",
        )?;
        require(
            self.speakers <= self.participants,
            "a meeting has more speakers than participants",
        )?;
        require(
            self.screens <= self.participants,
            "a meeting has more screens than participants",
        )?;
        if let Some(path) = &self.media {
            let media = Media::load(path)?;
            let video = media.video().is_some();
            let what = "has no pictures for the cameras, and no sound for the microphones";
            if !(video && self.cameras > 0 || media.has_sound() && self.speakers > 0) {
                return Err(format!("{} {what}", path.display()));
            }
        }
        require(
            (1..=120).contains(&self.fps),
            "give 1 to 120 pictures a second",
        )?;
        require(
            (1..=4).contains(&self.layers.len()),
            "a camera has 1 to 4 layers",
        )?;
        require(
            self.max_temporal.is_none_or(|max| max < 3),
            "the highest temporal layer is 0, 1 or 2",
        )
    }

    /// The layers of a camera.
    pub fn camera_layers(&self) -> &[LayerOptions] {
        if !self.legacy {
            return &self.layers;
        }
        // One encoding in the middle, as a client without simulcast has it.
        let middle = self.layers.len() / 2;
        &self.layers[middle..=middle]
    }
}
