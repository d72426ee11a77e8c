//! Tests of host names, /etc/hosts and /etc/resolv.conf.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::super::dns::resolv_conf;
use super::super::hosts::{etc_hosts, hostname, short_hostname};
use super::{deployment, node, options, planned, pod, pod_plan, refused};

#[test]
fn the_hostname_is_the_specs_or_the_pods_name_cut_to_63() {
    let of = |name: &str, spec: Value| {
        let mut plan = pod_plan(&spec);
        plan.pod.metadata.name = Some(name.to_owned());
        hostname(&plan.pod, &node())
    };
    assert_eq!(of("web", json!({"containers": []})), "web");
    assert_eq!(of("web", json!({"containers": [], "hostname": "front"})), "front");
    assert_eq!(of(&"a".repeat(70), json!({"containers": []})), "a".repeat(63));
    assert_eq!(of(&format!("{}-.x", "a".repeat(61)), json!({"containers": []})), "a".repeat(61));
    assert_eq!(of("web", json!({"containers": [], "hostNetwork": true})), "box");
}

fn ips() -> Vec<IpAddr> {
    vec!["10.1.0.5".parse().unwrap(), "fd00::5".parse().unwrap()]
}

#[test]
fn etc_hosts_names_loopback_the_pod_and_its_host_aliases() {
    let plan = pod_plan(&json!({"containers": [], "hostAliases": [
        {"ip": "192.0.2.7", "hostnames": ["db", "db.example"]},
        {"ip": "192.0.2.8", "hostnames": ["cache"]},
        {"ip": "192.0.2.7", "hostnames": ["sql"]},
    ]}));
    insta::assert_snapshot!(etc_hosts(&plan.pod, &node(), &ips()), @r"
    # Kubernetes-managed hosts file.
    127.0.0.1	localhost
    ::1	localhost ip6-localhost ip6-loopback
    fe00::0	ip6-localnet
    fe00::0	ip6-mcastprefix
    fe00::1	ip6-allnodes
    fe00::2	ip6-allrouters
    10.1.0.5	web
    fd00::5	web

    # Entries added by HostAliases.
    192.0.2.7	db	db.example	sql
    192.0.2.8	cache
    ");
}

#[test]
fn a_subdomain_puts_the_full_name_before_the_short_one_in_etc_hosts() {
    let plan = pod_plan(&json!({"containers": [], "hostname": "front", "subdomain": "sites"}));
    let hosts = etc_hosts(&plan.pod, &node(), &ips());
    assert!(hosts.contains("10.1.0.5\tfront.sites.shop.svc.cluster.local\tfront\n"), "{hosts}");
    assert!(hosts.contains("fd00::5\tfront.sites.shop.svc.cluster.local\tfront\n"), "{hosts}");
    assert_eq!(hostname(&plan.pod, &node()), "front", "the kernel's name stays short");
    let on_host = pod_plan(&json!({"containers": [], "subdomain": "sites", "hostNetwork": true}));
    assert!(!etc_hosts(&on_host.pod, &node(), &ips()).contains("sites"));
}

#[test]
fn set_hostname_as_fqdn_makes_the_kernels_name_the_full_one() {
    let of = |spec: Value| {
        let plan = pod_plan(&spec);
        (hostname(&plan.pod, &node()), short_hostname(&plan.pod, &node()))
    };
    let full = "web.sites.shop.svc.cluster.local".to_owned();
    let spec = json!({"containers": [], "subdomain": "sites", "setHostnameAsFQDN": true});
    assert_eq!(of(spec), (full, "web".to_owned()));
    let without = json!({"containers": [], "setHostnameAsFQDN": true});
    assert_eq!(of(without).0, "web", "there is no domain without a subdomain");
    let on_host = json!({"containers": [], "subdomain": "a", "setHostnameAsFQDN": true, "hostNetwork": true});
    assert_eq!(of(on_host).0, "box");
}

#[test]
fn a_full_hostname_has_at_most_64_characters() {
    let spec = |subdomain: &str| {
        json!({
            "containers": [{"name": "c", "image": "a"}], "subdomain": subdomain, "setHostnameAsFQDN": true,
        })
    };
    // web. + subdomain + .default.svc.cluster.local
    let longest = 64 - "web.".len() - ".default.svc.cluster.local".len();
    planned(&[pod("web", spec(&"a".repeat(longest)))], &options());
    insta::assert_snapshot!(
        refused(&[pod("web", spec(&"a".repeat(longest + 1)))], &options()),
        @"web.yaml:1:22: spec.setHostnameAsFQDN: the host name web.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.default.svc.cluster.local has 65 characters, and the kernel takes 64 at most (give the pod a shorter hostname or subdomain, or leave setHostnameAsFQDN out)"
    );
    // A Deployment's pods have longer names: web-xxxxxxxxxx-xxxxx.
    planned(&[deployment("web", 1, spec(&"a".repeat(longest - 17)))], &options());
    refused(&[deployment("web", 1, spec(&"a".repeat(longest - 16)))], &options());
}

#[test]
fn hostname_override_is_taken_as_it_is() {
    let spec =
        json!({"containers": [], "hostname": "x", "subdomain": "sites", "hostnameOverride": "a.example.com"});
    let plan = pod_plan(&spec);
    assert_eq!(hostname(&plan.pod, &node()), "a.example.com");
    let hosts = etc_hosts(&plan.pod, &node(), &ips());
    assert!(hosts.contains("10.1.0.5\ta.example.com\n") && !hosts.contains("sites"), "{hosts}");
}

#[test]
fn on_the_host_network_etc_hosts_is_the_hosts_own_with_the_aliases() {
    let plan = pod_plan(&json!({"containers": [], "hostNetwork": true, "hostAliases": [
        {"ip": "192.0.2.7", "hostnames": ["db"]},
    ]}));
    insta::assert_snapshot!(etc_hosts(&plan.pod, &node(), &ips()), @r"
    # Kubernetes-managed hosts file (host network).
    127.0.0.1 localhost
    192.0.2.1 box

    # Entries added by HostAliases.
    192.0.2.7	db
    ");
}

fn resolv(spec: Value) -> String {
    let mut spec = spec;
    spec["containers"] = json!([]);
    resolv_conf(&pod_plan(&spec).pod, &node(), &["10.1.0.1".parse().unwrap()])
}

#[test]
fn dns_policy_cluster_first_asks_our_dns_and_searches_the_cluster_then_the_node() {
    let expected = "search shop.svc.cluster.local svc.cluster.local cluster.local home.example\n\
                    nameserver 10.1.0.1\noptions ndots:5\n";
    assert_eq!(resolv(json!({})), expected);
    assert_eq!(resolv(json!({"dnsPolicy": "ClusterFirst"})), expected);
    assert_eq!(resolv(json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true})), expected);
}

#[test]
fn dns_policy_default_is_the_nodes_resolv_conf() {
    let expected = "search home.example\nnameserver 192.0.2.53\noptions timeout:2 rotate\n";
    assert_eq!(resolv(json!({"dnsPolicy": "Default"})), expected);
    assert_eq!(
        resolv(json!({"hostNetwork": true})),
        expected,
        "ClusterFirst falls back on the host's network"
    );
    let pod = pod_plan(&json!({"containers": []})).pod;
    assert_eq!(resolv_conf(&pod, &node(), &[]), expected, "and where the network has no server");
}

#[test]
fn dns_policy_none_is_dns_config_alone() {
    let config =
        json!({"nameservers": ["192.0.2.9"], "searches": ["x.example"], "options": [{"name": "edns0"}]});
    assert_eq!(
        resolv(json!({"dnsPolicy": "None", "dnsConfig": config})),
        "search x.example\nnameserver 192.0.2.9\noptions edns0\n"
    );
}

#[test]
fn dns_config_merges_and_its_options_win() {
    let config = json!({
        "nameservers": ["10.1.0.1", "192.0.2.9"],
        "searches": ["x.example", "svc.cluster.local"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    });
    assert_eq!(
        resolv(json!({"dnsConfig": config})),
        "search shop.svc.cluster.local svc.cluster.local cluster.local home.example x.example\n\
         nameserver 10.1.0.1\nnameserver 192.0.2.9\noptions ndots:2 edns0\n"
    );
}

#[test]
fn resolv_conf_has_at_most_3_servers_and_32_searches() {
    let servers: Vec<_> = (1..=5).map(|n| format!("192.0.2.{n}")).collect();
    let searches: Vec<_> = (1..=40).map(|n| format!("d{n}.example")).collect();
    let text =
        resolv(json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": servers, "searches": searches}}));
    assert_eq!(text.matches("nameserver").count(), 3);
    assert_eq!(text.lines().next().unwrap().split(' ').count(), 33);
    let long: Vec<_> = (1..=20).map(|n| format!("{n}{}.example", "x".repeat(190))).collect();
    let text =
        resolv(json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"], "searches": long}}));
    assert!(text.lines().next().unwrap().len() <= 2048 + "search ".len(), "{}", text.len());
}
