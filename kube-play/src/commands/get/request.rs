//! Which objects `kube get` prints, in which form and order.

use pod_core::kind::{Kind, ObjectRef};
use pod_core::observe::objects::field_selector::FieldSelector;
use pod_core::observe::objects::{self, Object, Reader};
use pod_core::observe::query;
use pod_core::observe::selector::Selector;

use super::form::Form;
use super::{Args, sort};
use crate::cli::context::Context;
use crate::input::targets::{self, Target};
use crate::output::custom_columns::syntax_failure;
use crate::output::exit::Failure;
use crate::output::json_path::Path;

/// What a user asks for.
pub struct Request<'a> {
    context: &'a Context,
    /// The objects, by kind.
    pub targets: Vec<Target>,
    /// The form in which they are printed.
    pub form: Form,
    all_namespaces: bool,
    labels: Selector,
    fields: Vec<(Kind, FieldSelector)>,
    sort_by: Option<(String, Path)>,
}

impl<'a> Request<'a> {
    /// Reads the arguments.
    ///
    /// # Errors
    /// An argument is not valid (2).
    pub fn new(context: &'a Context, args: &Args) -> anyhow::Result<Self> {
        let targets = targets::parse(&args.objects)?;
        let form = Form::parse(args.output.as_deref())?;
        let has_names = targets.iter().any(|target| !target.names.is_empty());
        if has_names && (args.selector.is_some() || args.field_selector.is_some()) {
            return Err(Failure::usage("a name cannot be given together with a selector").into());
        }
        if has_names && args.all_namespaces {
            return Err(Failure::usage("an object cannot be named across all namespaces")
                .hint("`-n NAMESPACE` names its namespace; `--field-selector metadata.name=NAME` finds it")
                .into());
        }
        let labels = args.selector.as_deref().map(str::parse).transpose().map_err(query::Error::from)?;
        let fields = match args.field_selector.as_deref() {
            None => Vec::new(),
            Some(text) => {
                let fields = targets.iter().map(|target| {
                    let selector = FieldSelector::parse(text, target.kind);
                    Ok((target.kind, selector.map_err(|error| Failure::usage(error.to_string()))?))
                });
                fields.collect::<Result<_, Failure>>()?
            }
        };
        let sort_by = match args.sort_by.as_deref().filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => {
                Some((text.to_owned(), Path::parse(text).map_err(|error| syntax_failure(text, &error))?))
            }
        };
        let (all_namespaces, labels) = (args.all_namespaces, labels.unwrap_or_default());
        Ok(Self { context, targets, form, all_namespaces, labels, fields, sort_by })
    }

    /// Returns the objects of one kind that are meant, and the errors about named objects that do not exist.
    ///
    /// # Errors
    /// The objects cannot be read; a name is not valid (2).
    pub fn find(&self, target: &Target) -> anyhow::Result<(Vec<Object>, Vec<query::Error>)> {
        let layout = &self.context.layout;
        let needs_all = self.form.prints_everything() || self.sort_by.is_some() || !self.fields.is_empty();
        let reader = if needs_all { Reader::new(layout) } else { Reader::without_host_ips(layout) };
        let all = reader.list(target.kind)?;
        let mut missing = Vec::new();
        let mut found = Vec::new();
        if target.names.is_empty() {
            for object in all {
                if self.selects(&object)? {
                    found.push(object);
                }
            }
        } else {
            for id in target.objects(&self.context.namespace)? {
                match all.iter().find(|object| object.id == id) {
                    Some(object) => found.push(object.clone()),
                    None => missing.push(self.not_found(&id, &all)),
                }
            }
        }
        if let Some((text, path)) = &self.sort_by {
            found = sort::by_path(found, path, text)?;
        }
        Ok((found, missing))
    }

    fn not_found(&self, id: &ObjectRef, all: &[Object]) -> query::Error {
        objects::not_found(&self.context.layout, id, all)
    }

    fn selects(&self, object: &Object) -> anyhow::Result<bool> {
        let kind = object.id.kind;
        if kind.is_namespaced() && !self.all_namespaces && object.id.namespace != self.context.namespace {
            return Ok(false);
        }
        if self.labels != Selector::default() && !self.labels.matches(Some(&object.labels())) {
            return Ok(false);
        }
        match self.fields.iter().find(|(of, _)| *of == kind) {
            Some((_, fields)) => Ok(fields.matches(object)?),
            None => Ok(true),
        }
    }

    /// Returns whether exactly one object is named, which is then printed without a list around it.
    pub fn is_for_one(&self) -> bool {
        matches!(self.targets.as_slice(), [target] if target.names.len() == 1)
    }
}
