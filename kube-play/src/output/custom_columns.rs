//! Tables whose columns a user names: `NAME:.metadata.name,IMAGE:.spec.containers[*].image`.

use pod_core::observe::objects::Object;
use serde_json::Value;

use super::Table;
use super::exit::Failure;
use super::json_path::{self, Path};

/// The columns: their headers and what they show.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomColumns(Vec<(String, Path)>);

impl CustomColumns {
    /// Parses `HEADER:PATH,...`.
    ///
    /// # Errors
    /// A column has no header or no path, or its path is not valid.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let hint = "write HEADER:PATH, for example -o custom-columns=NAME:.metadata.name,PHASE:.status.phase";
        let column = |part: &str| {
            let (header, path) = part
                .split_once(':')
                .filter(|(header, path)| !header.is_empty() && !path.is_empty())
                .ok_or_else(|| Failure::usage(format!("{part:?} is no column")).hint(hint))?;
            Self::column(header, path)
        };
        split(text).into_iter().map(column).collect::<Result<_, _>>().map(Self)
    }

    /// Parses a file with the headers in its first line and the paths in its second.
    ///
    /// # Errors
    /// There are not as many paths as headers, or a path is not valid.
    pub fn parse_file(text: &str) -> Result<Self, Failure> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let mut words = || lines.next().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
        let (headers, paths) = (words(), words());
        if headers.is_empty() || headers.len() != paths.len() {
            let message =
                format!("{} headers in the first line, {} paths in the second", headers.len(), paths.len());
            return Err(Failure::usage(message).hint("a header and a path belong to every column"));
        }
        let columns = headers.into_iter().zip(paths).map(|(header, path)| Self::column(header, path));
        columns.collect::<Result<_, _>>().map(Self)
    }

    fn column(header: &str, path: &str) -> Result<(String, Path), Failure> {
        let parsed = Path::parse(path).map_err(|error| syntax_failure(path, &error))?;
        Ok((header.to_owned(), parsed))
    }

    /// Returns the table of objects.
    ///
    /// # Errors
    /// A path does not fit an object.
    pub fn table(&self, objects: &[&Object]) -> anyhow::Result<Table> {
        let mut table = Table::new(self.0.iter().map(|(header, _)| header.as_str()));
        for object in objects {
            let json = object.to_json()?;
            let cells = self.0.iter().map(|(_, path)| cell(path, &json));
            table.exact_row(cells.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(table)
    }
}

/// Returns what a path selects, as kubectl prints it: values are separated by commas, none is `<none>`.
fn cell(path: &Path, json: &Value) -> Result<String, json_path::EvalError> {
    let found = path.select(json)?;
    Ok(match found.as_slice() {
        [] => "<none>".to_owned(),
        found => found.iter().map(|value| shown(value)).collect::<Vec<_>>().join(","),
    })
}

/// Returns a value as Go's fmt prints it: `map[cpu:4]`, `[a b]`.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(shown).collect::<Vec<_>>().join(" "))
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> =
                fields.iter().map(|(key, value)| format!("{key}:{}", shown(value))).collect();
            fields.sort();
            format!("map[{}]", fields.join(" "))
        }
        other => json_path::text(other),
    }
}

/// Returns the error for an expression, with a mark below the mistake.
pub fn syntax_failure(text: &str, error: &json_path::SyntaxError) -> Failure {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mark = " ".repeat(error.column.saturating_sub(1));
    Failure::usage(format!("JSONPath, {error}\n  {line}\n  {mark}^"))
}

/// Splits columns at commas outside of brackets and quotes.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let mut quote = None;
    text.split(|c: char| {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0 && quote.is_none()
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use pod_core::kind::{Kind, ObjectRef};
    use serde_json::json;

    use super::*;

    fn objects() -> [Object; 2] {
        let object = |name: &str, json: Value| Object::new(ObjectRef::new(Kind::Pod, "default", name), json);
        [
            object(
                "web",
                json!({"metadata": {"name": "web", "labels": {"b": "2", "a": "1"}},
                    "spec": {"replicas": 3, "containers": [{"image": "a:1"}, {"image": "b"}]}}),
            ),
            object("db", json!({"metadata": {"name": "db"}, "spec": {"containers": []}})),
        ]
    }

    fn rendered(columns: &CustomColumns) -> String {
        columns.table(&objects().iter().collect::<Vec<_>>()).unwrap().render(true)
    }

    #[test]
    fn columns_show_what_their_paths_select() {
        let text =
            "NAME:.metadata.name,IMAGES:.spec.containers[*].image,N:{.spec.replicas},LABELS:metadata.labels";
        // An index that does not exist is an error, as with kubectl.
        let more = CustomColumns::parse(&format!("{text},BOTH:.spec.containers[0,1].image")).unwrap();
        assert!(more.table(&objects().iter().collect::<Vec<_>>()).is_err());
        insta::assert_snapshot!(rendered(&CustomColumns::parse(text).unwrap()), @r"
        NAME   IMAGES   N        LABELS
        web    a:1,b    3        map[a:1 b:2]
        db     <none>   <none>   <none>
        ");
        let file = "NAME  N\n.metadata.name .spec.replicas\n";
        insta::assert_snapshot!(rendered(&CustomColumns::parse_file(file).unwrap()), @r"
        NAME   N
        web    3
        db     <none>
        ");
    }

    #[test]
    fn a_column_that_is_not_valid_is_an_error() {
        for wrong in ["", "NAME", "NAME:", ":.a", "A:.a,", "A:.a[x]", "A:{.a"] {
            assert!(CustomColumns::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "A B\n.a\n", "A\n.a[x]\n"] {
            assert!(CustomColumns::parse_file(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            CustomColumns::parse("A:.a[x]").unwrap_err().message,
            "JSONPath, column 4: [x] is no index: write [0], [1:3], [*], ['field'] or [?(@.field==\"text\")]\n  \
             .a[x]\n     ^"
        );
    }
}
