//! A USB camera made of a JPEG: `usb_camera PORT FILE WIDTH HEIGHT`. Plugged into the kernel's
//! virtual USB hub (`vhci-hcd`), for as long as the program runs; the kernel's own driver for USB
//! cameras finds it there. Needs root.
//!
//! The kernel talks USB/IP (Documentation/usb/usbip_protocol.rst) with it over a pair of sockets.
//! What a USB camera says of itself is in `descriptors`: USB Device Class Definition for Video
//! Devices 1.1.

mod descriptors;

use std::{
    collections::VecDeque,
    fs,
    io::{self, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use descriptors::{Camera, FRAME_100NS, PAYLOAD};

const ATTACH: &str = "/sys/devices/platform/vhci_hcd.0/attach";
/// `usb_device_speed`: 480 Mbit/s.
const HIGH_SPEED: u32 = 3;
const HEADER: usize = 48;
const SUBMIT: u32 = 1;
const UNLINK: u32 = 2;
const SUBMITTED: u32 = 3;
const UNLINKED: u32 = 4;
/// `-EPIPE`: a request that the device does not know.
const STALL: i32 = -32;
/// `-ECONNRESET`: a transfer that was taken back.
const TAKEN_BACK: i32 = -104;

/// What the kernel wants of the device.
enum Wish {
    /// A transfer on the control endpoint: the setup packet, and how much came with it.
    Control {
        number: u32,
        setup: [u8; 8],
        sent: usize,
    },
    /// Up to so many bytes of pictures.
    Pictures { number: u32, length: usize },
    /// One of the above is not wanted any more.
    Nevermind { number: u32, which: u32 },
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, port, file, width, height] = arguments.as_slice() else {
        return Err("usb_camera PORT FILE WIDTH HEIGHT".into());
    };
    let jpeg = fs::read(file)?;
    let camera = Camera {
        width: width.parse()?,
        height: height.parse()?,
    };
    let (device, kernel) = UnixStream::pair()?;
    // Port, socket, number of the device, speed.
    let attach = format!("{port} {} 1 {HIGH_SPEED}", kernel.as_raw_fd());
    fs::write(ATTACH, attach).map_err(|error| format!("{ATTACH}: {error}"))?;
    drop(kernel);

    let (sender, wishes) = channel();
    let reader = device.try_clone()?;
    std::thread::spawn(move || {
        while let Ok(wish) = read_wish(&reader) {
            if sender.send(wish).is_err() {
                return;
            }
        }
    });
    Device {
        socket: device,
        camera,
        jpeg,
        wanted: VecDeque::new(),
        frame: 0,
        sent: None,
    }
    .run(&wishes)?;
    Ok(())
}

fn word(header: &[u8; HEADER], index: usize) -> u32 {
    let bytes = &header[4 * index..4 * index + 4];
    bytes
        .iter()
        .fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn read_wish(mut socket: &UnixStream) -> io::Result<Wish> {
    loop {
        let mut header = [0; HEADER];
        socket.read_exact(&mut header)?;
        let (number, is_in, endpoint) = (word(&header, 1), word(&header, 3) == 1, word(&header, 4));
        match word(&header, 0) {
            SUBMIT => {
                let length = word(&header, 6) as usize;
                let sent = if is_in { 0 } else { length };
                // Settings of the stream: there is only one choice, whatever they say.
                socket.read_exact(&mut vec![0; sent])?;
                if endpoint != 0 {
                    return Ok(Wish::Pictures { number, length });
                }
                let mut setup = [0; 8];
                setup.copy_from_slice(&header[40..]);
                return Ok(Wish::Control {
                    number,
                    setup,
                    sent,
                });
            }
            UNLINK => {
                let which = word(&header, 5);
                return Ok(Wish::Nevermind { number, which });
            }
            _ => {}
        }
    }
}

struct Device {
    socket: UnixStream,
    camera: Camera,
    jpeg: Vec<u8>,
    /// Transfers that wait for pictures: their numbers, and what fits in.
    wanted: VecDeque<(u32, usize)>,
    /// Counts pictures.
    frame: u64,
    /// How much of the picture has been sent, while one is.
    sent: Option<usize>,
}

impl Device {
    /// Until the kernel hangs up.
    fn run(mut self, wishes: &Receiver<Wish>) -> io::Result<()> {
        let interval = Duration::from_nanos(u64::from(FRAME_100NS) * 100);
        let mut due = Instant::now();
        loop {
            match wishes.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(wish) => self.grant(wish)?,
                Err(RecvTimeoutError::Timeout) => {
                    due = Instant::now() + interval;
                    if !self.wanted.is_empty() && self.sent.is_none() {
                        self.frame += 1;
                        self.sent = Some(0);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.send_picture()?;
        }
    }

    fn grant(&mut self, wish: Wish) -> io::Result<()> {
        match wish {
            Wish::Control {
                number,
                setup,
                sent,
            } => match self.camera.answer(setup) {
                Some(data) => self.reply(SUBMITTED, number, 0, sent + data.len(), &data),
                None => self.reply(SUBMITTED, number, STALL, 0, &[]),
            },
            Wish::Pictures { number, length } => {
                self.wanted.push_back((number, length));
                Ok(())
            }
            Wish::Nevermind { number, which } => {
                let before = self.wanted.len();
                self.wanted.retain(|(number, _)| *number != which);
                let status = if self.wanted.len() < before {
                    TAKEN_BACK
                } else {
                    0
                };
                if self.wanted.is_empty() {
                    self.sent = None;
                }
                self.reply(UNLINKED, number, status, 0, &[])
            }
        }
    }

    /// As much of the picture as there are transfers for: each begins with a head of its own.
    fn send_picture(&mut self) -> io::Result<()> {
        while let Some(sent) = self.sent
            && let Some((number, length)) = self.wanted.pop_front()
        {
            let rest = &self.jpeg[sent..];
            let part = rest.len().min(length.min(PAYLOAD as usize) - 2);
            let is_end = part == rest.len();
            // End of header, end of frame, and which frame of two it is.
            let flags = 0x80 | u8::from(is_end) << 1 | (self.frame & 1) as u8;
            let payload = [&[2, flags], &rest[..part]].concat();
            self.sent = (!is_end).then_some(sent + part);
            self.reply(SUBMITTED, number, 0, payload.len(), &payload)?;
        }
        Ok(())
    }

    /// `length` is what was transferred either way; `data`, what goes to the kernel of it.
    fn reply(
        &mut self,
        what: u32,
        number: u32,
        status: i32,
        length: usize,
        data: &[u8],
    ) -> io::Result<()> {
        let mut message = Vec::with_capacity(HEADER + data.len());
        // Kind and number, device, direction and endpoint, which the kernel knows; the status.
        for word in [what, number, 0, 0, 0, status as u32, length as u32] {
            message.extend(word.to_be_bytes());
        }
        message.resize(HEADER, 0);
        message.extend(data);
        self.socket.write_all(&message)
    }
}
