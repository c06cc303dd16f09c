//! Start-up of the ring, with remedies for what can be in its way.

use std::io;

use crate::sys::{self, Ring, RingSetup};
use crate::wire::WireConfig;

/// Why the driver could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel lacks io_uring or something this driver needs of it.
    #[error(
        "io_uring here lacks {needed} ({source}): Linux 5.8 or later is needed, 6.0 or later for full speed (uname -r)"
    )]
    Unsupported {
        /// What is missing.
        needed: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// io_uring is switched off or filtered.
    #[error(
        "io_uring is not permitted ({0}): set kernel.io_uring_disabled=0 (sysctl), and in a container allow \
         io_uring_setup, io_uring_enter and io_uring_register in its seccomp profile (docker: --security-opt \
         seccomp=PROFILE.json; Kubernetes: securityContext.seccompProfile)"
    )]
    Forbidden(io::Error),
    /// Memory for the ring was refused.
    #[error(
        "no memory for the ring ({source}): RLIMIT_MEMLOCK is {}; set LimitMEMLOCK=64M in the unit, or ulimit -l 65536",
        limit(*.memlock_bytes)
    )]
    Memory {
        /// The process's limit, `None` when unlimited.
        memlock_bytes: Option<u64>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Anything else.
    #[error("io_uring could not be set up: {0}")]
    Other(io::Error),
}

fn limit(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unlimited".to_owned(), |bytes| format!("{} KiB", bytes >> 10))
}

/// Opens the ring.
pub(super) fn open_ring(config: &WireConfig) -> Result<Ring, StartError> {
    let setup = RingSetup {
        submissions: config.submissions,
        // A receive and a send may complete for each entry submitted, and multishot receives add their own: four
        // times makes overflow (which costs a system call, never a completion) rare.
        completions: config.submissions * 4,
        buffer_count: config.receive_buffers,
        buffer_bytes: config.receive_buffer_bytes,
        single_shot: config.single_shot,
    };
    Ring::new(&setup).map_err(explain)
}

fn explain(source: io::Error) -> StartError {
    match source.raw_os_error() {
        // Older container profiles answer this for what they filter.
        Some(libc::ENOSYS) => StartError::Unsupported {
            needed: "its system calls, or a container's seccomp profile hides them",
            source,
        },
        Some(libc::EINVAL) => StartError::Unsupported { needed: "what Linux 5.8 has", source },
        Some(libc::EPERM | libc::EACCES) => StartError::Forbidden(source),
        Some(libc::ENOMEM) => StartError::Memory { memlock_bytes: sys::memlock_bytes(), source },
        _ => StartError::Other(source),
    }
}

#[cfg(test)]
mod tests {
    use super::explain;
    use std::io;

    #[test]
    fn refusals_name_their_remedy() {
        for (errno, remedy) in [
            (libc::ENOSYS, "uname -r"),
            (libc::EPERM, "kernel.io_uring_disabled=0"),
            (libc::EPERM, "seccomp"),
            (libc::ENOMEM, "LimitMEMLOCK="),
        ] {
            let message = explain(io::Error::from_raw_os_error(errno)).to_string();
            assert!(message.contains(remedy), "{message}");
        }
    }
}
