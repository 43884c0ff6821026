//! Where pictures and sound come from.

use std::path::{Path, PathBuf};

use tokio::sync::watch;
use videocall_capture::Wanted;
use videocall_codec::{
    Container,
    opus::{Channels, FRAME_SAMPLES},
    pattern::{TestPicture, Tone},
    pcm::{Resampler, remix},
    wav, y4m,
    yuv::I420,
};

use super::{
    film::Film,
    input::{self, Input},
};
use crate::{
    args::StreamArgs,
    capture::{Away, CameraSource, MicrophoneSource},
    exit::Failure,
};

/// Samples that are read from a file at once.
const CHUNK: usize = 4800;
const RATE: u32 = 48_000;
/// `--screen` without a file.
const PATTERN: &str = "pattern";

/// A camera with its microphone, or a screen with its sound.
#[derive(Default)]
pub(super) struct Source {
    /// To be encoded.
    pub(super) pictures: Option<Pictures>,
    /// To be encoded.
    pub(super) sound: Option<Sound>,
    /// Encoded already.
    pub(super) film: Option<Film>,
}

impl Source {
    /// What is published as camera and microphone. Devices say by `away` when they are.
    pub(super) fn camera(args: &StreamArgs, away: &watch::Sender<Away>) -> Result<Self, Failure> {
        let sound = args.sound.as_deref();
        if args.screen_only {
            return Ok(Self::default());
        }
        if let Some(source) = Self::of_devices(args, away)? {
            return Ok(source);
        }
        let Some(input) = &args.input else {
            if sound.is_some() {
                return Err(Failure::usage("--sound goes with --input"));
            }
            let tone = (args.tone > 0.0).then(|| Sound::Tone(Tone::new(args.tone, 0.25)));
            return Ok(Self {
                pictures: Some(Pictures::pattern(args)?),
                sound: tone,
                film: None,
            });
        };
        Self::open(input, sound, args.repeat)
    }

    /// What is published as a screen.
    pub(super) fn screen(args: &StreamArgs) -> Result<Self, Failure> {
        let sound = args.screen_sound.as_deref();
        match &args.screen {
            None if sound.is_some() => Err(Failure::usage("--screen-sound goes with --screen")),
            None if args.screen_only => Err(Failure::usage("--screen-only goes with --screen")),
            None => Ok(Self::default()),
            Some(path) if path == Path::new(PATTERN) => Ok(Self {
                pictures: Some(Pictures::pattern(args)?),
                sound: sound
                    .map(|path| Sound::open(path, args.repeat))
                    .transpose()?,
                film: None,
            }),
            Some(path) if input::is_pipe(path) && args.input.as_deref() == Some(path) => Err(
                Failure::usage("standard input is camera or screen, not both"),
            ),
            Some(path) => Self::open(path, sound, args.repeat),
        }
    }

    fn of_devices(args: &StreamArgs, away: &watch::Sender<Away>) -> Result<Option<Self>, Failure> {
        let devices = &args.devices;
        let (width, height) = args.resolution;
        let wanted = Wanted {
            width,
            height,
            fps: args.fps,
            format: devices.frame_format.map(Into::into),
        };
        let camera = devices.video_device_index;
        let camera = camera.map(|index| CameraSource::open(index, wanted, away.clone()));
        let microphone = devices.audio_device.as_deref();
        let microphone = microphone.map(|device| MicrophoneSource::open(device, away.clone()));
        let source = Self {
            pictures: camera.transpose()?.map(Pictures::of_camera),
            sound: microphone
                .transpose()?
                .map(|one| Sound::Microphone(Box::new(one))),
            film: None,
        };
        Ok((source.pictures.is_some() || source.sound.is_some()).then_some(source))
    }

    fn open(path: &Path, sound: Option<&Path>, repeat: bool) -> Result<Self, Failure> {
        if repeat && input::is_pipe(path) {
            return Err(Failure::usage("--repeat: a pipe cannot be read twice"));
        }
        let again = repeat.then(|| path.to_owned());
        let (container, source) = input::open(path)?;
        let mut opened = Self::default();
        match container {
            Container::Wav if sound.is_some() => {
                return Err(Failure::usage(
                    "there is sound twice: by --input and by --sound",
                ));
            }
            Container::Wav => opened.sound = Some(Sound::read(path, source, again)?),
            Container::Y4m => opened.pictures = Some(Pictures::read(path, source, again)?),
            Container::Ivf | Container::Webm => {
                let own_sound = sound.is_none();
                opened.film = Some(Film::open(path, container, source, own_sound, repeat)?);
            }
        }
        if let Some(sound) = sound {
            opened.sound = Some(Sound::open(sound, repeat)?);
        }
        Ok(opened)
    }
}

/// Pictures of one size, at a steady rate.
pub(super) struct Pictures {
    kind: Kind,
    size: (u32, u32),
    fps: f64,
}

enum Kind {
    Camera(Box<CameraSource>),
    Pattern(Box<TestPicture>),
    Y4m {
        reader: y4m::Reader<Input>,
        path: PathBuf,
        /// To begin again.
        again: Option<PathBuf>,
    },
}

impl Pictures {
    fn pattern(args: &StreamArgs) -> Result<Self, Failure> {
        let (width, height) = args.resolution;
        let picture = TestPicture::new(width, height).map_err(Failure::other)?;
        Ok(Self {
            kind: Kind::Pattern(Box::new(picture)),
            size: args.resolution,
            fps: f64::from(args.fps),
        })
    }

    fn read(path: &Path, source: Input, again: Option<PathBuf>) -> Result<Self, Failure> {
        let name = input::name(path);
        let reader = y4m::Reader::new(source).map_err(|error| Failure::input(&name, error))?;
        let header = *reader.header();
        if header.width % 2 == 1 || header.height % 2 == 1 {
            let text = format!("{} × {} is not even", header.width, header.height);
            return Err(Failure::input(&name, text));
        }
        Ok(Self {
            kind: Kind::Y4m {
                reader,
                path: path.to_owned(),
                again,
            },
            size: (header.width, header.height),
            fps: (f64::from(header.fps_num) / f64::from(header.fps_den)).clamp(1.0, 120.0),
        })
    }

    fn of_camera(camera: CameraSource) -> Self {
        Self {
            size: camera.size(),
            fps: camera.fps(),
            kind: Kind::Camera(Box::new(camera)),
        }
    }

    /// The camera that says itself when the next picture comes.
    pub(super) fn camera(&mut self) -> Option<&mut CameraSource> {
        match &mut self.kind {
            Kind::Camera(camera) => Some(camera),
            _ => None,
        }
    }

    pub(super) fn size(&self) -> (u32, u32) {
        self.size
    }

    pub(super) fn fps(&self) -> f64 {
        self.fps
    }

    /// Whether each picture is that of the moment at which it is asked for, so that some can be
    /// left out.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.kind, Kind::Pattern(_))
    }

    /// The next picture; `false` at the end. A camera has none here.
    pub(super) fn next(
        &mut self,
        unix_ms: u64,
        number: u64,
        to: &mut I420,
    ) -> Result<bool, Failure> {
        match &mut self.kind {
            Kind::Camera(_) => Ok(false),
            Kind::Pattern(pattern) => {
                pattern.draw(unix_ms, number, to);
                Ok(true)
            }
            Kind::Y4m {
                reader,
                path,
                again,
            } => {
                let failure = |error| Failure::input(&input::name(path), error);
                if reader.next_picture(to).map_err(failure)? {
                    return Ok(true);
                }
                let Some(again) = again else {
                    let whole = !reader.is_truncated();
                    return whole.then_some(false).ok_or_else(|| input::cut_off(path));
                };
                let (_, source) = input::open(again)?;
                *reader = y4m::Reader::new(source).map_err(failure)?;
                reader.next_picture(to).map_err(failure)
            }
        }
    }
}

/// Sound in one channel at 48 kHz.
pub(super) enum Sound {
    Microphone(Box<MicrophoneSource>),
    Tone(Tone),
    Wav(Box<WavSound>),
}

pub(super) struct WavSound {
    reader: wav::Reader<Input>,
    resampler: Resampler,
    path: PathBuf,
    again: Option<PathBuf>,
    ready: Vec<f32>,
}

impl Sound {
    fn open(path: &Path, repeat: bool) -> Result<Self, Failure> {
        match input::open(path)? {
            (Container::Wav, source) => Self::read(path, source, repeat.then(|| path.to_owned())),
            _ => Err(Failure::input(
                &input::name(path),
                "sound must be a WAV file",
            )),
        }
    }

    fn read(path: &Path, source: Input, again: Option<PathBuf>) -> Result<Self, Failure> {
        let name = input::name(path);
        let reader = wav::Reader::new(source).map_err(|error| Failure::input(&name, error))?;
        let rate = reader.header().rate;
        let resampler =
            Resampler::new(rate, RATE, 1).map_err(|error| Failure::input(&name, error))?;
        Ok(Self::Wav(Box::new(WavSound {
            reader,
            resampler,
            path: path.to_owned(),
            again,
            ready: Vec::new(),
        })))
    }

    /// The microphone that says itself when the next sound comes.
    pub(super) fn microphone(&mut self) -> Option<&mut MicrophoneSource> {
        match self {
            Self::Microphone(microphone) => Some(microphone),
            _ => None,
        }
    }

    /// The next 20 ms; `false` at the end. A microphone has none here.
    pub(super) fn next(
        &mut self,
        unix_us: u64,
        to: &mut [f32; FRAME_SAMPLES],
    ) -> Result<bool, Failure> {
        match self {
            Self::Microphone(_) => Ok(false),
            Self::Tone(tone) => {
                tone.fill(unix_us, to);
                Ok(true)
            }
            Self::Wav(wav) => wav.next(to),
        }
    }
}

impl WavSound {
    fn next(&mut self, to: &mut [f32; FRAME_SAMPLES]) -> Result<bool, Failure> {
        while self.ready.len() < FRAME_SAMPLES {
            if !self.read()? {
                return Ok(false);
            }
        }
        to.copy_from_slice(&self.ready[..FRAME_SAMPLES]);
        self.ready.drain(..FRAME_SAMPLES);
        Ok(true)
    }

    fn read(&mut self) -> Result<bool, Failure> {
        let failure = |error| Failure::input(&input::name(&self.path), error);
        let (mut samples, mut mono) = (Vec::new(), Vec::new());
        let mut count = self.reader.read(CHUNK, &mut samples).map_err(failure)?;
        if count == 0 {
            let Some(again) = &self.again else {
                let whole = !self.reader.is_truncated();
                return whole
                    .then_some(false)
                    .ok_or_else(|| input::cut_off(&self.path));
            };
            let (_, source) = input::open(again)?;
            self.reader = wav::Reader::new(source).map_err(failure)?;
            count = self.reader.read(CHUNK, &mut samples).map_err(failure)?;
        }
        let channels = usize::from(self.reader.header().channels);
        remix(&samples, channels, Channels::Mono, &mut mono);
        self.resampler.push(&mono, &mut self.ready);
        Ok(count > 0)
    }
}
