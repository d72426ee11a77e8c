//! The settings of the proxy.
//!
//! Environment variables of the `kube play` that plays an Ingress set them. They are recorded, because later commands and
//! supervisors, which may have another environment, bring the proxy up to date too. A variable that is not set leaves what
//! is recorded; `default` goes back to the default.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use base::file::{read_json, write_json};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::store::{self, Layout, damage};

/// The variable for the ports of HTTP and HTTPS: `80,443`, or `127.0.0.1:8080,127.0.0.1:8443` for one address.
pub const PORTS_VARIABLE: &str = "KUBE_PLAY_INGRESS_PORTS";
/// The variable for the access log: `on`, `off` or the path of a file.
pub const ACCESS_LOG_VARIABLE: &str = "KUBE_PLAY_INGRESS_ACCESS_LOG";
/// The variable for the networks of proxies whose X-Forwarded headers are believed: `10.0.0.0/8,fd00::/8`.
pub const TRUSTED_VARIABLE: &str = "KUBE_PLAY_INGRESS_TRUSTED_PROXIES";
/// The variable for the number of threads that serve.
pub const THREADS_VARIABLE: &str = "KUBE_PLAY_INGRESS_THREADS";

/// The value of a variable that goes back to its default.
const DEFAULT: &str = "default";

/// The most threads, which is far more than one machine needs to pass requests on.
const MAX_THREADS: usize = 64;

/// Where the proxy listens: a port of one address, or of every address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Port {
    /// The address; `None` is every address.
    pub ip: Option<IpAddr>,
    pub port: u16,
}

impl Port {
    /// Returns the sockets to open.
    pub fn addresses(self) -> Vec<SocketAddr> {
        let every = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let ips = self.ip.map_or_else(|| every.to_vec(), |ip| vec![ip]);
        ips.into_iter().map(|ip| SocketAddr::new(ip, self.port)).collect()
    }
}

/// Where the access log is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum AccessLog {
    /// In the run tree.
    On,
    /// In this file.
    File(PathBuf),
}

/// The recorded settings; `None` is the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<(Port, Port)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_log: Option<AccessLog>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted_proxies: Option<Vec<IpNet>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<usize>,
}

/// A variable with a value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {value:?} {rule}")]
pub struct BadSetting {
    /// The variable.
    pub variable: &'static str,
    /// Its value.
    pub value: String,
    /// What is expected.
    pub rule: &'static str,
}

impl Settings {
    fn path(layout: &Layout) -> PathBuf {
        layout.ingress().join("settings.json")
    }

    /// Reads the recorded settings.
    pub fn load(layout: &Layout) -> Self {
        damage::or_none(read_json(&Self::path(layout))).unwrap_or_default()
    }

    /// Returns the settings after those of an environment.
    pub fn with(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Self, BadSetting> {
        let mut new = self.clone();
        set(&mut new.ports, PORTS_VARIABLE, &variable, parse_ports, "must be two ports, such as 8080,8443")?;
        let rule = "must be on, off or the path of a file";
        let mut log = new.access_log.clone().map(Some);
        set(&mut log, ACCESS_LOG_VARIABLE, &variable, parse_log, rule)?;
        new.access_log = log.flatten();
        let rule = "must be networks, such as 10.0.0.0/8,fd00::/8";
        set(&mut new.trusted_proxies, TRUSTED_VARIABLE, &variable, parse_networks, rule)?;
        set(&mut new.threads, THREADS_VARIABLE, &variable, parse_threads, "must be a number from 1 to 64")?;
        Ok(new)
    }

    pub fn http(&self) -> Port {
        self.ports.map_or(Port { ip: None, port: 80 }, |(http, _)| http)
    }

    pub fn https(&self) -> Port {
        self.ports.map_or(Port { ip: None, port: 443 }, |(_, https)| https)
    }

    /// Returns whether the ports are those of a variable.
    pub fn has_ports(&self) -> bool {
        self.ports.is_some()
    }

    /// Returns the settings of the proxy's process.
    pub fn options(&self, layout: &Layout) -> ::ingress::Options {
        let access_log = self.access_log.as_ref().map(|log| match log {
            AccessLog::On => layout.ingress_run().join("access.log"),
            AccessLog::File(path) => path.clone(),
        });
        ::ingress::Options {
            access_log,
            trusted_proxies: self.trusted_proxies.clone().unwrap_or_default(),
            threads: self.threads.unwrap_or(1),
            ..::ingress::Options::default()
        }
    }
}

/// Records the settings of this process's environment, for a play of an Ingress.
///
/// # Errors
/// If they cannot be written.
pub fn record(layout: &Layout) -> Result<Vec<BadSetting>, store::Error> {
    let before = Settings::load(layout);
    let environment = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    match before.with(environment) {
        Ok(new) if new != before => {
            write_json(&Settings::path(layout), &new)?;
            Ok(Vec::new())
        }
        Ok(_) => Ok(Vec::new()),
        Err(bad) => Ok(vec![bad]),
    }
}

fn set<T>(
    slot: &mut Option<T>,
    variable: &'static str,
    value: impl Fn(&str) -> Option<String>,
    parse: impl Fn(&str) -> Option<T>,
    rule: &'static str,
) -> Result<(), BadSetting> {
    match value(variable) {
        None => Ok(()),
        Some(value) if value == DEFAULT || value.is_empty() => {
            *slot = None;
            Ok(())
        }
        Some(value) => {
            *slot = Some(parse(&value).ok_or(BadSetting { variable, value, rule })?);
            Ok(())
        }
    }
}

fn parse_port(text: &str) -> Option<Port> {
    let text = text.trim();
    let port = match text.parse::<SocketAddr>() {
        Ok(address) => Port { ip: Some(address.ip()), port: address.port() },
        Err(_) => Port { ip: None, port: text.parse().ok()? },
    };
    (port.port != 0).then_some(port)
}

fn parse_ports(text: &str) -> Option<(Port, Port)> {
    let (http, https) = text.split_once(',')?;
    let ports = (parse_port(http)?, parse_port(https)?);
    (ports.0.port != ports.1.port).then_some(ports)
}

#[allow(clippy::option_option, reason = "the outer one is whether the text is valid")]
fn parse_log(text: &str) -> Option<Option<AccessLog>> {
    match text {
        "on" => Some(Some(AccessLog::On)),
        "off" => Some(None),
        path if path.starts_with('/') => Some(Some(AccessLog::File(path.into()))),
        _ => None,
    }
}

fn parse_networks(text: &str) -> Option<Vec<IpNet>> {
    let network = |text: &str| {
        let text = text.trim();
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    };
    text.split(',').map(network).collect()
}

fn parse_threads(text: &str) -> Option<usize> {
    text.parse().ok().filter(|threads| (1..=MAX_THREADS).contains(threads))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(before: &Settings, variables: &[(&str, &str)]) -> Result<Settings, BadSetting> {
        before.with(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn ports_are_80_and_443_unless_a_setting_says_otherwise() {
        let default = Settings::default();
        assert_eq!((default.http().port, default.https().port), (80, 443));
        let set = with(&default, &[(PORTS_VARIABLE, "8080,8443")]).unwrap();
        assert_eq!((set.http().port, set.https().port), (8080, 8443));
        let every: Vec<String> = set.http().addresses().iter().map(ToString::to_string).collect();
        assert_eq!(every, ["0.0.0.0:8080", "[::]:8080"]);
        let one = with(&default, &[(PORTS_VARIABLE, "127.0.0.1:80, [::1]:443")]).unwrap();
        assert_eq!(one.http().addresses(), ["127.0.0.1:80".parse().unwrap()]);
        assert_eq!(one.https().addresses(), ["[::1]:443".parse().unwrap()]);
        for bad in ["80", "80,80", "0,443", "a,b", "80,443,1", "1.2.3:80,443"] {
            let error = with(&default, &[(PORTS_VARIABLE, bad)]).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{PORTS_VARIABLE}: {bad:?} must be two ports, such as 8080,8443")
            );
        }
    }

    #[test]
    fn what_is_recorded_stays_until_it_is_set_anew() {
        let all = [
            (PORTS_VARIABLE, "8080,8443"),
            (ACCESS_LOG_VARIABLE, "on"),
            (TRUSTED_VARIABLE, "10.0.0.0/8, fd00::1"),
            (THREADS_VARIABLE, "2"),
        ];
        let set = with(&Settings::default(), &all).unwrap();
        assert_eq!(with(&set, &[]).unwrap(), set);
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), set);
        let reset: Vec<(&str, &str)> = all.iter().map(|(name, _)| (*name, "default")).collect();
        assert_eq!(with(&set, &reset).unwrap(), Settings::default());
        assert_eq!(with(&set, &[(ACCESS_LOG_VARIABLE, "off")]).unwrap().access_log, None);
    }

    #[test]
    fn the_process_gets_the_settings() {
        let layout = Layout { root: "/r".into(), runroot: "/run/k".into() };
        let variables =
            [(ACCESS_LOG_VARIABLE, "on"), (TRUSTED_VARIABLE, "10.0.0.1"), (THREADS_VARIABLE, "2")];
        let options = with(&Settings::default(), &variables).unwrap().options(&layout);
        assert_eq!(options.access_log.unwrap(), PathBuf::from("/run/k/ingress/access.log"));
        assert_eq!(options.trusted_proxies, ["10.0.0.1/32".parse().unwrap()]);
        assert_eq!(options.threads, 2);
        let file =
            with(&Settings::default(), &[(ACCESS_LOG_VARIABLE, "/var/log/x")]).unwrap().options(&layout);
        assert_eq!(file.access_log.unwrap(), PathBuf::from("/var/log/x"));
        for (variable, bad) in [(ACCESS_LOG_VARIABLE, "x"), (TRUSTED_VARIABLE, "x"), (THREADS_VARIABLE, "0")]
        {
            assert_eq!(with(&Settings::default(), &[(variable, bad)]).unwrap_err().variable, variable);
        }
    }
}
