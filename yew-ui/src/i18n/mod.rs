//! Every text of the front end, in every language.
//!
//! A language is a value of [`Texts`] in a file of its own; one that lacks a text does not compile.

mod english;
mod russian;
mod thai;

/// A language that the front end speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Russian.
    Russian,
    /// Thai.
    Thai,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 3] = [Self::English, Self::Russian, Self::Thai];

    /// Tag by BCP 47.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Russian => "ru",
            Self::Thai => "th",
        }
    }

    /// Its name in itself.
    pub const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Russian => "Русский",
            Self::Thai => "ไทย",
        }
    }

    /// The language of a tag, with or without region.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag
            .split(['-', '_'])
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|language| language.tag() == primary)
    }

    /// Its texts.
    pub const fn texts(self) -> &'static Texts {
        match self {
            Self::English => &english::TEXTS,
            Self::Russian => &russian::TEXTS,
            Self::Thai => &thai::TEXTS,
        }
    }

    /// How many people there are, in words.
    pub fn people_count(self, count: usize) -> String {
        match self {
            Self::English if count == 1 => "1 person".to_owned(),
            Self::English => format!("{count} people"),
            Self::Russian => {
                let word = match (count % 10, count % 100) {
                    (_, 11..=14) => "участников",
                    (1, _) => "участник",
                    (2..=4, _) => "участника",
                    _ => "участников",
                };
                format!("{count} {word}")
            }
            Self::Thai => format!("{count} คน"),
        }
    }
}

macro_rules! texts {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// The texts of one language.
        #[derive(Debug, PartialEq, Eq)]
        pub struct Texts {
            $($(#[$meta])* pub $name: &'static str,)*
        }

        impl Texts {
            /// Every text with its name.
            #[cfg(test)]
            pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

texts! {
    /// Name of the product: "videocall"
    app_name,
    /// Start page: "Meetings on your own server"
    tagline,
    /// Start page: "No account, nothing to install. Share a link and talk."
    intro,
    /// Button: "New meeting"
    new_meeting,
    /// Told to those who do not see it: "{name} joined"
    they_joined,
    /// Told to those who do not see it: "{name} left"
    they_left,
    /// Label of a field: "Code or link of a meeting"
    code_label,
    /// Placeholder: "abc-defg-hij"
    code_placeholder,
    /// Button: "Join"
    join,
    /// Error: "Type a code, or paste a link to a meeting"
    code_wrong,
    /// Label of a field: "Your name"
    your_name,
    /// Error: "Type the name that others will see"
    name_missing,
    /// Pre-join page: "Ready to join?"
    ready,
    /// Before a meeting's name: "Meeting"
    meeting,
    /// A device: "Camera"
    camera,
    /// A device: "Microphone"
    microphone,
    /// A device: "Speakers"
    speaker,
    /// State: "Your camera is off"
    no_camera,
    /// State: "None found"
    no_devices,
    /// Button: "Join now"
    join_now,
    /// State: "Joining…"
    joining,
    /// Button: "Back"
    back,
    /// Error: "The browser may not use your camera. Click the camera sign in the address bar and allow it, or join without."
    camera_denied,
    /// Error: "The browser may not use your microphone. Click the sign in the address bar and allow it, or join and only listen."
    microphone_denied,
    /// Error: "No such device is connected."
    device_missing,
    /// Error: "Another program uses this device. Close it and try again."
    device_in_use,
    /// Error: "Camera and microphone work only over https:// or on localhost."
    insecure,
    /// Error: "This device could not be started."
    device_failed,
    /// Button: "Try again"
    try_again,
    /// Button: "Mute"
    mute,
    /// Button: "Unmute"
    unmute,
    /// Button: "Turn camera on"
    camera_on,
    /// Button: "Turn camera off"
    camera_off,
    /// Button: "Share screen"
    share,
    /// Button: "Stop sharing"
    stop_sharing,
    /// Button and heading: "People"
    people,
    /// Button and heading: "Statistics"
    statistics,
    /// Button and heading: "Settings"
    settings,
    /// Button: "Grid view"
    layout_grid,
    /// Button: "Speaker view"
    layout_speaker,
    /// Button: "Leave"
    leave,
    /// Heading: "Keyboard shortcuts"
    shortcuts,
    /// Button: "Close"
    close,
    /// After one's own name: "you"
    you,
    /// Button: "Pin"
    pin,
    /// Button: "Unpin"
    unpin,
    /// Before a name: "Screen of"
    screen_of,
    /// State: "You are the only one here"
    alone,
    /// State: "Send this link to those you want to meet."
    alone_hint,
    /// Button: "Copy link"
    copy_link,
    /// State: "Copied"
    copied,
    /// State: "Connecting…"
    connecting,
    /// State: "The connection was lost. Coming back…"
    reconnecting,
    /// Heading: "You left the meeting"
    left,
    /// Button: "Join again"
    rejoin,
    /// Button: "Start page"
    home,
    /// Heading: "You are no longer in the meeting"
    ended,
    /// Heading: "You could not join"
    not_joined,
    /// Error: "The server does not let you in."
    reason_unauthorized,
    /// Error: "A host removed you from the meeting."
    reason_removed,
    /// Error: "A host ended the meeting."
    reason_meeting_ended,
    /// Error: "You joined from another window."
    reason_replaced,
    /// Error: "This page and the server do not understand each other. Load the page again."
    reason_protocol,
    /// Error: "Too much was sent from here."
    reason_rate,
    /// Error: "The server closed the connection."
    reason_other,
    /// Warning: "This browser cannot send video."
    warning_encoder,
    /// Warning: "This computer is busy: your picture may stutter."
    warning_overloaded,
    /// Warning: "Your camera stopped."
    warning_camera_ended,
    /// Warning: "Your microphone stopped."
    warning_microphone_ended,
    /// Warning: "Sound cannot be played."
    warning_sound,
    /// State: "Good connection"
    quality_good,
    /// State: "Fair connection"
    quality_fair,
    /// State: "Poor connection"
    quality_poor,
    /// State: "Connection not measured yet"
    quality_unknown,
    /// State: "muted"
    muted,
    /// State: "camera off"
    camera_is_off,
    /// State: "speaking"
    speaking,
    /// State: "away"
    away,
    /// Label: "Language"
    language,
    /// Label: "Theme"
    theme,
    /// Choice: "System"
    theme_system,
    /// Choice: "Light"
    theme_light,
    /// Choice: "Dark"
    theme_dark,
    /// Label: "What you share"
    content,
    /// Choice: "Text: sharp"
    content_detail,
    /// Choice: "Film: smooth"
    content_motion,
    /// Button: "Previous page"
    previous_page,
    /// Button: "Next page"
    next_page,
    /// Statistics: "Sent"
    sent,
    /// Statistics: "Received"
    received,
    /// Statistics: "Round trip"
    round_trip,
    /// Statistics: "Transport"
    transport,
    /// State of a tile: "Picture paused: your connection is too slow"
    picture_paused,
    /// Why the connection was lost: "The server is restarting."
    reason_going_away,
    /// Why the connection was lost: "The server heard nothing from here for too long."
    reason_timeout,
    /// Why the connection was lost: "Something on the server failed."
    reason_internal,
    /// Why one is not let in: "There is no place left here now."
    reason_full,
    /// Why the connection was lost: "Your connection was too slow for what was sent."
    reason_slow,
    /// State: "The server does not answer. Trying again…"
    no_answer,
    /// State, with seconds: "Trying again in {seconds} s"
    again_in,
    /// Button: "Try now"
    try_now,
    /// Label of the pages of a large meeting: "Pages"
    pages,
    /// Told when a page is turned: "Page {page} of {pages}"
    page_of,
    /// Label and placeholder of a field: "Find a person"
    find_person,
    /// State: "Nobody has this name"
    nobody_found,
    /// Statistics: "Lost"
    loss,
    /// Statistics: share of the time in which pictures stood still: "Picture frozen"
    frozen,
    /// Statistics: share of the sound that was made up: "Sound concealed"
    concealed,
    /// Statistics: bits a second that may be sent, by what the way to the server is thought to carry: "Sending limit"
    uplink,
    /// Statistics: layers and pictures that are not encoded: "Left out, as this device is busy"
    left_out,
    /// Statistics: "Sound"
    kind_audio,
    /// Statistics: "Camera"
    kind_video,
    /// Statistics: "Screen"
    kind_screen,
    /// Statistics: "Sound of a screen"
    kind_screen_audio,
}

#[cfg(test)]
mod tests;
