//! Why a device gives nothing.

use std::io;

/// Why a device gives nothing, in one line that says what to do. `device` is its name: a path such
/// as `/dev/video0`, or ALSA's name such as `hw:1,0`.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// There is none of that name.
    #[error(
        "{device}: no such {kind}; there is {}; `videocall-cli devices` lists them",
        one_of(found, kind)
    )]
    NotFound {
        /// The device.
        device: String,
        /// What it was to be.
        kind: Kind,
        /// Names of those that are there.
        found: Vec<String>,
    },
    /// Another program has it.
    #[error("{device} is in use by another program; end that one (`fuser -v {path}` names it)")]
    Busy {
        /// The device.
        device: String,
        /// Its file, or files.
        path: String,
    },
    /// The user may not open it.
    #[error(
        "{device}: no permission; add your user to its group (`sudo usermod -aG {group} $USER`) and log in again"
    )]
    NoPermission {
        /// The device.
        device: String,
        /// The group that may.
        group: &'static str,
    },
    /// It does not offer what is wanted.
    #[error("{device} has no {wanted}; {offers}")]
    Unsupported {
        /// The device.
        device: String,
        /// What it was asked for.
        wanted: String,
        /// What it has, as a sentence.
        offers: String,
    },
    /// The USB bus has no room for its pictures.
    #[error(
        "{device}: no room on the USB bus; try --frame-format MJPEG, a smaller size, or another port"
    )]
    NoBandwidth {
        /// The device.
        device: String,
    },
    /// It was there, and is no longer: unplugged, or stuck.
    #[error("{device} is gone: unplugged, or it has stopped answering")]
    Gone {
        /// The device.
        device: String,
    },
    /// What the kernel says.
    #[error("{device}: {step}: {source}")]
    Other {
        /// The device.
        device: String,
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Gives pictures.
    Camera,
    /// Gives sound.
    Microphone,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Camera => "camera",
            Self::Microphone => "microphone",
        })
    }
}

fn one_of(found: &[String], kind: &Kind) -> String {
    if found.is_empty() {
        format!("no {kind} at all")
    } else {
        found.join(", ")
    }
}

/// `errno` values that say more than their text does.
pub(crate) mod errno {
    use rustix::io::Errno;

    pub(crate) const NO_ENTRY: i32 = Errno::NOENT.raw_os_error();
    pub(crate) const NO_DEVICE: i32 = Errno::NODEV.raw_os_error();
    pub(crate) const NO_ADDRESS: i32 = Errno::NXIO.raw_os_error();
    pub(crate) const BUSY: i32 = Errno::BUSY.raw_os_error();
    pub(crate) const ACCESS: i32 = Errno::ACCESS.raw_os_error();
    pub(crate) const NOT_PERMITTED: i32 = Errno::PERM.raw_os_error();
    pub(crate) const NO_SPACE: i32 = Errno::NOSPC.raw_os_error();
    pub(crate) const AGAIN: i32 = Errno::AGAIN.raw_os_error();
    pub(crate) const INTERRUPTED: i32 = Errno::INTR.raw_os_error();
    pub(crate) const OVERRUN: i32 = Errno::PIPE.raw_os_error();
    pub(crate) const SUSPENDED: i32 = Errno::STRPIPE.raw_os_error();
    pub(crate) const BAD_STATE: i32 = Errno::BADFD.raw_os_error();
}
