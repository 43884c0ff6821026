//! Recordings of each participant.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::Command,
};

use videocall_codec::pattern::find_marks;

use crate::support::{
    Film, PATIENCE, RATE, Running, SMALL, Server, files, frames, only_file, play, wait_for,
};

#[test]
fn a_recording_plays_with_picture_and_sound_together() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let _streaming = server.stream(&SMALL);
    let directory = folder.path().to_str().unwrap();
    let record = ["--duration", "4", "--directory", directory];
    let output = server.run("record", "rec", &record);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    let file = only_file(folder.path());
    assert!(
        file.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("pi-")
    );
    let (flashes, samples, shown) = play(&file);
    assert!(shown > 50, "{shown} pictures");
    let marks = find_marks(&samples, 1000.0);
    let paired: Vec<f64> = flashes
        .iter()
        .filter_map(|&flash| {
            let flash = flash as f64 / 1000.0;
            let times = marks
                .iter()
                .map(|&mark| mark as f64 / (RATE as f64 / 1000.0));
            let nearest = times.min_by(|a, b| (a - flash).abs().total_cmp(&(b - flash).abs()))?;
            Some(nearest - flash)
        })
        .filter(|apart| apart.abs() < 400.0)
        .collect();
    assert!(paired.len() >= 2, "flashes {flashes:?}, marks {marks:?}");
    // A picture lasts 40 ms: that much its flash may be later than the sound's.
    assert!(
        paired.iter().all(|apart| apart.abs() <= 45.0),
        "sound is apart from the picture by {paired:?} ms"
    );
}

#[test]
fn a_recording_that_is_killed_can_be_played() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let _streaming = server.stream(&SMALL);
    let directory = folder.path().to_str().unwrap();
    let mut recording = server
        .cli("record", "rec", &["--directory", directory])
        .spawn()
        .unwrap();
    let lines = BufReader::new(recording.stderr.take().unwrap()).lines();
    let mut recording = Running(recording);
    let path = wait_for(lines, |line| {
        let (_, rest) = line.split_once("\"file\":\"")?;
        Some(PathBuf::from(rest.split('"').next()?))
    });
    // Some seconds of it, by the size of the file.
    let deadline = std::time::Instant::now() + PATIENCE;
    while std::fs::metadata(&path).unwrap().len() < 60_000 {
        assert!(std::time::Instant::now() < deadline, "the file grows");
        std::thread::yield_now();
    }
    recording.0.kill().unwrap();
    recording.0.wait().unwrap();
    let (_, samples, shown) = play(&path);
    assert!(shown > 10 && samples.len() > RATE / 4, "{shown} pictures");
}

/// What ffprobe says of the streams of a file.
fn probe(path: &Path) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-of", "csv=p=0"])
        .args([
            "-show_entries",
            "stream=codec_name,width,height,nb_read_frames",
        ])
        .arg(path)
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.is_empty(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn other_programs_read_a_recording() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("a.webm");
    let film = Film::new(3, 900.0);
    std::fs::write(&input, film.webm()).unwrap();
    let (directory, all) = (folder.path().join("parts"), folder.path().join("all.webm"));
    let record = ["--directory", directory.to_str().unwrap()];
    let composed = ["--composed", all.to_str().unwrap()];
    let mut recording = server.joined("record", "rec", &[&record[..], &composed].concat());
    let output = server.run("stream", "pi", &["--input", input.to_str().unwrap()]);
    assert!(output.status.success());
    assert!(recording.terminate().success());
    let part = only_file(&directory);
    let (pictures, sound) = frames(&part);
    let told = probe(&part);
    assert!(
        told.contains(&format!("vp9,320,180,{}", pictures.len())),
        "{told}"
    );
    assert!(told.contains(&format!("opus,{}", sound.len())), "{told}");
    let (pictures, sound) = frames(&all);
    let told = probe(&all);
    assert!(
        told.contains(&format!("vp9,1280,720,{}", pictures.len())),
        "{told}"
    );
    assert!(told.contains(&format!("opus,{}", sound.len())), "{told}");
    assert!(pictures.len() > 40 && sound.len() > 90, "{told}");
}

/// Runs as root of a namespace with a small file system of its own, and keeps its files.
fn on_a_small_disk(server: &Server, kept: &Path) -> Option<(Option<i32>, String)> {
    let script = "mount -t tmpfs -o size=200k none \"$1\" || exit 77; kept=\"$2\"; disk=\"$1\"; \
                  shift 2; \"$@\" --directory \"$disk\"; code=$?; cp \"$disk\"/* \"$kept\"; exit $code";
    let disk = tempfile::tempdir().unwrap();
    let record = server.cli("record", "rec", &[]);
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .args([disk.path(), kept])
        .arg(record.get_program())
        .args(record.get_args())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let code = output.status.code();
    let refused = code == Some(77) || text.contains("unshare");
    (!refused).then_some((code, text))
}

#[test]
fn a_full_disk_is_said_and_what_is_written_plays() {
    let server = Server::start();
    let _one = server.stream(&SMALL);
    let more = [&SMALL[..], &["--tone", "700"]].concat();
    let _two = server.joined("stream", "pa", &more);
    let kept = tempfile::tempdir().unwrap();
    let Some((code, text)) = on_a_small_disk(&server, kept.path()) else {
        // Past the test harness, which shows what failed only.
        let told = b"\nSKIPPED: a full disk: mount namespaces need root\n";
        let _ = std::io::stdout().lock().write_all(told);
        return;
    };
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("No space left on device"), "{text}");
    let files = files(kept.path());
    assert_eq!(files.len(), 2, "{files:?}");
    for file in files {
        let (_, samples, shown) = play(&file);
        assert!(shown > 5 && samples.len() > RATE / 10, "{shown} pictures");
    }
}
