//! Finds the route of a request by host and path, as Kubernetes defines it for Ingresses.
//!
//! Source: the documentation of the Ingress API ("Path types", "Multiple matches", "Hostname wildcards") and the fields
//! `host`, `path` and `pathType` of networking.k8s.io/v1. A rule without a host takes every host, so a request that no
//! path of its host takes goes on to the rules of the wildcard and then to those without a host.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regex::{Regex, RegexBuilder};

use crate::rewrite;
use crate::routes::{Backend, Host, PathKind, Route, Routes};

/// How much memory a compiled regular expression may take, in bytes.
const REGEX_SIZE: usize = 1 << 20;

/// Returns the regular expression of a path, which begins where the path of a request begins.
///
/// # Errors
/// The text is no regular expression, or it needs what an engine with linear time does not have: references to groups,
/// conditions on what follows.
pub fn compile(path: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^{path}")).case_insensitive(true).size_limit(REGEX_SIZE).build()
}

/// Endpoints that take requests in turn.
#[derive(Debug, Default)]
pub struct Endpoints {
    addresses: Vec<SocketAddr>,
    next: AtomicUsize,
}

impl Endpoints {
    /// Creates the endpoints of a backend.
    pub fn new(addresses: Vec<SocketAddr>) -> Self {
        Self { addresses, next: AtomicUsize::new(0) }
    }

    /// Returns the addresses in the order in which one request tries them.
    pub fn in_turn(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let count = self.addresses.len();
        let first = match count {
            0 | 1 => 0,
            _ => self.next.fetch_add(1, Ordering::Relaxed) % count,
        };
        let (before, after) = self.addresses.split_at_checked(first).unwrap_or_default();
        after.iter().chain(before).copied()
    }

    /// Returns all addresses.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// A route with its endpoints.
#[derive(Debug)]
pub struct Target {
    /// The route.
    pub route: Route,
    /// The endpoints of its backend.
    pub endpoints: Arc<Endpoints>,
}

/// The route of a request.
#[derive(Debug)]
pub struct Found<'a> {
    /// The route and its endpoints.
    pub target: &'a Arc<Target>,
    /// The path to send, if the route changes it.
    pub rewritten: Option<String>,
    /// Whether the host of the request is served with TLS too.
    pub tls: bool,
}

/// One path of a host, unless it is exact.
#[derive(Debug)]
struct Rule {
    /// The length of the path as it is written; the longest one that fits wins.
    length: usize,
    matcher: Matcher,
    target: Arc<Target>,
}

#[derive(Debug)]
enum Matcher {
    /// The path without a slash at its end; empty for `/`.
    Prefix(String),
    Regex(Regex),
}

/// The paths of one host.
#[derive(Debug, Default)]
struct Table {
    exact: HashMap<String, Arc<Target>>,
    /// The longest path first.
    rules: Vec<Rule>,
    default: Option<Arc<Target>>,
    tls: bool,
}

impl Table {
    fn find(&self, path: &str) -> Option<(&Arc<Target>, Option<String>)> {
        if let Some(target) = self.exact.get(path) {
            return Some((target, target.route.rewrite_target.clone()));
        }
        self.rules.iter().find_map(|rule| match &rule.matcher {
            Matcher::Prefix(prefix) => {
                is_prefix(prefix, path).then(|| (&rule.target, rule.target.route.rewrite_target.clone()))
            }
            Matcher::Regex(regex) => {
                let Some(template) = &rule.target.route.rewrite_target else {
                    return regex.is_match(path).then_some((&rule.target, None));
                };
                let captures = regex.captures(path)?;
                Some((&rule.target, Some(rewrite::expand(template, &captures))))
            }
        })
    }
}

/// Returns whether the elements of `prefix`, which has no slash at its end, are the first elements of `path`.
fn is_prefix(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// All routes, ready to be looked up.
#[derive(Debug, Default)]
pub struct Router {
    exact: HashMap<String, Table>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Table>,
    any: Option<Table>,
    default: Option<Arc<Target>>,
    endpoints: Vec<Arc<Endpoints>>,
}

impl Router {
    /// Prepares the routes of a file. Paths that are no regular expressions are left out and returned.
    pub fn new(routes: &Routes) -> (Self, Vec<String>) {
        let mut builder = Builder { backends: BTreeMap::new(), routes, failed: Vec::new() };
        let mut router = Self::default();
        for host in &routes.hosts {
            let table = builder.table(host);
            match host.host.strip_prefix("*.") {
                Some(rest) => drop(router.wildcard.insert(rest.to_owned(), table)),
                None if host.host.is_empty() => router.any = Some(table),
                None => drop(router.exact.insert(host.host.clone(), table)),
            }
        }
        router.default = routes.default.as_ref().map(|route| builder.target(route));
        router.endpoints = builder.backends.into_values().collect();
        (router, builder.failed)
    }

    /// Returns the route of a request, or `None` if there is none. `host` is in lower case and has no port; `path` is
    /// that of [`rewrite::normalize`].
    pub fn find(&self, host: &str, path: &str) -> Option<Found<'_>> {
        let exact = self.exact.get(host);
        let wildcard = host.split_once('.').and_then(|(_, rest)| self.wildcard.get(rest));
        let tables = || exact.into_iter().chain(wildcard).chain(self.any.as_ref());
        let tls = tables().any(|table| table.tls);
        if let Some((target, rewritten)) = tables().find_map(|table| table.find(path)) {
            return Some(Found { target, rewritten, tls });
        }
        let default = tables().find_map(|table| table.default.as_ref()).or(self.default.as_ref())?;
        Some(Found { target: default, rewritten: None, tls })
    }

    /// Returns the endpoints of all backends.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.endpoints.iter().flat_map(|endpoints| endpoints.addresses()).copied()
    }
}

struct Builder<'a> {
    backends: BTreeMap<&'a str, Arc<Endpoints>>,
    routes: &'a Routes,
    failed: Vec<String>,
}

impl<'a> Builder<'a> {
    fn target(&mut self, route: &'a Route) -> Arc<Target> {
        let known = &self.routes.backends;
        let endpoints = self.backends.entry(&route.backend).or_insert_with(|| {
            let Backend { endpoints } = known.get(&route.backend).cloned().unwrap_or_default();
            Arc::new(Endpoints::new(endpoints))
        });
        Arc::new(Target { route: route.clone(), endpoints: Arc::clone(endpoints) })
    }

    fn table(&mut self, host: &'a Host) -> Table {
        let mut table = Table { tls: host.tls, ..Table::default() };
        for path in &host.paths {
            let matcher = match path.kind {
                PathKind::Exact => {
                    let target = self.target(&path.route);
                    // The first one wins, as among paths of the same length.
                    table.exact.entry(path.path.clone()).or_insert(target);
                    continue;
                }
                PathKind::Prefix => Matcher::Prefix(path.path.trim_end_matches('/').to_owned()),
                PathKind::Regex => match compile(&path.path) {
                    Ok(regex) => Matcher::Regex(regex),
                    Err(e) => {
                        self.failed.push(format!("{}{}: {e}", host.host, path.path));
                        continue;
                    }
                },
            };
            let length = match &matcher {
                Matcher::Prefix(prefix) => prefix.len(),
                Matcher::Regex(_) => path.path.len(),
            };
            table.rules.push(Rule { length, matcher, target: self.target(&path.route) });
        }
        table.rules.sort_by_key(|rule| std::cmp::Reverse(rule.length));
        table.default = host.default.as_ref().map(|route| self.target(route));
        table
    }
}

/// Returns the host of an authority, in lower case, without port and without a dot at its end: `Web.Example.:8080` is
/// `web.example`. An IPv6 address keeps its brackets.
pub fn host_of(authority: &str) -> Cow<'_, str> {
    let end = match authority.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(close) => close + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let host = authority.get(..end).unwrap_or(authority).trim_end_matches('.');
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

#[cfg(test)]
mod tests;
