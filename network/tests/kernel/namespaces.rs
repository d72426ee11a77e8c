//! Network namespaces.

use std::fs;
use std::net::TcpListener;

use crate::instance::inside;

#[test]
fn namespaces_come_and_go() {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let path = dir.path().join("deep/netns");
    assert!(!network::netns_exists(&path));
    network::make_netns(&path).unwrap();
    assert!(network::netns_exists(&path));
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    let theirs = inside(&path, || fs::read_link("/proc/thread-self/ns/net").unwrap());
    assert_ne!(own, theirs);
    assert!(inside(&path, || TcpListener::bind("127.0.0.1:80").is_ok()), "its loopback is up");
    network::set_sysctls(&path, &[("net.ipv4.ip_unprivileged_port_start".to_owned(), "7".to_owned())])
        .unwrap();
    let read = || fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    assert_eq!(inside(&path, read).trim(), "7");
    assert_ne!(read().trim(), "7");
    let e = network::set_sysctls(&path, &[("net.ipv4.nonsense".to_owned(), "1".to_owned())]).unwrap_err();
    assert!(e.to_string().contains("/proc/sys/net/ipv4/nonsense"), "{e}");
    network::remove_netns(&path).unwrap();
    assert!(!path.exists());
    network::remove_netns(&path).unwrap();
    network::remove_netns(&dir.path().join("never/was")).unwrap();
}
