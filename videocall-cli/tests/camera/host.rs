//! What is seen and heard at the server that the guest streams to.

use std::{
    fs::File,
    io::BufReader,
    process::{Command, Stdio},
};

use crate::support::Running;
use videocall_codec::{pattern::measure_tone, wav, y4m, yuv::I420};

const RATE: usize = 48_000;

/// What came of a participant.
pub(crate) struct Seen {
    /// Pictures, and how many of them show the colour bars.
    pub(crate) pictures: usize,
    pub(crate) bars: usize,
    /// Tenths of a second of sound.
    pub(crate) sound: Vec<Vec<f32>>,
    /// The middles of the bars of the last picture: Y, U, V.
    pub(crate) last: Vec<[u8; 3]>,
}

impl Seen {
    /// How many tenths of a second have a tone.
    pub(crate) fn loud(&self, hertz: f32) -> usize {
        let tenths = self.sound.iter();
        tenths
            .filter(|tenth| measure_tone(tenth, hertz) > 0.05)
            .count()
    }

    /// Joins a meeting until so many pictures with colour bars have come, or a minute is over.
    pub(crate) fn watch(port: u16, meeting: &str, wanted: usize) -> Seen {
        let folder = tempfile::tempdir().unwrap();
        let sound = folder.path().join("sound.wav");
        let mut process = Command::new(env!("CARGO_BIN_EXE_videocall-cli"))
            .args(["watch", "--server", &format!("http://127.0.0.1:{}", port)])
            .args([
                "--meeting-id",
                meeting,
                "--user-id",
                "eye",
                "--duration",
                "60",
            ])
            .args(["--y4m", "-", "--wav", sound.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pictures = BufReader::new(process.stdout.take().unwrap());
        let mut process = Running(process);
        let mut seen = Seen {
            pictures: 0,
            bars: 0,
            sound: Vec::new(),
            last: Vec::new(),
        };
        if let Ok(mut reader) = y4m::Reader::new(pictures) {
            let mut picture = I420::black(2, 2).unwrap();
            while seen.bars < wanted && matches!(reader.next_picture(&mut picture), Ok(true)) {
                seen.pictures += 1;
                seen.last = middles(&picture);
                seen.bars += usize::from(are_bars(&seen.last));
            }
            let pid = process.0.id().to_string();
            Command::new("kill").args(["-TERM", &pid]).status().unwrap();
            // It cannot end while it waits for room in the pipe.
            while matches!(reader.next_picture(&mut picture), Ok(true)) {}
            process.0.wait().unwrap();
        }
        if let Ok(mut reader) = wav::Reader::new(BufReader::new(File::open(&sound).unwrap())) {
            let mut samples = Vec::new();
            while reader.read(RATE, &mut samples).unwrap() > 0 {}
            seen.sound = samples
                .chunks_exact(RATE / 10)
                .map(<[f32]>::to_vec)
                .collect();
        }
        seen
    }
}

/// Colours of the middles of eight bars, at the bottom: `vivid` writes over the rest.
fn middles(picture: &I420) -> Vec<[u8; 3]> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let bars = (0..8).map(|bar| {
        let (x, y) = (width * (2 * bar + 1) / 16, height * 11 / 12);
        let chroma = y / 2 * width.div_ceil(2) + x / 2;
        [
            picture.y()[y * width + x],
            picture.u()[chroma],
            picture.v()[chroma],
        ]
    });
    bars.collect()
}

/// Whether they are white of any brightness, and yellow, cyan, green, magenta, red, blue and black
/// at 75 %, BT.601.
fn are_bars(middles: &[[u8; 3]]) -> bool {
    const BARS: [[u8; 3]; 8] = [
        [255, 128, 128],
        [162, 44, 142],
        [131, 156, 44],
        [112, 72, 58],
        [84, 184, 198],
        [65, 100, 212],
        [35, 212, 114],
        [16, 128, 128],
    ];
    let mut parts = middles.iter().flatten().zip(BARS.as_flattened());
    let white = parts.next().is_some_and(|(found, _)| *found > 160);
    white && parts.all(|(found, expected)| found.abs_diff(*expected) <= 16)
}
