//! HTML, PDF, metrics, the dashboard, the terminal, the live page.

use std::sync::Arc;

use ratatui::{Terminal, backend::TestBackend};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};
use videocall_load::output::{
    frame::{Frame, RunResult, without_secrets},
    html, pdf, prometheus, session, terminal, text, web,
};

use crate::support::{HOSTILE, frame, result};

#[test]
fn the_report_contains_the_numbers_and_nothing_from_elsewhere() {
    let page = html::report(&result());
    for text in [
        "WORKER LOST: south",
        "THE TESTER IS THE BOTTLENECK: worker north",
        "LOST after 4.2 s",
        "Ended early: interrupted",
        "-120 ± 40 µs",
        "lost.audio&lt;0.1%",
        "Meeting &amp; more",
        "&lt;script&gt;alert(&quot;1&quot;)",
        "<td class=\"n\">77",
        "Freezes of video: 1, 1.3 s",
        "<tr><td>one_way audio layer 0<td class=\"n\">1000",
        "7.149",
        "<polyline",
        "@media print",
        "1970-01-01",
    ] {
        assert!(page.contains(text), "`{text}` is missing");
    }
    for elsewhere in [
        "src=", "href=", "url(", "@import", "<script", "http://", "https://",
    ] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
}

#[tokio::test]
async fn the_pdf_has_text_that_can_be_selected() {
    let Ok(browser) = pdf::browser() else {
        panic!("Chromium is not installed: apt-get install chromium");
    };
    let bytes = pdf::print(&browser, &html::report(&result()))
        .await
        .unwrap();
    assert!(bytes.starts_with(b"%PDF-"));
    let has = |text: &str| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    assert!(
        has("/ToUnicode") && has("/Font"),
        "text, and not a picture of it"
    );
    // More content makes more pages.
    let pages = |bytes: &[u8]| {
        bytes
            .windows(11)
            .filter(|part| *part == b"/Type /Page")
            .count()
    };
    let small = pdf::print(&browser, "<p>one").await.unwrap();
    assert!(pages(&bytes) > pages(&small));
}

#[test]
fn the_result_survives_its_json() {
    let result = result();
    let read: RunResult = serde_json::from_str(&session::json(&result)).unwrap();
    assert!(read == result);
}

#[test]
fn secrets_stay_out_of_reports() {
    let url = "wss://user:password@example.org/lobby?token=secret#x";
    assert_eq!(without_secrets(url), "wss://example.org/lobby");
}

#[test]
fn metrics_have_the_form_of_prometheus() {
    let page = prometheus::page(&frame());
    for line in [
        "videocall_load_connections_open 1000",
        "videocall_load_messages_lost_total{kind=\"audio\"} 77",
        "videocall_load_messages_sent_total{kind=\"video\",layer=\"2\"} 1000",
        "videocall_load_bytes_sent_total{kind=\"video\",layer=\"2\"} 1000000",
        "videocall_load_errors_total{class=\"dns\"} 1",
        "videocall_load_worker_lost{worker=\"south\"} 1",
        "videocall_load_tester_bottleneck{worker=\"north\"} 1",
        "videocall_load_latency_seconds_count{metric=\"join\",form=\"raw\"} 1000",
        "videocall_load_frozen_seconds_total{kind=\"video\"} 1.3",
        "videocall_load_server_cpu_cores 0.75",
        "videocall_load_threshold_kept{threshold=\"lost.audio<0.1%\"} 0",
    ] {
        assert!(
            page.lines().any(|found| found == line),
            "`{line}` in\n{page}"
        );
    }
    let families: Vec<&str> = (page.lines())
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = name.trim_end_matches("_sum").trim_end_matches("_count");
        assert!(families.contains(&family), "{name}");
        assert!(
            line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(),
            "{line}"
        );
    }
}

#[test]
fn the_dashboard_refers_only_to_metrics_that_there_are() {
    let page = prometheus::page(&frame());
    let text = include_str!("../../grafana/dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut seen = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            for rest in expression.split("videocall_load_").skip(1) {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let name = format!("videocall_load_{}", &rest[..end.unwrap_or(rest.len())]);
                let known = page.lines().any(|line| {
                    let after = line.strip_prefix(&*name);
                    after.is_some_and(|after| after.starts_with(['{', ' ']))
                });
                assert!(known, "{name}, of {}", panel["title"]);
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn progress_says_loudly_what_is_wrong() {
    let line = text::progress(&frame());
    for text in [
        "sent 100/s",
        "round_trip p50 0.00 p99 42.00 ms",
        "lost 77",
        "!! WORKER LOST: south",
    ] {
        assert!(line.contains(text), "`{text}` in {line}");
    }
    assert!(line.contains("!! THE TESTER IS THE BOTTLENECK: worker north"));
    assert!(text::ending(&result()).contains("MISSED lost.audio<0.1%"));
}

#[test]
fn the_terminal_shows_the_run() {
    let mut terminal = Terminal::new(TestBackend::new(120, 45)).unwrap();
    let frame = frame();
    let points = [frame.point.clone().unwrap()];
    let drawn = terminal.draw(|screen| terminal::draw(screen, &frame, &points, "a title"));
    let buffer = drawn.unwrap().buffer.clone();
    let text: String = buffer.content().iter().map(|cell| cell.symbol()).collect();
    for part in [
        "a title",
        "10 s of 20 s",
        "WORKER LOST: south",
        "BOTTLENECK",
        "lost.audio<0.1%",
        "dns 1",
    ] {
        assert!(text.contains(part), "`{part}` in {text}");
    }
    // And nothing breaks where there is no room.
    let mut tiny = Terminal::new(TestBackend::new(9, 4)).unwrap();
    tiny.draw(|screen| terminal::draw(screen, &frame, &points, "a title"))
        .unwrap();
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_live_page_is_told_of_every_state() {
    let (sender, frames) = watch::channel(Arc::new(frame()));
    let web = web::serve("127.0.0.1:0".parse().unwrap(), frames)
        .await
        .unwrap();
    let page = get(web.address, "/").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("EventSource"));
    assert!(!page.contains("src="), "nothing from elsewhere");
    assert!(
        get(web.address, "/metrics")
            .await
            .contains("videocall_load_run_seconds 10")
    );
    assert!(
        get(web.address, "/nothing")
            .await
            .starts_with("HTTP/1.1 404")
    );
    let mut events = TcpStream::connect(web.address).await.unwrap();
    events
        .write_all(b"GET /events HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    while text.matches("\n\n").count() < 1 || !text.contains("data: ") {
        let mut part = [0; 65_536];
        let length = events.read(&mut part).await.unwrap();
        assert!(length > 0);
        text.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    sender.send_replace(Arc::new(Frame {
        elapsed: std::time::Duration::from_secs(20),
        last: true,
        ..frame()
    }));
    // The last state ends the stream.
    events.read_to_string(&mut text).await.unwrap();
    let states: Vec<serde_json::Value> = (text.lines())
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(states.len(), 2);
    assert_eq!(states[0]["elapsed"], 10.0);
    assert_eq!(states[0]["figures"]["lost"], "77");
    assert_eq!(states[0]["errors"][0][2], HOSTILE);
    assert_eq!(
        (&states[1]["elapsed"], &states[1]["last"]),
        (&20.0.into(), &true.into())
    );
}
