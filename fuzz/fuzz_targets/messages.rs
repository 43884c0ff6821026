//! Decoding of control, media and bus messages never panics, and what was read can be written.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use videocall_types::{
    packet,
    view::PacketView,
    wire::{Message, bus::BusControl},
};

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(view) = PacketView::parse(&bytes) {
        if let Ok(Some(message)) = packet::read_control(&bytes, &view) {
            let again = packet::control(message.clone());
            let view = PacketView::parse(&again).expect("our own packet");
            // NaN differs from itself, but no control message holds a floating-point number.
            assert_eq!(packet::read_control(&again, &view), Ok(Some(message)));
        }
        let _ = packet::read_media(&bytes, &view);
        let _ = packet::is_rtt_probe(&bytes, &view);
    }
    if let Ok(control) = BusControl::decode(bytes) {
        assert_eq!(
            BusControl::decode(&control.encode_to_vec()[..]),
            Ok(control)
        );
    }
});
