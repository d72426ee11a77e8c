//! A change of the Services' rules: recorded before it is carried out, so that whoever comes after a crash, or after
//! another program has removed rules, finds what they should be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use base::file::Durability;
use serde::{Deserialize, Serialize};

use super::rules::{Frontend, Plan, frontends};
use super::table;
use super::{Pending, Protocol, Service, device, ports};
use crate::conntrack::{self, StaleFlow};
use crate::host::Host;
use crate::nft::{self, Change};
use crate::{Error, Networks, record, route};

/// What the rules should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Intent {
    /// Counts the changes.
    change: u64,
    plan: Plan,
    /// The flows that are to be forgotten when the rules are in place.
    stale: Vec<StaleFlow>,
    /// The ports of the host that others had.
    pending: Vec<Pending>,
}

/// The change that was carried out last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Done {
    change: u64,
    /// The kernel's count of changes of nftables just after this one, unless other changes came between.
    generation: Option<u32>,
}

/// What keeps Services from being reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServicesFault {
    /// A change was interrupted.
    Interrupted,
    /// The device, an address of it, or a route is gone.
    Route,
    /// The table, a part of it, or its rules are gone.
    Rules,
    /// The host has begun, or ceased, to show bridged packets to rules for routed ones.
    Ipv6Loopback,
}

impl fmt::Display for ServicesFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupted => "a change of the rules of Services was interrupted",
            Self::Route => "the route to the addresses of Services is gone",
            Self::Rules => "the firewall rules of Services are not in place",
            Self::Ipv6Loopback => "net.bridge.bridge-nf-call-ip6tables has changed, on which ::1 depends",
        })
    }
}

impl Networks {
    /// Returns the path of the record of what the rules should be. It exists while there are Services.
    pub(crate) fn services_path(&self) -> PathBuf {
        self.run_dir.join("services.json")
    }

    fn done_path(&self) -> PathBuf {
        self.run_dir.join("services-done.json")
    }

    fn intent(&self) -> Option<Intent> {
        record::or_none(record::read(&self.services_path()))
    }

    /// Returns the ranges of the Services whose rules are recorded.
    pub(crate) fn ranges_in_place(&self) -> Vec<ipnet::IpNet> {
        self.intent().map(|intent| intent.plan.ranges).unwrap_or_default()
    }

    /// Returns the plan with the present networks and ranges.
    fn plan(&self, services: Vec<Service>) -> Result<Plan, Error> {
        let networks = self.list()?;
        let ranges = match self.recorded_ranges() {
            Some(ranges) if route::link_exists(&self.services_device())? => ranges,
            _ => self.ranges(&Host::lock()?)?,
        };
        let mut plan = Plan {
            services,
            bridges: networks.iter().map(|network| network.bridge.clone()).collect(),
            subnets: networks.iter().flat_map(|network| network.nets().collect::<Vec<_>>()).collect(),
            ranges: ranges.nets(),
            by_ipv6_loopback: false,
        };
        plan.by_ipv6_loopback = can_use_ipv6_loopback(&plan);
        Ok(plan)
    }

    /// Carries out [`Networks::set_services`]. The caller holds the lock of the instance.
    pub(crate) fn change_services(&self, services: &[Service]) -> Result<Vec<Pending>, Error> {
        let has_frontends =
            |service: &&Service| service.ports.iter().any(|port| !frontends(service, port).is_empty());
        let mut services: Vec<Service> = services.iter().filter(has_frontends).cloned().collect();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        let before = self.intent();
        let done: Option<Done> = record::or_none(record::read(&self.done_path()));
        let had = before.as_ref().filter(|before| done.is_some_and(|done| done.change == before.change));
        let plan = if services.is_empty() { Plan::default() } else { self.plan(Vec::new())? };
        // Ports that the Services have need not be claimed again.
        let is_same = had.is_some_and(|had| {
            had.pending.is_empty() && ports::wanted(&had.plan.services) == ports::wanted(&services)
        });
        let host = (!is_same).then(Host::lock).transpose()?;
        let (services, pending) = match &host {
            Some(host) => ports::claim(host, &self.instance(), &self.services_path(), &services)?,
            None => (services, Vec::new()),
        };
        base::fail_point!(Worker, "service-ports-claimed");
        let mut plan = Plan { services, ..plan };
        plan.by_ipv6_loopback = can_use_ipv6_loopback(&plan);
        let intent = self.intend(before.as_ref(), done, plan, pending.clone())?;
        drop(host);
        self.carry_out(before.as_ref(), &intent, done)?;
        Ok(pending)
    }

    /// Tells the rules of a network that was just defined. The caller holds the lock of the instance.
    pub(crate) fn add_networks_to_services(&self) -> Result<(), Error> {
        let Some(before) = self.intent() else { return Ok(()) };
        self.put_services_in_place(&before)
    }

    /// Returns the first fault of the rules and routes of Services.
    pub(crate) fn services_fault(&self) -> Result<Option<ServicesFault>, Error> {
        if !self.services_path().exists() {
            return Ok(None);
        }
        let Some(intent) = self.intent() else { return Ok(Some(ServicesFault::Interrupted)) };
        let done: Option<Done> = record::or_none(record::read(&self.done_path()));
        let Some(done) = done.filter(|done| done.change == intent.change) else {
            return Ok(Some(ServicesFault::Interrupted));
        };
        if !route::link_exists(&self.services_device())? || !intent.plan.ranges.iter().all(device::is_routed)
        {
            return Ok(Some(ServicesFault::Route));
        }
        if intent.plan.by_ipv6_loopback != can_use_ipv6_loopback(&intent.plan) {
            return Ok(Some(ServicesFault::Ipv6Loopback));
        }
        let is_in_place = self.is_in_place(&intent.plan, done);
        Ok((!is_in_place).then_some(ServicesFault::Rules))
    }

    /// Puts the recorded rules and routes in place again. The caller holds the lock of the instance.
    pub(crate) fn mend_services(&self) -> Result<(), Error> {
        match record::read(&self.services_path())? {
            Some(before) => self.put_services_in_place(&before),
            None => Ok(()),
        }
    }

    /// Returns which of the ranges of the Services have a route. Empty without Services.
    pub(crate) fn routed_ranges(&self) -> Vec<bool> {
        if !self.services_path().exists() {
            return Vec::new();
        }
        let ranges = self.recorded_ranges().map(|ranges| ranges.nets()).unwrap_or_default();
        ranges.iter().map(device::is_routed).collect()
    }

    fn put_services_in_place(&self, before: &Intent) -> Result<(), Error> {
        let services = before.plan.services.clone();
        let plan = if services.is_empty() { Plan::default() } else { self.plan(services)? };
        let done: Option<Done> = record::or_none(record::read(&self.done_path()));
        let intent = self.intend(Some(before), done, plan, before.pending.clone())?;
        self.carry_out(Some(before), &intent, done)
    }

    /// Records what the rules should be.
    fn intend(
        &self,
        before: Option<&Intent>,
        done: Option<Done>,
        plan: Plan,
        pending: Vec<Pending>,
    ) -> Result<Intent, Error> {
        if before.is_none() {
            // That of a record that was lost.
            record::remove(&self.done_path())?;
        }
        let none = Intent::default();
        let old = before.unwrap_or(&none);
        if before.is_some_and(|before| before.plan == plan && before.pending == pending) {
            return Ok(old.clone());
        }
        let mut stale = stale_flows(&old.plan, &plan);
        if done.is_none_or(|done| done.change != old.change) {
            // Those of a change that was interrupted.
            stale.extend(old.stale.iter().cloned());
        }
        let intent = Intent { change: old.change + 1, plan, stale, pending };
        record::write(&self.services_path(), &intent, Durability::Process)?;
        base::fail_point!(Worker, "services-recorded");
        Ok(intent)
    }

    /// Makes the kernel do as `intent` says. `before` is the former intent, `done` the last change that was carried out.
    fn carry_out(&self, before: Option<&Intent>, intent: &Intent, done: Option<Done>) -> Result<(), Error> {
        let name = self.services_device();
        if intent.plan.is_empty() {
            return self.remove_services(&name, intent);
        }
        device::create(&name, &intent.plan.ranges)?;
        if intent.plan.has_endpoints_elsewhere() {
            route::forward(intent.plan.ranges.iter().any(|range| range.addr().is_ipv6()));
        }
        let had = before.map(|before| &before.plan);
        if intent.plan.by_ipv6_loopback || had.is_some_and(|had| had.by_ipv6_loopback) {
            device::route_ipv6_loopback(&intent.plan.bridges, intent.plan.by_ipv6_loopback)?;
        }
        base::fail_point!(Worker, "services-routed");
        let old = before.zip(done).filter(|(before, done)| before.change == done.change);
        let old =
            old.filter(|(before, done)| self.is_in_place(&before.plan, *done)).map(|(before, _)| before);
        if old.is_some_and(|old| old.change == intent.change) {
            return Ok(());
        }
        let table = intent.plan.table();
        let script = match old {
            Some(old) => old.plan.table().difference(&table, &name),
            None => table.script(&name),
        };
        let count = nft::generation().ok();
        if !script.is_empty() {
            Change::begin(&script, "set the firewall rules of Services".to_owned())?.finish()?;
        }
        let changes = u32::from(!script.is_empty());
        base::fail_point!(Worker, "services-in-place");
        let now = nft::generation().ok();
        conntrack::forget_stale(&intent.stale);
        base::fail_point!(Worker, "service-flows-forgotten");
        // The generation is worth something only if nothing else was changed meanwhile.
        let is_alone = count.zip(now).is_some_and(|(before, now)| now == before.wrapping_add(changes));
        let done = Done { change: intent.change, generation: now.filter(|_| is_alone) };
        record::write(&self.done_path(), &done, Durability::Process)?;
        base::fail_point!(Worker, "services-done");
        Ok(())
    }

    /// Returns whether the table that was put in place by the change `done` is still there.
    fn is_in_place(&self, plan: &Plan, done: Done) -> bool {
        if done.generation.is_some() && done.generation == nft::generation().ok() {
            return true;
        }
        let (name, table) = (self.services_device(), plan.table());
        let size = nft::size_of_table(&name).and_then(|size| usize::try_from(size).ok());
        // The kernel counts sets without a name too.
        size.is_some_and(|size| size >= table.size()) && nft::count_rules(&name).ok() == Some(table.rules())
    }

    /// Removes everything of Services, the record last.
    fn remove_services(&self, name: &str, intent: &Intent) -> Result<(), Error> {
        if nft::find_nft().is_some() || nft::size_of_table(name).is_some() {
            Change::begin(&table::removal(name), "remove the firewall rules of Services".to_owned())?
                .finish()?;
        }
        base::fail_point!(Worker, "services-rules-removed");
        route::remove_link(name)?;
        let bridges: Vec<String> = self.list()?.into_iter().map(|network| network.bridge).collect();
        device::route_ipv6_loopback(&bridges, false)?;
        base::fail_point!(Worker, "services-device-removed");
        conntrack::forget_stale(&intent.stale);
        // Without Services this releases the claims.
        ports::claim(&Host::lock()?, &self.instance(), &self.services_path(), &[])?;
        base::fail_point!(Worker, "service-ports-released");
        record::remove(&self.done_path())?;
        record::remove(&self.services_path())?;
        base::fail_point!(Worker, "services-record-removed");
        Ok(())
    }
}

fn can_use_ipv6_loopback(plan: &Plan) -> bool {
    plan.has_ports_of_host()
        && plan.ranges.iter().any(|range| range.addr().is_ipv6())
        && device::can_answer_ipv6_loopback()
}

/// Returns the UDP flows that a change from one plan to another leaves on a wrong way: those to endpoints that are gone,
/// and those that no endpoint took before.
fn stale_flows(before: &Plan, wanted: &Plan) -> Vec<StaleFlow> {
    let (before, wanted) = (udp(before), udp(wanted));
    let none = BTreeSet::new();
    let mut stale = Vec::new();
    for (to, endpoints) in &before {
        let gone = endpoints.difference(wanted.get(to).unwrap_or(&none));
        stale.extend(gone.map(|endpoint| StaleFlow { to: to.ip, port: to.port, endpoint: Some(*endpoint) }));
    }
    for (to, endpoints) in &wanted {
        if !endpoints.is_empty() && before.get(to).is_none_or(BTreeSet::is_empty) {
            stale.push(StaleFlow { to: to.ip, port: to.port, endpoint: None });
        }
    }
    stale
}

fn udp(plan: &Plan) -> BTreeMap<Frontend, BTreeSet<SocketAddr>> {
    let mut all: BTreeMap<Frontend, BTreeSet<SocketAddr>> = BTreeMap::new();
    for service in &plan.services {
        for port in service.ports.iter().filter(|port| port.protocol == Protocol::Udp) {
            for to in frontends(service, port) {
                all.entry(to).or_default().extend(&port.endpoints);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ServicePort;

    fn plan(node_port: Option<u16>, endpoints: &[&str]) -> Plan {
        let port = |protocol| ServicePort {
            protocol,
            port: 53,
            node_port,
            load_balancer: false,
            endpoints: endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect(),
        };
        let service = Service {
            name: "default/dns".to_owned(),
            cluster_ips: vec!["10.96.0.7".parse().unwrap()],
            external_ips: Vec::new(),
            affinity: None,
            ports: vec![port(Protocol::Tcp), port(Protocol::Udp)],
        };
        Plan { services: vec![service], ..Plan::default() }
    }

    fn told(before: &Plan, wanted: &Plan) -> Vec<String> {
        let stale = stale_flows(before, wanted).into_iter();
        stale
            .map(|flow| {
                let to = flow.to.map_or("host".to_owned(), |ip| ip.to_string());
                format!("{to}:{} {}", flow.port, flow.endpoint.map_or("-".to_owned(), |by| by.to_string()))
            })
            .collect()
    }

    #[test]
    fn flows_to_endpoints_that_went_are_stale_and_those_to_others_are_not() {
        let two = plan(Some(30053), &["10.1.0.2:53", "10.1.0.3:53"]);
        let one = plan(Some(30053), &["10.1.0.3:53"]);
        assert_eq!(told(&two, &one), ["host:30053 10.1.0.2:53", "10.96.0.7:53 10.1.0.2:53"]);
        assert_eq!(told(&one, &two), [""; 0]);
        assert_eq!(told(&one, &Plan::default()), ["host:30053 10.1.0.3:53", "10.96.0.7:53 10.1.0.3:53"]);
    }

    #[test]
    fn flows_that_nobody_took_are_stale_when_an_endpoint_comes() {
        let (none, one) = (plan(None, &[]), plan(None, &["10.1.0.3:53"]));
        assert_eq!(told(&none, &one), ["10.96.0.7:53 -"]);
        assert_eq!(told(&Plan::default(), &one), ["10.96.0.7:53 -"]);
        let exposed = plan(Some(30053), &["10.1.0.3:53"]);
        assert_eq!(told(&one, &exposed), ["host:30053 -"]);
    }
}
