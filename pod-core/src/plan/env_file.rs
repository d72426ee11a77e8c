//! Parses a file of variables (env[].valueFrom.fileKeyRef), as the kubelet does since Kubernetes 1.35: `NAME='value'`
//! with single quotes, in which everything is literal, line ends included.

use std::collections::BTreeMap;

/// The largest file, in bytes.
pub const MAX_FILE: usize = 1 << 20;

/// The contents of files of variables, by volume and path; `None` for one that does not exist.
pub type EnvFiles = BTreeMap<(String, String), Option<String>>;

/// Why a file cannot be read as one of variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It has no `=`.
    #[error("there is no `=`")]
    NoEquals,
    /// There is nothing before the `=`.
    #[error("there is no name before the `=`")]
    NoName,
    /// A blank between name and `=`.
    #[error("a blank before the `=`")]
    BlankBeforeEquals,
    /// The value does not begin with a single quote.
    #[error("the value must be in single quotes")]
    NoQuote,
    /// The value's quote is not closed.
    #[error("the single quote is not closed")]
    OpenQuote,
    /// Something other than a comment after the value.
    #[error("something follows the closing quote")]
    AfterQuote,
}

/// Returns the value of `key`, if the file has it. What follows the key is not read.
///
/// # Errors
/// If a line up to the key is not `NAME='value'`, a comment or blank.
pub fn value(text: &str, key: &str) -> Result<Option<String>, Error> {
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).enumerate();
    while let Some((index, line)) = lines.next() {
        let fail = |problem| Error { line: index + 1, problem };
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, rest) = line.split_once('=').ok_or(fail(Problem::NoEquals))?;
        if name.trim_end_matches([' ', '\t']).is_empty() {
            return Err(fail(Problem::NoName));
        }
        if name.ends_with([' ', '\t']) {
            return Err(fail(Problem::BlankBeforeEquals));
        }
        // As a shell reads it: `NAME= 'value'` sets NAME to nothing.
        if rest.starts_with([' ', '\t']) {
            if name == key {
                return Ok(Some(String::new()));
            }
            continue;
        }
        let mut rest = rest.strip_prefix('\'').ok_or(fail(Problem::NoQuote))?;
        let mut found = String::new();
        let (mut last, after) = loop {
            if let Some((value, after)) = rest.split_once('\'') {
                found.push_str(value);
                break (index, after);
            }
            found.push_str(rest);
            found.push('\n');
            let (_, next) = lines.next().ok_or(fail(Problem::OpenQuote))?;
            rest = next;
        };
        last += found.matches('\n').count();
        let after = after.trim_start_matches([' ', '\t']);
        if !after.is_empty() && !after.starts_with('#') {
            return Err(Error { line: last + 1, problem: Problem::AfterQuote });
        }
        if name == key {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_single_quotes_and_literal() {
        let text =
            "# made by setup\n\n  A='1'\nB='with \"all\" $(A) \\ of it' # why\nC='two\nlines'\nD=\nD= 'x'\n";
        assert_eq!(value(text, "A"), Ok(Some("1".to_owned())));
        assert_eq!(value(text, "B"), Ok(Some("with \"all\" $(A) \\ of it".to_owned())));
        assert_eq!(value(text, "C"), Ok(Some("two\nlines".to_owned())));
        assert_eq!(value("A= 'x'\nB='y'\n", "A"), Ok(Some(String::new())));
        assert_eq!(value("A= 'x'\nB='y'\n", "B"), Ok(Some("y".to_owned())));
        assert_eq!(value("A='x'", "Z"), Ok(None));
        assert_eq!(value("A='x'\r\nB='y'\r\n", "B"), Ok(Some("y".to_owned())));
    }

    #[test]
    fn a_line_that_is_no_variable_is_an_error_with_its_number() {
        for (text, line, problem) in [
            ("A='1'\nB\n", 2, Problem::NoEquals),
            ("='1'\n", 1, Problem::NoName),
            ("A ='1'\n", 1, Problem::BlankBeforeEquals),
            ("A=1\n", 1, Problem::NoQuote),
            ("A=\"1\"\n", 1, Problem::NoQuote),
            ("\nA='1\n2\n", 2, Problem::OpenQuote),
            ("A='1\n2' x\n", 2, Problem::AfterQuote),
        ] {
            assert_eq!(value(text, "Z"), Err(Error { line, problem }), "{text:?}");
        }
        assert_eq!(value("A='1'\nB\n", "A"), Ok(Some("1".to_owned())), "what follows is not read");
    }
}
