//! How the connection is, as long as it is not as it should be.

use videocall_client::web::{Call, Connection};
use yew::prelude::*;
use yew_ui::reason;

use super::{
    browser::{self, Timer},
    use_app,
};

/// A shorter wait is over before one has read of it.
const WORTH_TELLING_MS: u32 = 2000;

#[derive(Properties, PartialEq)]
pub(crate) struct BannerProps {
    pub(crate) call: Option<Call>,
    pub(crate) connection: Connection,
    /// Whether one has been in the meeting before.
    pub(crate) joined: bool,
}

#[component]
pub(crate) fn Banner(props: &BannerProps) -> Html {
    let texts = use_app().texts();
    let spinner = html! { <span class="spinner small" aria-hidden="true"></span> };
    match &props.connection {
        Connection::Connecting => html! {
            <div class="banner" role="status">{ spinner }{ texts.joining }</div>
        },
        Connection::Reconnecting { code, wait_ms, .. } => {
            let words = match code {
                Some(_) => reason::words(*code, texts),
                None if props.joined => texts.reconnecting,
                None => texts.no_answer,
            };
            let now = {
                let call = props.call.clone();
                Callback::from(move |_: MouseEvent| {
                    if let Some(call) = &call {
                        call.try_now();
                    }
                })
            };
            html! {
                <div class="banner warning" data-testid="reconnecting-banner">
                    { spinner }
                    <span role="alert">{ words }</span>
                    if *wait_ms >= WORTH_TELLING_MS {
                        <Countdown milliseconds={*wait_ms} />
                        <button class="button small" data-testid="try-now" onclick={now}>{ texts.try_now }</button>
                    }
                </div>
            }
        }
        Connection::Connected { .. } | Connection::Closed { .. } => Html::default(),
    }
}

#[derive(Properties, PartialEq)]
struct CountdownProps {
    milliseconds: u32,
}

/// Seconds that go by. A screen reader is told once, not every second.
#[component]
fn Countdown(props: &CountdownProps) -> Html {
    let texts = use_app().texts();
    let left = use_state(|| props.milliseconds);
    {
        let left = left.clone();
        use_effect_with(props.milliseconds, move |&milliseconds| {
            let until = browser::now() + f64::from(milliseconds);
            left.set(milliseconds);
            let timer = Timer::every(250, move || {
                left.set((until - browser::now()).max(0.0) as u32);
            });
            move || drop(timer)
        });
    }
    let words = |milliseconds: u32| {
        let seconds = milliseconds.div_ceil(1000).to_string();
        texts.again_in.replace("{seconds}", &seconds)
    };
    html! {
        <>
            <span class="countdown" aria-hidden="true" data-testid="countdown">{ words(*left) }</span>
            <span class="sr-only" role="status">{ words(props.milliseconds) }</span>
        </>
    }
}
