//! Expands `$(VAR)` in env values, command and args.

/// Expands references as Kubernetes does: `$(NAME)` becomes the variable's value, `$$` is a literal `$`, and an
/// unknown or unfinished reference is left as it is. Inserted values are not expanded again.
pub fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    walk(text, |part, name| out.push_str(name.and_then(&lookup).unwrap_or(part)));
    out
}

/// Returns the length of the result of [`expand`], computed from the lengths of the variables. If each variable refers
/// ten times to the one before, the length grows by powers of ten, so it must be checked before expanding.
pub fn expanded_length(text: &str, lookup: impl Fn(&str) -> Option<usize>) -> usize {
    let mut length = 0_usize;
    walk(text, |part, name| {
        length = length.saturating_add(name.and_then(&lookup).unwrap_or(part.len()));
    });
    length
}

/// Visits the parts of a text in order, each with the name of the variable if it is a reference.
fn walk<'a>(text: &'a str, mut visit: impl FnMut(&'a str, Option<&'a str>)) {
    let mut rest = text;
    // The last `)` is searched only once. Otherwise each reference that is not closed would cause a search to the end
    // of the text.
    let last = text.rfind(')').unwrap_or_default();
    let closed = |rest: &str| text.len() - rest.len() <= last;
    while let Some(at) = rest.find('$') {
        let (before, dollar) = rest.split_at(at);
        visit(before, None);
        let after = dollar.get(1..).unwrap_or_default();
        if let Some(tail) = after.strip_prefix('$') {
            visit("$", None);
            rest = tail;
        } else if let Some((name, tail)) =
            after.strip_prefix('(').filter(|r| closed(r)).and_then(|r| r.split_once(')'))
        {
            let whole = dollar.len() - tail.len();
            visit(dollar.get(..whole).unwrap_or_default(), Some(name));
            rest = tail;
        } else {
            visit("$", None);
            rest = after;
        }
    }
    visit(rest, None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_a(text: &str) -> String {
        expand(text, |name| match name {
            "A" => Some("1"),
            "REF" => Some("$(A)"),
            _ => None,
        })
    }

    #[test]
    fn references_escapes_and_leftovers() {
        for (text, expected) in [
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$(A)", "$$(A)"),
            ("$(B)", "$(B)"),
            ("$(A", "$(A"),
            ("$A ${A}", "$A ${A}"),
            ("$()", "$()"),
            ("$", "$"),
            ("$$", "$"),
            ("$(REF)", "$(A)"),
            ("$($(A))", "$($(A))"),
            ("ü$(A)ü", "ü1ü"),
        ] {
            assert_eq!(with_a(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_without_a_dollar_is_unchanged(text in "[^$]*") {
            prop_assert_eq!(with_a(&text), text);
        }

        #[test]
        fn escaping_every_dollar_gives_the_text_back(text in ".*") {
            prop_assert_eq!(with_a(&text.replace('$', "$$")), text);
        }

        #[test]
        fn with_no_variables_only_double_dollars_change(text in "[$()A-C]*") {
            let expanded = expand(&text, |_| None);
            if text.contains("$$") {
                prop_assert!(expanded.len() <= text.len());
            } else {
                prop_assert_eq!(expanded, text);
            }
        }

        #[test]
        fn the_length_is_computed_without_expanding(text in "[$()A-C]*", value in "[a-z]{0,9}") {
            let lookup = |name: &str| (name == "A").then_some(value.as_str());
            let length = expanded_length(&text, |name| lookup(name).map(str::len));
            prop_assert_eq!(length, expand(&text, lookup).len());
        }

        #[test]
        fn a_value_is_put_in_verbatim(value in ".*", before in "[^$]*", after in "[^$]*") {
            let text = format!("{before}$(X){after}");
            let expanded = expand(&text, |n| (n == "X").then_some(value.as_str()));
            prop_assert_eq!(expanded, format!("{before}{value}{after}"));
        }
    }
}
