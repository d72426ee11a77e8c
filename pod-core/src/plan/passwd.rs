//! Parses /etc/passwd and /etc/group, see passwd(5) and group(5). Invalid lines are skipped.

/// A line of /etc/passwd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswdEntry<'a> {
    pub name: &'a str,
    pub uid: u32,
    pub gid: u32,
    pub home: &'a str,
}

/// A line of /etc/group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupEntry<'a> {
    pub name: &'a str,
    pub gid: u32,
    pub members: Vec<&'a str>,
}

pub fn passwd(text: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|n| !n.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or_default();
        Some(PasswdEntry { name, uid, gid, home })
    })
}

pub fn group(text: &str) -> impl Iterator<Item = GroupEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|n| !n.is_empty())?;
        let gid = fields.nth(1)?.parse().ok()?;
        let members = fields.next().unwrap_or_default();
        Some(GroupEntry { name, gid, members: members.split(',').filter(|m| !m.is_empty()).collect() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_lines_are_skipped() {
        let text = "root:x:0:0:root:/root:/bin/sh\n# comment\nbad:x:y:0::/:\n\nshort:x:5\napp:x:1000:100::/app\n+::::::\n";
        let found: Vec<_> = passwd(text).map(|e| (e.name, e.uid, e.gid, e.home)).collect();
        assert_eq!(found, [("root", 0, 0, "/root"), ("app", 1000, 100, "/app")]);
        let groups: Vec<_> = group("wheel:x:10:root,app\nbad\nempty:x:11:\n").collect();
        assert_eq!(groups[0].members, ["root", "app"]);
        assert!(groups[1].members.is_empty());
    }
}
