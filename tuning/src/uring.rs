//! io_uring: whether it is there, why not, and whether it has what the server uses.

use io_uring::{IoUring, opcode};

use crate::host::Host;
use crate::report::{Item, Verdict};

const WHY: &str = "sockets and the log run on io_uring only; there is no other path";
const WANTED: &str = "available, kernel 6.1 features";

/// Operations that `net`, the log and glommio submit, by the kernel's numbers.
const OPERATIONS: [(&str, u8); 22] = [
    ("READV", opcode::Readv::CODE),
    ("WRITEV", opcode::Writev::CODE),
    ("FSYNC", opcode::Fsync::CODE),
    ("READ_FIXED", opcode::ReadFixed::CODE),
    ("WRITE_FIXED", opcode::WriteFixed::CODE),
    ("POLL_ADD", opcode::PollAdd::CODE),
    ("POLL_REMOVE", opcode::PollRemove::CODE),
    ("SENDMSG", opcode::SendMsg::CODE),
    ("TIMEOUT", opcode::Timeout::CODE),
    ("TIMEOUT_REMOVE", opcode::TimeoutRemove::CODE),
    ("ACCEPT", opcode::Accept::CODE),
    ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
    ("LINK_TIMEOUT", opcode::LinkTimeout::CODE),
    ("CONNECT", opcode::Connect::CODE),
    ("FALLOCATE", opcode::Fallocate::CODE),
    ("OPENAT", opcode::OpenAt::CODE),
    ("CLOSE", opcode::Close::CODE),
    ("STATX", opcode::Statx::CODE),
    ("READ", opcode::Read::CODE),
    ("WRITE", opcode::Write::CODE),
    ("RECV", opcode::Recv::CODE),
    ("SEND", opcode::Send::CODE),
];

/// What the running kernel answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// No ring could be made; the system's error number.
    Refused(i32),
    /// A ring was made.
    Ready {
        /// Operations and features that are needed and not there.
        missing: Vec<&'static str>,
        /// Whether SINGLE_ISSUER with COOP_TASKRUN is accepted (6.0). Multishot receive into a provided-buffer ring
        /// came with the same release and cannot be probed by itself.
        single_issuer: bool,
        /// Whether DEFER_TASKRUN is accepted (6.1).
        defer_taskrun: bool,
    },
}

impl Probe {
    /// Makes small rings on the running kernel and closes them again.
    pub(crate) fn of_running_kernel() -> Self {
        let refused = |error: &std::io::Error| Self::Refused(error.raw_os_error().unwrap_or(0));
        let ring = match IoUring::new(8) {
            Ok(ring) => ring,
            Err(error) => return refused(&error),
        };
        let mut answers = io_uring::Probe::new();
        if let Err(error) = ring.submitter().register_probe(&mut answers) {
            return refused(&error);
        }
        let features = [
            ("NODROP", ring.params().is_feature_nodrop()),
            ("FAST_POLL", ring.params().is_feature_fast_poll()),
            ("EXT_ARG", ring.params().is_feature_ext_arg()),
        ];
        let missing = OPERATIONS
            .iter()
            .map(|&(name, code)| (name, answers.is_supported(code)))
            .chain(features)
            .filter_map(|(name, there)| (!there).then_some(name))
            .collect();
        let accepts = |set: fn(&mut io_uring::Builder) -> &mut io_uring::Builder| {
            let mut builder: io_uring::Builder = IoUring::builder();
            set(builder.setup_single_issuer()).build(8).is_ok()
        };
        Self::Ready {
            missing,
            single_issuer: accepts(io_uring::Builder::setup_coop_taskrun),
            defer_taskrun: accepts(io_uring::Builder::setup_defer_taskrun),
        }
    }
}

/// Judges the kernel's answer; the sysctl and the seccomp state explain a refusal.
pub(crate) fn item(host: &Host, probe: &Probe) -> Item {
    const NAME: &str = "io_uring";
    // Absent before kernel 6.6: nothing to forbid it with.
    let disabled = host.read_number("proc/sys/kernel/io_uring_disabled").unwrap_or(0);
    let allow = "kernel.io_uring_disabled = 0 (/etc/sysctl.d/90-coinbitclub.conf), then sysctl --system";
    match probe {
        Probe::Refused(errno) => {
            let seccomp = host.process_field("status", "Seccomp").is_ok_and(|mode| mode != "0");
            let (cause, remedy) = match *errno {
                libc::ENOSYS if !seccomp => {
                    ("the kernel has none", "a kernel of 6.1 or newer built with io_uring")
                }
                libc::EPERM if disabled != 0 => ("disabled by kernel.io_uring_disabled", allow),
                libc::EPERM | libc::EACCES | libc::ENOSYS => (
                    "forbidden, by a seccomp filter or security module",
                    "SystemCallFilter=io_uring_setup io_uring_enter io_uring_register (unit file); in a container a \
                     seccomp profile that allows the three",
                ),
                libc::ENOMEM => ("not enough locked memory", "LimitMEMLOCK=64M (unit file)"),
                _ => ("refused", "look the error number up, and in the kernel log (dmesg)"),
            };
            Item::ok(NAME, format!("{cause} (error {errno})"), WANTED, WHY).but(Verdict::Bad, remedy)
        }
        Probe::Ready { missing, single_issuer, defer_taskrun } => {
            let newer = "a kernel of 6.1 or newer (Debian 12, Ubuntu 24.04, or Ubuntu 22.04 with linux-generic-hwe-22.04)";
            if !missing.is_empty() {
                let now = format!("missing {}", missing.join(" "));
                return Item::ok(NAME, now, WANTED, WHY).but(Verdict::Bad, newer);
            }
            if !single_issuer {
                return Item::ok(NAME, "older than 6.0: no SINGLE_ISSUER", WANTED, WHY)
                    .but(Verdict::Bad, newer);
            }
            if !defer_taskrun {
                return Item::ok(NAME, "no DEFER_TASKRUN", WANTED, WHY).but(Verdict::Warn, newer);
            }
            let now = format!("available, {} operations checked", OPERATIONS.len());
            let item = Item::ok(NAME, now, WANTED, WHY);
            if disabled == 0 {
                return item;
            }
            // Works here because this process is privileged or in the group; the service may be neither.
            item.but(Verdict::Warn, allow)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Fixture;

    const READY: Probe = Probe::Ready { missing: vec![], single_issuer: true, defer_taskrun: true };

    fn check(files: &[(&str, &str)], probe: &Probe, verdict: Verdict, says: &str) {
        let item = item(&Fixture::new(files).host(), probe);
        assert_eq!(item.verdict, verdict, "{item:?}");
        let text = format!("{} / {}", item.now, item.remedy.unwrap_or_default());
        assert!(text.contains(says), "{text:?} does not say {says:?}");
    }

    #[test]
    fn a_refusal_names_its_cause() {
        let disabled = ("proc/sys/kernel/io_uring_disabled", "2\n");
        let filtered = ("proc/self/status", "Seccomp:\t2\n");
        check(&[disabled], &Probe::Refused(libc::EPERM), Verdict::Bad, "kernel.io_uring_disabled = 0");
        check(&[filtered], &Probe::Refused(libc::EPERM), Verdict::Bad, "seccomp");
        check(&[filtered], &Probe::Refused(libc::ENOSYS), Verdict::Bad, "SystemCallFilter=io_uring_setup");
        check(&[], &Probe::Refused(libc::ENOSYS), Verdict::Bad, "the kernel has none");
        check(&[], &Probe::Refused(libc::ENOMEM), Verdict::Bad, "LimitMEMLOCK=");
        check(&[], &Probe::Refused(libc::EMFILE), Verdict::Bad, "error 24");
    }

    #[test]
    fn a_ring_without_what_is_needed_is_bad_and_an_old_one_warns() {
        let missing = Probe::Ready { missing: vec!["SEND"], single_issuer: true, defer_taskrun: true };
        check(&[], &missing, Verdict::Bad, "missing SEND");
        let old = Probe::Ready { missing: vec![], single_issuer: false, defer_taskrun: false };
        check(&[], &old, Verdict::Bad, "SINGLE_ISSUER");
        let middle = Probe::Ready { missing: vec![], single_issuer: true, defer_taskrun: false };
        check(&[], &middle, Verdict::Warn, "DEFER_TASKRUN");
        check(&[], &READY, Verdict::Ok, "available");
    }

    #[test]
    fn a_privileged_check_still_sees_that_others_are_locked_out() {
        check(
            &[("proc/sys/kernel/io_uring_disabled", "1\n")],
            &READY,
            Verdict::Warn,
            "io_uring_disabled = 0",
        );
    }
}
