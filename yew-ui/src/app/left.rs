//! The page after a meeting.

use videocall_types::close::CloseReason;
use yew::prelude::*;

use super::{chrome::Frame, use_app};

/// Why the meeting is over for this person.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Why {
    /// By choice.
    Left,
    /// The server ended it.
    Closed { code: Option<u32>, text: String },
    /// It could not begin.
    Failed(String),
}

#[derive(Properties, PartialEq)]
pub(crate) struct LeftProps {
    pub(crate) why: Why,
    pub(crate) rejoin: Callback<()>,
    pub(crate) home: Callback<()>,
}

#[component]
pub(crate) fn LeftPage(props: &LeftProps) -> Html {
    let texts = use_app().texts();
    let (title, detail, test_id) = match &props.why {
        Why::Left => (texts.left, None, "left-page"),
        Why::Failed(text) => (
            texts.ended,
            Some((texts.reason_other, text.clone())),
            "error-state",
        ),
        Why::Closed { code, text } => {
            let reason = match code.and_then(CloseReason::from_code) {
                Some(CloseReason::Unauthorized) => texts.reason_unauthorized,
                Some(CloseReason::Removed) => texts.reason_removed,
                Some(CloseReason::MeetingEnded) => texts.reason_meeting_ended,
                Some(CloseReason::Replaced) => texts.reason_replaced,
                Some(CloseReason::ProtocolError | CloseReason::Unsupported) => {
                    texts.reason_protocol
                }
                Some(CloseReason::RateLimitExceeded) => texts.reason_rate,
                _ => texts.reason_other,
            };
            (texts.ended, Some((reason, text.clone())), "error-state")
        }
    };
    let rejoin = props.rejoin.reform(|_: MouseEvent| ());
    let home = props.home.reform(|_: MouseEvent| ());
    html! {
        <Frame>
            <section class="card center" data-testid={test_id}>
                <h1>{ title }</h1>
                if let Some((reason, text)) = detail {
                    <p role="alert">{ reason }</p>
                    <p class="quiet">{ text }</p>
                }
                <div class="row">
                    <button class="button primary" onclick={rejoin}>{ texts.rejoin }</button>
                    <button class="button" onclick={home}>{ texts.home }</button>
                </div>
            </section>
        </Frame>
    }
}
