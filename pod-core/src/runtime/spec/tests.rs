use std::collections::BTreeSet;

use super::*;
use crate::manifest::Ulimit;
use crate::plan::{AppArmor, SeLinux};
use crate::runtime::cgroup::{Cgroups, Driver, Hierarchy, Version};
use crate::runtime::host::Device;
use crate::runtime::user_namespace::UserNamespace;

fn host(version: Version) -> Host {
    let hierarchy = |mount: &str, controllers: &[&str], unified| Hierarchy {
        mount: mount.into(),
        controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
        unified,
    };
    let hierarchies = match version {
        Version::V2 => vec![hierarchy("/sys/fs/cgroup", &["cpu", "memory", "pids"], true)],
        _ => vec![
            hierarchy("/sys/fs/cgroup/cpu,cpuacct", &["cpu", "cpuacct"], false),
            hierarchy("/sys/fs/cgroup/memory", &["memory"], false),
            hierarchy("/sys/fs/cgroup/systemd", &["name=systemd"], false),
        ],
    };
    Host {
        capabilities: ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"].map(str::to_owned).into(),
        oom_score_adj_min: -1000,
        cgroups: Cgroups { version, driver: Driver::Cgroupfs, hierarchies, swap: true },
        cpus: 2,
        arch: "x86_64".to_owned(),
        app_armor: false,
        selinux: None,
        devices: vec![Device {
            path: "/dev/kmsg".into(),
            block: false,
            major: 1,
            minor: 11,
            mode: 0o600,
            uid: 0,
            gid: 0,
        }],
    }
}

fn sandbox() -> Sandbox {
    Sandbox {
        infra_pid: 77,
        netns: Some("/run/kube-play/netns/u".into()),
        etc: "/run/kube-play/pods/u/etc".into(),
        shm: "/run/kube-play/pods/u/shm".into(),
        cgroup: "/kube-play/podu".to_owned(),
        ..Sandbox::default()
    }
}

fn plan() -> ContainerPlan {
    ContainerPlan {
        name: "web".to_owned(),
        args: vec!["/bin/web".to_owned()],
        env: vec![("A".to_owned(), "1".to_owned())],
        cwd: "/srv".to_owned(),
        uid: 1000,
        gid: 1001,
        additional_gids: vec![1001, 2000],
        capabilities: vec!["CAP_CHOWN".to_owned(), "CAP_KILL".to_owned(), "CAP_MKNOD".to_owned()],
        privileged: false,
        no_new_privileges: false,
        read_only_root: false,
        seccomp: Seccomp::Unconfined,
        app_armor: AppArmor::Unset,
        selinux: SeLinux::default(),
        unmasked_proc: false,
        resources: Resources {
            cpu_shares: Some(512),
            cpu_quota: Some(50_000),
            cpu_period: Some(100_000),
            memory_limit: Some(64 << 20),
            ..Resources::default()
        },
        devices: Vec::new(),
        cdi: Vec::new(),
        ulimits: Vec::new(),
        oom_score_adj: 900,
        mounts: Vec::new(),
        volume_devices: Vec::new(),
        tty: false,
        stdin: false,
        stop_signal: "SIGTERM".to_owned(),
    }
}

fn build(plan: &ContainerPlan, sandbox: &Sandbox, mounts: &[Mount], host: &Host) -> Value {
    let rootfs = Path::new("/run/root");
    let spec =
        container(&Container { id: "web-0", plan, sandbox, mounts, rootfs, labels: None, host }).unwrap();
    let mut spec = serde_json::to_value(spec).unwrap();
    // Sets of capabilities come in any order.
    if let Some(sets) = spec.pointer_mut("/process/capabilities").and_then(Value::as_object_mut) {
        for set in sets.values_mut() {
            let sorted: BTreeSet<String> = serde_json::from_value(set.clone()).unwrap();
            *set = json!(sorted);
        }
    }
    spec
}

fn destinations(spec: &Value) -> Vec<&str> {
    let mounts = spec["mounts"].as_array().unwrap();
    mounts.iter().map(|mount| mount["destination"].as_str().unwrap()).collect()
}

fn namespaces(spec: &Value) -> Vec<String> {
    let all = spec["linux"]["namespaces"].as_array().unwrap();
    let text = |one: &Value| match one["path"].as_str() {
        Some(path) => format!("{} {path}", one["type"].as_str().unwrap()),
        None => one["type"].as_str().unwrap().to_owned(),
    };
    all.iter().map(text).collect()
}

#[test]
fn container_spec() {
    ::tests::need_root!();
    let spec = build(&plan(), &sandbox(), &[], &host(Version::V2));
    insta::assert_snapshot!("container", serde_json::to_string_pretty(&spec).unwrap());
}

#[test]
fn infra_spec() {
    ::tests::need_root!();
    let sysctls = BTreeMap::from([("net.core.somaxconn".to_owned(), "1024".to_owned())]);
    let input = Infra {
        id: "infra",
        sandbox: &sandbox(),
        hostname: "web",
        sysctls: &sysctls,
        rootfs: Path::new("/run/pause"),
        labels: None,
        host: &host(Version::V2),
    };
    let mut spec = serde_json::to_value(infra(&input).unwrap()).unwrap();
    spec["linux"].as_object_mut().unwrap().remove("seccomp").expect("its filter");
    insta::assert_snapshot!("infra", serde_json::to_string_pretty(&spec).unwrap());
}

#[test]
fn host_namespaces_are_not_listed() {
    let sandbox = Sandbox { netns: None, host_pid: true, host_ipc: true, share_pid: true, ..sandbox() };
    let spec = build(&plan(), &sandbox, &[], &host(Version::Hybrid));
    assert_eq!(namespaces(&spec), ["mount"]);
    let shm = spec["mounts"].as_array().unwrap().iter().find(|one| one["destination"] == "/dev/shm").unwrap();
    assert_eq!(shm["source"], "/dev/shm", "hostIPC shares the host's");
}

#[test]
fn share_process_namespace_joins_infra() {
    let sandbox = Sandbox { share_pid: true, ..sandbox() };
    let spec = build(&plan(), &sandbox, &[], &host(Version::Hybrid));
    assert!(namespaces(&spec).contains(&"pid /proc/77/ns/pid".to_owned()));
}

#[test]
fn capabilities_of_a_user_that_is_not_root_are_bounding_only() {
    let spec = build(&plan(), &sandbox(), &[], &host(Version::V2));
    let capabilities = &spec["process"]["capabilities"];
    assert_eq!(capabilities["bounding"], json!(["CAP_CHOWN", "CAP_KILL"]), "CAP_MKNOD is not ours to give");
    assert_eq!(capabilities["effective"], json!([]));
    let root = build(&ContainerPlan { uid: 0, ..plan() }, &sandbox(), &[], &host(Version::V2));
    assert_eq!(root["process"]["capabilities"]["effective"], json!(["CAP_CHOWN", "CAP_KILL"]));
}

#[test]
fn primary_group_is_always_supplementary() {
    let spec = build(&plan(), &sandbox(), &[], &host(Version::V2));
    assert_eq!(spec["process"]["user"]["additionalGids"], json!([1001, 2000]));
    let none =
        build(&ContainerPlan { additional_gids: Vec::new(), ..plan() }, &sandbox(), &[], &host(Version::V2));
    assert_eq!(none["process"]["user"]["additionalGids"], json!([1001]));
}

#[test]
fn privileged_is_unconfined() {
    let plan = ContainerPlan { privileged: true, uid: 0, seccomp: Seccomp::RuntimeDefault, ..plan() };
    let spec = build(&plan, &sandbox(), &[], &host(Version::V2));
    let linux = &spec["linux"];
    assert!(linux.get("seccomp").is_none() && linux.get("maskedPaths").is_none());
    assert_eq!(linux["devices"][0]["path"], "/dev/kmsg");
    assert_eq!(linux["resources"]["devices"], json!([{ "allow": true, "access": "rwm" }]));
    assert_eq!(
        spec["process"]["capabilities"]["effective"],
        json!(["CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"]),
        "all that we have"
    );
    let sys = spec["mounts"].as_array().unwrap().iter().find(|one| one["destination"] == "/sys").unwrap();
    assert!(sys["options"].as_array().unwrap().contains(&json!("rw")));
}

#[test]
fn selinux_labels_are_those_of_the_process_and_of_mounts() {
    let (host, sandbox, plan) = (host(Version::V2), sandbox(), plan());
    let spec_with = |labels: Option<&Labels>| {
        let rootfs = Path::new("/r");
        let input = Container {
            id: "web-0",
            plan: &plan,
            sandbox: &sandbox,
            mounts: &[],
            rootfs,
            labels,
            host: &host,
        };
        serde_json::to_value(container(&input).unwrap()).unwrap()
    };
    let labels = Labels {
        process: Some("u:r:container_t:s0:c1,c2".to_owned()),
        file: "u:object_r:container_file_t:s0:c1,c2".to_owned(),
        shared: "u:object_r:container_file_t:s0".to_owned(),
    };
    let spec = spec_with(Some(&labels));
    assert_eq!(spec["process"]["selinuxLabel"], json!(labels.process));
    assert_eq!(spec["linux"]["mountLabel"], json!(labels.file));
    let privileged = spec_with(Some(&Labels { process: None, ..labels }));
    assert_eq!(privileged["process"].get("selinuxLabel"), None);
    let without = spec_with(None);
    assert_eq!(without["linux"].get("mountLabel"), None);
}

#[test]
fn volumes_are_private_unless_mounts_propagate() {
    let mount = |propagation: Propagation| Mount {
        source: "/v".into(),
        destination: "/v".to_owned(),
        read_only: true,
        recursive_read_only: propagation == Propagation::None,
        propagation,
        device: None,
        options: vec!["noexec".to_owned()],
    };
    for (wanted, options, propagation) in [
        (Propagation::None, json!(["rbind", "rprivate", "rro", "noexec"]), "private"),
        (Propagation::HostToContainer, json!(["rbind", "rslave", "ro", "noexec"]), "slave"),
        (Propagation::Bidirectional, json!(["rbind", "rshared", "ro", "noexec"]), "shared"),
    ] {
        let other = Mount { destination: "/other".to_owned(), ..mount(Propagation::None) };
        let spec = build(&plan(), &sandbox(), &[mount(wanted), other], &host(Version::V2));
        let mounts = spec["mounts"].as_array().unwrap();
        let volume = mounts.iter().find(|one| one["destination"] == "/v").unwrap();
        assert_eq!(volume["options"], options);
        assert_eq!(spec["linux"]["rootfsPropagation"], propagation);
    }
}

#[test]
fn volumes_replace_defaults_and_come_after_what_they_lie_in() {
    let mount = |destination: &str| Mount {
        source: "/v".into(),
        destination: destination.to_owned(),
        ..Mount::default()
    };
    let mounts = [mount("/data/a/b"), mount("/etc/hosts"), mount("/data/"), mount("//dev/shm")];
    let spec = build(&plan(), &sandbox(), &mounts, &host(Version::V2));
    let destinations = destinations(&spec);
    let at = |path: &str| destinations.iter().position(|one| *one == path).unwrap();
    assert!(at("/data") < at("/data/a/b") && at("/dev") < at("/dev/shm"));
    for path in ["/etc/hosts", "/dev/shm"] {
        assert_eq!(destinations.iter().filter(|one| **one == path).count(), 1, "{path}");
        assert_eq!(spec["mounts"][at(path)]["source"], "/v");
    }
}

#[test]
fn v1_shows_the_containers_own_cgroups_read_only() {
    let spec = build(&plan(), &sandbox(), &[], &host(Version::Hybrid));
    let mounts = spec["mounts"].as_array().unwrap();
    let memory = mounts.iter().find(|one| one["destination"] == "/sys/fs/cgroup/memory").unwrap();
    assert_eq!(memory["source"], "/sys/fs/cgroup/memory/kube-play/podu/web-0");
    assert!(memory["options"].as_array().unwrap().contains(&json!("ro")));
    assert!(!destinations(&spec).contains(&"/sys/fs/cgroup/systemd"), "runtimes put nothing there");
    assert!(spec["linux"]["readonlyPaths"].as_array().unwrap().contains(&json!("/sys/fs/cgroup")));
}

#[test]
fn a_missing_controller_drops_its_limits() {
    let mut host = host(Version::V2);
    host.cgroups.hierarchies[0].controllers = vec!["pids".to_owned()];
    let spec = build(&plan(), &sandbox(), &[], &host);
    let resources = spec["linux"]["resources"].as_object().unwrap();
    assert_eq!(resources.keys().collect::<Vec<_>>(), ["devices"]);
}

#[test]
fn oom_score_adj_is_no_lower_than_we_may_set() {
    let host = Host { oom_score_adj_min: 200, ..host(Version::V2) };
    let score = |wanted| {
        let plan = ContainerPlan { oom_score_adj: wanted, ..plan() };
        build(&plan, &sandbox(), &[], &host)["process"]["oomScoreAdj"].as_i64()
    };
    assert_eq!([score(-997), score(1000)], [Some(200), Some(1000)]);
}

#[test]
fn path_and_term_are_set_where_they_are_missing() {
    let plan = ContainerPlan { tty: true, ..plan() };
    let env = build(&plan, &sandbox(), &[], &host(Version::V2))["process"]["env"].clone();
    assert_eq!(env, json!([format!("PATH={}", security::DEFAULT_PATH), "TERM=xterm", "A=1"]));
}

#[test]
fn a_device_that_is_asked_for_is_made_and_may_be_opened() {
    let device = crate::plan::DevicePlan {
        source: "/dev/kmsg".to_owned(),
        destination: "/dev/log".to_owned(),
        access: "r".to_owned(),
    };
    let plan = ContainerPlan { devices: vec![device], ..plan() };
    let linux = build(&plan, &sandbox(), &[], &host(Version::V2))["linux"].clone();
    assert_eq!(linux["devices"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&linux["devices"][0]["path"], &linux["devices"][0]["minor"]),
        (&json!("/dev/log"), &json!(11))
    );
    let rules = linux["resources"]["devices"].as_array().unwrap();
    let last = rules.last().unwrap();
    assert_eq!((&last["major"], &last["minor"], &last["access"]), (&json!(1), &json!(11), &json!("r")));
}

#[test]
fn ulimits_and_a_limit_of_processes_are_those_of_the_annotations() {
    let ulimit = |name: &str, soft, hard| Ulimit { name: name.to_owned(), soft, hard };
    let mut plan =
        ContainerPlan { ulimits: vec![ulimit("core", 0, u64::MAX), ulimit("nofile", 1024, 65536)], ..plan() };
    plan.resources.pids_limit = Some(50);
    let spec = build(&plan, &sandbox(), &[], &host(Version::V1));
    assert_eq!(
        spec["process"]["rlimits"],
        json!([
            { "type": "RLIMIT_CORE", "soft": 0, "hard": u64::MAX },
            { "type": "RLIMIT_NOFILE", "soft": 1024, "hard": 65536 },
        ])
    );
    assert_eq!(spec["linux"]["resources"].get("pids"), None, "this host has no such controller");
    let spec = build(&plan, &sandbox(), &[], &host(Version::V2));
    assert_eq!(spec["linux"]["resources"]["pids"], json!({ "limit": 50 }));
}

#[test]
fn an_unmasked_proc_hides_nothing_and_makes_nothing_read_only() {
    let plan = ContainerPlan { unmasked_proc: true, ..plan() };
    let spec = build(&plan, &sandbox(), &[], &host(Version::V2));
    assert_eq!(spec["linux"].get("maskedPaths"), None);
    assert_eq!(spec["linux"]["readonlyPaths"], json!([]));
}

#[test]
fn the_default_apparmor_profile_is_applied_where_the_kernel_has_apparmor() {
    let of = |app_armor, enabled| {
        let host = Host { app_armor: enabled, ..host(Version::V2) };
        let spec = build(&ContainerPlan { app_armor, ..plan() }, &sandbox(), &[], &host);
        spec["process"]["apparmorProfile"].clone()
    };
    assert_eq!(of(AppArmor::RuntimeDefault, true), json!("kube-play-default"));
    assert_eq!(of(AppArmor::RuntimeDefault, false), Value::Null);
    assert_eq!(of(AppArmor::Localhost("web".to_owned()), true), json!("web"));
    for none in [AppArmor::Unset, AppArmor::Unconfined] {
        assert_eq!(of(none, true), Value::Null);
    }
}

#[test]
fn a_pod_with_a_user_namespace_joins_it_first() {
    let users = UserNamespace { path: "/run/kube-play/pods/u/users".into(), first_id: 1_879_048_192 };
    let sandbox = Sandbox { users: Some(users), ..sandbox() };
    let spec = build(&plan(), &sandbox, &[], &host(Version::V2));
    assert_eq!(namespaces(&spec)[0], "user /run/kube-play/pods/u/users");
    assert_eq!(sandbox.host_id(1000), 1_879_049_192);
}

#[test]
fn a_volume_that_is_a_device_may_be_used() {
    let device = |read_only| Mount {
        source: "/dev/kmsg".into(),
        destination: "/dev/log".to_owned(),
        read_only,
        device: Some(DeviceNumber { block: false, major: 1, minor: 11 }),
        ..Mount::default()
    };
    for (read_only, access) in [(false, "rw"), (true, "r")] {
        let spec = build(&plan(), &sandbox(), &[device(read_only)], &host(Version::V2));
        let rules = spec["linux"]["resources"]["devices"].as_array().unwrap();
        let rule = json!({ "allow": true, "type": "c", "major": 1, "minor": 11, "access": access });
        assert_eq!(rules.last(), Some(&rule));
    }
}

#[test]
fn huge_pages_are_limited_where_there_is_a_controller() {
    let mut plan = plan();
    plan.resources.huge_pages = BTreeMap::from([(2 << 20, 64 << 20)]);
    let mut host = host(Version::V2);
    assert_eq!(build(&plan, &sandbox(), &[], &host)["linux"]["resources"].get("hugepageLimits"), None);
    host.cgroups.hierarchies[0].controllers.push("hugetlb".to_owned());
    let spec = build(&plan, &sandbox(), &[], &host);
    let limits = json!([{ "pageSize": "2MB", "limit": 64 << 20 }]);
    assert_eq!(spec["linux"]["resources"]["hugepageLimits"], limits);
}
