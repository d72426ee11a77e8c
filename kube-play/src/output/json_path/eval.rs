//! Applies templates and expressions to objects.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::{EvalError, Filter, Operator, Part, Slice, Step, text};

type Values<'a> = Vec<Cow<'a, Value>>;

/// Appends what the parts of a template make of an object.
pub(super) fn parts(parts: &[Part], object: &Value, out: &mut String) -> Result<(), EvalError> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Expression(expression) => {
                let found = steps(expression, vec![Cow::Borrowed(object)])?;
                let found: Vec<String> = found.iter().map(|value| text(value)).collect();
                out.push_str(&found.join(" "));
            }
            Part::Range(over, body) => {
                for value in steps(over, vec![Cow::Borrowed(object)])? {
                    self::parts(body, &value, out)?;
                }
            }
        }
    }
    Ok(())
}

/// Applies the steps of an expression to values.
pub(super) fn steps<'a>(steps: &[Step], values: Values<'a>) -> Result<Values<'a>, EvalError> {
    steps.iter().try_fold(values, |values, step| apply(step, values))
}

fn apply<'a>(step: &Step, values: Values<'a>) -> Result<Values<'a>, EvalError> {
    let mut found = Vec::new();
    match step {
        Step::Field(name) => {
            for value in values {
                found.extend(child(value, |value| value.get(name.as_str()), |owned| take(owned, name)));
            }
        }
        Step::Wildcard => values.into_iter().for_each(|value| found.extend(children(value))),
        Step::Recursive => values.into_iter().for_each(|value| descend(value, &mut found)),
        Step::Index(index) => {
            for value in values {
                found.extend(element(value, *index)?);
            }
        }
        Step::Slice(range) => {
            for value in values {
                slice(value, *range, &mut found)?;
            }
        }
        Step::Filter(filter) => {
            for value in values {
                filtered(value, filter, &mut found)?;
            }
        }
        Step::Union(parts) => {
            for part in parts {
                found.extend(steps(part, values.clone())?);
            }
        }
        Step::Literal(literal) => found.extend(values.iter().map(|_| Cow::Owned(literal.clone()))),
    }
    Ok(found)
}

/// Returns a part of a value, borrowed if the value is.
fn child<'a>(
    value: Cow<'a, Value>,
    borrowed: impl Fn(&'a Value) -> Option<&'a Value>,
    owned: impl Fn(Value) -> Option<Value>,
) -> Option<Cow<'a, Value>> {
    match value {
        Cow::Borrowed(value) => borrowed(value).map(Cow::Borrowed),
        Cow::Owned(value) => owned(value).map(Cow::Owned),
    }
}

fn take(value: Value, name: &str) -> Option<Value> {
    match value {
        Value::Object(mut fields) => fields.remove(name),
        _ => None,
    }
}

fn children(value: Cow<'_, Value>) -> Values<'_> {
    match value {
        Cow::Borrowed(Value::Array(elements)) => elements.iter().map(Cow::Borrowed).collect(),
        Cow::Borrowed(Value::Object(fields)) => fields.values().map(Cow::Borrowed).collect(),
        Cow::Owned(Value::Array(elements)) => elements.into_iter().map(Cow::Owned).collect(),
        Cow::Owned(Value::Object(fields)) => fields.into_iter().map(|(_, value)| Cow::Owned(value)).collect(),
        _ => Vec::new(),
    }
}

/// Adds a value and everything below it that has parts itself.
fn descend<'a>(value: Cow<'a, Value>, found: &mut Values<'a>) {
    let below = children(value.clone());
    if below.is_empty() {
        return;
    }
    found.push(value);
    for child in below {
        descend(child, found);
    }
}

/// Returns the elements of an array; none for `null`.
fn elements(
    value: Cow<'_, Value>,
    error: impl FnOnce(&'static str) -> EvalError,
) -> Result<Option<Values<'_>>, EvalError> {
    match &*value {
        Value::Null => Ok(None),
        Value::Array(_) => Ok(Some(children(value))),
        other => Err(error(type_of(other))),
    }
}

fn element(value: Cow<'_, Value>, index: i64) -> Result<Option<Cow<'_, Value>>, EvalError> {
    let not_an_array = |what| EvalError::NotAnArray(what, index.to_string());
    let Some(mut all) = elements(value, not_an_array)? else { return Ok(None) };
    let length = all.len();
    let at = from_end(index, length);
    let out_of_bounds = EvalError::OutOfBounds { index: at, length };
    let place = usize::try_from(at).ok().filter(|at| *at < length).ok_or(out_of_bounds)?;
    Ok(Some(all.swap_remove(place)))
}

/// Counts a negative index from the end.
fn from_end(index: i64, length: usize) -> i64 {
    if index < 0 { index.saturating_add_unsigned(length as u64) } else { index }
}

/// Adds the elements of a slice. Bounds that do not exist are errors, unless both are the same.
fn slice<'a>(value: Cow<'a, Value>, range: Slice, found: &mut Values<'a>) -> Result<(), EvalError> {
    let Slice { start, end, step } = range;
    let shown = || match (start, end) {
        (None, None) => "*".to_owned(),
        _ => format!(
            "{}:{}",
            start.map(|n| n.to_string()).unwrap_or_default(),
            end.map(|n| n.to_string()).unwrap_or_default()
        ),
    };
    let Some(all) = elements(value, |what| EvalError::NotAnArray(what, shown()))? else { return Ok(()) };
    let length = all.len();
    let start = from_end(start.unwrap_or(0), length);
    let end = end.map_or_else(|| i64::try_from(length).unwrap_or(i64::MAX), |end| from_end(end, length));
    if start == end {
        return Ok(());
    }
    let index_at = |index: i64, most: usize| match usize::try_from(index) {
        Ok(index) if index <= most => Ok(index),
        _ => Err(index),
    };
    let from = index_at(start, length.saturating_sub(1))
        .map_err(|index| EvalError::OutOfBounds { index, length })?;
    let to = index_at(end, length).map_err(|index| EvalError::OutOfBounds { index: index - 1, length })?;
    if from > to {
        return Err(EvalError::EmptySlice(start, end));
    }
    let step = usize::try_from(step.unwrap_or(1)).unwrap_or(1).max(1);
    found.extend(all.into_iter().take(to).skip(from).step_by(step));
    Ok(())
}

fn filtered<'a>(value: Cow<'a, Value>, filter: &Filter, found: &mut Values<'a>) -> Result<(), EvalError> {
    let Some(all) = elements(value, EvalError::NotFilterable)? else { return Ok(()) };
    for element in all {
        let passes = match filter {
            // An error in the expression means that it selects nothing.
            Filter::Exists(expression) => {
                steps(expression, vec![element.clone()]).is_ok_and(|found| !found.is_empty())
            }
            Filter::Compare(left, operator, right) => {
                let side = |expression| one(steps(expression, vec![element.clone()])?);
                match (side(left)?, side(right)?) {
                    (Some(left), Some(right)) => compare(&left, *operator, &right)?,
                    _ => false,
                }
            }
        };
        if passes {
            found.push(element);
        }
    }
    Ok(())
}

fn one(mut values: Values<'_>) -> Result<Option<Cow<'_, Value>>, EvalError> {
    if values.len() > 1 { Err(EvalError::SeveralElements) } else { Ok(values.pop()) }
}

fn compare(left: &Value, operator: Operator, right: &Value) -> Result<bool, EvalError> {
    let incomparable = || EvalError::Incomparable(type_of(left), type_of(right));
    let ordering = match (left, right) {
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.as_f64(), right.as_f64());
            left.zip(right).and_then(|(left, right)| left.partial_cmp(&right)).ok_or_else(incomparable)?
        }
        (Value::Bool(left), Value::Bool(right))
            if matches!(operator, Operator::Equal | Operator::NotEqual) =>
        {
            left.cmp(right)
        }
        _ => return Err(incomparable()),
    };
    Ok(match operator {
        Operator::Equal => ordering == Ordering::Equal,
        Operator::NotEqual => ordering != Ordering::Equal,
        Operator::Less => ordering == Ordering::Less,
        Operator::LessOrEqual => ordering != Ordering::Greater,
        Operator::Greater => ordering == Ordering::Greater,
        Operator::GreaterOrEqual => ordering != Ordering::Less,
    })
}

const fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
