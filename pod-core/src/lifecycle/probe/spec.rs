//! What a manifest says about a container's probes.

use k8s_openapi::api::core::v1::{Container, Probe};

/// Which probe of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    /// startupProbe.
    Startup,
    /// livenessProbe.
    Liveness,
    /// readinessProbe.
    Readiness,
}

impl ProbeKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// Returns its name as messages of the kubelet begin with it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }

    /// Returns this probe of a container.
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

/// The probes of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProbeSpecs {
    /// startupProbe.
    pub startup: Option<ProbeSpec>,
    /// livenessProbe.
    pub liveness: Option<ProbeSpec>,
    /// readinessProbe.
    pub readiness: Option<ProbeSpec>,
}

/// The numbers of a probe. How it is done is not the concern of the state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSpec {
    /// initialDelaySeconds, in milliseconds.
    pub initial_delay: u64,
    /// periodSeconds, in milliseconds.
    pub period: u64,
    /// timeoutSeconds, in milliseconds.
    pub timeout: u64,
    /// successThreshold.
    pub success_threshold: u32,
    /// failureThreshold.
    pub failure_threshold: u32,
    /// The probe's own terminationGracePeriodSeconds.
    pub grace_seconds: Option<u64>,
}

impl ProbeSpecs {
    /// Reads the probes of a container.
    pub fn from_container(container: &Container) -> Self {
        let of = |kind: ProbeKind| kind.of(container).map(ProbeSpec::from_probe);
        Self {
            startup: of(ProbeKind::Startup),
            liveness: of(ProbeKind::Liveness),
            readiness: of(ProbeKind::Readiness),
        }
    }

    /// Returns the probe of a kind.
    pub fn get(&self, kind: ProbeKind) -> Option<&ProbeSpec> {
        match kind {
            ProbeKind::Startup => self.startup.as_ref(),
            ProbeKind::Liveness => self.liveness.as_ref(),
            ProbeKind::Readiness => self.readiness.as_ref(),
        }
    }
}

impl ProbeSpec {
    /// Reads a probe. A field that is missing or 0 has the default of the API.
    pub fn from_probe(probe: &Probe) -> Self {
        let number = |given: Option<i32>, default: u32| {
            given
                .and_then(|number| u32::try_from(number).ok())
                .filter(|number| *number > 0)
                .unwrap_or(default)
        };
        let millis = |given, default| u64::from(number(given, default)) * 1000;
        Self {
            initial_delay: millis(probe.initial_delay_seconds, 0),
            period: millis(probe.period_seconds, 10),
            timeout: millis(probe.timeout_seconds, 1),
            success_threshold: number(probe.success_threshold, 1),
            failure_threshold: number(probe.failure_threshold, 3),
            grace_seconds: probe.termination_grace_period_seconds.and_then(|given| u64::try_from(given).ok()),
        }
    }
}
