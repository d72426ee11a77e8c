use super::*;

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
99 23 0:38 / /mnt/elsewhere rw,relatime - cgroup2 cgroup2 rw
";

#[test]
fn hybrid_host_is_recognised() {
    let cgroups = Cgroups::parse(HYBRID, |_| "hugetlb misc\n".to_owned());
    assert_eq!(cgroups.version, Version::Hybrid);
    assert_eq!(cgroups.controllers().into_iter().collect::<Vec<_>>(), ["cpu", "cpuacct", "memory"]);
    assert_eq!(cgroups.hierarchy("cpuacct").unwrap().mount, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
    let used: Vec<_> = cgroups.used().map(|one| one.mount.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(used, ["cpu,cpuacct", "memory"], "named hierarchies and the v2 side hold no containers");
    assert_eq!(cgroups.hierarchies.len(), 4, "yet they are looked into when a pod is removed");
}

#[test]
fn v2_over_v1_hides_it() {
    let mountinfo =
        format!("{HYBRID}50 31 0:38 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
    let cgroups = Cgroups::parse(&mountinfo, |_| "cpu memory pids\n".to_owned());
    assert_eq!(cgroups.version, Version::V2);
    assert_eq!(cgroups.hierarchies.len(), 1);
    assert!(cgroups.hierarchy("pids").is_some());
}

#[test]
fn host_without_cgroups() {
    assert_eq!(
        Cgroups::parse("23 27 0:22 / /sys rw - sysfs sysfs rw\n", |_| String::new()),
        Cgroups::default()
    );
}

#[test]
fn paths_of_both_drivers() {
    assert_eq!(container_path("/kube-play/pod1", "web"), "/kube-play/pod1/web");
    assert_eq!(relative("/kube-play/pod1/web"), "kube-play/pod1/web");
    let slice = systemd::slice_name("1f-2e");
    assert_eq!(slice, "kubeplay-pod1f_2e.slice");
    let path = container_path(&slice, "web");
    assert_eq!(path, "kubeplay-pod1f_2e.slice:kubeplay:web");
    assert_eq!(relative(&path), "kubeplay.slice/kubeplay-pod1f_2e.slice/kubeplay-web.scope");
    assert_eq!(relative(&slice), "kubeplay.slice/kubeplay-pod1f_2e.slice");
}

#[test]
fn weight_follows_shares_over_the_whole_range() {
    assert_eq!([0, 2, 1024, 262_144, u64::MAX].map(weight_of_shares), [1, 1, 39, 10_000, 10_000]);
}

#[test]
fn only_the_answer_about_a_scope_that_has_ended_is_tried_again() {
    let stale =
        "cgroup error: dbus error: Failed to attach processes to control group: No such file or directory";
    assert!(systemd::is_stale_scope(stale));
    assert!(systemd::is_stale_scope("Unit is not active, refusing."));
    for other in
        ["Failed to attach processes to control group: Permission denied", "Unit x.scope already exists."]
    {
        assert!(!systemd::is_stale_scope(other), "{other}");
    }
}
