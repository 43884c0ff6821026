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

use super::{
    source::{Content, Frame},
    stamp::{STAMP_BYTES, Stamp},
};
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
    /// The packet of a frame.
    pub(super) fn packet(&self, frame: &Frame, now: Instant) -> Bytes {
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
            kind: frame.kind,
            spatial: frame.spatial,
            temporal: if self.legacy { 0 } else { frame.temporal },
            keyframe: frame.keyframe,
        };
        let media = self.media(frame);
        let mut payload = BytesMut::with_capacity(STAMP_BYTES + 8 + media.encoded_len());
        stamp.write_field(&mut payload);
        payload.put_slice(&media.encode_to_vec());
        let payload = payload.freeze();
        if self.legacy {
            return self.plain(payload);
        }
        let routing = Routing {
            kind: match frame.kind {
                MessageKind::Audio => Kind::Audio,
                MessageKind::Screen => Kind::Screen,
                _ => Kind::Video,
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
        packet::sealed_media(self.session, &Bytes::new(), routing, payload)
    }

    fn media(&self, frame: &Frame) -> MediaPacket {
        let mut media = MediaPacket {
            media_type: match frame.kind {
                MessageKind::Audio => media_packet::MediaType::Audio,
                MessageKind::Screen => media_packet::MediaType::Screen,
                _ => media_packet::MediaType::Video,
            }
            .into(),
            data: match &frame.content {
                // The stamp is part of the size.
                Content::Simulated(bytes) => vec![0x55; bytes.saturating_sub(STAMP_BYTES)].into(),
                Content::Recorded(bytes) => bytes.clone(),
            },
            timestamp: clock::micros(frame.planned) as f64,
            ..MediaPacket::default()
        };
        if self.legacy {
            media.user_id = self.user.clone();
        }
        if let Some(picture) = frame.picture {
            media.frame_type = if frame.keyframe { "key" } else { "delta" }.to_owned();
            if self.legacy || frame.keyframe {
                media.video_metadata = Some(VideoMetadata {
                    sequence: frame.number,
                    codec: picture.codec.into(),
                    codec_string: codec_string(picture.codec).to_owned(),
                    width: picture.width,
                    height: picture.height,
                });
            }
        } else if self.legacy {
            media.audio_metadata = Some(AudioMetadata {
                audio_format: "opus".to_owned(),
                audio_number_of_channels: 1,
                audio_number_of_frames: 960,
                audio_sample_rate: 48_000.0,
                sequence: frame.number,
            });
        }
        media
    }

    /// The probe by which clients of videocall.rs measure the round trip: echoed to its sender.
    pub(super) fn round_trip_probe(&self, token: u64) -> Bytes {
        let probe = MediaPacket {
            media_type: media_packet::MediaType::Rtt.into(),
            user_id: self.user.clone(),
            timestamp: token as f64,
            ..MediaPacket::default()
        };
        self.plain(probe.encode_to_vec().into())
    }

    fn plain(&self, data: Bytes) -> Bytes {
        PacketWrapper {
            packet_type: PacketType::Media.into(),
            user_id: self.user.clone(),
            data,
            session_id: self.session.get(),
            ..PacketWrapper::default()
        }
        .encode_to_vec()
        .into()
    }
}

/// WebCodecs' name of a codec.
pub(super) const fn codec_string(codec: Codec) -> &'static str {
    match codec {
        Codec::Vp8 => "vp8",
        _ => "vp09.00.10.08",
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

#[cfg(test)]
mod tests {
    use videocall_types::view::PacketView;

    use super::*;
    use crate::behaviour::meeting::{source::Picture, stamp::stamp_of};

    #[test]
    fn recorded_frames_cross_as_they_are_with_a_stamp_beside_them() {
        let now = Instant::now();
        let frame = Frame {
            planned: now,
            kind: MessageKind::Screen,
            spatial: 0,
            temporal: 0,
            keyframe: true,
            depends_back: 0,
            number: 9,
            counts: [9; 3],
            content: Content::Recorded(Bytes::from_static(b"encoded")),
            picture: Some(Picture {
                width: 64,
                height: 48,
                codec: Codec::Vp8,
            }),
            level: 0,
            since: None,
        };
        let sender = Sender {
            session: SessionId::new(5).unwrap(),
            user: Bytes::from_static(b"me"),
            publisher: 77,
            legacy: false,
        };
        let packet = sender.packet(&frame, now);
        let view = PacketView::parse(&packet).unwrap();
        let routing = view.routing.unwrap();
        assert_eq!((routing.kind, routing.frame_number), (Kind::Screen, 9));
        let payload = &packet[view.data.clone()];
        let media = MediaPacket::decode(payload).unwrap();
        assert_eq!(media.data, b"encoded"[..]);
        assert_eq!(media.media_type(), media_packet::MediaType::Screen);
        let metadata = media.video_metadata.unwrap();
        assert_eq!((metadata.width, &*metadata.codec_string), (64, "vp8"));
        let stamp = stamp_of(payload).unwrap();
        assert_eq!((stamp.publisher, stamp.kind), (77, MessageKind::Screen));
    }
}
