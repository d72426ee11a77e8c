//! Certificates and their keys: read from PEM, found by the name that a client asks for (SNI), and made here where a
//! host has none.

use std::collections::HashMap;
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use crate::routes::{Certificate, Routes};

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The certificates are no PEM.
    #[error("the certificate is not PEM: {0}")]
    Certificate(#[source] rustls::pki_types::pem::Error),
    /// The key is no PEM, or of a type that is not known.
    #[error("the private key is not PEM: {0}")]
    Key(#[source] rustls::pki_types::pem::Error),
    /// The key does not belong to the certificate, or is of a type that is not known.
    #[error("the certificate and the private key do not fit: {0}")]
    Pair(#[source] rustls::Error),
    /// A certificate could not be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[source] rcgen::Error),
}

/// A certificate and its key as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPair { .. }")
    }
}

/// Returns the provider of all cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn parse(certificate: &str, key: &str, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(CertificateError::Certificate)?;
    if chain.is_empty() {
        return Err(CertificateError::Certificate(rustls::pki_types::pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(CertificateError::Key)?;
    CertifiedKey::from_der(chain, key, provider).map_err(CertificateError::Pair)
}

/// Fails if a certificate and its key cannot be used together.
pub fn check(certificate: &str, key: &str) -> Result<(), CertificateError> {
    parse(certificate, key, &provider()).map(drop)
}

/// Returns whether a certificate names a host (RFC 6125). False for a text that is no certificate.
pub fn names(certificate: &str, host: &str) -> bool {
    CertificateDer::from_pem_slice(certificate.as_bytes()).is_ok_and(|certificate| is_for(&certificate, host))
}

fn is_for(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let Ok(name) = ServerName::try_from(host) else { return false };
    let parsed = ParsedCertificate::try_from(certificate);
    parsed.is_ok_and(|parsed| rustls::client::verify_server_name(&parsed, &name).is_ok())
}

/// A day: year, month from 1, day from 1.
pub type Day = (i32, u8, u8);

/// Makes a certificate for hosts and addresses that is signed with its own key.
///
/// # Errors
/// A host is no name that a certificate can have.
pub fn make(hosts: &[String], from: Day, until: Day) -> Result<KeyPair, CertificateError> {
    let mut params = CertificateParams::new(hosts.to_vec()).map_err(CertificateError::Make)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "kube Ingress, self-made");
    params.distinguished_name = subject;
    params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
    params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
    let key = rcgen::KeyPair::generate().map_err(CertificateError::Make)?;
    let certificate = params.self_signed(&key).map_err(CertificateError::Make)?;
    Ok(KeyPair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// The certificates of a file, by the hosts that they are presented for.
#[derive(Debug, Default)]
pub struct Certificates {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    /// Those that are presented for the hosts that they name themselves.
    named: Vec<Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Reads the certificates of a file. Returns a message for each that cannot be used.
    pub fn new(routes: &Routes) -> (Self, Vec<String>) {
        let provider = provider();
        let mut all = Self::default();
        let mut failed = Vec::new();
        let mut read =
            |certificate: &Certificate| match parse(&certificate.certificate, &certificate.key, &provider) {
                Ok(key) => Some(Arc::new(key)),
                Err(e) => {
                    failed.push(format!("{}: {e}", certificate.hosts.join(", ")));
                    None
                }
            };
        for certificate in &routes.certificates {
            let Some(key) = read(certificate) else { continue };
            for host in &certificate.hosts {
                let (map, host) = match host.strip_prefix("*.") {
                    Some(rest) => (&mut all.wildcard, rest),
                    None => (&mut all.exact, host.as_str()),
                };
                map.entry(host.to_owned()).or_insert_with(|| Arc::clone(&key));
            }
            if certificate.hosts.is_empty() {
                all.named.push(key);
            }
        }
        all.default = routes.default_certificate.as_ref().and_then(&mut read);
        (all, failed)
    }

    /// Returns the certificate for a host; the default one for a host that is not known or not named.
    pub fn find(&self, host: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let known = host.and_then(|host| {
            let wildcard = || host.split_once('.').and_then(|(_, rest)| self.wildcard.get(rest));
            let named = || {
                self.named
                    .iter()
                    .find(|key| key.cert.first().is_some_and(|certificate| is_for(certificate, host)))
            };
            self.exact.get(host).or_else(wildcard).or_else(named)
        });
        known.or(self.default.as_ref()).or(self.named.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Day = (2026, 1, 1);
    const UNTIL: Day = (2027, 1, 1);

    fn pair(host: &str) -> KeyPair {
        make(&[host.to_owned()], FROM, UNTIL).unwrap()
    }

    fn certificate(hosts: &[&str], pair: &KeyPair) -> Certificate {
        Certificate {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            certificate: pair.certificate.clone(),
            key: pair.key.clone(),
        }
    }

    fn der(pair: &KeyPair) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()
    }

    #[test]
    fn a_made_certificate_names_its_hosts() {
        let pair = make(&["a.example".into(), "*.b.example".into(), "10.0.0.1".into()], FROM, UNTIL).unwrap();
        check(&pair.certificate, &pair.key).unwrap();
        for host in ["a.example", "x.b.example", "10.0.0.1"] {
            assert!(names(&pair.certificate, host), "{host}");
        }
        for host in ["b.example", "x.y.b.example", "c.example", ""] {
            assert!(!names(&pair.certificate, host), "{host}");
        }
    }

    #[test]
    fn what_is_no_pair_is_refused_with_the_reason() {
        let (one, other) = (pair("a.example"), pair("b.example"));
        let text = |certificate: &str, key: &str| check(certificate, key).unwrap_err().to_string();
        assert!(text("", &one.key).starts_with("the certificate is not PEM"));
        assert!(text("text", &one.key).starts_with("the certificate is not PEM"));
        assert!(text(&one.certificate, "text").starts_with("the private key is not PEM"));
        assert!(text(&one.certificate, &other.key).contains("do not fit"));
    }

    #[test]
    fn the_certificate_of_a_host_is_found_before_that_of_its_wildcard() {
        let pairs = ["a.example", "*.example", "named.test", "default.test"].map(pair);
        let routes = Routes {
            certificates: vec![
                certificate(&["*.example"], &pairs[1]),
                certificate(&["a.example"], &pairs[0]),
                certificate(&[], &pairs[2]),
            ],
            default_certificate: Some(certificate(&[], &pairs[3])),
            ..Routes::default()
        };
        let (all, failed) = Certificates::new(&routes);
        assert!(failed.is_empty(), "{failed:?}");
        for (host, index) in [
            (Some("a.example"), 0),
            (Some("b.example"), 1),
            (Some("named.test"), 2),
            (Some("x.b.example"), 3),
            (Some("unknown.test"), 3),
            (None, 3),
        ] {
            let found = all.find(host).unwrap();
            assert_eq!(found.cert[0], der(&pairs[index]), "{host:?}");
        }
    }

    #[test]
    fn a_damaged_certificate_leaves_the_others() {
        let good = pair("a.example");
        let mut bad = certificate(&["b.example"], &good);
        bad.key = "damaged".into();
        let routes =
            Routes { certificates: vec![bad, certificate(&["a.example"], &good)], ..Routes::default() };
        let (all, failed) = Certificates::new(&routes);
        assert_eq!(failed.len(), 1);
        assert!(failed[0].starts_with("b.example: the private key"), "{failed:?}");
        assert!(all.find(Some("a.example")).is_some());
        assert!(all.find(Some("b.example")).is_none());
    }
}
