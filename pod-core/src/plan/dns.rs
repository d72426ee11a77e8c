//! Builds a pod's /etc/resolv.conf (resolv.conf(5)) from dnsPolicy and dnsConfig.

use std::fmt::Write as _;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use network::CLUSTER_DOMAIN;

use super::Node;
use crate::manifest::{MAX_NAMESERVERS, MAX_SEARCH_CHARS, MAX_SEARCHES};

/// A parsed resolv.conf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ResolvConf {
    nameservers: Vec<String>,
    searches: Vec<String>,
    options: Vec<(String, Option<String>)>,
}

impl ResolvConf {
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => found.nameservers.extend(words.next().map(str::to_owned)),
                // The last line takes precedence; `domain` is a search list with one entry.
                Some("search") => found.searches = words.map(str::to_owned).collect(),
                Some("domain") => found.searches = words.take(1).map(str::to_owned).collect(),
                Some("options") => {
                    for word in words {
                        let (name, value) = match word.split_once(':') {
                            Some((name, value)) => (name, Some(value.to_owned())),
                            None => (word, None),
                        };
                        found.set_option(name, value);
                    }
                }
                _ => {}
            }
        }
        found
    }

    fn set_option(&mut self, name: &str, value: Option<String>) {
        match self.options.iter_mut().find(|(n, _)| n == name) {
            Some(slot) => slot.1 = value,
            None => self.options.push((name.to_owned(), value)),
        }
    }

    fn render(mut self) -> String {
        dedup(&mut self.nameservers);
        dedup(&mut self.searches);
        self.nameservers.truncate(MAX_NAMESERVERS);
        self.searches.truncate(MAX_SEARCHES);
        while self.searches.iter().map(|s| s.len() + 1).sum::<usize>() > MAX_SEARCH_CHARS + 1 {
            self.searches.pop();
        }
        let mut text = String::new();
        if !self.searches.is_empty() {
            let _ = writeln!(text, "search {}", self.searches.join(" "));
        }
        for server in &self.nameservers {
            let _ = writeln!(text, "nameserver {server}");
        }
        if !self.options.is_empty() {
            let words: Vec<String> = self
                .options
                .iter()
                .map(|(name, value)| match value {
                    Some(value) => format!("{name}:{value}"),
                    None => name.clone(),
                })
                .collect();
            let _ = writeln!(text, "options {}", words.join(" "));
        }
        text
    }
}

fn dedup(list: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    list.retain(|item| seen.insert(item.clone()));
}

/// Returns the pod's resolv.conf. `servers` are the DNS servers of the pod's network ([`network::Addresses`]).
///
/// `ClusterFirst` uses `servers`. On the host's network it is the same as `Default`, as in Kubernetes, and also where
/// the network has no DNS server. Every pod has a name below `<namespace>.svc.cluster.local`, so a name without dots
/// is found with the first query.
pub fn resolv_conf(pod: &Pod, node: &Node, servers: &[IpAddr]) -> String {
    let spec = pod.spec.as_ref();
    let policy = spec.and_then(|s| s.dns_policy.as_deref()).unwrap_or("ClusterFirst");
    let host_network = spec.and_then(|s| s.host_network) == Some(true);
    let cluster = !servers.is_empty()
        && match policy {
            "ClusterFirst" => !host_network,
            "ClusterFirstWithHostNet" => true,
            _ => false,
        };
    let mut conf = if policy == "None" {
        ResolvConf::default()
    } else {
        let host = ResolvConf::parse(&node.resolv_conf);
        if cluster {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
            let mut searches = vec![
                format!("{namespace}.svc.{CLUSTER_DOMAIN}"),
                format!("svc.{CLUSTER_DOMAIN}"),
                CLUSTER_DOMAIN.to_owned(),
            ];
            searches.extend(host.searches);
            let options = vec![("ndots".to_owned(), Some("5".to_owned()))];
            ResolvConf { nameservers: servers.iter().map(ToString::to_string).collect(), searches, options }
        } else {
            host
        }
    };
    if let Some(config) = spec.and_then(|s| s.dns_config.as_ref()) {
        conf.nameservers.extend(config.nameservers.iter().flatten().cloned());
        conf.searches.extend(config.searches.iter().flatten().cloned());
        for option in config.options.iter().flatten() {
            if let Some(name) = &option.name {
                conf.set_option(name, option.value.clone().filter(|value| !value.is_empty()));
            }
        }
    }
    conf.render()
}
