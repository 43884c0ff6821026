//! The page after a meeting.

use yew::prelude::*;
use yew_ui::reason;

use super::{chrome::Frame, use_app};

/// Why the meeting is over for this person.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Why {
    /// By choice.
    Left,
    /// The server ended it, or did not let the person in.
    Closed {
        admitted: bool,
        code: Option<u32>,
        text: String,
    },
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
            texts.not_joined,
            Some((texts.reason_other, Some(text.as_str()))),
            "error-state",
        ),
        Why::Closed {
            admitted,
            code,
            text,
        } => (
            if *admitted {
                texts.ended
            } else {
                texts.not_joined
            },
            Some((reason::words(*code, texts), reason::detail(*code, text))),
            "error-state",
        ),
    };
    let rejoin = props.rejoin.reform(|_: MouseEvent| ());
    let home = props.home.reform(|_: MouseEvent| ());
    html! {
        <Frame>
            <section class="card center" data-testid={test_id}>
                <h1>{ title }</h1>
                if let Some((words, text)) = detail {
                    <p role="alert">{ words }</p>
                    if let Some(text) = text {
                        <p class="quiet">{ text }</p>
                    }
                }
                <div class="row">
                    <button class="button primary" onclick={rejoin}>{ texts.rejoin }</button>
                    <button class="button" onclick={home}>{ texts.home }</button>
                </div>
            </section>
        </Frame>
    }
}
