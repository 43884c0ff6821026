//! Cameras and microphones of a real kernel, in an emulated machine: what they give is seen and
//! heard by another participant, and what goes wrong is said.
#![allow(clippy::unwrap_used)]

mod guest;
mod host;
#[path = "../support/mod.rs"]
mod support;

use std::{io::Write, path::Path, process::Command};

use guest::Guest;
use host::Seen;
use support::Server;

/// Pictures that must have come through before it is believed.
const ENOUGH: usize = 8;
/// The same where sound is listened to as well: some seconds.
const LONGER: usize = 40;

struct Bench {
    guest: Guest,
    server: Server,
}

impl Bench {
    /// A command of the program in the guest.
    fn stream(&self, meeting: &str, more: &str) -> String {
        let port = self.server.port;
        // The guest has no UDP to measure by: what is tested is not the transport.
        format!(
            "videocall-cli stream --server http://10.0.2.2:{port} --transport websocket \
             --meeting-id {meeting} --user-id pi {more}"
        )
    }

    /// Streams in the guest from here on; its words are in `/tmp/MEETING`, its id in
    /// `/tmp/MEETING.pid`.
    fn start(&mut self, meeting: &str, more: &str) {
        let command = self.stream(meeting, more);
        let log = format!("/tmp/{meeting}");
        self.guest
            .must(&format!("({command} >{log} 2>&1 & echo $! >{log}.pid)"));
        self.guest.wait_for(&log, "\"joined\"", 1);
    }

    fn stop(&mut self, meeting: &str) {
        self.guest.must(&format!("kill $(cat /tmp/{meeting}.pid)"));
    }

    /// The colour bars come through.
    fn is_seen(&mut self, meeting: &str, enough: usize) {
        self.watch(meeting, enough);
    }

    /// The colour bars come through, and the one tone, but not the other.
    fn is_seen_and_heard(&mut self, meeting: &str, hertz: f32, other: f32) {
        let seen = self.watch(meeting, LONGER);
        let (heard, all) = (seen.loud(hertz), seen.sound.len());
        assert!(
            heard >= 5,
            "{heard} of {all} tenths of a second have the tone"
        );
        assert_eq!(seen.loud(other), 0, "no other tone is heard");
    }

    fn watch(&mut self, meeting: &str, enough: usize) -> Seen {
        let seen = Seen::watch(self.server.port, meeting, enough);
        let log = self.guest.must(&format!("tail -n 5 /tmp/{meeting}"));
        assert!(
            seen.bars >= enough && 2 * seen.bars >= seen.pictures,
            "{meeting}: {} of {} pictures show bars; the last {:?}\n{log}",
            seen.bars,
            seen.pictures,
            seen.last
        );
        seen
    }

    fn fails(&mut self, command: &str, code: i32, words: &[&str]) {
        let (found, said) = self.guest.run(command);
        assert_eq!(found, code, "{command}: {said}");
        assert_eq!(said.lines().count(), 1, "one line says it: {said}");
        for word in words {
            assert!(said.contains(word), "{command}: {said}");
        }
    }
}

/// One machine for all of it: it takes half a minute to start.
#[test]
fn cameras_and_microphones_of_a_real_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_videocall-cli"));
    let examples = program.with_file_name("examples");
    let (tone, camera) = (examples.join("play_tone"), examples.join("usb_camera"));
    let bars = folder.path().join("bars.jpg");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "pal75bars=size=320x180"])
        .args(["-frames:v", "1", "-pix_fmt", "yuvj422p"])
        .arg(&bars)
        .status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "ffmpeg makes a JPEG"
    );
    for example in [&tone, &camera] {
        assert!(
            example.exists(),
            "build it first: cargo build -p videocall-capture --examples"
        );
    }
    let guest = match Guest::boot(&[program, &tone, &camera, &bars]) {
        Ok(guest) => guest,
        Err(reason) => {
            let line = format!("\nSKIPPED: cameras in a guest: {reason}\n");
            std::io::stdout().write_all(line.as_bytes()).unwrap();
            return;
        }
    };
    let mut bench = Bench {
        guest,
        server: Server::start(&[]),
    };
    devices_are_listed(&mut bench);
    what_cannot_be_opened_is_said(&mut bench);
    bench.guest.must("(play_tone hw:0,0 700 >/tmp/tone 2>&1 &)");
    let both = "--video-device-index 0 --audio-device hw:0,1 --frame-format YUYV \
                --resolution 320x180 --fps 10 --no-simulcast";
    bench.start("yuyv", both);
    bench.is_seen_and_heard("yuyv", 700.0, 1100.0);
    what_another_program_has_is_said(&mut bench);
    sound_goes_on_after_an_overrun(&mut bench);
    the_camera_may_be_unplugged(&mut bench);
    the_sound_card_may_be_unplugged(&mut bench);
    bench.stop("yuyv");
    let nv12 = "--video-device-index 0 --frame-format nv12 --resolution 320x180 --fps 10";
    bench.start("nv12", nv12);
    bench.is_seen("nv12", ENOUGH);
    bench.stop("nv12");
    a_usb_camera_gives_mjpeg_and_may_be_unplugged(&mut bench);
}

fn devices_are_listed(bench: &mut Bench) {
    let listed = bench.guest.must("videocall-cli devices");
    let lines: Vec<serde_json::Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let camera = &lines[0];
    assert_eq!(
        (&camera["device"], &camera["index"]),
        (&"camera".into(), &0.into())
    );
    assert!(
        camera["name"].as_str().unwrap().contains("vivid"),
        "{camera}"
    );
    assert_eq!(camera["bus"], "platform/vivid.0");
    for name in ["YUYV", "NV12"] {
        let formats = camera["formats"].as_array().unwrap();
        let format = formats
            .iter()
            .find(|format| format["format"] == name)
            .unwrap();
        assert_eq!(format["usable"], true);
        let sizes = format["sizes"].as_array().unwrap();
        let size = sizes
            .iter()
            .find(|size| size["width"] == 640 && size["height"] == 360);
        assert!(
            size.unwrap()["fps"]
                .as_array()
                .unwrap()
                .contains(&30.0.into()),
            "{format}"
        );
    }
    let microphones = lines.iter().filter(|line| line["device"] == "microphone");
    let names: Vec<_> = microphones
        .map(|line| line["audio_device"].clone())
        .collect();
    assert_eq!(names, ["hw:0,0", "hw:0,1"]);
}

fn what_cannot_be_opened_is_said(bench: &mut Bench) {
    let stream = |more: &str| bench.stream("none", more);
    let cases = [
        (
            stream("--video-device-index 7"),
            7,
            ["/dev/video7", "/dev/video0 (vivid"],
        ),
        (stream("--audio-device hw:3,0"), 7, ["hw:3,0", "hw:0,1"]),
        (
            stream("--video-device-index 0 --resolution 322x180"),
            10,
            ["no 322x180", "YUYV 320x180 640x360"],
        ),
        (
            stream("--video-device-index 0 --frame-format MJPEG"),
            10,
            ["no 1280x720 in MJPEG", "NV12 320x180"],
        ),
        (
            format!("su visitor -c '{}'", stream("--video-device-index 0")),
            9,
            ["/dev/video0: no permission", "usermod -aG video"],
        ),
        (
            format!("su visitor -c '{}'", stream("--audio-device hw:0,1")),
            9,
            ["hw:0,1: no permission", "usermod -aG audio"],
        ),
    ];
    for (command, code, words) in cases {
        bench.fails(&command, code, &words);
    }
}

fn what_another_program_has_is_said(bench: &mut Bench) {
    let camera = bench.stream("busy", "--video-device-index 0 --resolution 640x360");
    bench.fails(&camera, 8, &["/dev/video0 is in use by another program"]);
    let microphone = bench.stream("busy", "--audio-device hw:0,1");
    bench.fails(&microphone, 8, &["hw:0,1 is in use by another program"]);
}

fn sound_goes_on_after_an_overrun(bench: &mut Bench) {
    let id = "$(cat /tmp/yuyv.pid)";
    bench
        .guest
        .must(&format!("kill -STOP {id}; sleep 2; kill -CONT {id}"));
    bench.is_seen_and_heard("yuyv", 700.0, 1100.0);
}

fn the_camera_may_be_unplugged(bench: &mut Bench) {
    let driver = "/sys/bus/platform/drivers/vivid";
    bench.guest.must(&format!("echo vivid.0 >{driver}/unbind"));
    bench.guest.wait_for(
        "/tmp/yuyv",
        "\"event\":\"gone\".*camera\\|camera.*\"event\":\"gone\"",
        1,
    );
    bench.guest.must(&format!("echo vivid.0 >{driver}/bind"));
    bench.guest.wait_for("/tmp/yuyv", "\"event\":\"back\"", 1);
    bench.is_seen("yuyv", ENOUGH);
}

fn the_sound_card_may_be_unplugged(bench: &mut Bench) {
    let driver = "/sys/bus/platform/drivers/snd_aloop";
    // Ends when all that had it open have let go.
    bench
        .guest
        .must(&format!("echo snd_aloop.0 >{driver}/unbind"));
    bench.guest.wait_for("/tmp/yuyv", "\"event\":\"gone\"", 2);
    bench
        .guest
        .must(&format!("echo snd_aloop.0 >{driver}/bind"));
    bench
        .guest
        .must("(play_tone hw:0,0 1100 >/tmp/tone 2>&1 &)");
    bench.guest.wait_for("/tmp/yuyv", "\"event\":\"back\"", 2);
    bench.is_seen_and_heard("yuyv", 1100.0, 700.0);
}

fn a_usb_camera_gives_mjpeg_and_may_be_unplugged(bench: &mut Bench) {
    let plug = "(usb_camera 0 /opt/bars.jpg 320 180 >/tmp/usb 2>&1 & echo $! >/tmp/usb.pid)";
    let there = "i=0; until ls /dev/video1; do i=$((i+1)); [ $i -lt 300 ] || break; usleep 100000; done; ls /dev/video1";
    bench.guest.must(plug);
    bench.guest.must(there);
    let listed = bench.guest.must("videocall-cli devices");
    assert!(
        listed.contains("Test camera") && listed.contains("\"format\":\"MJPEG\""),
        "{listed}"
    );
    bench.start(
        "mjpeg",
        "--video-device-index 1 --resolution 320x180 --fps 10",
    );
    bench.is_seen("mjpeg", ENOUGH);
    bench.guest.must("kill $(cat /tmp/usb.pid)");
    bench.guest.wait_for("/tmp/mjpeg", "\"event\":\"gone\"", 1);
    bench.guest.must(plug);
    bench.guest.wait_for("/tmp/mjpeg", "\"event\":\"back\"", 1);
    bench.is_seen("mjpeg", ENOUGH);
    bench.stop("mjpeg");
}
