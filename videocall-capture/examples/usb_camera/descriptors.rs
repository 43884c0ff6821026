//! What a USB camera says of itself: one size in Motion JPEG, over a bulk endpoint.

/// Time between pictures, in units of 100 ns: ten a second.
pub(crate) const FRAME_100NS: u32 = 1_000_000;
/// Bytes of a payload with its head.
pub(crate) const PAYLOAD: u32 = 16_384;
const ENDPOINT: u8 = 0x81;
const VIDEO: u8 = 0x0e;
const CLASS_SPECIFIC: u8 = 0x24;

/// A camera of one size in pixels.
pub(crate) struct Camera {
    pub(crate) width: u16,
    pub(crate) height: u16,
}

impl Camera {
    /// The answer to a control transfer; `None` for what it does not know.
    pub(crate) fn answer(&self, setup: [u8; 8]) -> Option<Vec<u8>> {
        let [kind, request, low, high, ..] = setup;
        let length = usize::from(u16::from_le_bytes([setup[6], setup[7]]));
        let mut data = match (kind, request) {
            // Get descriptor.
            (0x80, 6) => self.descriptor(high, low)?,
            // Status: neither self-powered nor able to wake.
            (0x80, 0) => vec![0, 0],
            // Set configuration, set interface, and the settings of the stream.
            (0x00, 9) | (0x01, 11) | (0x21, 1) => Vec::new(),
            // Settings of the stream, whether current, least, most or default.
            (0xa1, 0x81..=0x83 | 0x87) if matches!(high, 1 | 2) && setup[4] == 1 => self.settings(),
            _ => return None,
        };
        data.truncate(length);
        Some(data)
    }

    fn descriptor(&self, kind: u8, index: u8) -> Option<Vec<u8>> {
        match (kind, index) {
            (1, _) => Some(device()),
            (2, _) => Some(self.configuration()),
            (3, 0) => Some(vec![4, 3, 0x09, 0x04]),
            (3, 1) => Some(text("Test camera")),
            _ => None,
        }
    }

    fn configuration(&self) -> Vec<u8> {
        let control = control_interface();
        let streaming = self.streaming_interface();
        // Two interfaces that belong together; 500 mA.
        let mut all = vec![9, 2, 0, 0, 2, 1, 0, 0x80, 250];
        all.extend([8, 0x0b, 0, 2, VIDEO, 3, 0, 0]);
        all.extend(control);
        all.extend(streaming);
        let total = (all.len() as u16).to_le_bytes();
        all[2..4].copy_from_slice(&total);
        all
    }

    fn streaming_interface(&self) -> Vec<u8> {
        let bytes = self.max_frame_bytes().to_le_bytes();
        let (width, height) = (self.width.to_le_bytes(), self.height.to_le_bytes());
        let rate = (1_000_000u32).to_le_bytes();
        let interval = FRAME_100NS.to_le_bytes();
        // Format 1, Motion JPEG, and its one frame size.
        let format = [11, CLASS_SPECIFIC, 6, 1, 1, 1, 1, 0, 0, 0, 0];
        let mut frame = vec![30, CLASS_SPECIFIC, 7, 1, 0];
        frame.extend(width);
        frame.extend(height);
        frame.extend([rate, rate, bytes, interval].concat());
        frame.push(1);
        frame.extend(interval);
        let total = ((14 + format.len() + frame.len()) as u16).to_le_bytes();
        let mut all = vec![9, 4, 1, 0, 1, VIDEO, 2, 0, 0];
        all.extend([14, CLASS_SPECIFIC, 1, 1, total[0], total[1]]);
        all.extend([ENDPOINT, 0, 2, 0, 0, 0, 1, 0]);
        all.extend(format);
        all.extend(frame);
        // A bulk endpoint of 512 bytes a packet.
        all.extend([7, 5, ENDPOINT, 2, 0, 2, 0]);
        all
    }

    /// Probe and commit controls: what was negotiated, always the same.
    fn settings(&self) -> Vec<u8> {
        let mut all = vec![0, 0, 1, 1];
        all.extend(FRAME_100NS.to_le_bytes());
        all.extend([0; 10]);
        all.extend(self.max_frame_bytes().to_le_bytes());
        all.extend(PAYLOAD.to_le_bytes());
        all
    }

    fn max_frame_bytes(&self) -> u32 {
        2 * u32::from(self.width) * u32::from(self.height)
    }
}

fn device() -> Vec<u8> {
    // USB 2.0; a device of several interfaces; pid.codes's numbers for tests; product is text 1.
    vec![
        18, 1, 0x00, 0x02, 0xef, 2, 1, 64, 0x09, 0x12, 0x01, 0x00, 0x00, 0x01, 0, 1, 0, 1,
    ]
}

/// A camera as the input, and the stream as the output.
fn control_interface() -> Vec<u8> {
    let camera = [
        18,
        CLASS_SPECIFIC,
        2,
        1,
        1,
        2,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        3,
        0,
        0,
        0,
    ];
    let output = [9, CLASS_SPECIFIC, 3, 2, 1, 1, 0, 1, 0];
    let total = ((13 + camera.len() + output.len()) as u16).to_le_bytes();
    let clock = 1_000_000u32.to_le_bytes();
    let mut all = vec![9, 4, 0, 0, 0, VIDEO, 1, 0, 0];
    all.extend([13, CLASS_SPECIFIC, 1, 0x00, 0x01, total[0], total[1]]);
    all.extend(clock);
    all.extend([1, 1]);
    all.extend(camera);
    all.extend(output);
    all
}

fn text(text: &str) -> Vec<u8> {
    let mut all = vec![2 + 2 * text.len() as u8, 3];
    all.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    all
}
