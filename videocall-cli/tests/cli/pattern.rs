//! The test pattern, from one end to the other.

use videocall_codec::pattern::{find_marks, measure_tone};

use crate::support::{RATE, SMALL, Server, clocks, samples};

fn is_seen_and_heard_over(transport: &str) {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let (pictures, sound) = (folder.path().join("o.y4m"), folder.path().join("o.wav"));
    let way = ["--transport", transport];
    let _streaming = server.stream(&[&SMALL[..], &way, &["--tone", "1250"]].concat());
    let (y4m, wav) = (pictures.to_str().unwrap(), sound.to_str().unwrap());
    let watch = ["--duration", "3", "--clock", "--y4m", y4m, "--wav", wav];
    let output = server.run("watch", "eye", &[&watch[..], &way].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("\"delay_ms\":"), "{text}");

    let (clocks, all) = clocks(&pictures);
    assert!(all > 25, "{all} pictures");
    assert!(
        clocks.len() * 10 >= all * 9,
        "{} of {all} can be read",
        clocks.len()
    );
    let steps: Vec<u64> = clocks.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(
        steps.iter().filter(|&&step| step == 40).count() * 10 >= steps.len() * 9,
        "{steps:?}"
    );
    let samples = samples(&sound);
    // A tenth of each second has the double of the tone.
    let parts: Vec<&[f32]> = samples.chunks_exact(RATE / 10).collect();
    let loud = |hz| {
        parts
            .iter()
            .filter(|part| measure_tone(part, hz) > 0.1)
            .count()
    };
    assert!(parts.len() > 15, "{} tenths of a second", parts.len());
    assert!(loud(1250.0) * 4 >= parts.len() * 3, "the tone is heard");
    assert_eq!((loud(800.0), loud(2000.0)), (0, 0), "and no other");
    assert!(!find_marks(&samples, 1250.0).is_empty(), "with its marks");
}

#[test]
fn a_pattern_is_seen_and_heard_over_webtransport() {
    is_seen_and_heard_over("webtransport");
}

#[test]
fn a_pattern_is_seen_and_heard_over_websocket() {
    is_seen_and_heard_over("websocket");
}
