//! The names of endpoints and of Services, and the name server that answers for them: one process per instance, which
//! runs from our own executable and exists only while an endpoint does.
//!
//! Read `zone` first (a name gives records) and then `answer` (the bytes of a query give the bytes of an answer, or the
//! question for the host's name servers). Both are pure. `server` is the loop of the process, `upstream` asks the
//! host's name servers, `config` is what the process reads, and `process` starts it, tells it of changes and ends it.

mod answer;
mod config;
mod control;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod message;
mod process;
mod reverse;
mod server;
mod upstream;
mod zone;

pub use process::name_server_main;
pub(crate) use process::wait_for_address;

/// The first argument that makes our executable the name server.
pub const NAME_SERVER: &str = "name-server";

/// The domain that only our name server answers for: names below it are never sent to the host's name servers.
pub const CLUSTER_DOMAIN: &str = "cluster.local";

/// The port that resolvers ask (RFC 1035, section 4.2), and on which our name server listens on a bridge if it can.
pub(crate) const DNS_PORT: u16 = 53;

/// Returns whether a name fits into DNS (RFC 1035, section 2.3.4): parts of at most 63 bytes, 253 bytes in all. Names
/// of Kubernetes may be longer than that once a namespace and a domain follow.
pub fn is_host_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()))
}

#[cfg(test)]
mod tests {
    use super::is_host_name;

    #[test]
    fn names_that_do_not_fit_into_dns_are_no_host_names() {
        let part = "a".repeat(63);
        let four = [part.as_str(); 3].join(".") + "." + &part[..61];
        for good in ["a", "web.default.svc", &part, &four] {
            assert!(is_host_name(good), "{good}");
        }
        for bad in ["", ".a", "a..b", "a.", &format!("{part}a"), &format!("{four}a")] {
            assert!(!is_host_name(bad), "{bad}");
        }
    }
}
