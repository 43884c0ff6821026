//! File descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside those of connections: the runtime, reports, the live page.
const BESIDE: u64 = 200;

/// The machine allows too few open files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the run needs {needed} open files, and this process may have {allowed} at most: raise the hard \
     limit (`ulimit -Hn {needed}` as root, `nofile` in /etc/security/limits.conf, `LimitNOFILE=` of \
     a systemd unit, `--ulimit nofile={needed}` of docker) or spread the run over more workers"
)]
pub struct LimitError {
    /// For this run.
    pub needed: u64,
    /// By the hard limit.
    pub allowed: u64,
}

/// Raises the soft limit of open files to what so many sockets need.
///
/// # Errors
/// When the hard limit is lower.
pub fn ensure_descriptors(sockets: u64) -> Result<(), LimitError> {
    let needed = sockets + BESIDE;
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.current.unwrap_or(u64::MAX);
    if soft >= needed {
        return Ok(());
    }
    let hard = limit.maximum.unwrap_or(u64::MAX);
    // A privileged process may raise the hard limit as well.
    let wishes = [hard.min(needed.max(soft)), needed];
    for (wish, maximum) in wishes
        .into_iter()
        .zip([limit.maximum, Some(needed.max(hard))])
    {
        let raised = Rlimit {
            current: Some(wish),
            maximum,
        };
        if setrlimit(Resource::Nofile, raised).is_ok() && wish >= needed {
            return Ok(());
        }
    }
    Err(LimitError {
        needed,
        allowed: hard,
    })
}
