//! An uplink that carries a fifth of what would be sent.

use crate::{
    net::Net,
    programs::{seen_and_heard, server, streamer, watcher},
};

fn fits(transport: &str) {
    let Some(net) = Net::make("a narrow uplink") else {
        return;
    };
    let _server = server(&net);
    let mut eye = watcher(&net);
    net.limit_uplink(400);
    let _pi = streamer(&net, &["--transport", transport]);
    seen_and_heard(&mut eye, 5);
}

#[test]
fn picture_and_sound_fit_through_400_kbit_over_webtransport() {
    fits("webtransport");
}

#[test]
fn picture_and_sound_fit_through_400_kbit_over_websocket() {
    fits("websocket");
}
