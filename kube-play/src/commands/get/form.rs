//! `-o` of `kube get`.

use crate::output::ObjectFormat;
use crate::output::custom_columns::{CustomColumns, syntax_failure};
use crate::output::exit::Failure;
use crate::output::json_path::Template;

/// The form in which objects are printed.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// kubectl's table.
    Table {
        /// With more columns.
        is_wide: bool,
    },
    /// KIND/NAME, one line each.
    Names,
    /// The objects.
    Objects(ObjectFormat),
    /// What a template makes of the objects.
    JsonPath(Template),
    /// A table with the columns that the user names.
    CustomColumns(CustomColumns),
}

const FORMATS: &str = "wide, json, yaml, name, jsonpath=TEMPLATE, jsonpath-file=FILE, custom-columns=NAME:PATH,..., \
                       custom-columns-file=FILE";

impl Form {
    /// Parses `-o`.
    ///
    /// # Errors
    /// There is no such format, or its template is not valid (2); a file cannot be read (1).
    pub fn parse(text: Option<&str>) -> Result<Self, Failure> {
        let Some(text) = text else { return Ok(Self::Table { is_wide: false }) };
        let (format, argument) = match text.split_once('=') {
            Some((format, argument)) => (format, Some(argument)),
            None => (text, None),
        };
        let argument = |example: &str| {
            let given = argument.filter(|argument| !argument.is_empty());
            let hint = format!("for example -o {format}={example}");
            given.ok_or_else(|| Failure::usage(format!("-o {format} needs an argument")).hint(hint))
        };
        let template = |text: &str| {
            Template::parse(text).map(Self::JsonPath).map_err(|error| syntax_failure(text, &error))
        };
        match format {
            "wide" if text == format => Ok(Self::Table { is_wide: true }),
            "json" if text == format => Ok(Self::Objects(ObjectFormat::Json)),
            "yaml" if text == format => Ok(Self::Objects(ObjectFormat::Yaml)),
            "name" if text == format => Ok(Self::Names),
            "jsonpath" => template(argument("'{.items[*].metadata.name}'")?),
            "jsonpath-file" => {
                let text = read(argument("names.jsonpath")?)?;
                template(text.strip_suffix('\n').unwrap_or(&text))
            }
            "custom-columns" => CustomColumns::parse(argument("NAME:.metadata.name,PHASE:.status.phase")?)
                .map(Self::CustomColumns),
            "custom-columns-file" => {
                CustomColumns::parse_file(&read(argument("columns.txt")?)?).map(Self::CustomColumns)
            }
            "go-template" | "go-template-file" | "template" | "templatefile" => {
                Err(Failure::usage(format!("-o {format}: kube knows no templates of Go")).hint(
                    "-o jsonpath=TEMPLATE and -o custom-columns=NAME:PATH,... print fields; `-o json | jq FILTER` \
                     prints anything",
                ))
            }
            _ => Err(Failure::usage(format!("-o {text}: there is no such format")).hint(FORMATS)),
        }
    }

    /// Returns whether the addresses of the host, which no table shows, may be printed.
    pub fn prints_everything(&self) -> bool {
        matches!(self, Self::Objects(_) | Self::JsonPath(_) | Self::CustomColumns(_))
    }
}

fn read(path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::failed(format!("read {path}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_are_those_of_kubectl() {
        let form = |text| Form::parse(Some(text));
        assert_eq!(Form::parse(None), Ok(Form::Table { is_wide: false }));
        assert_eq!(form("wide"), Ok(Form::Table { is_wide: true }));
        assert_eq!(form("yaml"), Ok(Form::Objects(ObjectFormat::Yaml)));
        assert_eq!(form("name"), Ok(Form::Names));
        assert!(matches!(form("jsonpath={.items[*].metadata.name}"), Ok(Form::JsonPath(_))));
        assert!(matches!(form("custom-columns=NAME:.metadata.name"), Ok(Form::CustomColumns(_))));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t");
        std::fs::write(&file, "{.kind}\n").unwrap();
        let from_file = format!("jsonpath-file={}", file.display());
        assert_eq!(form(&from_file), form("jsonpath={.kind}"));
    }

    #[test]
    fn what_is_no_format_is_refused_with_what_to_write() {
        let errors: String = [
            "xml",
            "json=x",
            "jsonpath",
            "jsonpath=",
            "jsonpath={.items[}",
            "custom-columns=NAME",
            "custom-columns=NAME:.a[b]",
            "go-template={{.a}}",
            "jsonpath-file=/absent",
        ]
        .map(|text| {
            let failure = Form::parse(Some(text)).unwrap_err();
            format!("{} {text}: {}\n  {}\n", failure.code, failure.message, failure.hints.join("; "))
        })
        .concat();
        insta::assert_snapshot!(errors);
    }
}
