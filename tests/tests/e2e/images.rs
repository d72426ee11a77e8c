//! Images from files: import, load, save, rm, prune, and hostile images.

use tests::image::{BUSYBOX, Entry, busybox_tar, tar};
use tests::{IDLE, Kube, pod};

#[test]
fn import_makes_an_image_with_a_config() {
    let kube = Kube::empty();
    let file = busybox_tar();
    kube.ok(&[
        "image",
        "import",
        file.to_str().unwrap(),
        "localhost/made:1",
        "--cmd",
        "id",
        "--env",
        "A=one",
        "--env",
        "B=two",
        "--user",
        "web",
        "--workdir",
        "/www",
    ]);
    let list = kube.ok(&["image", "ls"]);
    assert!(list.stdout.contains("localhost/made"), "{list}");
    let yaml = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  restartPolicy: Never\n  containers:\n  - name: main\n    \
                image: localhost/made:1\n    command: [sh, -c, 'id -un; pwd; echo $A $B']\n";
    kube.play_with(yaml, &["--wait=complete"]);
    assert_eq!(kube.ok(&["logs", "web"]).stdout, "web\n/www\none two\n");
}

#[test]
fn import_reads_stdin_and_compressed_tars() {
    let kube = Kube::empty();
    let file = busybox_tar();
    let packed = kube.dir().join("rootfs.tar.gz");
    let status = std::process::Command::new("sh")
        .args(["-c", &format!("gzip -1c {} >{}", file.display(), packed.display())])
        .status()
        .unwrap();
    assert!(status.success());
    kube.ok(&["image", "import", packed.to_str().unwrap(), "localhost/gz:1", "--cmd", "sh"]);
    kube.ok(&["image", "ls", "-o", "json"]);
}

#[test]
fn save_and_load_give_the_same_image_in_both_formats() {
    let kube = Kube::new();
    let id = |kube: &Kube| kube.ok(&["image", "ls", "--no-trunc", "-o", "json"]).stdout;
    for format in ["oci-archive", "docker-archive"] {
        let file = kube.dir().join(format);
        kube.ok(&["image", "save", BUSYBOX, "-o", file.to_str().unwrap(), "--format", format]);
        let other = Kube::empty();
        let output = other.ok(&["image", "load", "-i", file.to_str().unwrap()]);
        assert!(output.stdout.contains("localhost/busybox:1"), "{output}");
        other.play(&pod("web", IDLE, ""));
        assert_eq!(other.sh("web", "cat /www/index.html | head -1"), "<!doctype html>\n");
    }
    assert!(!id(&kube).is_empty());
}

#[test]
fn rm_removes_and_refuses_what_is_in_use() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    kube.run(&["image", "rm", BUSYBOX]).expect(1).complains("web");
    kube.ok(&["down", "--all"]);
    kube.ok(&["image", "rm", BUSYBOX]);
    assert_eq!(kube.ok(&["image", "ls", "-o", "name"]).stdout, "");
    let left = std::process::Command::new("du").arg("-sk").arg(kube.root().join("images")).output().unwrap();
    let kilobytes: u64 =
        String::from_utf8_lossy(&left.stdout).split_whitespace().next().unwrap().parse().unwrap();
    assert!(kilobytes < 300, "{kilobytes} kB are left of an image that was removed");
}

#[test]
fn prune_removes_what_no_pod_uses() {
    let kube = Kube::new();
    let small = kube.file("small.tar", tar(&[Entry::File("etc/x", 0o644, b"x")]));
    kube.ok(&["image", "import", &small, "localhost/unused:1"]);
    kube.play(&pod("web", IDLE, ""));
    kube.ok(&["image", "prune", "--all"]);
    let names = kube.ok(&["image", "ls", "-o", "name"]).stdout;
    assert!(names.contains("busybox") && !names.contains("unused"), "{names}");
}

#[test]
fn modes_owners_links_and_special_bits_are_kept() {
    let kube = Kube::new();
    let script = "set -e; mkdir t && cd t && mkdir bin d && chmod 1777 d && echo x >f && chown 12:34 f && chmod 4755 f && ln f hard && ln -s f soft && \
                  truncate -s 1M sparse && echo end >>sparse && tar -S --numeric-owner -cf ../t.tar .";
    let status =
        std::process::Command::new("sh").args(["-c", script]).current_dir(kube.dir()).status().unwrap();
    assert!(status.success());
    let file = kube.dir().join("t.tar");
    kube.ok(&["image", "import", file.to_str().unwrap(), "localhost/t:1", "--cmd", "x"]);
    let found = std::process::Command::new("find")
        .arg(kube.root().join("images"))
        .args(["-name", "sparse"])
        .output()
        .unwrap();
    let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    let dir = std::path::Path::new(&path).parent().unwrap();
    use std::os::unix::fs::MetadataExt;
    let meta = |name: &str| std::fs::symlink_metadata(dir.join(name)).unwrap();
    assert_eq!(meta("f").mode() & 0o7777, 0o4755);
    assert_eq!((meta("f").uid(), meta("f").gid()), (12, 34));
    assert_eq!(meta("f").ino(), meta("hard").ino());
    assert_eq!(std::fs::read_link(dir.join("soft")).unwrap().to_str(), Some("f"));
    assert_eq!(meta("d").mode() & 0o7777, 0o1777);
    assert_eq!(meta("sparse").len(), 1024 * 1024 + 4);
    assert!(meta("sparse").blocks() * 512 < 512 * 1024, "{} blocks", meta("sparse").blocks());
}

#[test]
fn no_path_or_link_of_a_tar_leaves_the_root() {
    let kube = Kube::new();
    let outside = kube.dir().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("victim"), "untouched").unwrap();
    let out = outside.to_str().unwrap().trim_start_matches('/').to_owned();
    let (absolute, up) = (format!("/{out}/new"), format!("../../../../../../../../../../{out}/new"));
    let (link, victim) = (format!("/{out}"), format!("/{out}/victim"));
    let hostile: Vec<Vec<Entry<'_>>> = vec![
        vec![Entry::File(&absolute, 0o644, b"evil")],
        vec![Entry::File(&up, 0o644, b"evil")],
        vec![Entry::Symlink("way", &link), Entry::File("way/new", 0o644, b"evil")],
        vec![
            Entry::Symlink("way", "../../../../../../../../.."),
            Entry::File("way/etc/kube-e2e-evil", 0o644, b"evil"),
        ],
        vec![Entry::Hardlink("stolen", &victim), Entry::File("stolen", 0o644, b"evil")],
        vec![
            Entry::Symlink("way", &link),
            Entry::Hardlink("stolen", "way/victim"),
            Entry::File("stolen", 0o644, b"evil"),
        ],
        vec![Entry::Symlink("way", &link), Entry::Dir("way", 0o755), Entry::File("way/new", 0o644, b"evil")],
        vec![Entry::Symlink("way", &victim), Entry::File("way", 0o644, b"evil")],
    ];
    for (n, entries) in hostile.iter().enumerate() {
        let file = kube.file(&format!("hostile-{n}.tar"), tar(entries));
        // The image may be refused, or its entries made harmless.
        let output = kube.run(&["image", "import", &file, &format!("localhost/hostile:{n}"), "--cmd", "x"]);
        assert!([0, 1].contains(&output.code), "{output}");
        assert!(!outside.join("new").exists(), "tar {n} wrote outside: {output}");
        assert_eq!(
            std::fs::read_to_string(outside.join("victim")).unwrap(),
            "untouched",
            "tar {n}: {output}"
        );
        assert!(!std::path::Path::new("/etc/kube-e2e-evil").exists());
    }
}

#[test]
fn a_failed_unpack_leaves_nothing() {
    let kube = Kube::new();
    let whole = tar(&[Entry::File("a", 0o644, &[7; 200_000]), Entry::File("b", 0o644, &[7; 200_000])]);
    let size = |kube: &Kube| {
        let output = std::process::Command::new("find").arg(kube.root().join("images")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).lines().count()
    };
    let before = size(&kube);
    let torn = kube.file("torn.tar", &whole[..300_000]);
    let output = kube.run(&["image", "import", &torn, "localhost/torn:1", "--cmd", "x"]);
    assert_eq!(output.code, 1, "{output}");
    assert_eq!(size(&kube), before, "files are left of a failed import");
    assert_eq!(kube.run(&["image", "import", "/etc/passwd", "localhost/text:1"]).code, 1);
}

#[test]
fn a_bomb_is_refused() {
    let kube = Kube::new();
    // 64 MB of gzip for 64 GB of zeros would take minutes, so only the header claims the size.
    let mut header = tar(&[Entry::File("bomb", 0o644, b"")]);
    header.truncate(512);
    let octal = format!("{:011o}\0", (1_u64 << 33) - 1);
    header[124..136].copy_from_slice(octal.as_bytes());
    let sum: u32 = header
        .iter()
        .enumerate()
        .map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) })
        .sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let file = kube.file("bomb.tar", header);
    kube.run(&["image", "import", &file, "localhost/bomb:1", "--cmd", "x"]).expect(1);
}

#[test]
fn many_imports_at_once_all_arrive() {
    let kube = Kube::empty();
    let file = busybox_tar();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (kube, file) = (&kube, &file);
            scope.spawn(move || {
                kube.ok(&[
                    "image",
                    "import",
                    file.to_str().unwrap(),
                    &format!("localhost/i{n}:1"),
                    "--cmd",
                    "sh",
                ]);
            });
        }
    });
    let names = kube.ok(&["image", "ls", "-o", "name"]).stdout;
    for n in 0..4 {
        assert!(names.contains(&format!("i{n}")), "{names}");
    }
}

#[test]
fn lists_show_what_is_named_in_full() {
    let kube = Kube::new();
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: NAME}\nspec:\n  \
                 accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 1Gi}}\n";
    kube.play(&format!("{}---\n{}", claim.replace("NAME", "a"), claim.replace("NAME", "b")));
    kube.ok(&["network", "create", "lab"]);
    for (group, name, absent) in [
        ("image", "localhost/busybox:1", "localhost/absent:1"),
        ("volume", "b", "c"),
        ("network", "lab", "bal"),
    ] {
        let shown = kube.ok(&[group, "ls", name, "-o", "json"]).json();
        assert_eq!(shown["items"].as_array().unwrap().len(), 1, "{shown}");
        assert!(kube.ok(&[group, "ls", name, "-o", "name"]).stdout.trim_end().ends_with(name));
        kube.run(&[group, "ls", name, absent]).expect(4).complains("not found");
    }
}
