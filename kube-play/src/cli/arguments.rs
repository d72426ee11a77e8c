//! Work on the arguments that clap does not do: finds the command that they name, and accepts booleans as kubectl and
//! podman do.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, CommandFactory as _, Parser as _};

use crate::cli::Cli;

/// Parses a command line. Every flag also accepts `--replace=true`, `--quiet=false` and the like, as with kubectl and
/// podman.
///
/// # Errors
/// clap's error about the command line.
pub fn parse(mut arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    loop {
        let error = match Cli::try_parse_from(&arguments) {
            Ok(cli) => return Ok(cli),
            Err(error) => error,
        };
        // Only an argument that clap refuses is rewritten, one per attempt, because in `kube exec web cmd --tty=true`
        // the last argument belongs to the container's command.
        let may_be_boolean = matches!(
            error.kind(),
            ErrorKind::TooManyValues | ErrorKind::InvalidValue | ErrorKind::UnknownArgument
        );
        match may_be_boolean.then(|| without_boolean(&arguments)).flatten() {
            Some(rewritten) => arguments = rewritten,
            None => return Err(error),
        }
    }
}

/// Returns the first command in `arguments`, by its main name also where an alias is given.
pub fn command(arguments: &[OsString]) -> Option<String> {
    walk(arguments, |_, _| None::<()>).1
}

/// Returns the arguments with the first flag that has a boolean value rewritten in the form that clap accepts. `None`
/// if there is no such flag.
fn without_boolean(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let (index, word) = walk(arguments, |arg, word| {
        let (flag, value) = word.split_once('=')?;
        let on = boolean(arg, value)?;
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            return Some(on.then(|| flag.to_owned()));
        }
        let optional = arg.get_num_args().is_some_and(|count| count.min_values() == 0);
        let known = arg.get_possible_values();
        if !optional || known.iter().any(|known| known.get_name() == value) {
            return None;
        }
        // A flag with an optional value: `--start=1`, or `--wait=true`, whose value is one of several words.
        match known.iter().any(|known| known.get_name() == "true") {
            true => Some(Some(format!("{flag}={on}"))),
            false => Some(on.then(|| flag.to_owned())),
        }
    })
    .0?;
    let mut rewritten = arguments.to_vec();
    match word {
        Some(word) => *rewritten.get_mut(index)? = word.into(),
        None => drop(rewritten.remove(index)),
    }
    Some(rewritten)
}

/// Parses a boolean as Go does; for `--dry-run` also kubectl's words.
/// Source: Go's strconv.ParseBool.
fn boolean(arg: &Arg, value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        "client" | "server" if arg.get_long() == Some("dry-run") => Some(true),
        "none" if arg.get_long() == Some("dry-run") => Some(false),
        _ => None,
    }
}

/// Calls `look` with every flag that contains `=`, up to `--` or until `look` returns a value. Returns that value with
/// the index of the flag, and the name of the first command.
fn walk<T>(
    arguments: &[OsString],
    mut look: impl FnMut(&Arg, &str) -> Option<T>,
) -> (Option<(usize, T)>, Option<String>) {
    let mut root = Cli::command();
    root.build();
    let mut command = &root;
    let mut first = None;
    let mut skip = false;
    for (index, word) in arguments.iter().enumerate().skip(1) {
        let Some(word) = word.to_str().filter(|_| !std::mem::take(&mut skip)) else { continue };
        if word == "--" {
            break;
        }
        if let Some(arg) = flag(command, word) {
            if !word.contains('=') {
                skip = arg.get_num_args().is_some_and(|count| count.min_values() > 0);
            } else if let Some(found) = look(arg, word) {
                return (Some((index, found)), first);
            }
        } else if let Some(sub) = command.find_subcommand(word) {
            first.get_or_insert_with(|| sub.get_name().to_owned());
            command = sub;
        }
    }
    (None, first)
}

/// Returns the flag that an argument gives: `--name`, `--name=value`, `-n` or `-n=value`.
fn flag<'a>(command: &'a clap::Command, word: &str) -> Option<&'a Arg> {
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    if let Some(long) = name.strip_prefix("--") {
        return command.get_arguments().find(|arg| {
            arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(|all| all.contains(&long))
        });
    }
    let mut letters = name.strip_prefix('-')?.chars();
    let (Some(short), None) = (letters.next(), letters.next()) else { return None };
    command.get_arguments().find(|arg| {
        arg.get_short() == Some(short) || arg.get_all_short_aliases().is_some_and(|all| all.contains(&short))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;
    use crate::commands::play;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn played(line: &str) -> play::Args {
        match parse(words(line)).unwrap().command {
            Command::Play(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_flag_accepts_true_and_false() {
        let args = played("kube play x --replace=true --publish-all=T -q=1 --prune=false --strict=0");
        assert!(args.replace && args.publish_all && args.quiet && !args.prune && !args.strict);
        assert_eq!(args.files, ["x"]);
        assert_eq!(played("kube play x --wait=true").wait, Some(play::Wait::Ready));
        assert_eq!(played("kube play x --wait=false").wait, None);
        assert_eq!(played("kube play x --wait=complete").wait, Some(play::Wait::Complete));
        assert!(!played("kube play x --start=0").start);
        assert!(played("kube play x --dry-run=client").dry_run);
        assert!(!played("kube play x --dry-run=none").dry_run);
    }

    /// Every flag without a value, of every command, accepts a boolean.
    #[test]
    fn every_flag_of_every_command_accepts_a_boolean() {
        let mut root = Cli::command();
        root.build();
        let mut count = 0;
        for command in root.get_subcommands() {
            for arg in command.get_arguments().filter(|arg| matches!(arg.get_action(), ArgAction::SetTrue)) {
                let Some(long) = arg.get_long() else { continue };
                let name = command.get_name();
                let given = words(&format!("kube {name} --{long}=true x"));
                assert_eq!(without_boolean(&given).unwrap(), words(&format!("kube {name} --{long} x")));
                let given = words(&format!("kube {name} --{long}=false x"));
                assert_eq!(without_boolean(&given).unwrap(), words(&format!("kube {name} x")));
                count += 1;
            }
        }
        assert!(count > 20, "{count}");
    }

    #[test]
    fn a_value_that_is_no_boolean_or_belongs_to_the_command_is_not_rewritten() {
        for line in [
            "kube play x --replace=maybe",
            "kube play x --wait=soon",
            "kube play x --pull=true",
            "kube --x=true ps",
        ] {
            assert!(parse(words(line)).is_err(), "{line}");
        }
        let Command::Exec(args) = parse(words("kube exec --tty=true web cmd --tty=true")).unwrap().command
        else {
            panic!()
        };
        assert_eq!(args.command, ["cmd", "--tty=true"]);
        assert!(args.options.tty);
    }

    #[test]
    fn the_command_is_found_after_options() {
        assert_eq!(command(&words("kube -n play --log-level=info delete x")).as_deref(), Some("down"));
        assert_eq!(command(&words("kube -f x up")), None);
    }
}
