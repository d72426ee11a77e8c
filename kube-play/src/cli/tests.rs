//! Generates `docs/commands.md` from the definitions of the command line, and checks that it is up to date.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use crate::cli::Cli;

const HEAD: &str = "\
# Commands

The test `the_reference_is_up_to_date` generates this file from the definitions in `kube-play/src` (with
`UPDATE_GENERATED=1` it writes it); do not edit it. `kube COMMAND --help` prints the same text, `kube man DIR` writes it
as manual pages, and `kube completion SHELL` writes completions for a shell.

Pods are named `web` or `pod/web`, or by their workload, `deployment/api`. Other objects are named `KIND/NAME`, with
kubectl's kinds and short names: `po`, `deploy`, `cm`, `secret`, `pvc`, `deployment.apps`. Durations are written `30s`,
`2m`, `1h30m`, or as plain seconds.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | failed |
| 2 | wrong use: an unknown command or flag, an invalid value |
| 3 | a manifest is not valid |
| 4 | a named object does not exist |
| 5 | waited too long (`--timeout`) |
| 130 | interrupted by Ctrl-C |
| other | `kube exec`, `attach` and `debug`: the exit code of the command or container; `kube play --attach`: that of the first pod that failed, 143 after SIGTERM; `kube play --wait=complete`: that of the first container that did not end with 0; 128+n for signal n |

## Output

Results go to stdout. Errors (`error: ...`), warnings (`warning: ...`), advice (`hint: ...`) and progress go to stderr.
Mistakes in a manifest are printed as `FILE:LINE:COLUMN: error: FIELD: ...`, all of them in one run. stderr is coloured on
a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.

Lists accept `-o wide|json|yaml|name`. JSON and YAML output consists of Kubernetes' own objects; a list of them is a
`v1 List`. `kube get` also accepts `-o jsonpath=...` and `-o custom-columns=...`.

Control characters and escape sequences could drive a terminal. Tables, messages and events always show them in visible
form. `kube logs` writes the output of a container unchanged into files and pipes; on a terminal it passes only colours
through and shows all other control sequences in visible form.
";

/// Returns the whole page.
fn reference() -> String {
    let mut text = HEAD.to_owned();
    let mut kube = Cli::command();
    kube.build();
    text.push_str("\n## Global options\n\n");
    options(&mut text, kube.get_arguments().filter(|arg| arg.is_global_set()));
    for command in kube.get_subcommands().filter(|command| command.get_name() != "help") {
        describe(&mut text, command, 2);
    }
    text
}

fn describe(text: &mut String, command: &Command, level: usize) {
    let name = command.get_bin_name().unwrap_or_default();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string().replacen("Usage: ", "", 1);
    let _ = write!(text, "\n{} {name}\n\n{about}.\n\n```\n{usage}\n```\n", "#".repeat(level));
    let mut aliases = command.get_visible_aliases().peekable();
    if aliases.peek().is_some() {
        let aliases: Vec<String> = aliases.map(|alias| format!("`{alias}`")).collect();
        let _ = write!(text, "\nAlso called {}.\n", aliases.join(", "));
    }
    let own = |arg: &&Arg| !arg.is_hide_set() && !arg.is_global_set() && arg.get_id() != "help";
    if command.get_arguments().any(|arg| own(&arg)) && !command.has_subcommands() {
        text.push('\n');
        options(text, command.get_arguments().filter(own));
    }
    if let Some(after) = command.get_after_help() {
        let after = after.to_string();
        let (prose, examples) = after.split_once("Examples:\n").unwrap_or((&after, ""));
        if !prose.trim().is_empty() {
            let _ = write!(text, "\n{}\n", prose.trim());
        }
        if !examples.is_empty() {
            let lines: Vec<&str> =
                examples.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
            let _ = write!(text, "\n```sh\n{}\n```\n", lines.join("\n").trim_end());
        }
    }
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
        describe(text, sub, level + 1);
    }
}

fn options<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    text.push_str("| | |\n|---|---|\n");
    for arg in arguments {
        let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let values: Vec<String> = arg
            .get_possible_values()
            .iter()
            .filter(|value| !value.is_hide_set() && arg.get_action().takes_values())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        if !values.is_empty() && values != ["`true`", "`false`"] {
            let _ = write!(help, ": {}", values.join(", "));
        }
        let defaults: Vec<String> =
            arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        if !defaults.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
            let _ = write!(help, " [default: {}]", defaults.join(","));
        }
        if let Some(variable) = arg.get_env() {
            let _ = write!(help, " (or `${}`)", variable.to_string_lossy());
        }
        let shown = arg.to_string();
        let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
        let shown = if arg.is_positional() { shown } else { format!("{short}{shown}") };
        let _ = writeln!(text, "| `{}` | {} |", shown.replace('|', "\\|"), help.replace('|', "\\|"));
    }
}

#[test]
fn the_reference_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commands.md");
    let expected = reference();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == expected,
        "docs/commands.md does not match the commands: run this test with UPDATE_GENERATED=1"
    );
}

#[test]
fn every_definition_holds_and_every_command_has_help_and_examples() {
    fn examples(command: &Command) -> bool {
        command.get_after_help().is_some_and(|after| after.to_string().contains("Examples:\n  "))
    }
    fn check(command: &Command, above: bool) {
        let name = command.get_bin_name().unwrap_or_default().to_owned();
        assert!(command.get_about().is_some(), "{name} says what it does");
        // Small subcommands may have theirs in the help of the whole family.
        let shown = above || examples(command);
        assert!(shown || command.has_subcommands(), "{name} has examples");
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{name}: {arg} has a help text");
        }
        command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(|sub| check(sub, shown));
    }
    Cli::command().debug_assert();
    let mut kube = Cli::command();
    kube.build();
    kube.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(|sub| check(sub, false));
}

/// Returns the path and the help of a command and of its subcommands.
fn helps(command: &Command, path: &str) -> Vec<(String, String)> {
    let path = format!("{path}_{}", command.get_name());
    let help = command.clone().term_width(100).render_help().to_string();
    let subcommands = command.get_subcommands().filter(|sub| sub.get_name() != "help");
    let below: Vec<_> = subcommands.flat_map(|sub| helps(sub, &path)).collect();
    std::iter::once((path, help)).chain(below).collect()
}

#[test]
fn the_help_of_lists_and_of_rollouts_says_what_they_do() {
    let mut kube = Cli::command();
    kube.build();
    let found: Vec<_> = ["rollout", "scale", "get", "describe"]
        .iter()
        .flat_map(|name| helps(kube.find_subcommand(name).unwrap(), "help"))
        .collect();
    assert_eq!(found.len(), 10, "rollout, its six subcommands, scale, get and describe");
    for (path, help) in found {
        insta::assert_snapshot!(path, help);
    }
}
