//! The borrowed view never panics and agrees with a full decoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use videocall_types::{
    ids::SessionId,
    view::{PacketView, append_session_id},
    wire::{Message, PacketWrapper, RoutingHeader},
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(view) = PacketView::parse(bytes) else {
        return;
    };
    if let Some(session) = SessionId::new(view.session_id) {
        let appended = append_session_id(bytes, session);
        assert_eq!(
            PacketView::parse(&appended).map(|view| view.session_id),
            Ok(session.get())
        );
    }
    let Ok(decoded) = PacketWrapper::decode(bytes) else {
        return;
    };
    assert_eq!(view.packet_type, decoded.packet_type);
    assert_eq!(view.user_id, &decoded.user_id[..]);
    assert_eq!(&bytes[view.data.clone()], &decoded.data[..]);
    assert_eq!(view.session_id, decoded.session_id);
    assert_eq!(view.routing.map(RoutingHeader::from), decoded.routing);
});
