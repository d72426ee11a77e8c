//! Computes what a container runs, from `command`, `args`, ENTRYPOINT and CMD.

use k8s_openapi::api::core::v1::Container;

use super::environment::Variables;
use super::expansion::{expand, expanded_length};
use super::{ContainerError, ImageConfig, bounds};
use crate::kind::WaitingReason;

/// Returns argv. `command` replaces ENTRYPOINT and drops CMD; `args` replaces CMD. `$(VAR)` is expanded with the
/// variables that the manifest declares, never with those of the image.
///
/// # Errors
/// If neither the manifest nor the image says what to run, if the text is too long, or if it contains a NUL byte.
pub fn argv(
    container: &Container,
    image: &ImageConfig,
    declared: &Variables,
) -> Result<Vec<String>, ContainerError> {
    let mut total = declared.taken();
    let mut expanded = |list: &Option<Vec<String>>| -> Result<Vec<String>, ContainerError> {
        let one = |text: &String| {
            let length = expanded_length(text, |name| declared.get(name).map(str::len));
            bounds::check_string("an argument", length)?;
            total = total.saturating_add(bounds::taken(length));
            bounds::check_strings(total)?;
            Ok(expand(text, |name| declared.get(name)))
        };
        list.iter().flatten().map(one).collect()
    };
    let command = expanded(&container.command)?;
    let args = expanded(&container.args)?;
    let argv = match (command.is_empty(), args.is_empty()) {
        (false, _) => [command, args].concat(),
        (true, false) => [image.entrypoint.clone(), args].concat(),
        (true, true) => [image.entrypoint.clone(), image.cmd.clone()].concat(),
    };
    if argv.first().is_none_or(String::is_empty) {
        return Err(ContainerError::new(
            WaitingReason::CreateContainerError,
            format!(
                "nothing to run: the image {} has no ENTRYPOINT or CMD, and container {} sets no command",
                container.image.as_deref().unwrap_or_default(),
                container.name
            ),
        ));
    }
    if let Some(bad) = argv.iter().find(|arg| arg.contains('\0')) {
        return Err(ContainerError::config(format!("command or args contain a NUL byte: {bad:?}")));
    }
    Ok(argv)
}
