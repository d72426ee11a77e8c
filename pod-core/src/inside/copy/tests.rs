use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// A container's root and a folder of the host beside it.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["root/data", "host"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        Self { dir }
    }
    fn inside(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }
    fn host(&self, path: &str) -> PathBuf {
        self.dir.path().join("host").join(path)
    }
    fn root(&self) -> ContainerRoot {
        ContainerRoot::of_folder(&self.inside(""))
    }
    fn out(&self, source: &str, target: &str) -> (Result<(), Error>, Vec<String>) {
        let mut skipped = Vec::new();
        let mut skip = |path: &Path, what: &str| skipped.push(format!("{}: {what}", path.display()));
        let done = to_host(&self.root(), Path::new(source), &self.host(target), &mut skip);
        (done, skipped)
    }
    fn copy_in(&self, source: &str, target: &str) -> (Result<(), Error>, Vec<String>) {
        let mut skipped = Vec::new();
        let mut skip = |path: &Path, what: &str| skipped.push(format!("{}: {what}", path.display()));
        let done = to_container(&self.root(), &self.host(source), Path::new(target), &mut skip);
        (done, skipped)
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn fifo(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

#[test]
fn a_file_is_copied_out_under_a_name_and_into_a_folder() {
    let machine = Machine::new();
    write(&machine.inside("data/a"), "text", 0o640);
    machine.out("/data/a", "copy").0.unwrap();
    machine.out("data/a", "").0.unwrap();
    assert_eq!((text(&machine.host("copy")), mode(&machine.host("copy"))), ("text".to_owned(), 0o640));
    assert_eq!(text(&machine.host("a")), "text");
    // An existing file is replaced.
    write(&machine.inside("data/a"), "new", 0o640);
    machine.out("/data/a", "copy").0.unwrap();
    assert_eq!(text(&machine.host("copy")), "new");
    assert!(machine.out("/data/a", "absent/").0.is_err());
    let message = machine.out("/data/absent", "x").0.unwrap_err().to_string();
    assert_eq!(message, "open /data/absent");
}

#[test]
fn the_contents_of_a_folder_are_merged_into_one_that_exists_as_kubectl_does() {
    let machine = Machine::new();
    write(&machine.inside("data/sub/a"), "text", 0o600);
    machine.out("/data", "copy").0.unwrap();
    assert_eq!(text(&machine.host("copy/sub/a")), "text");
    machine.out("/data", "copy").0.unwrap();
    assert!(!machine.host("copy/data").exists());
    machine.out("/data", "").0.unwrap();
    assert_eq!(text(&machine.host("sub/a")), "text");
}

#[test]
fn no_link_of_a_container_leads_out_of_it() {
    let machine = Machine::new();
    write(&machine.dir.path().join("secret"), "of the host", 0o600);
    write(&machine.inside("secret"), "of the container", 0o600);
    symlink("/secret", machine.inside("data/absolute")).unwrap();
    symlink("../../../../secret", machine.inside("data/climbing")).unwrap();
    symlink(machine.dir.path().join("secret"), machine.inside("data/outside")).unwrap();
    for source in ["/data/absolute", "/data/climbing", "../../../secret"] {
        machine.out(source, "copy").0.unwrap();
        assert_eq!(text(&machine.host("copy")), "of the container", "{source}");
    }
    assert!(machine.out("/data/outside", "copy").0.is_err());
}

#[test]
fn links_devices_and_set_user_id_bits_of_a_container_do_not_come_out() {
    let machine = Machine::new();
    symlink("/etc/passwd", machine.inside("data/link")).unwrap();
    fifo(&machine.inside("data/fifo"));
    write(&machine.inside("data/tool"), "x", 0o4755);
    let (done, mut skipped) = machine.out("/data", "copy");
    done.unwrap();
    skipped.sort();
    assert_eq!(skipped, ["copy/fifo: neither a file nor a folder", "copy/link: a link to /etc/passwd"]);
    assert_eq!(mode(&machine.host("copy/tool")), 0o755);
    assert!(matches!(machine.out("/data/fifo", "x").0, Err(Error::Special(_))));
}

#[test]
fn what_is_copied_in_lands_in_a_folder_or_under_a_new_name() {
    let machine = Machine::new();
    write(&machine.host("tree/sub/a"), "text", 0o751);
    symlink("sub/a", machine.host("tree/link")).unwrap();
    machine.copy_in("tree", "/data").0.unwrap();
    machine.copy_in("tree", "/new").0.unwrap();
    machine.copy_in("tree/.", "/data").0.unwrap();
    for path in ["data/tree", "new", "data"] {
        assert_eq!(text(&machine.inside(path).join("sub/a")), "text", "{path}");
        assert_eq!(mode(&machine.inside(path).join("sub/a")), 0o751, "{path}");
        let link = fs::read_link(machine.inside(path).join("link")).unwrap();
        assert_eq!(link, Path::new("sub/a"), "{path}");
    }
    machine.copy_in("tree/sub/a", "/data/b").0.unwrap();
    machine.copy_in("tree/sub/a", "/data/").0.unwrap();
    assert_eq!(text(&machine.inside("data/b")), "text");
    assert_eq!(text(&machine.inside("data/a")), "text");
    assert!(matches!(machine.copy_in("tree", "/data/b").0, Err(Error::Exists { .. })));
    assert!(machine.copy_in("tree/sub/a", "/absent/x").0.is_err());
    assert!(machine.copy_in("tree/sub/a", "/absent/").0.is_err());
}

#[test]
fn a_file_that_a_link_of_the_container_leads_to_is_written_inside_of_it() {
    let machine = Machine::new();
    write(&machine.host("a"), "new", 0o644);
    write(&machine.inside("real"), "old", 0o600);
    symlink("/real", machine.inside("data/link")).unwrap();
    machine.copy_in("a", "/data/link").0.unwrap();
    assert_eq!(text(&machine.inside("real")), "new");
    assert_eq!(fs::read_link(machine.inside("data/link")).unwrap(), Path::new("/real"));
}

#[test]
fn a_copy_into_a_hostile_folder_writes_nothing_outside_of_it() {
    let machine = Machine::new();
    let outside = machine.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    write(&outside.join("kept"), "kept", 0o600);
    write(&machine.host("tree/sub/a"), "text", 0o644);
    write(&machine.host("tree/b"), "text", 0o644);
    // A folder that is a link out.
    fs::create_dir(machine.inside("data/tree")).unwrap();
    symlink(&outside, machine.inside("data/tree/sub")).unwrap();
    let (done, _) = machine.copy_in("tree", "/data");
    assert!(matches!(done, Err(Error::Exists { wanted: "folder", .. })), "{done:?}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    // A file that is a link out is replaced.
    fs::remove_file(machine.inside("data/tree/sub")).unwrap();
    let _ = fs::remove_file(machine.inside("data/tree/b"));
    symlink(outside.join("kept"), machine.inside("data/tree/b")).unwrap();
    machine.copy_in("tree", "/data").0.unwrap();
    assert_eq!(text(&outside.join("kept")), "kept");
    assert!(fs::symlink_metadata(machine.inside("data/tree/b")).unwrap().is_file());
    // A FIFO is not opened, which would block.
    fs::remove_file(machine.inside("data/tree/b")).unwrap();
    fifo(&machine.inside("data/tree/b"));
    assert!(matches!(machine.copy_in("tree", "/data").0, Err(Error::Exists { wanted: "file", .. })));
    assert!(matches!(machine.copy_in("tree/b", "/data/tree/b").0, Err(Error::Special(_))));
}

#[test]
fn an_archive_that_is_written_can_be_unpacked() {
    let machine = Machine::new();
    write(&machine.inside("data/sub/a"), "text", 0o751);
    symlink("sub/a", machine.inside("data/link")).unwrap();
    let mut bytes = Vec::new();
    to_archive(&machine.root(), Path::new("/data"), &mut bytes, &mut |_, _| {}).unwrap();
    fs::create_dir(machine.inside("new")).unwrap();
    from_archive(&machine.root(), &mut bytes.as_slice(), Path::new("/new"), &mut |_, _| {}).unwrap();
    assert_eq!(text(&machine.inside("new/data/sub/a")), "text");
    assert_eq!(mode(&machine.inside("new/data/sub/a")), 0o751);
    assert_eq!(fs::read_link(machine.inside("new/data/link")).unwrap(), Path::new("sub/a"));
}

#[test]
fn an_archive_that_leads_out_is_refused() {
    let machine = Machine::new();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(1);
    let name = b"../../host/evil";
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_cksum();
    builder.append(&header, &b"x"[..]).unwrap();
    let bytes = builder.into_inner().unwrap();
    let refused =
        from_archive(&machine.root(), &mut bytes.as_slice(), Path::new("/data"), &mut |_, _| {}).unwrap_err();
    assert!(matches!(refused, Error::LeadsOut(_)), "{refused:?}");
    assert!(!machine.host("evil").exists());
}
