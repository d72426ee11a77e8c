//! Selects the image for this machine from several.

use super::manifests::{Descriptor, Platform};

impl Platform {
    /// Parses `os/arch[/variant]`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let platform = Self {
            os: parts.next()?.to_owned(),
            architecture: parts.next()?.to_owned(),
            variant: parts.next().unwrap_or_default().to_owned(),
        };
        let complete = !platform.os.is_empty() && !platform.architecture.is_empty() && parts.next().is_none();
        complete.then_some(platform.normalized())
    }

    /// Returns `os/arch[/variant]`.
    pub(super) fn text(&self) -> String {
        if self.variant.is_empty() {
            format!("{}/{}", self.os, self.architecture)
        } else {
            format!("{}/{}/{}", self.os, self.architecture, self.variant)
        }
    }

    /// Replaces other names of an architecture by Go's, and removes the variant where there is only one.
    fn normalized(mut self) -> Self {
        let (architecture, variant) = match (self.architecture.as_str(), self.variant.as_str()) {
            ("x86_64" | "x86-64" | "amd64", "v1") | ("x86_64" | "x86-64", "") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "" | "v8" | "8") => ("arm64", ""),
            ("arm", "" | "7") => ("arm", "v7"),
            ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            ("i386" | "i686" | "x86", variant) => ("386", variant),
            (architecture, variant) => (architecture, variant),
        };
        (self.architecture, self.variant) = (architecture.to_owned(), variant.to_owned());
        self
    }

    /// Returns how well an image for `other` runs here: a lower number is better, `None` means not at all.
    fn rank(&self, other: &Self) -> Option<usize> {
        if self.os != other.os || self.architecture != other.architecture {
            return None;
        }
        let order: &[&str] = match (self.architecture.as_str(), self.variant.as_str()) {
            ("arm", "v7") => &["v7", "v6", "v5"],
            ("arm", "v6") => &["v6", "v5"],
            (_, variant) if variant == other.variant => return Some(0),
            ("amd64", "") => &[""],
            _ => &["", "v8"],
        };
        order.iter().position(|v| *v == other.variant)
    }
}

/// Returns the platform of this program.
pub(super) fn this_machine() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86" => "386",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        other => other,
    };
    Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: String::new() }
        .normalized()
}

/// Returns the best entry of an index for a platform. Entries that are not images (attestations) never match.
pub(super) fn select<'a>(manifests: &'a [Descriptor], wanted: &Platform) -> Option<&'a Descriptor> {
    best(manifests, wanted)
}

fn best<'a>(
    manifests: impl IntoIterator<Item = &'a Descriptor>,
    wanted: &Platform,
) -> Option<&'a Descriptor> {
    manifests
        .into_iter()
        .filter_map(|d| {
            let platform = d.platform.clone().unwrap_or_default().normalized();
            Some((wanted.rank(&platform)?, d))
        })
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, d)| d)
}

/// Returns the images in an archive's index that are for `wanted`. Entries with the same name are one image for several
/// platforms, of which the best is taken. Entries without a name are treated as one image too, unless two of them are
/// for the same platform or one names no platform: then they are separate images, and those for other platforms are
/// left out. `None` if an image has no matching entry.
pub(super) fn of_archive<'a>(
    manifests: &'a [Descriptor],
    name: impl Fn(&Descriptor) -> Option<&String>,
    wanted: &Platform,
) -> Option<Vec<&'a Descriptor>> {
    let mut groups: Vec<Vec<&Descriptor>> = Vec::new();
    for descriptor in manifests {
        match groups
            .iter_mut()
            .find(|group| group.first().is_some_and(|first| name(first) == name(descriptor)))
        {
            Some(group) => group.push(descriptor),
            None => groups.push(vec![descriptor]),
        }
    }
    let mut chosen = Vec::new();
    for group in groups {
        let mut platforms: Vec<String> =
            group.iter().filter_map(|d| Some(d.platform.clone()?.normalized().text())).collect();
        platforms.sort();
        platforms.dedup();
        let runs =
            |d: &&&Descriptor| d.platform.clone().is_none_or(|p| wanted.rank(&p.normalized()).is_some());
        let before = chosen.len();
        if group.len() == 1 {
            chosen.extend(group);
        } else if platforms.len() == group.len() {
            chosen.extend(best(group, wanted));
        } else {
            chosen.extend(group.iter().filter(runs).copied());
        }
        if chosen.len() == before {
            return None;
        }
    }
    Some(chosen)
}

/// Returns the platforms that an index has, for a message.
pub(super) fn available(manifests: &[Descriptor]) -> String {
    let mut names: Vec<String> = manifests
        .iter()
        .filter_map(|d| d.platform.as_ref())
        .filter(|p| p.os != "unknown" && !p.os.is_empty())
        .map(Platform::text)
        .collect();
    names.sort();
    names.dedup();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;

    fn index(platforms: &[&str]) -> Vec<Descriptor> {
        let make = |text: &&str| {
            let mut parts = text.split('/').map(str::to_owned);
            let mut d = Descriptor::new("", Digest::of(text.as_bytes()), 1);
            d.platform = Some(Platform {
                os: parts.next().unwrap(),
                architecture: parts.next().unwrap(),
                variant: parts.next().unwrap_or_default(),
            });
            d
        };
        platforms.iter().map(make).collect()
    }

    fn chosen(platforms: &[&str], wanted: &str) -> Option<String> {
        select(&index(platforms), &Platform::parse(wanted).unwrap())
            .and_then(|d| d.platform.as_ref())
            .map(Platform::text)
    }

    #[test]
    fn the_best_variant_that_runs_is_chosen() {
        let all = [
            "linux/arm/v5",
            "linux/amd64",
            "linux/arm/v6",
            "linux/arm64/v8",
            "unknown/unknown",
            "linux/arm/v7",
        ];
        assert_eq!(chosen(&all, "linux/amd64").as_deref(), Some("linux/amd64"));
        assert_eq!(chosen(&all, "linux/x86_64").as_deref(), Some("linux/amd64"));
        assert_eq!(chosen(&all, "linux/arm64").as_deref(), Some("linux/arm64/v8"));
        assert_eq!(chosen(&all, "linux/arm/v7").as_deref(), Some("linux/arm/v7"));
        assert_eq!(chosen(&all, "linux/arm/v6").as_deref(), Some("linux/arm/v6"));
        assert_eq!(chosen(&all[..3], "linux/arm/v7").as_deref(), Some("linux/arm/v6"));
        assert_eq!(chosen(&all, "linux/s390x"), None);
        assert_eq!(chosen(&["windows/amd64"], "linux/amd64"), None);
        assert_eq!(available(&index(&all[1..5])), "linux/amd64, linux/arm/v6, linux/arm64/v8");
    }

    #[test]
    fn an_archive_gives_the_images_of_the_platform() {
        let taken = |entries: &[(&str, &str)]| {
            let texts: Vec<&str> = entries.iter().map(|(_, platform)| *platform).collect();
            let mut all = index(&texts);
            for (descriptor, (name, platform)) in all.iter_mut().zip(entries) {
                if !name.is_empty() {
                    descriptor.annotations.insert("name".to_owned(), (*name).to_owned());
                }
                if platform.starts_with('-') {
                    descriptor.platform = None;
                }
            }
            let wanted = Platform::parse("linux/amd64").unwrap();
            let chosen = of_archive(&all, |d| d.annotations.get("name"), &wanted)?;
            let place = |d: &&Descriptor| all.iter().position(|other| std::ptr::eq(other, *d)).unwrap();
            Some(chosen.iter().map(place).collect::<Vec<_>>())
        };
        let (arm, amd, none) = ("linux/arm64", "linux/amd64", "unknown/unknown");
        assert_eq!(taken(&[("a", arm), ("a", amd), ("a", none)]), Some(vec![1]));
        assert_eq!(taken(&[("", arm), ("", amd), ("", none)]), Some(vec![1]));
        assert_eq!(taken(&[("a", arm), ("a", amd), ("b", amd), ("b", arm)]), Some(vec![1, 2]));
        assert_eq!(taken(&[("a", arm), ("a", "linux/s390x")]), None);
        // Separate images; and a single image for another machine, which is loaded because it was asked for.
        assert_eq!(taken(&[("", amd), ("", amd), ("", arm)]), Some(vec![0, 1]));
        assert_eq!(taken(&[("", "-/1"), ("", "-/2")]), Some(vec![0, 1]));
        assert_eq!(taken(&[("a", arm)]), Some(vec![0]));
        assert_eq!(taken(&[]), Some(vec![]));
    }

    #[test]
    fn what_is_no_platform_is_refused() {
        for bad in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x"] {
            assert!(Platform::parse(bad).is_none(), "{bad}");
        }
    }
}
