//! Names of any text never panic, never grow over their bound, and are stable once accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use videocall_types::{
    ids::{MeetingId, UserId},
    limits::MAX_NAME_BYTES,
};

fuzz_target!(|text: &str| {
    if let Ok(meeting) = MeetingId::parse(text) {
        assert!(meeting.as_str().len() <= MAX_NAME_BYTES);
        assert_eq!(MeetingId::parse(meeting.as_str()), Ok(meeting));
        assert!(UserId::parse(text).is_ok());
    }
});
