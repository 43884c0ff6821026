//! Puts frames into packets, as this project's clients do and as those of videocall.rs do.

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use videocall_types::{
    ids::{MediaKind as Kind, SessionId},
    packet,
    view::Routing,
    wire::{
        AudioMetadata, MediaKind, MediaPacket, Message, PacketWrapper, VideoMetadata, media_packet,
        packet_wrapper::PacketType, video_metadata::Codec,
    },
};

use super::{options::LayerOptions, source::Frame, stamp::Stamp};
use crate::{clock, measure::MessageKind};

/// Who sends.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) session: SessionId,
    pub(super) user: Bytes,
    /// In the stamps.
    pub(super) publisher: u64,
    pub(super) legacy: bool,
}

impl Sender {
    /// The packet of a frame; `layer` is that of a picture.
    pub(super) fn packet(
        &self,
        frame: &Frame,
        layer: Option<&LayerOptions>,
        now: Instant,
    ) -> Bytes {
        let kind = if layer.is_some() {
            MessageKind::Video
        } else {
            MessageKind::Audio
        };
        let stamp = Stamp {
            planned_us: clock::micros(frame.planned),
            sent_us: clock::micros(now),
            since_us: frame.since.map_or(0, clock::micros),
            publisher: self.publisher,
            counts: if self.legacy {
                // Without layers there is one count: every frame.
                [frame.number as u32; super::stamp::TEMPORAL_LAYERS]
            } else {
                frame.counts
            },
            kind,
            spatial: frame.spatial,
            temporal: if self.legacy { 0 } else { frame.temporal },
            keyframe: frame.keyframe,
        };
        let mut data = BytesMut::with_capacity(frame.bytes);
        stamp.write(&mut data);
        data.put_bytes(0x55, frame.bytes.saturating_sub(data.len()));
        let media = self.media(frame, layer, data.freeze());
        if self.legacy {
            return self.plain(&media);
        }
        let routing = Routing {
            kind: if layer.is_some() {
                Kind::Video
            } else {
                Kind::Audio
            },
            stream_id: 1,
            spatial: frame.spatial,
            temporal: frame.temporal,
            keyframe: frame.keyframe,
            depends_back: frame.depends_back,
            frame_number: frame.number,
            capture_us: stamp.planned_us,
            audio_level: frame.level,
            encrypted: false,
        };
        packet::media(self.session, &Bytes::new(), routing, &media)
    }

    fn media(&self, frame: &Frame, layer: Option<&LayerOptions>, data: Bytes) -> MediaPacket {
        let mut media = MediaPacket {
            data,
            timestamp: clock::micros(frame.planned) as f64,
            ..MediaPacket::default()
        };
        if self.legacy {
            media.user_id = self.user.clone();
        }
        match layer {
            Some(layer) => {
                media.media_type = media_packet::MediaType::Video.into();
                media.frame_type = if frame.keyframe { "key" } else { "delta" }.to_owned();
                if self.legacy || frame.keyframe {
                    media.video_metadata = Some(VideoMetadata {
                        sequence: frame.number,
                        codec: Codec::Vp9Profile0Level108bit.into(),
                        codec_string: "vp09.00.10.08".to_owned(),
                        width: layer.width,
                        height: layer.height,
                    });
                }
            }
            None => {
                media.media_type = media_packet::MediaType::Audio.into();
                if self.legacy {
                    media.audio_metadata = Some(AudioMetadata {
                        audio_format: "opus".to_owned(),
                        audio_number_of_channels: 1,
                        audio_number_of_frames: 960,
                        audio_sample_rate: 48_000.0,
                        sequence: frame.number,
                    });
                }
            }
        }
        media
    }

    /// The probe by which clients of videocall.rs measure the round trip: echoed to its sender.
    pub(super) fn round_trip_probe(&self, token: u64) -> Bytes {
        self.plain(&MediaPacket {
            media_type: media_packet::MediaType::Rtt.into(),
            user_id: self.user.clone(),
            timestamp: token as f64,
            ..MediaPacket::default()
        })
    }

    fn plain(&self, media: &MediaPacket) -> Bytes {
        PacketWrapper {
            packet_type: PacketType::Media.into(),
            user_id: self.user.clone(),
            data: media.encode_to_vec().into(),
            session_id: self.session.get(),
            ..PacketWrapper::default()
        }
        .encode_to_vec()
        .into()
    }
}

/// What a kind is counted as.
pub(super) const fn counted(kind: MediaKind) -> MessageKind {
    match kind {
        MediaKind::Audio | MediaKind::ScreenAudio => MessageKind::Audio,
        MediaKind::Video => MessageKind::Video,
        MediaKind::Screen => MessageKind::Screen,
        MediaKind::Unspecified => MessageKind::Other,
    }
}
