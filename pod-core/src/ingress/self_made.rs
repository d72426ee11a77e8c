//! The certificate for hosts that no Secret has one for. It is kept, so that clients that were told to trust it still do
//! after a reboot, and made anew when it does not name all hosts any more or is about to end.

use std::collections::BTreeSet;

use ::ingress::certificate::{self, Day};
use ::ingress::{Certificate, CertificateError};
use base::file::{read_json, write_json};
use jiff::civil::Date;
use jiff::{Span, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::store::{self, Layout, damage};

/// How long a certificate is valid, in days. (Clients refuse those of more than 398.)
const VALID_DAYS: i64 = 397;
/// How many days before its end a certificate is made anew.
const RENEWED_DAYS: i64 = 30;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of the store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A certificate as it is kept.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    hosts: BTreeSet<String>,
    until: Date,
    certificate: String,
    key: String,
}

impl Kept {
    fn serves(&self, hosts: &BTreeSet<String>, today: Date) -> bool {
        let renewed = today.saturating_add(Span::new().days(RENEWED_DAYS));
        hosts.is_subset(&self.hosts) && renewed < self.until
    }
}

fn day(date: Date) -> Day {
    let part = |part: i8| u8::try_from(part).unwrap_or(1);
    (i32::from(date.year()), part(date.month()), part(date.day()))
}

/// Returns the certificate for `hosts`, and for all hosts that are not known.
///
/// # Errors
/// If it cannot be kept or made.
pub(super) fn certificate(layout: &Layout, hosts: &BTreeSet<String>) -> Result<Certificate, Error> {
    let path = layout.ingress().join("certificate.json");
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let kept = damage::or_none(read_json::<Kept>(&path)).filter(|kept| kept.serves(hosts, today));
    let kept = match kept {
        Some(kept) => kept,
        None => {
            let kept = make(hosts, today)?;
            write_json(&path, &kept).map_err(store::Error::from)?;
            base::fail_point!(Worker, "ingress-certificate-made");
            kept
        }
    };
    let Kept { hosts, certificate, key, .. } = kept;
    Ok(Certificate { hosts: hosts.into_iter().collect(), certificate, key })
}

fn make(hosts: &BTreeSet<String>, today: Date) -> Result<Kept, CertificateError> {
    let mut names: BTreeSet<String> = hosts.clone();
    names.insert("localhost".to_owned());
    let until = today.saturating_add(Span::new().days(VALID_DAYS));
    // Clocks of clients may be behind.
    let from = today.saturating_sub(Span::new().days(1));
    let names: Vec<String> = names.into_iter().collect();
    let pair = certificate::make(&names, day(from), day(until))?;
    Ok(Kept { hosts: hosts.clone(), until, certificate: pair.certificate, key: pair.key })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_certificate_is_kept_until_a_host_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().join("root"), runroot: dir.path().join("run") };
        let first = certificate(&layout, &hosts(&["a.example", "*.b.example"])).unwrap();
        for name in ["a.example", "x.b.example", "localhost"] {
            assert!(certificate::names(&first.certificate, name), "{name}");
        }
        assert_eq!(certificate(&layout, &hosts(&["a.example"])).unwrap(), first);
        let second = certificate(&layout, &hosts(&["c.example"])).unwrap();
        assert_ne!(second.certificate, first.certificate);
        assert!(certificate::names(&second.certificate, "c.example"));
    }

    #[test]
    fn a_certificate_is_made_anew_before_it_ends() {
        let today: Date = "2026-11-27".parse().unwrap();
        let kept = make(&hosts(&["a.example"]), today).unwrap();
        let after = |days: i64| today.saturating_add(Span::new().days(days));
        assert!(kept.serves(&hosts(&["a.example"]), after(VALID_DAYS - RENEWED_DAYS - 1)));
        assert!(!kept.serves(&hosts(&["a.example"]), after(VALID_DAYS - RENEWED_DAYS)));
        assert!(!kept.serves(&hosts(&["b.example"]), today));
    }
}
