//! Files and pipes that decoded media goes to.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use videocall_codec::{
    wav, y4m,
    yuv::{I420, Scaler},
};
use videocall_types::ids::MediaKind;

use crate::exit::Failure;

/// What a Y4M file says of its rate; a meeting has none of its own.
const FPS: u32 = 30;
const RATE: u32 = 48_000;

type Output = BufWriter<Box<dyn Write + Send>>;

/// Where pictures and sound are written, if anywhere.
pub(super) struct Sinks {
    pictures: Option<Pictures>,
    sound: Option<(String, wav::Writer<Output>)>,
}

struct Pictures {
    name: String,
    /// Until the size is known.
    output: Option<Output>,
    writer: Option<y4m::Writer<Output>>,
    size: (u32, u32),
    /// A file has one size; what comes in others is brought to it.
    scaled: I420,
}

fn create(path: &Path) -> Result<Output, Failure> {
    let output: Box<dyn Write + Send> = if path == Path::new("-") {
        Box::new(std::io::stdout())
    } else {
        let file = File::create(path);
        Box::new(file.map_err(|error| Failure::output(&path.display().to_string(), error))?)
    };
    Ok(BufWriter::new(output))
}

impl Sinks {
    pub(super) fn open(y4m: Option<&Path>, wav: Option<&Path>) -> Result<Self, Failure> {
        let pipe = Some(Path::new("-"));
        if y4m == pipe && wav == pipe {
            return Err(Failure::usage(
                "standard output is pictures or sound, not both",
            ));
        }
        let pictures = y4m.map(|path| {
            Ok(Pictures {
                name: path.display().to_string(),
                output: Some(create(path)?),
                writer: None,
                size: (0, 0),
                scaled: I420::black(2, 2).map_err(Failure::other)?,
            })
        });
        let sound = wav.map(|path| {
            let name = path.display().to_string();
            let header = wav::Header {
                rate: RATE,
                channels: 1,
            };
            let writer = wav::Writer::new(create(path)?, header);
            let writer = writer.map_err(|error| Failure::output(&name, error))?;
            Ok((name, writer))
        });
        Ok(Self {
            pictures: pictures.transpose()?,
            sound: sound.transpose()?,
        })
    }

    /// The first to send this is whose media is written.
    pub(super) fn chosen_by(&self) -> MediaKind {
        if self.pictures.is_none() && self.sound.is_some() {
            MediaKind::Audio
        } else {
            MediaKind::Video
        }
    }

    /// Writes a picture; `false` if nobody reads it any more.
    pub(super) fn picture(&mut self, picture: &I420) -> Result<bool, Failure> {
        let Some(pictures) = &mut self.pictures else {
            return Ok(true);
        };
        let written = pictures.write(picture);
        goes_on(&pictures.name, written)
    }

    /// Writes sound; `false` if nobody reads it any more.
    pub(super) fn sound(&mut self, samples: &[f32]) -> Result<bool, Failure> {
        let Some((name, writer)) = &mut self.sound else {
            return Ok(true);
        };
        let written = writer.write(samples);
        goes_on(name, written)
    }

    /// Writes what is still in memory.
    pub(super) fn finish(self) -> Result<(), Failure> {
        if let Some(Pictures { name, writer, .. }) = self.pictures
            && let Some(writer) = writer
        {
            goes_on(&name, writer.finish().map(drop))?;
        }
        if let Some((name, writer)) = self.sound {
            goes_on(&name, writer.finish().map(drop))?;
        }
        Ok(())
    }
}

/// The reader of a pipe closes it when it has enough: that is an end, not a failure.
fn goes_on(name: &str, written: std::io::Result<()>) -> Result<bool, Failure> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::output(name, error)),
    }
}

impl Pictures {
    fn write(&mut self, picture: &I420) -> std::io::Result<()> {
        let size = (picture.width(), picture.height());
        if let Some(output) = self.output.take() {
            self.size = size;
            let header = y4m::Header::new(size.0, size.1, FPS);
            self.writer = Some(y4m::Writer::new(output, header)?);
        }
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        if size == self.size {
            return writer.write(picture);
        }
        let scaler = Scaler::new(size, self.size).map_err(std::io::Error::other)?;
        let mut scaler = scaler;
        scaler
            .scale(picture, &mut self.scaled)
            .map_err(std::io::Error::other)?;
        writer.write(&self.scaled)
    }
}
