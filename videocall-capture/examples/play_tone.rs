//! Plays a tone for ever: `play_tone DEVICE HERTZ`. What comes out of a loopback card's other side
//! is then known. The tone comes and goes as syllables do, since what never changes is noise to
//! those that look for speech.

use alsa::{
    Direction, ValueOr,
    pcm::{Access, Format, HwParams, PCM},
};
use videocall_codec::pattern::sine;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, device, hertz] = arguments.as_slice() else {
        return Err("play_tone DEVICE HERTZ".into());
    };
    let pcm = PCM::new(device, Direction::Playback, false)?;
    let params = HwParams::any(&pcm)?;
    params.set_access(Access::RWInterleaved)?;
    params.set_format(Format::s16())?;
    params.set_channels(1)?;
    params.set_rate(48_000, ValueOr::Nearest)?;
    pcm.hw_params(&params)?;
    drop(params);
    // A second of it, in which every whole frequency comes round; four syllables, with pauses.
    let tone = sine(hertz.parse()?, 0.25, 48_000);
    let syllables = tone.into_iter().enumerate().map(|(index, sample)| {
        let is_pause = index % 12_000 >= 9_600;
        if is_pause {
            0
        } else {
            (sample * 32_767.0) as i16
        }
    });
    let samples: Vec<i16> = syllables.collect();
    let io = pcm.io_i16()?;
    for piece in samples.chunks_exact(480).cycle() {
        if let Err(error) = io.writei(piece) {
            pcm.try_recover(error, true)?;
        }
    }
    Ok(())
}
