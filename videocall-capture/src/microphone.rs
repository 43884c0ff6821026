//! A microphone, or what else a sound card records.

use std::time::{Duration, Instant};

use alsa::{
    Card, Ctl, Direction, ValueOr, card,
    pcm::{Access, Format, Frames, HwParams, PCM, State},
};
use videocall_codec::{
    opus::Channels,
    pcm::{Resampler, remix},
};

use crate::error::{CaptureError, Kind, errno};

/// Samples a second of what comes out.
pub const RATE: u32 = 48_000;
/// What the sound card keeps: as long may the program be busy elsewhere.
const BUFFER_US: u32 = 200_000;
const PERIOD_US: u32 = 10_000;
/// A device that gives nothing for so long is stuck.
const STUCK: Duration = Duration::from_secs(10);
/// Channels of a device at most; of more, those beyond are not looked at.
const MAX_CHANNELS: u32 = 8;

/// A microphone that ALSA knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MicrophoneInfo {
    /// What to open: `hw:1,0` would be the second card's first device; `plughw:` and `default` are
    /// ALSA's own conversions.
    pub device: String,
    /// What the card and the device call themselves.
    pub name: String,
}

/// Every device that records, card by card.
pub fn microphones() -> Vec<MicrophoneInfo> {
    card::Iter::new()
        .flatten()
        .flat_map(|card| recording(&card))
        .collect()
}

fn recording(card: &Card) -> Vec<MicrophoneInfo> {
    let Ok(ctl) = Ctl::from_card(card, true) else {
        return Vec::new();
    };
    let card_name = card.get_name().unwrap_or_default();
    let devices = alsa::ctl::DeviceIter::new(&ctl);
    let devices = devices.filter_map(|device| {
        let device = u32::try_from(device).ok()?;
        let info = ctl.pcm_info(device, 0, Direction::Capture).ok()?;
        Some(MicrophoneInfo {
            device: format!("hw:{},{device}", card.get_index()),
            name: format!("{card_name}: {}", info.get_name().unwrap_or_default()),
        })
    });
    devices.collect()
}

/// A microphone that gives one channel at [`RATE`]. Dropped, it is free for others.
pub struct Microphone {
    device: String,
    pcm: PCM,
    samples: Samples,
    rate: u32,
    channels: usize,
    resampler: Resampler,
    /// What was read at last, as `f32`, in the device's channels and then in one.
    interleaved: Vec<f32>,
    mono: Vec<f32>,
    /// When sound last came.
    alive: Instant,
    overruns: u64,
}

impl std::fmt::Debug for Microphone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Microphone")
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// How the device gives its samples, with memory to read them into.
enum Samples {
    S16(Vec<i16>),
    S32(Vec<i32>),
    F32(Vec<f32>),
}

impl Samples {
    fn set(params: &HwParams<'_>, length: usize) -> alsa::Result<Self> {
        if params.set_format(Format::s16()).is_ok() {
            return Ok(Self::S16(vec![0; length]));
        }
        if params.set_format(Format::s32()).is_ok() {
            return Ok(Self::S32(vec![0; length]));
        }
        params.set_format(Format::float())?;
        Ok(Self::F32(vec![0.0; length]))
    }

    /// Reads what is there, and gives the number of samples per channel.
    fn read(&mut self, pcm: &PCM, channels: usize, to: &mut Vec<f32>) -> alsa::Result<usize> {
        to.clear();
        match self {
            Self::S16(buffer) => {
                let frames = pcm.io_i16()?.readi(buffer)?;
                let read = buffer.iter().take(frames * channels);
                to.extend(read.map(|sample| f32::from(*sample) / 32_768.0));
                Ok(frames)
            }
            Self::S32(buffer) => {
                let frames = pcm.io_i32()?.readi(buffer)?;
                let read = buffer.iter().take(frames * channels);
                to.extend(read.map(|sample| (f64::from(*sample) / 2_147_483_648.0) as f32));
                Ok(frames)
            }
            Self::F32(buffer) => {
                let frames = pcm.io_f32()?.readi(buffer)?;
                to.extend(buffer.iter().take(frames * channels));
                Ok(frames)
            }
        }
    }
}

impl Microphone {
    /// Opens a device by ALSA's name for it, and starts it.
    pub fn open(device: &str) -> Result<Self, CaptureError> {
        let failed = |error| failure(device, error);
        // What ALSA would write to standard error, the errors say as well.
        let _said = alsa::Output::local_error_handler();
        // Without waiting for one that another program has.
        let opened = PCM::new(device, Direction::Capture, true);
        let pcm = opened.map_err(|error| match error.errno() {
            errno::NO_ENTRY | errno::NO_DEVICE | errno::NO_ADDRESS => not_found(device),
            _ => failed(error),
        })?;
        let (samples, rate, channels) = set_up(&pcm).map_err(failed)?;
        let resampler = Resampler::new(rate, RATE, 1);
        let resampler = resampler.map_err(|error| CaptureError::Unsupported {
            device: device.to_owned(),
            wanted: "sound that can be used".to_owned(),
            offers: error.to_string(),
        })?;
        pcm.start().map_err(failed)?;
        Ok(Self {
            device: device.to_owned(),
            pcm,
            samples,
            rate,
            channels,
            resampler,
            interleaved: Vec::new(),
            mono: Vec::new(),
            alive: Instant::now(),
            overruns: 0,
        })
    }

    /// Waits for sound and appends it to `to`; gives the moment at which the last sample of it was
    /// heard, or `None` if there was none in time.
    pub fn next(
        &mut self,
        wait: Duration,
        to: &mut Vec<f32>,
    ) -> Result<Option<Instant>, CaptureError> {
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let read = match self.pcm.wait(Some(wait_ms)) {
            Ok(true) => self
                .samples
                .read(&self.pcm, self.channels, &mut self.interleaved),
            Ok(false) => Ok(0),
            Err(error) => Err(error),
        };
        match read {
            Ok(0) => self.nothing(),
            Ok(_) => {
                self.alive = Instant::now();
                self.mono.clear();
                remix(
                    &self.interleaved,
                    self.channels,
                    Channels::Mono,
                    &mut self.mono,
                );
                self.resampler.push(&self.mono, to);
                Ok(Some(self.heard_at()))
            }
            Err(error) if matches!(error.errno(), errno::AGAIN | errno::INTERRUPTED) => {
                self.nothing()
            }
            Err(error) => self.recover(error).map(|()| None),
        }
    }

    /// Times at which sound was lost because nobody fetched it.
    pub fn overruns(&self) -> u64 {
        self.overruns
    }

    fn nothing(&self) -> Result<Option<Instant>, CaptureError> {
        if self.pcm.state() == State::Disconnected || self.alive.elapsed() > STUCK {
            return Err(self.gone());
        }
        Ok(None)
    }

    fn gone(&self) -> CaptureError {
        CaptureError::Gone {
            device: self.device.clone(),
        }
    }

    /// After an overrun, or after the machine slept. ALSA makes the device ready only; unless it
    /// is started again as well, nothing comes ever after.
    fn recover(&mut self, error: alsa::Error) -> Result<(), CaptureError> {
        let lost = matches!(error.errno(), errno::OVERRUN | errno::SUSPENDED);
        if !lost || self.pcm.state() == State::Disconnected {
            return Err(match error.errno() {
                errno::BAD_STATE | errno::NO_DEVICE => self.gone(),
                _ => failure(&self.device, error),
            });
        }
        self.overruns += 1;
        let again = self
            .pcm
            .try_recover(error, true)
            .and_then(|()| match self.pcm.state() {
                State::Running => Ok(()),
                _ => self.pcm.start(),
            });
        again.map_err(|error| failure(&self.device, error))
    }

    /// When the last sample that was read was heard: what the device still holds came after it.
    fn heard_at(&self) -> Instant {
        let now = Instant::now();
        let behind = self
            .pcm
            .delay()
            .unwrap_or(0)
            .clamp(0, Frames::from(self.rate));
        let behind = Duration::from_secs_f64(behind as f64 / f64::from(self.rate));
        now.checked_sub(behind).unwrap_or(now)
    }
}

/// Finds what the device can do, nearest to 16 bits, one channel and 48 kHz.
fn set_up(pcm: &PCM) -> alsa::Result<(Samples, u32, usize)> {
    let params = HwParams::any(pcm)?;
    params.set_access(Access::RWInterleaved)?;
    // The resampler here is better than ALSA's own.
    params.set_rate_resample(false)?;
    let rate = params.set_rate_near(RATE, ValueOr::Nearest)?;
    let channels = params.set_channels_near(1)?;
    if channels > MAX_CHANNELS {
        return Err(alsa::Error::unsupported("more than eight channels"));
    }
    let length = (rate / 50 * channels) as usize;
    let samples = Samples::set(&params, length)?;
    params.set_buffer_time_near(BUFFER_US, ValueOr::Nearest)?;
    params.set_period_time_near(PERIOD_US, ValueOr::Nearest)?;
    pcm.hw_params(&params)?;
    pcm.prepare()?;
    Ok((samples, rate, channels as usize))
}

fn not_found(device: &str) -> CaptureError {
    let found = microphones();
    if found.is_empty() && cards_are_closed() {
        return failure(device, alsa::Error::new("opening it", errno::ACCESS));
    }
    CaptureError::NotFound {
        device: device.to_owned(),
        kind: Kind::Microphone,
        found: found.into_iter().map(|one| one.device).collect(),
    }
}

/// Whether there are sound cards that this user may not open: to ALSA, those do not exist.
fn cards_are_closed() -> bool {
    let files = std::fs::read_dir("/dev/snd")
        .into_iter()
        .flatten()
        .flatten();
    let mut cards = files.filter(|file| file.file_name().to_string_lossy().starts_with("controlC"));
    cards.any(|card| {
        let opened = std::fs::File::open(card.path());
        opened.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
    })
}

fn failure(device: &str, error: alsa::Error) -> CaptureError {
    let device = device.to_owned();
    match error.errno() {
        errno::NO_DEVICE => CaptureError::Gone { device },
        errno::BUSY => CaptureError::Busy {
            device,
            path: "/dev/snd/*".to_owned(),
        },
        errno::ACCESS | errno::NOT_PERMITTED => CaptureError::NoPermission {
            device,
            group: "audio",
        },
        errno => CaptureError::Other {
            device,
            step: error.func(),
            source: std::io::Error::from_raw_os_error(errno),
        },
    }
}
