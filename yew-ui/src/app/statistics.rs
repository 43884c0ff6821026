//! Figures of the last second, for those who look for the cause of a problem.

use videocall_client::{
    core::budget::MOST_LEFT_OUT,
    web::{Call, ReceiveStatistics, Statistics, Transport},
};
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;
use yew_ui::i18n::Texts;

use super::{browser::Timer, use_app};

#[derive(Properties, PartialEq)]
pub(crate) struct StatisticsProps {
    pub(crate) call: Call,
}

/// Asks each second.
#[hook]
fn use_statistics(call: &Call) -> Statistics {
    let figures = use_state(Statistics::default);
    {
        let figures = figures.clone();
        use_effect_with(call.clone(), move |call| {
            let call = call.clone();
            let ask = move || {
                let (call, figures) = (call.clone(), figures.clone());
                spawn_local(async move {
                    if let Some(fresh) = call.statistics().await {
                        figures.set(fresh);
                    }
                });
            };
            ask();
            let timer = Timer::every(1000, ask);
            move || drop(timer)
        });
    }
    (*figures).clone()
}

#[component]
pub(crate) fn StatisticsPanel(props: &StatisticsProps) -> Html {
    let texts = use_app().texts();
    let figures = use_statistics(&props.call);
    let transport = match figures.transport {
        Some(Transport::WebTransport) => "WebTransport",
        Some(Transport::WebSocket) => "WebSocket",
        None => "–",
    };
    html! {
        <>
            <dl class="figures">
                <dt>{ texts.transport }</dt><dd>{ transport }</dd>
                <dt>{ texts.round_trip }</dt><dd>{ milliseconds(figures.rtt_ms) }</dd>
                <dt>{ texts.sent }</dt><dd>{ rate(figures.sent_bps) }</dd>
                <dt>{ texts.received }</dt><dd>{ rate(figures.received_bps) }</dd>
                <dt>{ texts.frozen }</dt><dd>{ share(figures.frozen_share) }</dd>
                <dt>{ texts.concealed }</dt><dd>{ share(figures.concealed_share) }</dd>
                <dt>{ texts.uplink }</dt><dd>{ rate(figures.uplink_bps) }</dd>
                if figures.left_out > 0 {
                    <dt>{ texts.left_out }</dt>
                    <dd>{ format!("{} / {MOST_LEFT_OUT}", figures.left_out) }</dd>
                }
            </dl>
            <h3>{ texts.sent }</h3>
            <div class="table-scroll"><table>
                { for figures.publish.iter().map(|p| html! {
                    <tr class={(!p.wanted).then_some("quiet")}>
                        <td>{ kind(&p.kind, texts) }</td>
                        <td>{ size(p.width, p.height) }</td>
                        <td>{ format!("{:.0}/s", p.fps) }</td><td>{ rate(p.bitrate_bps) }</td><td>{ &p.codec }</td>
                    </tr>
                }) }
            </table></div>
            <h3>{ texts.received }</h3>
            <div class="table-scroll"><table>
                { for figures.receive.iter().map(|of| received(of, texts)) }
            </table></div>
        </>
    }
}

fn received(of: &ReceiveStatistics, texts: &Texts) -> Html {
    let impaired = if of.width > 0 {
        texts.frozen
    } else {
        texts.concealed
    };
    html! {
        <>
            <tr>
                <td>{ kind(&of.kind, texts) }</td>
                <td>{ size(of.width, of.height) }</td>
                <td>{ format!("{:.0}/s", of.fps) }</td><td>{ rate(of.bitrate_bps) }</td>
                <td>{ milliseconds(Some(of.jitter_ms)) }</td><td>{ milliseconds(of.capture_to_display_ms) }</td>
            </tr>
            <tr class="quiet">
                <td colspan="6">
                    { format!("{}: {} · {}: {}", texts.loss, of.lost, impaired, share(Some(of.impaired_share))) }
                </td>
            </tr>
        </>
    }
}

fn kind<'a>(kind: &'a str, texts: &'a Texts) -> &'a str {
    match kind {
        "audio" => texts.kind_audio,
        "video" => texts.kind_video,
        "screen" => texts.kind_screen,
        "screen_audio" => texts.kind_screen_audio,
        other => other,
    }
}

fn size(width: u32, height: u32) -> String {
    if width > 0 {
        format!("{width}×{height}")
    } else {
        String::new()
    }
}

fn rate(bps: f64) -> String {
    if bps >= 1e6 {
        format!("{:.1} Mbit/s", bps / 1e6)
    } else {
        format!("{:.0} kbit/s", bps / 1e3)
    }
}

fn milliseconds(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |ms| format!("{ms:.0} ms"))
}

fn share(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}
