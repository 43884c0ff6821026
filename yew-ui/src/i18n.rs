//! Every text of the front end, in every language.
//!
//! A language is a value of [`Texts`], so that one that lacks a text does not compile.

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
            Self::English => &ENGLISH,
            Self::Russian => &RUSSIAN,
            Self::Thai => &THAI,
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

/// The texts of one language.
#[derive(Debug, PartialEq, Eq)]
pub struct Texts {
    /// Name of the product: "videocall"
    pub app_name: &'static str,
    /// Start page: "Meetings on your own server"
    pub tagline: &'static str,
    /// Start page: "No account, nothing to install. Share a link and talk."
    pub intro: &'static str,
    /// Button: "New meeting"
    pub new_meeting: &'static str,
    /// Told to those who do not see it: "{name} joined"
    pub they_joined: &'static str,
    /// Told to those who do not see it: "{name} left"
    pub they_left: &'static str,
    /// Label of a field: "Code or link of a meeting"
    pub code_label: &'static str,
    /// Placeholder: "abc-defg-hij"
    pub code_placeholder: &'static str,
    /// Button: "Join"
    pub join: &'static str,
    /// Error: "Type a code, or paste a link to a meeting"
    pub code_wrong: &'static str,
    /// Label of a field: "Your name"
    pub your_name: &'static str,
    /// Error: "Type the name that others will see"
    pub name_missing: &'static str,
    /// Pre-join page: "Ready to join?"
    pub ready: &'static str,
    /// Before a meeting's name: "Meeting"
    pub meeting: &'static str,
    /// A device: "Camera"
    pub camera: &'static str,
    /// A device: "Microphone"
    pub microphone: &'static str,
    /// A device: "Speakers"
    pub speaker: &'static str,
    /// State: "Your camera is off"
    pub no_camera: &'static str,
    /// State: "None found"
    pub no_devices: &'static str,
    /// Button: "Join now"
    pub join_now: &'static str,
    /// State: "Joining…"
    pub joining: &'static str,
    /// Button: "Back"
    pub back: &'static str,
    /// Error: "The browser may not use your camera. Click the camera sign in the address bar and allow it, or join without."
    pub camera_denied: &'static str,
    /// Error: "The browser may not use your microphone. Click the sign in the address bar and allow it, or join and only listen."
    pub microphone_denied: &'static str,
    /// Error: "No such device is connected."
    pub device_missing: &'static str,
    /// Error: "Another program uses this device. Close it and try again."
    pub device_in_use: &'static str,
    /// Error: "Camera and microphone work only over https:// or on localhost."
    pub insecure: &'static str,
    /// Error: "This device could not be started."
    pub device_failed: &'static str,
    /// Button: "Try again"
    pub try_again: &'static str,
    /// Button: "Mute"
    pub mute: &'static str,
    /// Button: "Unmute"
    pub unmute: &'static str,
    /// Button: "Turn camera on"
    pub camera_on: &'static str,
    /// Button: "Turn camera off"
    pub camera_off: &'static str,
    /// Button: "Share screen"
    pub share: &'static str,
    /// Button: "Stop sharing"
    pub stop_sharing: &'static str,
    /// Button and heading: "People"
    pub people: &'static str,
    /// Button and heading: "Statistics"
    pub statistics: &'static str,
    /// Button and heading: "Settings"
    pub settings: &'static str,
    /// Button: "Grid view"
    pub layout_grid: &'static str,
    /// Button: "Speaker view"
    pub layout_speaker: &'static str,
    /// Button: "Leave"
    pub leave: &'static str,
    /// Heading: "Keyboard shortcuts"
    pub shortcuts: &'static str,
    /// Button: "Close"
    pub close: &'static str,
    /// After one's own name: "you"
    pub you: &'static str,
    /// Button: "Pin"
    pub pin: &'static str,
    /// Button: "Unpin"
    pub unpin: &'static str,
    /// Before a name: "Screen of"
    pub screen_of: &'static str,
    /// State: "You are the only one here"
    pub alone: &'static str,
    /// State: "Send this link to those you want to meet."
    pub alone_hint: &'static str,
    /// Button: "Copy link"
    pub copy_link: &'static str,
    /// State: "Copied"
    pub copied: &'static str,
    /// State: "Connecting…"
    pub connecting: &'static str,
    /// State: "The connection was lost. Coming back…"
    pub reconnecting: &'static str,
    /// Heading: "You left the meeting"
    pub left: &'static str,
    /// Button: "Join again"
    pub rejoin: &'static str,
    /// Button: "Start page"
    pub home: &'static str,
    /// Heading: "You are no longer in the meeting"
    pub ended: &'static str,
    /// Error: "The server does not let you in."
    pub reason_unauthorized: &'static str,
    /// Error: "A host removed you from the meeting."
    pub reason_removed: &'static str,
    /// Error: "A host ended the meeting."
    pub reason_meeting_ended: &'static str,
    /// Error: "You joined from another window."
    pub reason_replaced: &'static str,
    /// Error: "This page and the server do not understand each other. Load the page again."
    pub reason_protocol: &'static str,
    /// Error: "Too much was sent from here."
    pub reason_rate: &'static str,
    /// Error: "The server closed the connection."
    pub reason_other: &'static str,
    /// Warning: "This browser cannot send video."
    pub warning_encoder: &'static str,
    /// Warning: "This computer is busy: your picture may stutter."
    pub warning_overloaded: &'static str,
    /// Warning: "Your camera stopped."
    pub warning_camera_ended: &'static str,
    /// Warning: "Your microphone stopped."
    pub warning_microphone_ended: &'static str,
    /// Warning: "Sound cannot be played."
    pub warning_sound: &'static str,
    /// State: "Good connection"
    pub quality_good: &'static str,
    /// State: "Fair connection"
    pub quality_fair: &'static str,
    /// State: "Poor connection"
    pub quality_poor: &'static str,
    /// State: "Connection not measured yet"
    pub quality_unknown: &'static str,
    /// State: "muted"
    pub muted: &'static str,
    /// State: "camera off"
    pub camera_is_off: &'static str,
    /// State: "speaking"
    pub speaking: &'static str,
    /// State: "away"
    pub away: &'static str,
    /// Label: "Language"
    pub language: &'static str,
    /// Label: "Theme"
    pub theme: &'static str,
    /// Choice: "System"
    pub theme_system: &'static str,
    /// Choice: "Light"
    pub theme_light: &'static str,
    /// Choice: "Dark"
    pub theme_dark: &'static str,
    /// Label: "What you share"
    pub content: &'static str,
    /// Choice: "Text: sharp"
    pub content_detail: &'static str,
    /// Choice: "Film: smooth"
    pub content_motion: &'static str,
    /// Button: "Previous page"
    pub previous_page: &'static str,
    /// Button: "Next page"
    pub next_page: &'static str,
    /// Statistics: "Sent"
    pub sent: &'static str,
    /// Statistics: "Received"
    pub received: &'static str,
    /// Statistics: "Round trip"
    pub round_trip: &'static str,
    /// Statistics: "Transport"
    pub transport: &'static str,
}

static ENGLISH: Texts = Texts {
    they_joined: "{name} joined",
    they_left: "{name} left",
    app_name: "videocall",
    tagline: "Meetings on your own server",
    intro: "No account, nothing to install. Share a link and talk.",
    new_meeting: "New meeting",
    code_label: "Code or link of a meeting",
    code_placeholder: "abc-defg-hij",
    join: "Join",
    code_wrong: "Type a code, or paste a link to a meeting",
    your_name: "Your name",
    name_missing: "Type the name that others will see",
    ready: "Ready to join?",
    meeting: "Meeting",
    camera: "Camera",
    microphone: "Microphone",
    speaker: "Speakers",
    no_camera: "Your camera is off",
    no_devices: "None found",
    join_now: "Join now",
    joining: "Joining…",
    back: "Back",
    camera_denied: "The browser may not use your camera. Click the camera sign in the address bar and allow it, or join without.",
    microphone_denied: "The browser may not use your microphone. Click the sign in the address bar and allow it, or join and only listen.",
    device_missing: "No such device is connected.",
    device_in_use: "Another program uses this device. Close it and try again.",
    insecure: "Camera and microphone work only over https:// or on localhost.",
    device_failed: "This device could not be started.",
    try_again: "Try again",
    mute: "Mute",
    unmute: "Unmute",
    camera_on: "Turn camera on",
    camera_off: "Turn camera off",
    share: "Share screen",
    stop_sharing: "Stop sharing",
    people: "People",
    statistics: "Statistics",
    settings: "Settings",
    layout_grid: "Grid view",
    layout_speaker: "Speaker view",
    leave: "Leave",
    shortcuts: "Keyboard shortcuts",
    close: "Close",
    you: "you",
    pin: "Pin",
    unpin: "Unpin",
    screen_of: "Screen of",
    alone: "You are the only one here",
    alone_hint: "Send this link to those you want to meet.",
    copy_link: "Copy link",
    copied: "Copied",
    connecting: "Connecting…",
    reconnecting: "The connection was lost. Coming back…",
    left: "You left the meeting",
    rejoin: "Join again",
    home: "Start page",
    ended: "You are no longer in the meeting",
    reason_unauthorized: "The server does not let you in.",
    reason_removed: "A host removed you from the meeting.",
    reason_meeting_ended: "A host ended the meeting.",
    reason_replaced: "You joined from another window.",
    reason_protocol: "This page and the server do not understand each other. Load the page again.",
    reason_rate: "Too much was sent from here.",
    reason_other: "The server closed the connection.",
    warning_encoder: "This browser cannot send video.",
    warning_overloaded: "This computer is busy: your picture may stutter.",
    warning_camera_ended: "Your camera stopped.",
    warning_microphone_ended: "Your microphone stopped.",
    warning_sound: "Sound cannot be played.",
    quality_good: "Good connection",
    quality_fair: "Fair connection",
    quality_poor: "Poor connection",
    quality_unknown: "Connection not measured yet",
    muted: "muted",
    camera_is_off: "camera off",
    speaking: "speaking",
    away: "away",
    language: "Language",
    theme: "Theme",
    theme_system: "System",
    theme_light: "Light",
    theme_dark: "Dark",
    content: "What you share",
    content_detail: "Text: sharp",
    content_motion: "Film: smooth",
    previous_page: "Previous page",
    next_page: "Next page",
    sent: "Sent",
    received: "Received",
    round_trip: "Round trip",
    transport: "Transport",
};

static RUSSIAN: Texts = Texts {
    they_joined: "{name}: в разговоре",
    they_left: "{name}: уже не в разговоре",
    app_name: "videocall",
    tagline: "Встречи на вашем собственном сервере",
    intro: "Без учётной записи и установки. Отправьте ссылку и говорите.",
    new_meeting: "Новая встреча",
    code_label: "Код или ссылка на встречу",
    code_placeholder: "abc-defg-hij",
    join: "Войти",
    code_wrong: "Введите код или вставьте ссылку на встречу",
    your_name: "Ваше имя",
    name_missing: "Введите имя, которое увидят другие",
    ready: "Готовы войти?",
    meeting: "Встреча",
    camera: "Камера",
    microphone: "Микрофон",
    speaker: "Динамики",
    no_camera: "Камера выключена",
    no_devices: "Не найдено",
    join_now: "Войти сейчас",
    joining: "Вход…",
    back: "Назад",
    camera_denied: "Браузеру не разрешена камера. Нажмите на значок камеры в адресной строке и разрешите, или войдите без неё.",
    microphone_denied: "Браузеру не разрешён микрофон. Нажмите на значок в адресной строке и разрешите, или войдите и только слушайте.",
    device_missing: "Устройство не подключено.",
    device_in_use: "Устройство занято другой программой. Закройте её и попробуйте снова.",
    insecure: "Камера и микрофон работают только по https:// или на localhost.",
    device_failed: "Устройство не удалось запустить.",
    try_again: "Попробовать снова",
    mute: "Выключить микрофон",
    unmute: "Включить микрофон",
    camera_on: "Включить камеру",
    camera_off: "Выключить камеру",
    share: "Показать экран",
    stop_sharing: "Прекратить показ",
    people: "Участники",
    statistics: "Статистика",
    settings: "Настройки",
    layout_grid: "Сетка",
    layout_speaker: "Говорящий крупно",
    leave: "Выйти",
    shortcuts: "Горячие клавиши",
    close: "Закрыть",
    you: "вы",
    pin: "Закрепить",
    unpin: "Открепить",
    screen_of: "Экран:",
    alone: "Здесь пока только вы",
    alone_hint: "Отправьте эту ссылку тем, с кем хотите встретиться.",
    copy_link: "Скопировать ссылку",
    copied: "Скопировано",
    connecting: "Соединение…",
    reconnecting: "Связь потеряна. Возвращаемся…",
    left: "Вы вышли из встречи",
    rejoin: "Войти снова",
    home: "На главную",
    ended: "Вы больше не на встрече",
    reason_unauthorized: "Сервер вас не пускает.",
    reason_removed: "Организатор удалил вас из встречи.",
    reason_meeting_ended: "Организатор завершил встречу.",
    reason_replaced: "Вы вошли из другого окна.",
    reason_protocol: "Страница и сервер не понимают друг друга. Загрузите страницу заново.",
    reason_rate: "Отсюда отправлено слишком много.",
    reason_other: "Сервер закрыл соединение.",
    warning_encoder: "Этот браузер не может отправлять видео.",
    warning_overloaded: "Компьютер перегружен: изображение может прерываться.",
    warning_camera_ended: "Камера остановилась.",
    warning_microphone_ended: "Микрофон остановился.",
    warning_sound: "Не удаётся воспроизвести звук.",
    quality_good: "Хорошая связь",
    quality_fair: "Средняя связь",
    quality_poor: "Плохая связь",
    quality_unknown: "Связь ещё не измерена",
    muted: "без звука",
    camera_is_off: "камера выключена",
    speaking: "говорит",
    away: "отошёл",
    language: "Язык",
    theme: "Оформление",
    theme_system: "Как в системе",
    theme_light: "Светлое",
    theme_dark: "Тёмное",
    content: "Что вы показываете",
    content_detail: "Текст: чётко",
    content_motion: "Видео: плавно",
    previous_page: "Предыдущая страница",
    next_page: "Следующая страница",
    sent: "Отправлено",
    received: "Получено",
    round_trip: "Задержка до сервера",
    transport: "Транспорт",
};

static THAI: Texts = Texts {
    they_joined: "{name} เข้าร่วมแล้ว",
    they_left: "{name} ออกแล้ว",
    app_name: "videocall",
    tagline: "ประชุมบนเซิร์ฟเวอร์ของคุณเอง",
    // The word joiner keeps the halves of one word on one line.
    intro: "ไม่ต้องมีบัญชี ไม่ต้องติด\u{2060}ตั้ง เพียงส่งลิงก์แล้วคุยกัน",
    new_meeting: "เริ่มประชุมใหม่",
    code_label: "รหัสหรือลิงก์การประชุม",
    code_placeholder: "abc-defg-hij",
    join: "เข้าร่วม",
    code_wrong: "พิมพ์รหัส หรือวางลิงก์การประชุม",
    your_name: "ชื่อของคุณ",
    name_missing: "พิมพ์ชื่อที่คนอื่นจะเห็น",
    ready: "พร้อมเข้าร่วมหรือยัง",
    meeting: "การประชุม",
    camera: "กล้อง",
    microphone: "ไมโครโฟน",
    speaker: "ลำโพง",
    no_camera: "กล้องปิดอยู่",
    no_devices: "ไม่พบ",
    join_now: "เข้าร่วมเลย",
    joining: "กำลังเข้าร่วม…",
    back: "กลับ",
    camera_denied: "เบราว์เซอร์ไม่ได้รับอนุญาตให้ใช้กล้อง คลิกรูปกล้องในแถบที่อยู่แล้วอนุญาต หรือเข้าร่วมโดยไม่ใช้กล้อง",
    microphone_denied: "เบราว์เซอร์ไม่ได้รับอนุญาตให้ใช้ไมโครโฟน คลิกสัญลักษณ์ในแถบที่อยู่แล้วอนุญาต หรือเข้าร่วมเพื่อฟังอย่างเดียว",
    device_missing: "ไม่มีอุปกรณ์นี้เชื่อมต่ออยู่",
    device_in_use: "โปรแกรมอื่นกำลังใช้อุปกรณ์นี้ ปิดโปรแกรมนั้นแล้วลองใหม่",
    insecure: "กล้องและไมโครโฟนใช้ได้เฉพาะ https:// หรือ localhost",
    device_failed: "เปิดอุปกรณ์นี้ไม่ได้",
    try_again: "ลองอีกครั้ง",
    mute: "ปิดไมค์",
    unmute: "เปิดไมค์",
    camera_on: "เปิดกล้อง",
    camera_off: "ปิดกล้อง",
    share: "แชร์หน้าจอ",
    stop_sharing: "หยุดแชร์",
    people: "ผู้เข้าร่วม",
    statistics: "สถิติ",
    settings: "ตั้งค่า",
    layout_grid: "มุมมองตาราง",
    layout_speaker: "มุมมองผู้พูด",
    leave: "ออก",
    shortcuts: "แป้นพิมพ์ลัด",
    close: "ปิด",
    you: "คุณ",
    pin: "ปักหมุด",
    unpin: "เลิกปักหมุด",
    screen_of: "หน้าจอของ",
    alone: "ตอนนี้มีคุณอยู่คนเดียว",
    alone_hint: "ส่งลิงก์นี้ให้คนที่คุณอยากพบ",
    copy_link: "คัดลอกลิงก์",
    copied: "คัดลอกแล้ว",
    connecting: "กำลังเชื่อมต่อ…",
    reconnecting: "การเชื่อมต่อหลุด กำลังกลับเข้าไป…",
    left: "คุณออกจากการประชุมแล้ว",
    rejoin: "เข้าร่วมอีกครั้ง",
    home: "หน้าแรก",
    ended: "คุณไม่ได้อยู่ในการประชุมแล้ว",
    reason_unauthorized: "เซิร์ฟเวอร์ไม่อนุญาตให้เข้า",
    reason_removed: "ผู้จัดนำคุณออกจากการประชุม",
    reason_meeting_ended: "ผู้จัดจบการประชุมแล้ว",
    reason_replaced: "คุณเข้าร่วมจากหน้าต่างอื่น",
    reason_protocol: "หน้านี้กับเซิร์ฟเวอร์ไม่เข้าใจกัน โหลดหน้าใหม่",
    reason_rate: "ส่งข้อมูลจากที่นี่มากเกินไป",
    reason_other: "เซิร์ฟเวอร์ปิดการเชื่อมต่อ",
    warning_encoder: "เบราว์เซอร์นี้ส่งวิดีโอไม่ได้",
    warning_overloaded: "คอมพิวเตอร์ทำงานหนัก ภาพของคุณอาจกระตุก",
    warning_camera_ended: "กล้องของคุณหยุดทำงาน",
    warning_microphone_ended: "ไมโครโฟนของคุณหยุดทำงาน",
    warning_sound: "เล่นเสียงไม่ได้",
    quality_good: "สัญญาณดี",
    quality_fair: "สัญญาณปานกลาง",
    quality_poor: "สัญญาณไม่ดี",
    quality_unknown: "ยังไม่ได้วัดสัญญาณ",
    muted: "ปิดไมค์",
    camera_is_off: "กล้องปิด",
    speaking: "กำลังพูด",
    away: "ไม่อยู่",
    language: "ภาษา",
    theme: "ธีม",
    theme_system: "ตามระบบ",
    theme_light: "สว่าง",
    theme_dark: "มืด",
    content: "สิ่งที่แชร์",
    content_detail: "ข้อความ: คมชัด",
    content_motion: "วิดีโอ: ลื่นไหล",
    previous_page: "หน้าก่อน",
    next_page: "หน้าถัดไป",
    sent: "ส่ง",
    received: "รับ",
    round_trip: "เวลาไปกลับ",
    transport: "การรับส่ง",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_understood_with_and_without_region() {
        assert_eq!(Language::from_tag("ru-RU"), Some(Language::Russian));
        assert_eq!(Language::from_tag("th"), Some(Language::Thai));
        assert_eq!(Language::from_tag("en_GB"), Some(Language::English));
        assert_eq!(Language::from_tag("fr"), None);
    }

    #[test]
    fn numbers_take_the_right_form() {
        let russian = |n| Language::Russian.people_count(n);
        assert_eq!(russian(1), "1 участник");
        assert_eq!(russian(3), "3 участника");
        assert_eq!(russian(11), "11 участников");
        assert_eq!(russian(21), "21 участник");
        assert_eq!(Language::English.people_count(1), "1 person");
    }

    #[test]
    fn no_text_is_empty_or_left_in_english() {
        for language in [Language::Russian, Language::Thai] {
            let texts = format!("{:?}", language.texts());
            assert!(!texts.contains("\"\""), "{language:?} lacks a text");
            for english in [
                ENGLISH.tagline,
                ENGLISH.leave,
                ENGLISH.reconnecting,
                ENGLISH.alone,
            ] {
                assert!(!texts.contains(english), "{language:?} says {english:?}");
            }
        }
    }
}
