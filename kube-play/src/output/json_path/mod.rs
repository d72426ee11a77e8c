//! Templates of JSONPath in the dialect of kubectl: `{range .items[*]}{.metadata.name}{"\n"}{end}`.
//!
//! The dialect is not that of RFC 9535: expressions are in braces, text around them is copied, a field may be written
//! with escapes (`kubernetes\.io/os`), `['a.b']` is a path, and an index that does not exist is an error. Source: the
//! Kubernetes documentation, "JSONPath Support", and k8s.io/client-go/util/jsonpath. [`parse`] reads a template,
//! [`eval`] applies it to an object.

mod eval;
mod parse;

use std::borrow::Cow;

use serde_json::Value;

/// A template: texts and expressions.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Vec<Part>);

/// An expression that selects values, without text around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// Text outside of braces.
    Text(String),
    /// `{...}`
    Expression(Vec<Step>),
    /// `{range ...}` up to its `{end}`.
    Range(Vec<Step>, Vec<Part>),
}

/// A step of an expression. It is applied to every value that the step before it has selected.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// `.name`
    Field(String),
    /// `.*`
    Wildcard,
    /// `..`: the value and everything below it.
    Recursive,
    /// `[0]`, `[-1]`
    Index(i64),
    /// `[1:3]`, `[::2]`, `[*]`
    Slice(Slice),
    /// `[?(@.a == "b")]`
    Filter(Filter),
    /// `[0,2]`, `['a','b']`
    Union(Vec<Vec<Self>>),
    /// A text, a number, `true` or `false`.
    Literal(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Slice {
    start: Option<i64>,
    end: Option<i64>,
    step: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
enum Filter {
    /// Elements for which the expression selects something.
    Exists(Vec<Step>),
    /// Elements for which the comparison holds.
    Compare(Vec<Step>, Operator, Vec<Step>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    const ALL: [(&'static str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<", Self::Less),
        ("<=", Self::LessOrEqual),
        (">", Self::Greater),
        (">=", Self::GreaterOrEqual),
    ];
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct SyntaxError {
    /// The column of the mistake in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong in a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A bracket, brace, quote or range has no end.
    #[error("this {0} has no end")]
    Unclosed(&'static str),
    /// `{end}` without `{range}`.
    #[error("there is no {{range}} that this {{end}} could end")]
    EndWithoutRange,
    /// A word in braces that is neither `range` nor `end`.
    #[error("{0:?} is no expression: a field is written .{0}, a text \"{0}\"")]
    Word(String),
    /// A character that cannot be here.
    #[error("{0:?} cannot be here")]
    Character(char),
    /// A field without a name.
    #[error("a field needs a name")]
    NoField,
    /// `.. ..`
    #[error("'..' cannot follow '..'")]
    TwoDescents,
    /// The text in brackets is neither an index, a slice, a field in quotes nor a filter.
    #[error("[{0}] is no index: write [0], [1:3], [*], ['field'] or [?(@.field==\"text\")]")]
    Index(String),
    /// The step of a slice is not positive.
    #[error("the step of a slice must be positive")]
    Step,
    /// The comparison in a filter is unknown.
    #[error("{0:?} compares nothing: write ==, !=, <, <=, > or >=")]
    Operator(String),
    /// A filter without an expression.
    #[error("a filter needs an expression")]
    EmptyFilter,
    /// An escape in a text is unknown.
    #[error("the escape \\{0} does not exist")]
    Escape(char),
    /// A number that cannot be read.
    #[error("{0:?} is no number")]
    Number(String),
}

/// Why a template cannot be applied to an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// An index or a slice is applied to a value that is no array.
    #[error("{0} is not an array, and has no element {1}")]
    NotAnArray(&'static str, String),
    /// A filter is applied to a value that is no array.
    #[error("{0} is not an array and cannot be filtered")]
    NotFilterable(&'static str),
    /// An index does not exist.
    #[error("array index out of bounds: index {index}, length {length}")]
    OutOfBounds {
        /// The index.
        index: i64,
        /// The length of the array.
        length: usize,
    },
    /// A slice ends before it begins.
    #[error("starting index {0} is greater than ending index {1}")]
    EmptySlice(i64, i64),
    /// A side of a comparison selects several values.
    #[error("can only compare one element at a time")]
    SeveralElements,
    /// Values of different types are compared.
    #[error("incompatible types for comparison: {0} and {1}")]
    Incomparable(&'static str, &'static str),
}

impl Template {
    /// Parses a template. As a convenience, a single expression may be written without its braces: `.metadata.name`.
    ///
    /// # Errors
    /// The text is not a template.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        if text.starts_with(['.', '$']) && !text.contains(['{', '}']) {
            return Ok(Self(vec![Part::Expression(parse::expression(text)?)]));
        }
        parse::template(text)
    }

    /// Returns the text that the template makes of an object.
    ///
    /// # Errors
    /// The template does not fit the object. A field that is missing is no error.
    pub fn render(&self, object: &Value) -> Result<String, EvalError> {
        let mut text = String::new();
        eval::parts(&self.0, object, &mut text)?;
        Ok(text)
    }
}

impl Path {
    /// Parses an expression as `--sort-by` and custom columns write it: `.a.b`, `a.b`, `{.a.b}` or `{a.b}`.
    ///
    /// # Errors
    /// The text is not an expression.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let (inner, offset) = match text.strip_prefix('{') {
            Some(rest) => match rest.strip_suffix('}') {
                Some(inner) => (inner, 1),
                None => return Err(SyntaxError { column: 1, problem: Problem::Unclosed("brace") }),
            },
            None => (text, 0),
        };
        if let Some(at) = inner.chars().position(|c| c == '{' || c == '}') {
            let character = inner.chars().nth(at).unwrap_or('{');
            return Err(SyntaxError { column: at + offset + 1, problem: Problem::Character(character) });
        }
        let shift = |error: SyntaxError, by: usize| SyntaxError {
            column: (error.column + offset).saturating_sub(by),
            problem: error.problem,
        };
        if inner.starts_with(['.', '$', '@', '[']) {
            return parse::expression(inner).map(Self).map_err(|error| shift(error, 0));
        }
        parse::expression(&format!(".{inner}")).map(Self).map_err(|error| shift(error, 1))
    }

    /// Returns the values that the expression selects.
    ///
    /// # Errors
    /// The expression does not fit the object. A field that is missing is no error.
    pub fn select<'a>(&self, object: &'a Value) -> Result<Vec<Cow<'a, Value>>, EvalError> {
        eval::steps(&self.0, vec![Cow::Borrowed(object)])
    }
}

/// Returns a value as kubectl prints it: a text without quotes, an object or array as JSON.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
