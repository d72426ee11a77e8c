//! Rules of Services, which are generated and not played.

use std::collections::HashSet;

use serde_json::Value;

use super::{Rules, name};
use crate::manifest::escape;
use crate::manifest::shown;

impl Rules<'_> {
    /// Checks a Service. Source: `ValidateService` of pkg/apis/core/validation.
    pub(super) fn service(&mut self) {
        let Some(spec) = self.checked.value.get("spec") else { return };
        let text = |value: &'_ Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        for (key, value) in spec.get("selector").and_then(Value::as_object).into_iter().flatten() {
            let path = format!("spec.selector[{}]", escape(key));
            self.require(&path, name::qualified(key));
            self.require(&path, name::label_value(value.as_str().unwrap_or_default()));
        }
        let ports = spec.get("ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let needs_none = text(spec, "clusterIP").as_deref() == Some("None")
            || text(spec, "type").as_deref() == Some("ExternalName");
        if ports.is_empty() && !needs_none {
            self.error("spec.ports", "must have at least one port");
        }
        let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
        for (index, port) in ports.iter().enumerate() {
            let path = format!("spec.ports[{index}]");
            match text(port, "name").filter(|name| !name.is_empty()) {
                Some(given) => {
                    self.require(&format!("{path}.name"), name::dns_label(&given));
                    if !names.insert(given.clone()) {
                        let message = format!("{} is already the name of another port", shown(&given));
                        self.error(&format!("{path}.name"), message);
                    }
                }
                None if ports.len() > 1 => {
                    self.error(&format!("{path}.name"), "is required where there are several ports");
                }
                None => {}
            }
            let protocol = text(port, "protocol").unwrap_or_else(|| "TCP".to_owned());
            let number = port.get("port").and_then(Value::as_i64).unwrap_or_default();
            if !numbers.insert((protocol.clone(), number)) {
                self.error(&format!("{path}.port"), format!("{number}/{protocol} is given twice"));
            }
            let target = format!("{path}.targetPort");
            match port.get("targetPort") {
                Some(Value::String(given)) => self.require(&target, name::port(given)),
                Some(Value::Number(given)) if !given.as_i64().is_some_and(|n| (1..=65535).contains(&n)) => {
                    self.error(&target, format!("must be between 1 and 65535, is {given}"));
                }
                _ => {}
            }
        }
    }
}
