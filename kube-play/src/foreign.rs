//! Words of kubectl, docker and podman for what `kube` calls otherwise.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What somebody who typed this command is looking for.
fn meant(command: &str) -> Option<&'static str> {
    Some(match command {
        "apply" | "create" | "run" | "up" | "start" => "`kube play FILE` runs what a manifest says",
        "rm" | "stop" | "kill" | "remove" => "`kube down POD` stops and removes it",
        "restart" | "replace" => "`kube play --replace FILE` makes its pods anew",
        "get" | "list" | "ls" => {
            "`kube ps` lists pods, `kube inspect KIND/NAME` shows an object; `kube image ls`, `kube volume ls`, \
             `kube network ls` list the rest"
        }
        "describe" => "`kube inspect POD` shows it in full, `kube events --for POD` what happened to it",
        "images" => "`kube image ls` lists images",
        "pull" | "load" | "save" | "import" | "rmi" | "prune" => "`kube image` has what is done with images",
        "inspect" => "`ls NAME -o json` shows one in full",
        "diff" => "`kube play --dry-run FILE` says what would change",
        "attach" => "`kube logs -f POD` follows its output, `kube exec -it POD -- sh` goes inside",
        "validate" | "lint" => "`kube check FILE` validates manifests",
        _ => return None,
    })
}

/// Adds to an error about an unknown command what it is called here.
pub fn explain(error: &mut clap::Error) {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return;
    }
    let Some(ContextValue::String(command)) = error.get(ContextKind::InvalidSubcommand) else { return };
    if let Some(tip) = meant(command) {
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::Cli;

    fn told(args: &[&str]) -> String {
        let mut error = Cli::try_parse_from(args).unwrap_err();
        explain(&mut error);
        error.to_string()
    }

    #[test]
    fn a_command_of_another_program_leads_to_ours() {
        insta::assert_snapshot!(told(&["kube", "apply", "-f", "x.yaml"]));
        insta::assert_snapshot!(told(&["kube", "images"]));
        // A slip of the finger is clap's to mend.
        insta::assert_snapshot!(told(&["kube", "plya"]));
    }

    #[test]
    fn what_groups_of_commands_lack_is_elsewhere() {
        assert!(
            told(&["kube", "image", "inspect", "x"]).contains("tip: `ls NAME -o json` shows one in full")
        );
    }

    #[test]
    fn what_is_a_command_here_is_not_explained() {
        for command in Cli::command().get_subcommands() {
            for name in std::iter::once(command.get_name()).chain(command.get_all_aliases()) {
                assert!(name == "inspect" || meant(name).is_none(), "{name}");
            }
        }
    }
}
