//! Parses the values of `--network`.

use std::net::IpAddr;
use std::str::FromStr;

use super::Attachment;

/// The parsed value of one `--network`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkChoice {
    /// `host`: the host's network.
    Host,
    /// `none`: loopback only.
    None,
    /// A network to join.
    Join(Attachment),
}

/// Why the value of a `--network` is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The value has no network name.
    #[error("no network name in {0:?}; write NAME[:ip=ADDRESS,mac=ADDRESS]")]
    NoName(String),
    /// The name is not a valid network name.
    #[error(
        "{0:?} is not a network name: letters, digits, '_', '.' and '-', beginning with a letter or digit"
    )]
    BadName(String),
    /// The value has an unknown option.
    #[error("{option:?} is not an option of a network; there are ip=ADDRESS and mac=ADDRESS")]
    UnknownOption {
        /// The text that was given.
        option: String,
    },
    /// A part of the value is not an address.
    #[error("{value:?} is not an {kind} address")]
    BadAddress {
        /// `IP` or `Ethernet (MAC)`.
        kind: &'static str,
        /// The text that was given.
        value: String,
    },
    /// `mac=` is given twice.
    #[error("mac= is given twice")]
    TwoMacs,
    /// `host` and `none` have no options and cannot be combined with other networks.
    #[error("{0} cannot have options and cannot be combined with another network")]
    NotAlone(&'static str),
    /// The same network is given twice.
    #[error("network {0:?} is given twice")]
    Twice(String),
}

impl FromStr for NetworkChoice {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        parse_network(text)
    }
}

/// Parses `host`, `none` or `NAME[:ip=...,mac=...]`. `ip=` may be given once per family.
///
/// # Errors
/// If the value is invalid. The error says which part is wrong.
pub fn parse_network(text: &str) -> Result<NetworkChoice, NetworkError> {
    let (name, options) = match text.split_once(':') {
        Some((name, options)) => (name, Some(options)),
        None => (text, None),
    };
    match (name, options) {
        ("host", None) => return Ok(NetworkChoice::Host),
        ("none", None) => return Ok(NetworkChoice::None),
        ("host", Some(_)) => return Err(NetworkError::NotAlone("host")),
        ("none", Some(_)) => return Err(NetworkError::NotAlone("none")),
        ("", _) => return Err(NetworkError::NoName(text.to_owned())),
        _ => {}
    }
    let valid = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if !valid {
        return Err(NetworkError::BadName(name.to_owned()));
    }
    let mut attachment = Attachment { network: name.to_owned(), ips: Vec::new(), mac: None };
    for option in options.into_iter().flat_map(|o| o.split(',')) {
        match option.split_once('=') {
            Some(("ip" | "ip6", value)) => attachment.ips.push(
                value
                    .parse::<IpAddr>()
                    .map_err(|_| NetworkError::BadAddress { kind: "IP", value: value.to_owned() })?,
            ),
            Some(("mac", value)) => {
                if attachment.mac.is_some() {
                    return Err(NetworkError::TwoMacs);
                }
                attachment.mac = Some(mac(value)?);
            }
            _ => return Err(NetworkError::UnknownOption { option: option.to_owned() }),
        }
    }
    Ok(NetworkChoice::Join(attachment))
}

/// Parses a MAC address: six bytes in hexadecimal. It must be a unicast address, because an interface cannot have
/// another.
fn mac(value: &str) -> Result<String, NetworkError> {
    let bad = || NetworkError::BadAddress { kind: "Ethernet (MAC)", value: value.to_owned() };
    let parts: Vec<&str> = value.split([':', '-']).collect();
    let bytes: Option<Vec<u8>> = parts
        .iter()
        .map(|part| (part.len() == 2).then(|| u8::from_str_radix(part, 16).ok()).flatten())
        .collect();
    let bytes = bytes.filter(|b| b.len() == 6).ok_or_else(bad)?;
    if bytes.first().is_none_or(|first| first & 1 == 1) || bytes.iter().all(|b| *b == 0) {
        return Err(bad());
    }
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":"))
}

/// Parses all values of `--network` together.
///
/// # Errors
/// Those of [`parse_network`], and if the networks cannot be combined.
pub fn parse_networks(texts: &[String]) -> Result<Vec<NetworkChoice>, NetworkError> {
    let choices = texts.iter().map(|text| parse_network(text)).collect::<Result<Vec<_>, _>>()?;
    let mut seen = std::collections::HashSet::new();
    for choice in &choices {
        match choice {
            NetworkChoice::Host if choices.len() > 1 => return Err(NetworkError::NotAlone("host")),
            NetworkChoice::None if choices.len() > 1 => return Err(NetworkError::NotAlone("none")),
            NetworkChoice::Join(attachment) if !seen.insert(attachment.network.as_str()) => {
                return Err(NetworkError::Twice(attachment.network.clone()));
            }
            _ => {}
        }
    }
    Ok(choices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_may_ask_for_addresses() {
        let NetworkChoice::Join(found) =
            parse_network("lab:ip=10.0.0.5,ip=fd00::5,mac=02-AA-bb-cc-dd-ee").unwrap()
        else {
            panic!("not a network to join")
        };
        assert_eq!(found.network, "lab");
        assert_eq!(found.ips, ["10.0.0.5".parse::<IpAddr>().unwrap(), "fd00::5".parse().unwrap()]);
        assert_eq!(found.mac.as_deref(), Some("02:aa:bb:cc:dd:ee"));
        assert_eq!(parse_network("host"), Ok(NetworkChoice::Host));
        assert_eq!(parse_network("none"), Ok(NetworkChoice::None));
    }

    #[test]
    fn errors_name_the_invalid_part_of_a_network() {
        let message = |text: &str| parse_network(text).unwrap_err().to_string();
        let all = [
            "",
            ":ip=1.2.3.4",
            "-x",
            "a/b",
            "lab:ip=1.2.3",
            "lab:mac=01:02:03:04:05:06",
            "lab:mac=zz",
            "lab:dns=x",
            "lab:",
            "host:ip=1.2.3.4",
            "lab:mac=02:02:03:04:05:06,mac=02:02:03:04:05:07",
        ]
        .map(message);
        insta::assert_snapshot!(all.join("\n"), @r#"
        no network name in ""; write NAME[:ip=ADDRESS,mac=ADDRESS]
        no network name in ":ip=1.2.3.4"; write NAME[:ip=ADDRESS,mac=ADDRESS]
        "-x" is not a network name: letters, digits, '_', '.' and '-', beginning with a letter or digit
        "a/b" is not a network name: letters, digits, '_', '.' and '-', beginning with a letter or digit
        "1.2.3" is not an IP address
        "01:02:03:04:05:06" is not an Ethernet (MAC) address
        "zz" is not an Ethernet (MAC) address
        "dns=x" is not an option of a network; there are ip=ADDRESS and mac=ADDRESS
        "" is not an option of a network; there are ip=ADDRESS and mac=ADDRESS
        host cannot have options and cannot be combined with another network
        mac= is given twice
        "#);
    }

    #[test]
    fn host_and_none_cannot_be_combined_and_no_network_is_given_twice() {
        let of = |texts: &[&str]| parse_networks(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["host", "lab"]), Err(NetworkError::NotAlone("host")));
        assert_eq!(of(&["lab", "none"]), Err(NetworkError::NotAlone("none")));
        assert_eq!(of(&["lab", "lab:ip=10.0.0.1"]), Err(NetworkError::Twice("lab".to_owned())));
        assert_eq!(of(&["a", "b"]).unwrap().len(), 2);
        assert_eq!(of(&[]).unwrap(), []);
    }
}
