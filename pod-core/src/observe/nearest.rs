//! Finds the name that a user probably meant.

/// Returns the name that `wrong` was probably meant to be: `wrong` is the beginning of it or differs in a letter or
/// two.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| match name.starts_with(wrong) {
        true => 0,
        false => strsim::damerau_levenshtein(wrong, name),
    };
    let allowed = (wrong.len() / 3).max(1);
    let near =
        names.into_iter().map(|name| (distance(name), name)).filter(|(distance, _)| *distance <= allowed);
    near.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_or_a_missing_end_is_corrected() {
        for (wrong, meant) in
            [("wbe", Some("web")), ("we", Some("web")), ("d", Some("db")), ("x", None), ("webserver", None)]
        {
            assert_eq!(nearest(wrong, ["web", "db"]), meant, "{wrong}");
        }
    }
}
