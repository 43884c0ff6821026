//! Connections that break: the streamer comes back by itself.

use crate::{
    net::Net,
    programs::{seen_and_heard, server, streamer, watcher},
};

const SMALL: [&str; 4] = ["--resolution", "320x180", "--fps", "15"];

#[test]
fn a_cable_that_is_pulled_and_put_back() {
    let Some(net) = Net::make("a cable that is pulled") else {
        return;
    };
    let _server = server(&net);
    let mut eye = watcher(&net);
    let mut pi = streamer(&net, &SMALL);
    seen_and_heard(&mut eye, 1);
    net.plug(false);
    pi.event("reconnecting");
    net.plug(true);
    pi.event("joined");
    seen_and_heard(&mut eye, 2);
    let (told, well) = pi.end();
    assert!(well && !told.contains("panicked"), "{told}");
}

#[test]
fn a_server_that_is_killed_and_started_again() {
    let Some(net) = Net::make("a server that is killed") else {
        return;
    };
    let mut first = server(&net);
    let mut pi = streamer(&net, &SMALL);
    first.kill();
    pi.event("reconnecting");
    let _second = server(&net);
    pi.event("joined");
    let mut eye = watcher(&net);
    seen_and_heard(&mut eye, 2);
    // While connected over WebTransport, a program that ends must do so in order.
    let (told, well) = pi.end();
    assert!(well && !told.contains("panicked"), "{told}");
}
