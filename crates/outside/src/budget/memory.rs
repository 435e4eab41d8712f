//! The memory of the machine or the container, as the kernel tells in `/proc` and in the control groups.

use std::fs::read_to_string;
use std::path::Path;

/// A quarter of the memory that this process may use, in bytes; of 2 GiB where the system does not tell.
pub(crate) fn quarter_of_memory() -> usize {
    const UNKNOWN: u64 = 2 << 30;
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = group_limits(&groups, Path::new("/sys/fs/cgroup"));
    let memory = limits.into_iter().chain(machine_memory()).min().unwrap_or(UNKNOWN);
    usize::try_from(memory / 4).unwrap_or(usize::MAX)
}

fn machine_memory() -> Option<u64> {
    let text = read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

/// The limits of the control groups of this process, and of the groups above (cgroups(7)). `groups` is the text of
/// `/proc/self/cgroup`: `0::PATH` for version 2, `N:CONTROLLERS:PATH` for version 1. Inside a container the path may be
/// that of the host, while the container's own group is at the root.
fn group_limits(groups: &str, root: &Path) -> Vec<u64> {
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (top, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        let of = |group: &Path| read_to_string(top.join(group).join(file)).ok()?.trim().parse::<u64>().ok();
        limits.extend(path.ancestors().filter_map(of));
    }
    // Version 1 expresses "no limit" with the largest number of pages; zero limits nothing that could run.
    limits.retain(|&limit| limit > 0);
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_both_versions_and_of_the_groups_above() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a/b/memory.max", "max\n");
        write("a/memory.max", "1048576\n");
        write("memory/x/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/memory.limit_in_bytes", "2097152\n");
        for (groups, limits) in [
            ("0::/a/b\n", &[1_048_576][..]),
            ("0::/a\n", &[1_048_576]),
            ("0::/\n", &[]),
            ("0::/not/there\n", &[]),
            ("3:cpu,memory:/x\n0::/\n", &[9_223_372_036_854_771_712, 2_097_152]),
            ("4:memory:/of/the/host\n", &[2_097_152]),
            ("2:cpu:/x\n", &[]),
            ("", &[]),
            ("nonsense", &[]),
        ] {
            assert_eq!(group_limits(groups, folder.path()), limits, "{groups:?}");
        }
    }

    #[test]
    fn there_is_some() {
        assert!(quarter_of_memory() > 1 << 20);
    }
}
