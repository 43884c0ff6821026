//! Lists cameras with what they offer, and microphones.

use std::io::{ErrorKind, IsTerminal, Write};

use serde_json::{Value, json};
use videocall_capture::{
    microphone::{MicrophoneInfo, microphones},
    offers::{CameraInfo, Format, Size, cameras},
};

use crate::exit::Failure;

/// Runs the command: for people on a terminal, otherwise a JSON object for each device.
pub fn run() -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let (cameras, microphones) = (cameras(), microphones());
    let written = if out.is_terminal() {
        for_people(&mut out, &cameras, &microphones)
    } else {
        for_programs(&mut out, &cameras, &microphones)
    };
    match written {
        // Who reads has seen enough, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::output("standard output", error)),
    }
}

fn for_people(
    out: &mut impl Write,
    cameras: &[CameraInfo],
    microphones: &[MicrophoneInfo],
) -> std::io::Result<()> {
    for camera in cameras {
        writeln!(
            out,
            "camera {}: {}, {}",
            camera.index, camera.name, camera.bus
        )?;
        match &camera.formats {
            Ok(formats) => {
                for format in formats {
                    let unused = if format.format.is_none() {
                        " (not used)"
                    } else {
                        ""
                    };
                    writeln!(out, "  {}{unused}", name(format))?;
                    for size in &format.sizes {
                        writeln!(out, "    {size}{}", at_rates(size))?;
                    }
                }
            }
            Err(error) => writeln!(out, "  {error}")?,
        }
    }
    if cameras.is_empty() {
        writeln!(out, "no camera")?;
    }
    for microphone in microphones {
        writeln!(out, "microphone {}: {}", microphone.device, microphone.name)?;
    }
    if microphones.is_empty() {
        writeln!(out, "no microphone")?;
    }
    Ok(())
}

/// The name that `--frame-format` takes, or else the kernel's.
fn name(format: &Format) -> &str {
    format.format.map_or(&format.fourcc, |known| known.name())
}

fn at_rates(size: &Size) -> String {
    let rates: Vec<_> = size
        .rates
        .iter()
        .map(|rate| format!("{}", rounded(*rate)))
        .collect();
    if rates.is_empty() {
        return String::new();
    }
    format!(" at {} a second", rates.join(", "))
}

/// To two digits: 29.97 is a rate, 29.970029970 is not how anybody writes it.
fn rounded(rate: f64) -> f64 {
    (rate * 100.0).round() / 100.0
}

fn for_programs(
    out: &mut impl Write,
    cameras: &[CameraInfo],
    microphones: &[MicrophoneInfo],
) -> std::io::Result<()> {
    for camera in cameras {
        let mut line = json!({
            "device": "camera",
            "index": camera.index,
            "name": camera.name,
            "bus": camera.bus,
        });
        match &camera.formats {
            Ok(formats) => line["formats"] = formats.iter().map(as_json).collect(),
            Err(error) => line["error"] = error.to_string().into(),
        }
        writeln!(out, "{line}")?;
    }
    for microphone in microphones {
        let (name, label) = (&microphone.device, &microphone.name);
        writeln!(
            out,
            "{}",
            json!({ "device": "microphone", "audio_device": name, "name": label })
        )?;
    }
    Ok(())
}

fn as_json(format: &Format) -> Value {
    let sizes = format.sizes.iter().map(|size| {
        let mut value = json!({ "width": size.min.0, "height": size.min.1 });
        if size.min != size.max {
            value["max_width"] = size.max.0.into();
            value["max_height"] = size.max.1.into();
        }
        value["fps"] = size
            .rates
            .iter()
            .map(|rate| Value::from(rounded(*rate)))
            .collect();
        value
    });
    json!({
        "format": name(format),
        "usable": format.format.is_some(),
        "sizes": sizes.collect::<Vec<_>>(),
    })
}
