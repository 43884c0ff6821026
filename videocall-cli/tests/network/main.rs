//! The streamer on networks that are narrow, lossy or broken: in network namespaces of the tests'
//! own, against a real server, judged by what another participant sees and hears.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod broken;
mod lossy;
mod narrow;
mod net;
mod programs;
mod soak;
