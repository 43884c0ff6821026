//! Opus (RFC 6716) at 48 kHz in frames of 20 ms, with what lossy networks need: in-band forward
//! error correction, concealment, and silence that costs nothing.
//!
//! Samples are `f32` from −1 to 1, interleaved where there are two channels.

use ::opus::{Application, Bitrate, Signal};
use bytes::Bytes;

/// Samples a second and channel. Opus knows others; this crate and browsers use this one.
pub const SAMPLE_RATE: u32 = 48_000;

/// Samples per channel of a frame that the encoder takes: 20 ms.
pub const FRAME_SAMPLES: usize = 960;

/// Samples per channel of the longest packet there can be: 120 ms.
pub const MAX_PACKET_SAMPLES: usize = 5_760;

/// Samples per channel by which what comes out of a decoder is late, as libopus and browsers encode:
/// the pre-skip of files made from packets of a meeting.
pub const DELAY_SAMPLES: u16 = 312;

/// Longest packet, in bytes: three frames of 1275 and their lengths are rare already.
const MAX_PACKET_BYTES: usize = 4_000;

/// Samples per channel at [`SAMPLE_RATE`] of a packet, from its head alone; `None` for bytes that
/// are no packet.
pub fn packet_samples(packet: &[u8]) -> Option<usize> {
    if packet.is_empty() || packet.len() > usize::from(u16::MAX) {
        return None;
    }
    ::opus::packet::get_nb_samples(packet, SAMPLE_RATE).ok()
}

/// How many channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    /// One.
    #[default]
    Mono,
    /// Two: left, then right.
    Stereo,
}

impl Channels {
    /// 1 or 2.
    pub const fn count(self) -> usize {
        match self {
            Self::Mono => 1,
            Self::Stereo => 2,
        }
    }

    const fn raw(self) -> ::opus::Channels {
        match self {
            Self::Mono => ::opus::Channels::Mono,
            Self::Stereo => ::opus::Channels::Stereo,
        }
    }
}

/// What is heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sound {
    /// People speaking: intelligible also at 16 kbit/s.
    #[default]
    Speech,
    /// Anything else, as true as possible.
    Music,
}

/// Settings of an encoder.
#[derive(Clone, Debug)]
pub struct EncoderConfig {
    /// Channels of the samples.
    pub channels: Channels,
    /// Tuning.
    pub sound: Sound,
    /// Bits a second, 6000 to 510000.
    pub bitrate_bps: u32,
    /// Each packet carries a coarse copy of the one before it, as far as `packet_loss_percent`
    /// makes that worth the bits.
    pub fec: bool,
    /// Packets that are expected to be lost, 0 to 100.
    pub packet_loss_percent: u8,
    /// In silence only one packet in 400 ms says anything; see [`Packet::silent`].
    pub dtx: bool,
    /// 0 to 10: higher sounds better and costs more.
    pub complexity: u8,
}

impl EncoderConfig {
    /// Speech at 32 kbit/s or music at 96 kbit/s per channel, ready for a loss of 5 %.
    pub fn new(channels: Channels, sound: Sound) -> Self {
        let each = match sound {
            Sound::Speech => 32_000,
            Sound::Music => 96_000,
        };
        Self {
            channels,
            sound,
            bitrate_bps: each * channels.count() as u32,
            fec: true,
            packet_loss_percent: 5,
            dtx: false,
            complexity: 7,
        }
    }
}

/// Why sound could not be encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub enum OpusError {
    /// Not exactly one frame.
    #[error("{found} samples where {expected} make a frame")]
    FrameLength {
        /// Samples given, of all channels.
        found: usize,
        /// Samples of a frame, of all channels.
        expected: usize,
    },
    /// No packet is that long.
    #[error("a packet of {0} bytes")]
    PacketLength(usize),
    /// libopus's own words on settings out of range and damaged packets.
    #[error("libopus: {}", .0.description())]
    Library(#[from] ::opus::Error),
}

/// An encoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The Opus packet.
    pub data: Bytes,
    /// With [`EncoderConfig::dtx`]: nothing is to be heard, and the packet need not be sent. The
    /// receiver conceals it as comfort noise.
    pub silent: bool,
}

/// Encodes frames of [`FRAME_SAMPLES`].
#[derive(Debug)]
pub struct Encoder {
    inner: ::opus::Encoder,
    channels: Channels,
    buffer: Vec<u8>,
}

impl Encoder {
    /// Makes an encoder; settings out of range are errors.
    pub fn new(config: &EncoderConfig) -> Result<Self, OpusError> {
        let (application, signal) = match config.sound {
            Sound::Speech => (Application::Voip, Signal::Voice),
            Sound::Music => (Application::Audio, Signal::Music),
        };
        let mut inner = ::opus::Encoder::new(SAMPLE_RATE, config.channels.raw(), application)?;
        inner.set_signal(signal)?;
        inner.set_complexity(config.complexity.into())?;
        inner.set_inband_fec(config.fec)?;
        inner.set_dtx(config.dtx)?;
        let mut encoder = Self {
            inner,
            channels: config.channels,
            buffer: vec![0; MAX_PACKET_BYTES],
        };
        encoder.set_bitrate(config.bitrate_bps)?;
        encoder.set_packet_loss(config.packet_loss_percent)?;
        Ok(encoder)
    }

    /// Changes the bitrate, in bits a second.
    pub fn set_bitrate(&mut self, bitrate_bps: u32) -> Result<(), OpusError> {
        let bits = i32::try_from(bitrate_bps).unwrap_or(i32::MAX);
        Ok(self.inner.set_bitrate(Bitrate::Bits(bits))?)
    }

    /// Changes the share of packets that is expected to be lost, 0 to 100.
    pub fn set_packet_loss(&mut self, percent: u8) -> Result<(), OpusError> {
        Ok(self.inner.set_packet_loss_perc(percent.into())?)
    }

    /// Samples per channel by which what comes out of a decoder is late.
    pub fn lookahead(&mut self) -> Result<u16, OpusError> {
        Ok(u16::try_from(self.inner.get_lookahead()?).unwrap_or(0))
    }

    /// Encodes exactly [`FRAME_SAMPLES`] per channel.
    pub fn encode(&mut self, samples: &[f32]) -> Result<Packet, OpusError> {
        let expected = FRAME_SAMPLES * self.channels.count();
        if samples.len() != expected {
            return Err(OpusError::FrameLength {
                found: samples.len(),
                expected,
            });
        }
        let length = self.inner.encode_float(samples, &mut self.buffer)?;
        Ok(Packet {
            data: Bytes::copy_from_slice(&self.buffer[..length]),
            // libopus: "if the return value is 2 bytes or less, the packet does not need to be
            // transmitted".
            silent: length <= 2,
        })
    }
}

/// Decodes packets of any length, of one or two channels, to the channels asked for.
#[derive(Debug)]
pub struct Decoder {
    inner: ::opus::Decoder,
    channels: Channels,
}

impl Decoder {
    /// Makes a decoder.
    pub fn new(channels: Channels) -> Result<Self, OpusError> {
        Ok(Self {
            inner: ::opus::Decoder::new(SAMPLE_RATE, channels.raw())?,
            channels,
        })
    }

    /// Decodes a packet behind what `out` holds. Gives samples per channel, at most
    /// [`MAX_PACKET_SAMPLES`].
    pub fn decode(&mut self, packet: &[u8], out: &mut Vec<f32>) -> Result<usize, OpusError> {
        if packet.is_empty() || packet.len() > usize::from(u16::MAX) {
            return Err(OpusError::PacketLength(packet.len()));
        }
        self.run(packet, MAX_PACKET_SAMPLES, false, out)
    }

    /// Makes up for a lost packet of `samples` per channel, which is what the packets before had,
    /// at most [`MAX_PACKET_SAMPLES`] and a multiple of 120 (2.5 ms).
    pub fn conceal(&mut self, samples: usize, out: &mut Vec<f32>) -> Result<usize, OpusError> {
        self.run(&[], samples.min(MAX_PACKET_SAMPLES), false, out)
    }

    /// Makes up for a lost packet of `samples` per channel from the copy that the packet after it
    /// carries, and conceals it if there is none. Decode `next` itself afterwards.
    pub fn decode_lost(
        &mut self,
        next: &[u8],
        samples: usize,
        out: &mut Vec<f32>,
    ) -> Result<usize, OpusError> {
        if next.is_empty() || next.len() > usize::from(u16::MAX) {
            return Err(OpusError::PacketLength(next.len()));
        }
        self.run(next, samples.min(MAX_PACKET_SAMPLES), true, out)
    }

    fn run(
        &mut self,
        packet: &[u8],
        room: usize,
        fec: bool,
        out: &mut Vec<f32>,
    ) -> Result<usize, OpusError> {
        let start = out.len();
        let channels = self.channels.count();
        out.resize(start + room * channels, 0.0);
        let decoded = self.inner.decode_float(packet, &mut out[start..], fec);
        let samples = *decoded.as_ref().unwrap_or(&0);
        out.truncate(start + samples * channels);
        Ok(decoded?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pattern::{measure_tone, sine};

    fn frames(channels: Channels, count: usize) -> Vec<f32> {
        let mono = sine(1_000.0, 0.5, FRAME_SAMPLES * count);
        match channels {
            Channels::Mono => mono,
            Channels::Stereo => mono.iter().flat_map(|sample| [*sample, 0.0]).collect(),
        }
    }

    /// Encodes ten frames.
    fn encoded(config: &EncoderConfig) -> Vec<Packet> {
        let mut encoder = Encoder::new(config).unwrap();
        frames(config.channels, 25)
            .chunks(FRAME_SAMPLES * config.channels.count())
            .map(|frame| encoder.encode(frame).unwrap())
            .collect()
    }

    fn loudness(samples: &[f32]) -> f32 {
        measure_tone(samples, 1_000.0)
    }

    #[test]
    fn a_tone_comes_back_on_its_channel() {
        for channels in [Channels::Mono, Channels::Stereo] {
            let config = EncoderConfig::new(channels, Sound::Music);
            let mut decoder = Decoder::new(channels).unwrap();
            let mut out = Vec::new();
            for packet in encoded(&config) {
                assert_eq!(
                    decoder.decode(&packet.data, &mut out).unwrap(),
                    FRAME_SAMPLES
                );
            }
            let each = channels.count();
            let of = |channel: usize| -> Vec<f32> {
                out.iter()
                    .skip(channel)
                    .step_by(each)
                    .copied()
                    .skip(4_800)
                    .collect()
            };
            assert!((loudness(&of(0)) - 0.5).abs() < 0.05);
            if channels == Channels::Stereo {
                assert!(loudness(&of(1)) < 0.02);
            }
        }
    }

    #[test]
    fn the_bitrate_is_kept_and_changes() {
        let mut config = EncoderConfig::new(Channels::Mono, Sound::Music);
        for bitrate in [24_000, 96_000] {
            config.bitrate_bps = bitrate;
            let bytes: usize = encoded(&config)
                .iter()
                .map(|packet| packet.data.len())
                .sum();
            let found = bytes as f64 * 8.0 * 2.0;
            let ratio = found / f64::from(bitrate);
            assert!((0.3..1.3).contains(&ratio), "{found} bit/s for {bitrate}");
        }
    }

    #[test]
    fn a_lost_packet_comes_back_from_the_next_one() {
        let mut config = EncoderConfig::new(Channels::Mono, Sound::Speech);
        config.packet_loss_percent = 30;
        let lost = 15;
        // How loud a whole lost frame is, with the copy and without.
        let recovered = |fec: bool| {
            config_loss(
                &EncoderConfig {
                    fec,
                    ..config.clone()
                },
                lost,
            )
        };
        fn config_loss(config: &EncoderConfig, lost: usize) -> f32 {
            let mut encoder = Encoder::new(config).unwrap();
            let mut decoder = Decoder::new(Channels::Mono).unwrap();
            let (mut out, mut repaired) = (Vec::new(), Vec::new());
            // Silence, then sound that begins with the frame that is lost: concealment cannot
            // know of it.
            for index in 0..30 {
                let frame = if index < lost {
                    vec![0.0; FRAME_SAMPLES]
                } else {
                    sine(500.0, 0.5, FRAME_SAMPLES)
                };
                let packet = encoder.encode(&frame).unwrap();
                if index == lost + 1 {
                    decoder
                        .decode_lost(&packet.data, FRAME_SAMPLES, &mut repaired)
                        .unwrap();
                }
                if index != lost {
                    decoder.decode(&packet.data, &mut out).unwrap();
                }
            }
            assert_eq!(repaired.len(), FRAME_SAMPLES);
            measure_tone(&repaired[FRAME_SAMPLES / 2..], 500.0)
        }
        assert!(recovered(true) > 0.2, "{}", recovered(true));
        assert!(recovered(false) < 0.05, "{}", recovered(false));
    }

    #[test]
    fn concealment_goes_on_with_the_tone() {
        let mut decoder = Decoder::new(Channels::Mono).unwrap();
        let mut out = Vec::new();
        for packet in encoded(&EncoderConfig::new(Channels::Mono, Sound::Music)) {
            decoder.decode(&packet.data, &mut out).unwrap();
        }
        out.clear();
        assert_eq!(
            decoder.conceal(FRAME_SAMPLES, &mut out).unwrap(),
            FRAME_SAMPLES
        );
        assert!(loudness(&out) > 0.1);
    }

    #[test]
    fn silence_need_not_be_sent() {
        for dtx in [true, false] {
            let config = EncoderConfig {
                dtx,
                ..EncoderConfig::new(Channels::Mono, Sound::Speech)
            };
            let mut encoder = Encoder::new(&config).unwrap();
            let silent = (0..50)
                .filter(|_| encoder.encode(&[0.0; FRAME_SAMPLES]).unwrap().silent)
                .count();
            assert_eq!(silent > 25, dtx, "{silent} of 50 silent");
        }
    }

    #[test]
    fn wrong_lengths_and_settings_are_errors() {
        let config = EncoderConfig::new(Channels::Stereo, Sound::Speech);
        let mut encoder = Encoder::new(&config).unwrap();
        assert!(encoder.encode(&[0.0; FRAME_SAMPLES]).is_err());
        assert!(encoder.set_packet_loss(101).is_err());
        assert_eq!(encoder.lookahead().unwrap(), DELAY_SAMPLES);
        let mut decoder = Decoder::new(Channels::Mono).unwrap();
        assert!(decoder.decode(&[], &mut Vec::new()).is_err());
        assert!(decoder.decode(&[0; 70_000], &mut Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn garbage_is_bounded(packets in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..200), 1..10)) {
            let mut decoder = Decoder::new(Channels::Stereo).unwrap();
            for packet in packets {
                let mut out = Vec::new();
                let decoded = decoder.decode(&packet, &mut out);
                prop_assert_eq!(out.len(), decoded.unwrap_or(0) * 2);
                prop_assert!(out.len() <= MAX_PACKET_SAMPLES * 2);
                let _ = decoder.decode_lost(&packet, FRAME_SAMPLES, &mut out);
            }
        }
    }
}
