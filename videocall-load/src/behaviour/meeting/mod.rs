//! Real participants of a meeting: publishers with simulcast video and sound, receivers with
//! layouts, over this project's protocol or as clients of videocall.rs.

mod layout;
mod options;
mod participant;
mod playout;
mod reception;
mod source;
mod speech;
mod stamp;
mod window;
mod wire;

use std::sync::Arc;

use bytes::Bytes;

pub use layout::Layout;
pub use options::{LAYERS, LayerOptions, MeetingOptions};
pub use speech::{Speech, Voice};
pub use stamp::{STAMP_BYTES, Stamp, TEMPORAL_LAYERS, stamp_of};
pub use window::{Findings, Window};

use super::{Behaviour, Factory};
use crate::transport::Request;
use participant::Participant;
use source::Media;

/// Makes participants: connection n joins meeting n divided by the participants of a meeting.
#[derive(Clone, Debug)]
pub struct Meeting {
    options: Arc<MeetingOptions>,
    /// What cameras and microphones play, or why that cannot be read any more.
    media: Option<Result<Arc<Media>, String>>,
}

impl Meeting {
    /// Meetings of that kind.
    pub fn new(options: MeetingOptions) -> Self {
        let media = options.media.as_ref();
        Self {
            media: media.map(|path| Media::load(path).map(Arc::new)),
            options: Arc::new(options),
        }
    }

    fn user(&self, number: u64) -> String {
        format!("{}-{number}", self.options.name)
    }
}

impl Factory for Meeting {
    fn request(&self, number: u64) -> Request {
        let meeting = number / self.options.participants;
        let name = percent_encode(&self.options.name);
        Request {
            path: Some(format!("/lobby/{name}-{number}/{name}-{meeting}")),
            // Older clients have no such stream.
            no_control_stream: self.options.legacy,
            ..Request::default()
        }
    }

    fn behaviour(&self, number: u64) -> Box<dyn Behaviour> {
        let user = Bytes::from(self.user(number));
        Box::new(Participant::new(
            self.options.clone(),
            self.media.clone(),
            number,
            user,
        ))
    }
}

/// RFC 3986, section 2.1: everything but unreserved characters.
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
