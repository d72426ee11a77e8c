//! Whichever process ends, and whatever fails, at any moment: nothing is left, and the next call works.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use network::Endpoint;

use crate::instance::{
    Instance, PATIENCE, answer, example, free_port, get, inside, port, resolve, run, serve, wait_until,
};

#[test]
fn a_second_setup_changes_nothing_and_a_lost_namespace_is_set_up_with_the_same_addresses() {
    let instance = Instance::new();
    let a = instance.endpoint("a");
    let got = instance.setup(&a);
    let links = run("ip", &["-o", "link", "show", "type", "veth"]);
    assert_eq!(instance.setup(&a), got);
    let ours = |text: &str| {
        let bridge = instance.network("kube").bridge;
        text.lines().filter(|l| l.contains(&bridge)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ours(&run("ip", &["-o", "link", "show", "type", "veth"])), ours(&links));
    network::remove_netns(&a.netns).unwrap();
    network::make_netns(&a.netns).unwrap();
    assert_eq!(instance.setup(&a), got);
    serve(&a.netns, 80, "again");
    assert_eq!(get((got.ips[0], 80)).unwrap(), "again");
    // After the endpoint was removed, its address is not used again as long as others are free.
    instance.teardown("a");
    let b = instance.endpoint("b");
    assert_ne!(instance.setup(&b).ips[0], got.ips[0]);
}

#[test]
fn a_killed_name_server_comes_back() {
    let instance = Instance::new();
    let a = instance.endpoint("web");
    let got = instance.setup(&a);
    let kill = || {
        let [pid] = instance.dns_servers()[..] else { panic!("not one name server") };
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        wait_until("its end", || instance.dns_servers().is_empty());
    };
    kill();
    assert!(instance.networks().repair_dns().unwrap());
    assert!(!instance.networks().repair_dns().unwrap(), "it runs");
    assert_eq!(resolve(got.dns_servers[0], "web", 4), [got.ips[0]]);
    kill();
    let b = instance.endpoint("api");
    instance.setup(&b);
    assert_eq!(resolve(got.dns_servers[0], "web", 4), [got.ips[0]]);
    assert_eq!(resolve(got.dns_servers[0], "api", 4).len(), 1);
}

#[test]
fn a_strangers_process_that_got_the_name_servers_pid_is_left_alone() {
    let instance = Instance::new();
    let a = instance.endpoint("web");
    let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
    let dir = instance.dir.path().join("run/name-server");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("pid"), stranger.id().to_string()).unwrap();
    let got = instance.setup(&a);
    assert_eq!(resolve(got.dns_servers[0], "web", 4), [got.ips[0]]);
    assert!(stranger.try_wait().unwrap().is_none(), "it was sent a signal");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn the_name_server_of_an_earlier_build_is_replaced() {
    let instance = Instance::new();
    let dir = instance.dir.path().join("run/aardvark-dns");
    fs::create_dir_all(&dir).unwrap();
    // A process with the arguments of one, which waits for its input.
    let mut former = Command::new("cat")
        .args(["aardvark-dns", "--"])
        .args([&dir, Path::new("-")])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    instance.setup(&instance.endpoint("web"));
    assert!(former.wait().unwrap().code().is_none(), "it was killed");
    assert!(!dir.exists());
}

#[test]
fn flushed_firewall_rules_come_back_with_the_next_endpoint() {
    let instance = Instance::new();
    let mut a = instance.endpoint("web");
    let host_port = free_port();
    a.ports = vec![port(None, host_port, 80, "tcp")];
    instance.setup(&a);
    serve(&a.netns, 80, "back");
    run("nft", &["delete", "table", "inet", &instance.network("kube").bridge]);
    assert!(get(([127, 0, 0, 1], host_port)).is_err());
    let b = instance.endpoint("b");
    instance.setup(&b);
    assert_eq!(get(([127, 0, 0, 1], host_port)).unwrap(), "back");
}

#[test]
fn teardown_ends_whatever_is_gone_already() {
    let instance = Instance::new();
    instance.teardown("never-was");
    for damage in ["nothing", "veth", "bridge", "netns", "table", "run folder", "name server"] {
        let mut a = instance.endpoint("a");
        a.ports = vec![port(None, free_port(), 80, "tcp")];
        instance.setup(&a);
        let bridge = instance.network("kube").bridge;
        match damage {
            "veth" => drop(inside(&a.netns, || run("ip", &["link", "del", "eth0"]))),
            "bridge" => drop(run("ip", &["link", "del", &bridge])),
            "netns" => network::remove_netns(&a.netns).unwrap(),
            "table" => drop(run("nft", &["delete", "table", "inet", &bridge])),
            "run folder" => fs::remove_dir_all(instance.dir.path().join("run/up")).unwrap(),
            "name server" => {
                for pid in instance.dns_servers() {
                    let pid = nix::unistd::Pid::from_raw(pid);
                    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
                }
            }
            _ => {}
        }
        instance.teardown("a");
        assert_eq!(instance.leftovers(), [""; 0], "after {damage}");
        network::remove_netns(&a.netns).unwrap();
    }
}

/// Kills a setup (kill -9) as soon as `seen` is true, and then tears it down.
fn crash_when(seen: impl Fn(&Instance, &Endpoint) -> bool) {
    let instance = Instance::new();
    let mut a = instance.endpoint("a");
    a.ports = vec![port(None, free_port(), 80, "tcp")];
    let mut child = instance.command("setup", &serde_json::to_string(&a).unwrap()).spawn().unwrap();
    let since = Instant::now();
    while !seen(&instance, &a) && since.elapsed() < PATIENCE {
        std::hint::spin_loop();
    }
    assert!(since.elapsed() < PATIENCE, "never seen");
    child.kill().unwrap();
    child.wait().unwrap();
    // A child of the killed process, nft or the start of the name server, may still run. It ends by itself, and the
    // caller of teardown must not have to wait for it.
    let known = instance.networks().leases().unwrap();
    assert!(known.is_empty() || known == [a.id.clone()]);
    // Both the crashed endpoint and another one can be set up afterwards.
    let b = instance.endpoint("b");
    instance.setup(&b);
    instance.teardown("a");
    serve(&b.netns, 80, "b");
    let ips = instance.setup(&b).ips;
    assert_eq!(get((ips[0], 80)).unwrap(), "b");
    instance.teardown("b");
    wait_until("the end of all", || instance.leftovers().is_empty());
    assert!(!fs::exists(format!("/sys/class/net/{}", instance.network("kube").bridge)).unwrap());
}

#[test]
fn a_crash_once_the_lease_is_written_leaves_nothing() {
    crash_when(|i, a| i.dir.path().join(format!("root/leases/{}.json", a.id)).exists());
}

#[test]
fn a_crash_once_the_port_is_claimed_leaves_nothing() {
    crash_when(|_, a| Path::new(&format!("/run/kube-play-shared/endpoints/{}.json", a.id)).exists());
}

#[test]
fn a_crash_once_the_bridge_is_there_leaves_nothing() {
    crash_when(|i, _| {
        let networks = i.networks().list().unwrap_or_default();
        networks.iter().any(|n| fs::exists(format!("/sys/class/net/{}", n.bridge)).unwrap())
    });
}

#[test]
fn a_crash_once_the_veth_is_there_leaves_nothing() {
    crash_when(|i, _| {
        let networks = i.networks().list().unwrap_or_default();
        networks.iter().any(|n| {
            let ports = fs::read_dir(format!("/sys/class/net/{}/brif", n.bridge));
            ports.is_ok_and(|mut ports| ports.next().is_some())
        })
    });
}

#[test]
fn a_crash_once_it_is_up_leaves_nothing() {
    crash_when(|i, a| i.dir.path().join(format!("run/up/{}.json", a.id)).exists());
}

#[test]
fn a_crash_while_the_name_server_starts_leaves_nothing() {
    crash_when(|i, _| i.dir.path().join("run/name-server/pid").exists());
}

#[test]
fn a_setup_that_fails_undoes_itself() {
    let instance = Instance::new();
    let a = instance.endpoint("a");
    // The interface that the setup creates already exists.
    inside(&a.netns, || run("ip", &["link", "add", "eth0", "type", "bridge"]));
    let e = instance.try_setup(&a).unwrap_err();
    assert!(e.contains("join network `kube`") && e.contains("eth0"), "{e}");
    assert_eq!(instance.leftovers(), [""; 0]);
    assert!(instance.networks().leases().unwrap().is_empty());
    // The namespace does not exist.
    let b = Endpoint { netns: instance.netns("nowhere"), id: instance.id("b"), ..a };
    let e = instance.try_setup(&b).unwrap_err();
    assert!(e.contains("nowhere"), "{e}");
    assert_eq!(instance.leftovers(), [""; 0]);
}

#[test]
fn without_nft_the_error_says_what_to_install() {
    // In a mount namespace in which no folder of programs contains it.
    let instance = Instance::new();
    let a = instance.endpoint("a");
    let (root, run_dir) = instance.dirs();
    let empty = instance.dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let script =
        "for d in /usr/local/sbin /usr/sbin /sbin; do [ -L $d ] || mount --bind \"$0\" $d; done; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(&empty)
        .arg(example())
        .arg("setup")
        .args([&root, &run_dir])
        .arg(serde_json::to_string(&a).unwrap())
        .env("PATH", "/usr/bin:/bin:/usr/local/bin")
        .output()
        .unwrap();
    let e = answer(&output).unwrap_err();
    assert!(e.contains("nft") && e.contains("apt install nftables"), "{e}");
    assert_eq!(instance.leftovers(), [""; 0]);
}
