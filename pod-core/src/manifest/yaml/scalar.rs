//! Resolves scalars by the rules of YAML 1.1 as Go's yaml.v2 (and therefore kubectl) reads it.

use super::Scalar;
use super::node::Value;
use crate::manifest::escape;

/// Resolves a plain (unquoted, untagged) scalar.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) || text.len() > 400 {
        return Value::String;
    }
    if text.starts_with('.') {
        return float(text).map_or(Value::String, Value::Float);
    }
    let plain: String = text.chars().filter(|&c| c != '_').collect();
    if let Some(value) = integer(&plain) {
        return Value::Int(value);
    }
    float(&plain).map_or(Value::String, Value::Float)
}

/// Why a tag does not fit its scalar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TagError {
    /// The text does not have the tag's type.
    #[error("!!{tag} is given, and this is not {wanted}")]
    Mismatch { tag: String, wanted: &'static str },
    /// Kubernetes does not know the tag.
    #[error("the tag {} is not one that Kubernetes knows", escape(.0))]
    Unknown(String),
    /// The tag is for collections, or unknown.
    #[error("the tag !!{} is not one that a scalar can have", escape(.0))]
    NotOfScalars(String),
}

/// Resolves a scalar with an explicit tag: `!!int "3"`. `tag` is the part after `tag:yaml.org,2002:`.
///
/// # Errors
/// The text does not have the tag's type.
pub(super) fn resolve_tagged(tag: &str, text: String) -> Result<Scalar, TagError> {
    let wrong = |wanted| Err(TagError::Mismatch { tag: tag.to_owned(), wanted });
    let value = match tag {
        "str" => Value::String,
        "binary" => {
            use base64::Engine as _;
            let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            let bytes = base64::engine::general_purpose::STANDARD.decode(compact).ok();
            return match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
                Some(text) => Ok(Scalar { text, value: Value::String }),
                None => wrong("base64 of UTF-8 text"),
            };
        }
        "null" => match resolve(&text) {
            Value::Null => Value::Null,
            _ => return wrong("null"),
        },
        "bool" => match resolve(&text) {
            value @ Value::Bool(_) => value,
            _ => return wrong("a boolean"),
        },
        "int" => match resolve(&text) {
            value @ Value::Int(_) => value,
            _ => return wrong("an integer"),
        },
        "float" => match resolve(&text) {
            value @ Value::Float(_) => value,
            #[allow(clippy::cast_precision_loss)] // what !!float asks for
            Value::Int(value) => Value::Float(value as f64),
            _ => return wrong("a number"),
        },
        // Manifests of Kubernetes have no dates, so it stays text.
        "timestamp" => Value::String,
        _ => return Err(TagError::NotOfScalars(tag.to_owned())),
    };
    Ok(Scalar { text, value })
}

/// Parses an integer like Go's strconv.ParseInt with base 0: decimal, `0x`, `0b`, `0o`, and octal with a leading zero.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let prefixed = |prefix: &str| {
        digits.get(..2).filter(|start| start.eq_ignore_ascii_case(prefix)).and_then(|_| digits.get(2..))
    };
    let (radix, digits) = if let Some(rest) = prefixed("0x") {
        (16, rest)
    } else if let Some(rest) = prefixed("0b") {
        (2, rest)
    } else if let Some(rest) = prefixed("0o") {
        (8, rest)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, digits.get(1..)?)
    } else {
        (10, digits)
    };
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -value } else { value };
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(value)
}

/// Parses `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn float(text: &str) -> Option<f64> {
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (rest.get(..at)?, Some(rest.get(at + 1..)?)),
        None => (rest, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if let Some(exponent) = exponent {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if exponent.is_empty() || !digits(exponent) {
            return None;
        }
    }
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_mean_what_kubectl_takes_them_for() {
        for (text, expected) in [
            ("0644", Value::Int(420)),
            ("0o644", Value::Int(420)),
            ("0O644", Value::Int(420)),
            ("420", Value::Int(420)),
            ("+5", Value::Int(5)),
            ("-0x1f", Value::Int(-31)),
            ("0b101", Value::Int(5)),
            ("1_000", Value::Int(1000)),
            ("0", Value::Int(0)),
            ("00", Value::Int(0)),
            ("18446744073709551615", Value::Int(u64::MAX.into())),
            ("18446744073709551616", Value::Float(18_446_744_073_709_551_616.0)),
            ("08", Value::Float(8.0)),
            ("1.5", Value::Float(1.5)),
            (".5", Value::Float(0.5)),
            ("1.", Value::Float(1.0)),
            ("1e3", Value::Float(1000.0)),
            ("-1E-3", Value::Float(-0.001)),
            ("yes", Value::Bool(true)),
            ("On", Value::Bool(true)),
            ("y", Value::Bool(true)),
            ("NO", Value::Bool(false)),
            ("off", Value::Bool(false)),
            ("~", Value::Null),
            ("", Value::Null),
            ("yEs", Value::String),
            ("1Gi", Value::String),
            ("500m", Value::String),
            ("0x", Value::String),
            ("--1", Value::String),
            ("+-1", Value::String),
            ("0x-1", Value::String),
            ("-", Value::String),
            (".", Value::String),
            ("1.2.3", Value::String),
            ("12:30", Value::String),
            ("2001-01-01", Value::String),
            ("1e", Value::String),
            ("inf", Value::String),
            ("infinity", Value::String),
        ] {
            assert_eq!(resolve(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_tag_decides() {
        let tagged = |tag, text: &str| resolve_tagged(tag, text.to_owned()).map(|s| (s.text, s.value));
        assert_eq!(tagged("str", "1"), Ok(("1".into(), Value::String)));
        assert_eq!(tagged("int", "0644"), Ok(("0644".into(), Value::Int(420))));
        assert_eq!(tagged("binary", "aGk="), Ok(("hi".into(), Value::String)));
        assert!(tagged("int", "x").is_err());
        assert!(tagged("set", "x").is_err());
    }
}
