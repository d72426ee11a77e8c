//! Resolves the signal that asks a container to stop.

use k8s_openapi::api::core::v1::Container;

use super::{ContainerError, ImageConfig};

/// The names of the signals 1 to 31, see signal(7).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
/// SIGRTMIN and SIGRTMAX as programs see them: the C library uses the first two real-time signals itself.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// Returns the name of lifecycle.stopSignal, else of the image's STOPSIGNAL, else `SIGTERM`.
///
/// # Errors
/// If the text is not the name or number of a signal.
pub fn stop_signal(container: &Container, image: &ImageConfig) -> Result<String, ContainerError> {
    let (text, whose) = match container.lifecycle.as_ref().and_then(|l| l.stop_signal.as_deref()) {
        Some(text) => (text, "lifecycle.stopSignal"),
        None => match image.stop_signal.as_deref().filter(|s| !s.is_empty()) {
            Some(text) => (text, "the image's STOPSIGNAL"),
            None => return Ok("SIGTERM".to_owned()),
        },
    };
    number(text)
        .and_then(name)
        .ok_or_else(|| ContainerError::config(format!("{whose} {text:?} is not a signal")))
}

/// Returns the number of a signal that is given as `15`, `TERM` or `SIGTERM`, in upper or lower case. Real-time
/// signals are given as `RTMIN+3`.
pub fn number(text: &str) -> Option<i32> {
    if let Ok(n) = text.parse::<i32>() {
        return (1..=RTMAX).contains(&n).then_some(n);
    }
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |rest: &str, base: i32, sign: char| -> Option<i32> {
        if rest.is_empty() {
            return Some(base);
        }
        let offset: i32 = rest.strip_prefix(sign)?.parse().ok()?;
        let n = if sign == '+' { base.checked_add(offset)? } else { base.checked_sub(offset)? };
        (RTMIN..=RTMAX).contains(&n).then_some(n)
    };
    if let Some(rest) = short.strip_prefix("RTMIN") {
        return real_time(rest, RTMIN, '+');
    }
    if let Some(rest) = short.strip_prefix("RTMAX") {
        return real_time(rest, RTMAX, '-');
    }
    let canonical = match short {
        "POLL" => "IO",
        "IOT" => "ABRT",
        "CLD" => "CHLD",
        other => other,
    };
    NAMES.iter().position(|n| *n == canonical).and_then(|i| i32::try_from(i + 1).ok())
}

/// Returns the name of a signal, such as `SIGTERM` or `SIGRTMIN+3`.
pub fn name(number: i32) -> Option<String> {
    if (RTMIN..=RTMAX).contains(&number) {
        return Some(match number - RTMIN {
            0 => "SIGRTMIN".to_owned(),
            offset => format!("SIGRTMIN+{offset}"),
        });
    }
    let index = usize::try_from(number.checked_sub(1)?).ok()?;
    NAMES.get(index).map(|n| format!("SIG{n}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Lifecycle;

    fn of(lifecycle: Option<&str>, image: Option<&str>) -> Result<String, ContainerError> {
        let container = Container {
            lifecycle: lifecycle
                .map(|s| Lifecycle { stop_signal: Some(s.to_owned()), ..Lifecycle::default() }),
            ..Container::default()
        };
        stop_signal(
            &container,
            &ImageConfig { stop_signal: image.map(str::to_owned), ..ImageConfig::default() },
        )
    }

    #[test]
    fn stop_signal_is_the_lifecycles_then_the_images_then_term() {
        assert_eq!(of(Some("SIGUSR1"), Some("SIGQUIT")).unwrap(), "SIGUSR1");
        assert_eq!(of(None, Some("SIGQUIT")).unwrap(), "SIGQUIT");
        assert_eq!(of(None, Some("")).unwrap(), "SIGTERM");
        assert_eq!(of(None, None).unwrap(), "SIGTERM");
    }

    #[test]
    fn stop_signal_may_be_a_number_or_a_name_with_or_without_sig() {
        for (text, expected) in [
            ("3", "SIGQUIT"),
            ("quit", "SIGQUIT"),
            ("SigQuit", "SIGQUIT"),
            ("RTMIN+3", "SIGRTMIN+3"),
            ("SIGRTMIN", "SIGRTMIN"),
            ("37", "SIGRTMIN+3"),
            ("SIGRTMAX-30", "SIGRTMIN"),
            ("SIGPOLL", "SIGIO"),
        ] {
            assert_eq!(of(None, Some(text)).unwrap(), expected, "{text}");
        }
        for bad in ["0", "65", "SIG", "NOPE", "RTMIN+31", "RTMIN-1", "-1", "RTMIN+99999999999"] {
            let error = of(None, Some(bad)).unwrap_err();
            assert_eq!(error.reason, crate::kind::WaitingReason::CreateContainerConfigError);
            assert!(error.message.contains(bad), "{}", error.message);
        }
    }

    #[test]
    fn every_name_has_its_number() {
        for n in (1..=31).chain(34..=64) {
            assert_eq!(number(&name(n).unwrap()), Some(n));
        }
        assert_eq!(name(32), None);
        assert_eq!(name(0), None);
    }
}
