//! Parses and compares published ports: `hostPort`, `hostIP`, `--publish`, `--publish-all`.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use k8s_openapi::api::core::v1::PodSpec;

use super::PortMapping;

/// Why the value of a `--publish` is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The value does not have the required form.
    #[error(
        "{0:?} is not [[IP:]HOST:]CONTAINER[/PROTO], e.g. 8080:80, 127.0.0.1:8080:80 or 8000-8010:80-90/udp"
    )]
    Form(String),
    /// A part of the value is not a port.
    #[error("{port:?} in {text:?} is not a port (1 to 65535)")]
    Port {
        /// The text in place of the port.
        port: String,
        /// The whole value.
        text: String,
    },
    /// The value has a range that ends before it begins.
    #[error("{range:?} in {text:?} ends before it begins")]
    Backwards {
        /// The text of the range.
        range: String,
        /// The whole value.
        text: String,
    },
    /// The two ranges have different lengths.
    #[error("{text:?} has {host} ports of the host for {container} of the pod: both numbers must be equal")]
    Lengths {
        /// The number of ports of the host.
        host: usize,
        /// The number of ports of the pod.
        container: usize,
        /// The whole value.
        text: String,
    },
    /// A part of the value is not an address.
    #[error("{address:?} in {text:?} is not an IP address; IPv6 goes in brackets: [::1]:8080:80")]
    Address {
        /// The text in place of the address.
        address: String,
        /// The whole value.
        text: String,
    },
    /// A part of the value is not a protocol.
    #[error("{protocol:?} in {text:?} is not a protocol: tcp, udp or sctp")]
    Protocol {
        /// The text in place of the protocol.
        protocol: String,
        /// The whole value.
        text: String,
    },
}

/// Parses `[[IP:]HOST:]CONTAINER[/PROTO]`, where both ports may be ranges of the same length, such as
/// `8000-8010:80-90`. Without a host port, the host port is the container port. Without an address, the port is
/// published on every address of the host.
///
/// # Errors
/// If the value is invalid. The error says which part is wrong.
pub fn parse_publish(text: &str) -> Result<Vec<PortMapping>, PublishError> {
    let (ports, protocol) = match text.rsplit_once('/') {
        Some((ports, protocol)) => (ports, protocol.to_ascii_lowercase()),
        None => (text, "tcp".to_owned()),
    };
    if ports.is_empty() {
        return Err(PublishError::Form(text.to_owned()));
    }
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(PublishError::Protocol { protocol, text: text.to_owned() });
    }
    let (host_ip, rest) = split_address(ports, text)?;
    // An unspecified address (0.0.0.0 or ::) means every address, like no address.
    let host_ip = host_ip.filter(|ip| !ip.is_unspecified());
    let (host, container) = rest.split_once(':').unwrap_or(("", rest));
    let container = range(container, text)?;
    let host = if host.is_empty() { container.clone() } else { range(host, text)? };
    if host.len() != container.len() {
        let (host, container) = (host.len(), container.len());
        return Err(PublishError::Lengths { host, container, text: text.to_owned() });
    }
    let pairs = host.zip(container);
    Ok(pairs
        .map(|(host_port, container_port)| PortMapping {
            host_ip,
            host_port,
            container_port,
            protocol: protocol.clone(),
        })
        .collect())
}

/// Splits a `--publish` into the address, if it has one, and the rest.
fn split_address<'a>(ports: &'a str, text: &str) -> Result<(Option<IpAddr>, &'a str), PublishError> {
    let (address, rest) = if let Some(inner) = ports.strip_prefix('[') {
        let (ip, rest) = inner.split_once("]:").ok_or_else(|| PublishError::Form(text.to_owned()))?;
        (ip, rest)
    } else {
        match ports.matches(':').count() {
            0 | 1 => return Ok((None, ports)),
            2 => match ports.split_once(':') {
                // An empty address, as in `:8080:80`, means every address.
                None | Some(("", _)) => return Ok((None, ports.trim_start_matches(':'))),
                Some(split) => split,
            },
            // An IPv6 address without brackets is ambiguous, so it is an error.
            _ => {
                let behind = ports.rsplitn(3, ':').nth(2).unwrap_or_default();
                let all = ports.rsplit_once(':').map_or(ports, |(all, _)| all);
                let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
                (if !is_address(behind) && is_address(all) { all } else { behind }, ports)
            }
        }
    };
    let bad = |_| PublishError::Address { address: address.to_owned(), text: text.to_owned() };
    // An IPv6 address must have brackets.
    match address.parse() {
        Ok(IpAddr::V6(_)) if !ports.starts_with('[') => {
            Err(PublishError::Address { address: address.to_owned(), text: text.to_owned() })
        }
        parsed => Ok((Some(parsed.map_err(bad)?), rest)),
    }
}

/// Parses a port such as `80`, or a range such as `80-90`.
fn range(ports: &str, text: &str) -> Result<RangeInclusive<u16>, PublishError> {
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (port(first, text)?, port(last, text)?);
    if first > last {
        return Err(PublishError::Backwards { range: ports.to_owned(), text: text.to_owned() });
    }
    Ok(first..=last)
}

fn port(port: &str, text: &str) -> Result<u16, PublishError> {
    port.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| port.parse().ok())
        .flatten()
        .filter(|n| *n != 0)
        .ok_or_else(|| PublishError::Port { port: port.to_owned(), text: text.to_owned() })
}

/// A port that a container of the pod declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The path of the port below the pod's spec, such as `containers[0].ports[1]`.
    pub path: String,
    /// The port in the pod.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// hostPort, if there is one (0 means none).
    pub host_port: Option<u16>,
    /// hostIP; `None` if there is none or if it means every address.
    pub host_ip: Option<IpAddr>,
}

/// Returns every port that the pod's containers declare.
pub fn declared(spec: &PodSpec) -> Vec<Declared> {
    let init = spec.init_containers.iter().flatten().enumerate().map(|(i, c)| ("initContainers", i, c));
    let apps = spec.containers.iter().enumerate().map(|(i, c)| ("containers", i, c));
    let mut found = Vec::new();
    for (list, index, container) in init.chain(apps) {
        for (nth, port) in container.ports.iter().flatten().enumerate() {
            let Ok(container_port) = u16::try_from(port.container_port) else { continue };
            found.push(Declared {
                path: format!("{list}[{index}].ports[{nth}]"),
                container_port,
                protocol: port.protocol.as_deref().unwrap_or("TCP").to_ascii_lowercase(),
                host_port: port.host_port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0),
                host_ip: port
                    .host_ip
                    .as_deref()
                    .and_then(|ip| ip.parse::<IpAddr>().ok())
                    .filter(|ip| !ip.is_unspecified()),
            });
        }
    }
    found
}

/// Returns whether the two host ports cannot be used at the same time: port and protocol are equal, and the addresses
/// overlap.
pub fn conflict(a: &PortMapping, b: &PortMapping) -> bool {
    a.host_port == b.host_port
        && a.protocol == b.protocol
        && (a.host_ip.is_none() || b.host_ip.is_none() || a.host_ip == b.host_ip)
}

/// Formats a host port for messages: `8080/tcp`, `127.0.0.1:8080/tcp`.
pub fn describe(mapping: &PortMapping) -> String {
    let port = format!("{}/{}", mapping.host_port, mapping.protocol);
    match mapping.host_ip {
        None => port,
        Some(IpAddr::V4(ip)) => format!("{ip}:{port}"),
        Some(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(mapping: &PortMapping) -> String {
        format!("{} -> {}", describe(mapping), mapping.container_port)
    }

    #[test]
    fn publish_takes_podmans_forms() {
        for (given, expected) in [
            ("80", "80/tcp -> 80"),
            ("8080:80", "8080/tcp -> 80"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080/tcp -> 80"),
            ("127.0.0.1::80", "127.0.0.1:80/tcp -> 80"),
            ("0.0.0.0:8080:80", "8080/tcp -> 80"),
            ("[::1]:8080:80/UDP", "[::1]:8080/udp -> 80"),
            ("[::1]:80", "[::1]:80/tcp -> 80"),
            ("53:53/udp", "53/udp -> 53"),
            ("9/sctp", "9/sctp -> 9"),
            ("[::1]::80", "[::1]:80/tcp -> 80"),
            // An empty address means every address, and an empty host port means the container port.
            (":80", "80/tcp -> 80"),
            (":8080:80", "8080/tcp -> 80"),
            ("::80", "80/tcp -> 80"),
            ("0.0.0.0::80", "80/tcp -> 80"),
            ("[::]:8080:80", "8080/tcp -> 80"),
            ("[::]::80/udp", "80/udp -> 80"),
            ("80-80:90-90", "80/tcp -> 90"),
        ] {
            let found: Vec<String> = parse_publish(given).unwrap().iter().map(text).collect();
            assert_eq!(found, [expected], "{given}");
        }
    }

    #[test]
    fn a_range_publishes_each_of_its_ports() {
        for (given, expected) in [
            ("8000-8002:9000-9002", ["8000/tcp -> 9000", "8001/tcp -> 9001", "8002/tcp -> 9002"]),
            ("80-82/udp", ["80/udp -> 80", "81/udp -> 81", "82/udp -> 82"]),
            (
                "127.0.0.1::80-82",
                ["127.0.0.1:80/tcp -> 80", "127.0.0.1:81/tcp -> 81", "127.0.0.1:82/tcp -> 82"],
            ),
            (
                "[::1]:1-3:65533-65535",
                ["[::1]:1/tcp -> 65533", "[::1]:2/tcp -> 65534", "[::1]:3/tcp -> 65535"],
            ),
            (":1-3:4-6", ["1/tcp -> 4", "2/tcp -> 5", "3/tcp -> 6"]),
        ] {
            let found: Vec<String> = parse_publish(given).unwrap().iter().map(text).collect();
            assert_eq!(found, expected, "{given}");
        }
        assert_eq!(parse_publish("1-65535").unwrap().len(), 65535);
    }

    #[test]
    fn errors_name_the_invalid_part_of_a_publish() {
        let all = [
            "",
            "0",
            "80:0",
            "65536",
            "http",
            "8080:",
            "80/icmp",
            "::1:8080:80",
            "1.2.3:80:80",
            "[::1]80",
            "80-81:80",
            "80:80-81",
            "81-80",
            "80-",
            "-80",
            "80-81-82",
            "80-0:1-2",
            ":",
            "::",
            "+80",
            "80:",
            "[::1]:8080:80:90",
            "::1:80",
            "[]:80:80",
            "[::1]:0",
        ]
        .map(|given| parse_publish(given).unwrap_err().to_string());
        insta::assert_snapshot!(all.join("\n"), @r#"
        "" is not [[IP:]HOST:]CONTAINER[/PROTO], e.g. 8080:80, 127.0.0.1:8080:80 or 8000-8010:80-90/udp
        "0" in "0" is not a port (1 to 65535)
        "0" in "80:0" is not a port (1 to 65535)
        "65536" in "65536" is not a port (1 to 65535)
        "http" in "http" is not a port (1 to 65535)
        "" in "8080:" is not a port (1 to 65535)
        "icmp" in "80/icmp" is not a protocol: tcp, udp or sctp
        "::1" in "::1:8080:80" is not an IP address; IPv6 goes in brackets: [::1]:8080:80
        "1.2.3" in "1.2.3:80:80" is not an IP address; IPv6 goes in brackets: [::1]:8080:80
        "[::1]80" is not [[IP:]HOST:]CONTAINER[/PROTO], e.g. 8080:80, 127.0.0.1:8080:80 or 8000-8010:80-90/udp
        "80-81:80" has 2 ports of the host for 1 of the pod: both numbers must be equal
        "80:80-81" has 1 ports of the host for 2 of the pod: both numbers must be equal
        "81-80" in "81-80" ends before it begins
        "" in "80-" is not a port (1 to 65535)
        "" in "-80" is not a port (1 to 65535)
        "81-82" in "80-81-82" is not a port (1 to 65535)
        "0" in "80-0:1-2" is not a port (1 to 65535)
        "" in ":" is not a port (1 to 65535)
        "" in "::" is not a port (1 to 65535)
        "+80" in "+80" is not a port (1 to 65535)
        "" in "80:" is not a port (1 to 65535)
        "80:90" in "[::1]:8080:80:90" is not a port (1 to 65535)
        "::1" in "::1:80" is not an IP address; IPv6 goes in brackets: [::1]:8080:80
        "" in "[]:80:80" is not an IP address; IPv6 goes in brackets: [::1]:8080:80
        "0" in "[::1]:0" is not a port (1 to 65535)
        "#);
    }

    #[test]
    fn ports_conflict_when_their_addresses_overlap() {
        let of = |t: &str| parse_publish(t).unwrap().remove(0);
        assert!(conflict(&of("80:1"), &of("80:2")));
        assert!(conflict(&of("80:1"), &of("127.0.0.1:80:2")));
        assert!(!conflict(&of("127.0.0.2:80:1"), &of("127.0.0.1:80:1")));
        assert!(!conflict(&of("80:1"), &of("80:1/udp")));
        assert!(!conflict(&of("80:1"), &of("81:1")));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "[0-9a-f:.\\[\\]/-]{0,24}|.*") {
            let _ = parse_publish(&text);
        }
    }
}
