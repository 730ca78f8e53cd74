//! From a refused step to its cause and its cure.
//!
//! In: the step, the kernel's answer, and the settings of this machine. Out: two sentences.
//! Keeps: pure, so that the messages for machines that we do not have are tested.
//! Source: `sandbox.md` §7; user_namespaces(7); Ubuntu's
//! `kernel.apparmor_restrict_unprivileged_userns`.

use std::fs;
use std::path::Path;

use nix::errno::Errno;

use crate::doctor::probe::Failure;

/// The settings that decide who may make namespaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// `kernel.apparmor_restrict_unprivileged_userns` is 1.
    pub(crate) apparmor_restricts: bool,
    /// `kernel.unprivileged_userns_clone` is 0.
    pub(crate) clone_forbidden: bool,
    /// `user.max_user_namespaces` is 0.
    pub(crate) none_allowed: bool,
    /// A seccomp filter is on this process.
    pub(crate) has_seccomp: bool,
    /// Docker or Podman runs this process.
    pub(crate) in_container: bool,
}

const CONTAINER_CURE: &str = "start the container with `--privileged`, or with `--cap-add \
    SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt \
    apparmor=unconfined --security-opt systempaths=unconfined --device /dev/fuse`";

impl Facts {
    pub(crate) fn read() -> Self {
        let sysctl = |name: &str| fs::read_to_string(Path::new("/proc/sys").join(name));
        let is = |name: &str, value: &str| sysctl(name).is_ok_and(|text| text.trim() == value);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let seccomp = status
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp:"));
        let containers = ["/.dockerenv", "/run/.containerenv"];
        Self {
            apparmor_restricts: is("kernel/apparmor_restrict_unprivileged_userns", "1"),
            clone_forbidden: is("kernel/unprivileged_userns_clone", "0"),
            none_allowed: is("user/max_user_namespaces", "0"),
            has_seccomp: seccomp.is_some_and(|mode| mode.trim() == "2"),
            in_container: containers.iter().any(|path| Path::new(path).exists()),
        }
    }
}

/// Cause and cure of `failure`.
pub(crate) fn diagnose(failure: &Failure, facts: &Facts) -> (String, String) {
    let (cause, cure) = match (failure.step.as_str(), failure.errno) {
        (step, errno) if step.starts_with("/dev/fuse") => no_disk(errno, facts),
        (step, _) if step.starts_with("tmpfs") => (
            "the kernel, or a security module, does not let a namespace mount a tmpfs or change it",
            "use a kernel with CONFIG_TMPFS, or run as root; until then disk-quota falls away",
        ),
        ("time limit", _) => (
            "the machine is overloaded, or a security module holds the call",
            "run `verdict doctor` again when the machine is quiet",
        ),
        ("mounting /proc", _) => (
            "the container masks parts of /proc",
            "add `--security-opt systempaths=unconfined`; until then process lists show outer pids",
        ),
        ("unshare", Some(Errno::ENOSPC | Errno::EUSERS)) => none_allowed(),
        _ if facts.none_allowed => none_allowed(),
        _ if facts.clone_forbidden => (
            "kernel.unprivileged_userns_clone is 0",
            "`sudo sysctl -w kernel.unprivileged_userns_clone=1`, or run as root",
        ),
        ("unshare", Some(Errno::ENOSYS)) => (
            "the kernel or an emulator such as gVisor has no namespaces",
            "use a Linux kernel with CONFIG_USER_NS",
        ),
        (_, Some(Errno::EPERM | Errno::EACCES)) => not_permitted(facts),
        _ => (
            "unknown",
            "run as root once to see whether permissions are the cause",
        ),
    };
    (cause.to_owned(), cure.to_owned())
}

/// Without a faulty disk `run` refuses the plans that need one; all others work.
fn no_disk(errno: Option<Errno>, facts: &Facts) -> (&'static str, &'static str) {
    match errno {
        Some(Errno::ENOENT | Errno::ENXIO | Errno::ENODEV) if facts.in_container => (
            "the container has no such device",
            "start the container with `--device /dev/fuse`; until then all disk faults but \
             disk-quota fall away",
        ),
        Some(Errno::ENOENT | Errno::ENXIO | Errno::ENODEV) => (
            "the device is missing: the kernel's module is not loaded",
            "`sudo modprobe fuse`; until then all disk faults but disk-quota fall away",
        ),
        Some(Errno::EACCES) => (
            "the device is not yours",
            "`sudo chmod 666 /dev/fuse`, or run as root; until then all disk faults but \
             disk-quota fall away",
        ),
        Some(Errno::EPERM) => (
            "the device or the mount is forbidden, as in a container or by a security module",
            "start the container with `--device /dev/fuse --cap-add SYS_ADMIN`, or run as root; \
             until then all disk faults but disk-quota fall away",
        ),
        _ => (
            "the kernel's FUSE does not do what a faulty disk needs",
            "use a kernel of 4.18 or later; until then all disk faults but disk-quota fall away",
        ),
    }
}

fn none_allowed() -> (&'static str, &'static str) {
    (
        "user.max_user_namespaces is 0 or used up",
        "`sudo sysctl -w user.max_user_namespaces=15000`",
    )
}

fn not_permitted(facts: &Facts) -> (&'static str, &'static str) {
    if facts.apparmor_restricts {
        return (
            "AppArmor restricts user namespaces (Ubuntu 23.10 and later): \
             kernel.apparmor_restrict_unprivileged_userns is 1",
            "`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or run as root",
        );
    }
    if facts.in_container || facts.has_seccomp {
        return (
            "the container's seccomp or AppArmor profile forbids namespaces",
            CONTAINER_CURE,
        );
    }
    (
        "not permitted, and no setting that we know says why",
        "run as root",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_names_its_setting() {
        let ubuntu = Facts {
            apparmor_restricts: true,
            ..Facts::default()
        };
        let docker = Facts {
            in_container: true,
            has_seccomp: true,
            ..Facts::default()
        };
        let debian = Facts {
            clone_forbidden: true,
            ..Facts::default()
        };
        let rhel = Facts {
            none_allowed: true,
            ..Facts::default()
        };
        for (step, errno, facts, cause, cure) in [
            (
                "/proc/self/uid_map",
                Errno::EPERM,
                &ubuntu,
                "AppArmor",
                "userns=0",
            ),
            ("unshare", Errno::EPERM, &docker, "seccomp", "--privileged"),
            (
                "making mounts private",
                Errno::EACCES,
                &docker,
                "AppArmor profile",
                "SYS_ADMIN",
            ),
            (
                "unshare",
                Errno::EPERM,
                &debian,
                "userns_clone is 0",
                "userns_clone=1",
            ),
            (
                "unshare",
                Errno::ENOSPC,
                &rhel,
                "max_user_namespaces",
                "=15000",
            ),
            (
                "/dev/fuse: opening it",
                Errno::ENOENT,
                &docker,
                "container has no such device",
                "--device /dev/fuse",
            ),
            (
                "/dev/fuse: opening it",
                Errno::ENXIO,
                &debian,
                "missing",
                "modprobe fuse",
            ),
            (
                "/dev/fuse: opening it",
                Errno::EACCES,
                &debian,
                "not yours",
                "chmod 666",
            ),
            (
                "/dev/fuse: mounting a disk",
                Errno::EPERM,
                &docker,
                "forbidden",
                "SYS_ADMIN",
            ),
            (
                "tmpfs: lowering its size",
                Errno::EPERM,
                &debian,
                "tmpfs",
                "disk-quota falls away",
            ),
            (
                "mounting /proc",
                Errno::EPERM,
                &docker,
                "masks",
                "systempaths",
            ),
        ] {
            let failure = Failure {
                step: step.to_owned(),
                errno: Some(errno),
            };
            let found = diagnose(&failure, facts);
            assert!(
                found.0.contains(cause) && found.1.contains(cure),
                "{step}: {found:?}"
            );
        }
    }
}
