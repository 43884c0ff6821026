//! Compresses control messages, such as the roster of a large meeting. Media never is: it is
//! compressed already, and often encrypted.

use std::cell::RefCell;

use bytes::Bytes;
use videocall_types::{
    packet,
    view::PacketView,
    wire::{Compressed, Compression, control::Message},
};
use zstd::bulk::Compressor;

/// The fastest: each who joins a large meeting gets a message of their own.
const LEVEL: i32 = 1;

thread_local! {
    /// Its tables are used again: they are larger than any message.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(LEVEL).ok());
}

/// The packet around the same message compressed; `None` if it is none or gets no smaller.
pub(crate) fn compress(packet: &Bytes) -> Option<Bytes> {
    let control = PacketView::parse(packet).ok()?.control?;
    let message = &packet[control];
    let data = COMPRESSOR.with_borrow_mut(|it| it.as_mut()?.compress(message).ok())?;
    let compressed = packet::control(Message::Compressed(Compressed {
        compression: Compression::Zstd.into(),
        size: u32::try_from(message.len()).ok()?,
        data: data.into(),
    }));
    (compressed.len() < packet.len()).then_some(compressed)
}

#[cfg(test)]
mod tests {
    use videocall_types::{
        compression::decompress,
        wire::{Participant, Ping, Roster},
    };

    use super::*;

    #[test]
    fn a_roster_gets_smaller_and_stays_the_same() {
        let participants = (0..200).map(|n| Participant {
            session_id: n + (1 << 50),
            user_id: format!("participant {n}").into(),
            display_name: format!("participant {n}"),
            ..Participant::default()
        });
        let roster = Message::Roster(Roster {
            full: true,
            participants: participants.collect(),
            left: Vec::new(),
        });
        let packet = packet::control(roster.clone());
        let smaller = compress(&packet).unwrap();
        assert!(smaller.len() * 2 < packet.len(), "{}", smaller.len());
        let view = PacketView::parse(&smaller).unwrap();
        let Ok(Some(Message::Compressed(compressed))) = packet::read_control(&smaller, &view)
        else {
            panic!("not compressed");
        };
        assert_eq!(decompress(&compressed).unwrap().message, Some(roster));
    }

    #[test]
    fn what_gets_no_smaller_stays() {
        let ping = packet::control(Message::Ping(Ping { token: u64::MAX }));
        assert_eq!(compress(&ping), None);
        assert_eq!(compress(&Bytes::from_static(b"\x1a\x01x")), None);
    }
}
