//! A network that loses one packet in twenty, both ways.

use crate::{
    net::Net,
    programs::{PATIENCE, event, server, streamer, watcher},
};

fn goes_on(transport: &str) {
    let Some(net) = Net::make("a lossy network") else {
        return;
    };
    let _server = server(&net);
    let mut eye = watcher(&net);
    net.lose(5);
    let size = ["--resolution", "640x360", "--transport", transport];
    let _pi = streamer(&net, &size);
    let (mut seen, mut heard, mut lost) = (0, 0, 0);
    eye.wait_for("six good seconds of picture and of sound", |line| {
        let figures = event(line)?;
        let of = |name: &str| figures[name].as_u64().unwrap_or(0);
        if figures["kind"] == "video" && of("fps") >= 8 {
            seen += 1;
        }
        // A tenth of the sound may be missing: datagrams get lost, and what waited too long behind
        // a lost segment of TCP is not sent any more.
        if figures["kind"] == "audio" && of("packets") >= 40 {
            heard += 1;
            lost = of("lost");
        }
        (seen >= 6 && heard >= 6).then_some(())
    });
    assert!(net.lost() > 5, "the network loses packets");
    assert!(lost < 50 * PATIENCE.as_secs() / 5, "{lost} lost");
}

#[test]
fn one_packet_in_twenty_lost_is_borne_over_webtransport() {
    goes_on("webtransport");
}

#[test]
fn one_packet_in_twenty_lost_is_borne_over_websocket() {
    goes_on("websocket");
}
