//! Label selectors in the syntax of kubectl's `-l`.

use std::collections::BTreeMap;
use std::str::FromStr;

/// A label selector: requirements that labels have to meet, all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    Exists,
    DoesNotExist,
    In(Vec<String>),
    /// Also met if the label is missing, as in Kubernetes.
    NotIn(Vec<String>),
}

impl Selector {
    /// Returns true if these labels meet every requirement.
    pub fn matches(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.and_then(|labels| labels.get(&requirement.key));
            match &requirement.operator {
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
                Operator::In(values) => value.is_some_and(|value| values.contains(value)),
                Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            }
        })
    }
}

/// The text is not a label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a label selector: write app=web, tier!=db, 'env in (a,b)'")]
pub struct InvalidSelector(String);

impl FromStr for Selector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, InvalidSelector> {
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text) {
            let requirement = requirement(part.trim()).ok_or_else(|| InvalidSelector(part.to_owned()))?;
            requirements.push(requirement);
        }
        Ok(Self(requirements))
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn requirement(text: &str) -> Option<Requirement> {
    let make = |key: &str, operator| {
        let key = key.trim();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        (!key.is_empty() && key.chars().all(allowed)).then(|| Requirement { key: key.to_owned(), operator })
    };
    let value = |text: &str| {
        let text = text.trim();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        text.chars().all(allowed).then(|| text.to_owned())
    };
    if let Some(key) = text.strip_prefix('!') {
        return make(key, Operator::DoesNotExist);
    }
    if let Some((key, one)) = text.split_once("!=") {
        return make(key, Operator::NotIn(vec![value(one)?]));
    }
    if let Some((key, one)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return make(key, Operator::In(vec![value(one)?]));
    }
    if let Some((left, values)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let values: Vec<String> = values.split(',').map(value).collect::<Option<_>>()?;
        let (key, word) = left.trim().rsplit_once(char::is_whitespace)?;
        return match word {
            "in" => make(key, Operator::In(values)),
            "notin" => make(key, Operator::NotIn(values)),
            _ => None,
        };
    }
    make(text, Operator::Exists)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        selector.parse::<Selector>().unwrap().matches(Some(&labels))
    }

    #[test]
    fn selectors_mean_what_they_mean_to_kubectl() {
        let labels = [("app", "web"), ("tier", "front"), ("example.com/a_b", "")];
        for yes in [
            "app=web",
            "app==web",
            "app!=db",
            "none!=x",
            "app",
            "!none",
            "app in (web, db)",
            "app notin (db),tier=front",
            "example.com/a_b=",
            " app = web , tier ",
        ] {
            assert!(matches(yes, &labels), "{yes}");
        }
        for no in [
            "app=db",
            "app!=web",
            "none",
            "!app",
            "app in (db)",
            "none in (a)",
            "app notin (web)",
            "app=web,tier=x",
        ] {
            assert!(!matches(no, &labels), "{no}");
        }
    }

    #[test]
    fn text_that_is_not_a_selector_is_refused() {
        for wrong in ["", "app=web,", "a b", "app in web", "app within (a)", "=x", "app=a b", "app in (a"] {
            assert!(wrong.parse::<Selector>().is_err(), "{wrong:?}");
        }
    }
}
