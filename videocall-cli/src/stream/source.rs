//! Where pictures and sound come from.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use videocall_codec::{
    opus::{Channels, FRAME_SAMPLES},
    pattern::{TestPicture, Tone},
    pcm::{Resampler, remix},
    wav, y4m,
    yuv::I420,
};

use crate::{args::StreamArgs, exit::Failure};

/// Samples that are read from a file at once.
const CHUNK: usize = 4800;
const RATE: u32 = 48_000;

type Input = BufReader<Box<dyn Read + Send>>;

/// What is published.
pub(super) struct Source {
    pub(super) pictures: Option<Pictures>,
    pub(super) sound: Option<Sound>,
}

impl Source {
    pub(super) fn open(args: &StreamArgs) -> Result<Self, Failure> {
        let Some(input) = &args.input else {
            let (width, height) = args.resolution;
            let picture = TestPicture::new(width, height).map_err(Failure::other)?;
            let tone = (args.tone > 0.0).then(|| Sound::Tone(Tone::new(args.tone, 0.25)));
            return Ok(Self {
                pictures: Some(Pictures {
                    kind: Kind::Pattern(Box::new(picture)),
                    size: args.resolution,
                    fps: f64::from(args.fps),
                }),
                sound: tone,
            });
        };
        if input
            .extension()
            .is_some_and(|extension| extension == "wav")
        {
            let sound = Some(Sound::open(input, args.repeat)?);
            return Ok(Self {
                pictures: None,
                sound,
            });
        }
        let sound = args.sound.as_ref();
        Ok(Self {
            pictures: Some(Pictures::open(input, args.repeat)?),
            sound: sound
                .map(|path| Sound::open(path, args.repeat))
                .transpose()?,
        })
    }
}

fn open(path: &Path) -> Result<Input, Failure> {
    let input: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let file = File::open(path);
        Box::new(file.map_err(|error| Failure::input(&path.display().to_string(), error))?)
    };
    Ok(BufReader::new(input))
}

/// Pictures of one size, at a steady rate.
pub(super) struct Pictures {
    kind: Kind,
    size: (u32, u32),
    fps: f64,
}

enum Kind {
    Pattern(Box<TestPicture>),
    Y4m {
        reader: y4m::Reader<Input>,
        /// To begin again.
        path: Option<PathBuf>,
    },
}

impl Pictures {
    fn open(path: &Path, repeat: bool) -> Result<Self, Failure> {
        let name = path.display().to_string();
        if repeat && path == Path::new("-") {
            return Err(Failure::usage("--repeat: a pipe cannot be read twice"));
        }
        let reader = y4m::Reader::new(open(path)?).map_err(|error| Failure::input(&name, error))?;
        let header = *reader.header();
        if header.width % 2 == 1 || header.height % 2 == 1 {
            let text = format!("{} × {} is not even", header.width, header.height);
            return Err(Failure::input(&name, text));
        }
        Ok(Self {
            kind: Kind::Y4m {
                reader,
                path: repeat.then(|| path.to_owned()),
            },
            size: (header.width, header.height),
            fps: (f64::from(header.fps_num) / f64::from(header.fps_den)).clamp(1.0, 120.0),
        })
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

    /// The next picture; `false` at the end.
    pub(super) fn next(&mut self, unix_ms: u64, number: u64, to: &mut I420) -> bool {
        match &mut self.kind {
            Kind::Pattern(pattern) => {
                pattern.draw(unix_ms, number, to);
                true
            }
            Kind::Y4m { reader, path } => {
                if matches!(reader.next_picture(to), Ok(true)) {
                    return true;
                }
                let again = path.as_deref().and_then(|path| open(path).ok());
                let Some(again) = again.and_then(|input| y4m::Reader::new(input).ok()) else {
                    return false;
                };
                *reader = again;
                matches!(reader.next_picture(to), Ok(true))
            }
        }
    }
}

/// Sound in one channel at 48 kHz.
pub(super) enum Sound {
    Tone(Tone),
    Wav(Box<WavSound>),
}

pub(super) struct WavSound {
    reader: wav::Reader<Input>,
    resampler: Resampler,
    path: Option<PathBuf>,
    ready: Vec<f32>,
}

impl Sound {
    fn open(path: &Path, repeat: bool) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let reader = wav::Reader::new(open(path)?).map_err(|error| Failure::input(&name, error))?;
        let rate = reader.header().rate;
        let resampler =
            Resampler::new(rate, RATE, 1).map_err(|error| Failure::input(&name, error))?;
        Ok(Self::Wav(Box::new(WavSound {
            reader,
            resampler,
            path: repeat.then(|| path.to_owned()),
            ready: Vec::new(),
        })))
    }

    /// The next 20 ms; `false` at the end.
    pub(super) fn next(&mut self, unix_us: u64, to: &mut [f32; FRAME_SAMPLES]) -> bool {
        match self {
            Self::Tone(tone) => {
                tone.fill(unix_us, to);
                true
            }
            Self::Wav(wav) => wav.next(to),
        }
    }
}

impl WavSound {
    fn next(&mut self, to: &mut [f32; FRAME_SAMPLES]) -> bool {
        while self.ready.len() < FRAME_SAMPLES {
            if !self.read() {
                return false;
            }
        }
        to.copy_from_slice(&self.ready[..FRAME_SAMPLES]);
        self.ready.drain(..FRAME_SAMPLES);
        true
    }

    fn read(&mut self) -> bool {
        let channels = usize::from(self.reader.header().channels);
        let (mut samples, mut mono) = (Vec::new(), Vec::new());
        if matches!(self.reader.read(CHUNK, &mut samples), Ok(0) | Err(_)) {
            let again = self.path.as_deref().and_then(|path| open(path).ok());
            let Some(again) = again.and_then(|input| wav::Reader::new(input).ok()) else {
                return false;
            };
            self.reader = again;
            return matches!(self.reader.read(CHUNK, &mut samples), Ok(1..))
                && self.take(&samples, channels, &mut mono);
        }
        self.take(&samples, channels, &mut mono)
    }

    fn take(&mut self, samples: &[f32], channels: usize, mono: &mut Vec<f32>) -> bool {
        remix(samples, channels, Channels::Mono, mono);
        self.resampler.push(mono, &mut self.ready);
        true
    }
}
