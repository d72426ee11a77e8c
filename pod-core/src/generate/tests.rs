//! Tests that play manifests, generate them again and play the result.

mod kinds;
mod lint;
mod lossless;
mod used;

use serde_json::{Value, json};

use super::*;
use crate::kind::Kind;
use crate::manifest::{self, Document, Severity, Source, to_yaml};
use crate::plan::{Plan, PlanOptions, WorkloadPlan, plan};
use crate::record::{Desired, PodRecord};
use crate::workload::Spec;

/// Reads manifests, which must be valid.
#[track_caller]
fn read(text: &str) -> Vec<Document> {
    let source =
        Source { name: "test.yaml".to_owned(), dir: PathBuf::from("/srv/web"), text: text.to_owned() };
    let loaded = manifest::load(&[source], "default");
    let errors: Vec<String> = loaded
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .map(ToString::to_string)
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
    loaded.documents
}

#[track_caller]
fn planned(text: &str, options: &PlanOptions) -> Plan {
    plan(&read(text), options).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}")).0
}

/// Returns the record that `kube play` writes, with a pod per replica.
fn recorded(plan: &WorkloadPlan) -> WorkloadRecord {
    let created = jiff::Timestamp::UNIX_EPOCH;
    let pod = |index: u32| {
        let plan = plan.template.instantiate(&format!("uid-{index}"), "xxxxx", created);
        PodRecord::new(plan, Desired::Running)
    };
    let spec = Spec::from_plan(plan, 1, true, 0);
    let mut record = WorkloadRecord::new(plan.id.clone(), "uid".to_owned(), created, spec);
    record.pods = (0..plan.replicas).map(pod).collect();
    record
}

/// A host on which manifests were played.
struct Machine {
    records: Vec<WorkloadRecord>,
    facts: Facts,
}

impl Machine {
    #[track_caller]
    fn played(text: &str, options: &PlanOptions) -> Self {
        let plan = planned(text, options);
        let services = plan.objects.iter().filter(|object| object.id.kind == Kind::Service);
        let services = services.map(|object| {
            let service = RecordedService { recorded: object.object.clone(), given: object.object.clone() };
            (object.id.clone(), service)
        });
        let services = services.collect();
        let objects = plan.objects.into_iter().map(|object| (object.id, object.object));
        Self {
            facts: Facts { objects: objects.collect(), services, ..Facts::default() },
            records: plan.workloads.iter().map(recorded).collect(),
        }
    }

    fn subjects(&self) -> Vec<Subject<'_>> {
        self.records.iter().map(|record| Subject { record, pod: None, container: None }).collect()
    }

    fn generate(&self, options: &Options) -> Result<Generated, Error> {
        generate(&self.subjects(), options, &self.facts)
    }

    /// Returns the YAML followed by the warnings.
    fn text(&self, options: &Options) -> String {
        let generated = self.generate(options).unwrap();
        let warnings = generated.warnings.iter().map(|warning| format!("warning: {warning}\n"));
        to_yaml(&generated.documents) + &warnings.collect::<String>()
    }
}

fn played(text: &str) -> Machine {
    Machine::played(text, &PlanOptions::default())
}
