//! Looks for what is wrong, from the server to the camera, and says what to do about it.

mod certificate;
mod cpu;
mod devices;
mod report;
mod server;

use clap::Args;

use crate::{args, capture::FrameFormat, exit::Failure, identity::Identity};
use report::Report;

/// What is examined.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Address of the server
    #[arg(
        long,
        env = "VIDEOCALL_SERVER",
        value_name = "URL",
        default_value = "http://localhost:8080"
    )]
    pub server: String,

    /// Believe any certificate when asking the server for its addresses
    #[arg(long, env = "VIDEOCALL_INSECURE")]
    pub insecure: bool,

    /// Meeting that is entered for a moment [default: one of its own]
    #[arg(long, env = "VIDEOCALL_MEETING_ID", value_name = "NAME")]
    pub meeting_id: Option<String>,

    /// Name to enter under [default: doctor]
    #[arg(long, env = "VIDEOCALL_USER_ID", value_name = "NAME")]
    pub user_id: Option<String>,

    /// What lets in without being a guest.
    #[command(flatten)]
    pub token: args::TokenArgs,

    /// Camera to try: N of /dev/videoN [default: see which there are]
    #[arg(long, value_name = "N")]
    pub video_device_index: Option<u32>,

    /// Format to try it with
    #[arg(long, value_name = "FORMAT", value_enum, ignore_case = true)]
    pub frame_format: Option<FrameFormat>,

    /// Microphone to try: ALSA's name for it [default: see which there are]
    #[arg(long, value_name = "NAME")]
    pub audio_device: Option<String>,

    /// Size of the pictures that are to be streamed
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x720", value_parser = args::size)]
    pub resolution: (u32, u32),

    /// Pictures a second that are to be streamed
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    pub fps: u32,

    /// libvpx's cpu-used that is to be used
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(5..=9))]
    pub speed: u8,
}

/// Runs the command.
pub async fn run(args: DoctorArgs) -> Result<(), Failure> {
    let identity = identity(&args)?;
    let mut report = Report::new();
    server::check(&args, &identity, &mut report).await?;
    let local = tokio::task::spawn_blocking(move || {
        report.tell(&devices::camera(&args))?;
        report.tell(&devices::microphone(&args))?;
        report.tell(&cpu::check(&args)?)?;
        report.end()
    });
    local.await.map_err(Failure::other)?
}

/// Without a token, a guest of names that nobody else has.
fn identity(args: &DoctorArgs) -> Result<Identity, Failure> {
    let (meeting, user) = (args.meeting_id.as_deref(), args.user_id.as_deref());
    if let Some(identity) = Identity::with_token(&args.token, meeting, user)? {
        return Ok(identity);
    }
    let own = format!("doctor-{}", std::process::id());
    Ok(Identity::guest(
        meeting.unwrap_or(&own),
        user.unwrap_or("doctor"),
    ))
}
