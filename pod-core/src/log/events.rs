//! The events that `kube events` shows: v1 Event objects, one per line, appended by all supervisors.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base::file::{FileLock, LockKind};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::repeats::Occurrence;
use crate::kind::{EventType, Kind};
use crate::plan::PodPlan;
use crate::store::{Error, Layout};

/// A file that is larger than this is renamed to `events.1`, which replaces an older file of that name.
const LIMIT: u64 = 1024 * 1024;

/// Appends one event about a pod or one of its containers. `kind` is the event's type.
pub fn append(
    layout: &Layout,
    pod: &PodPlan,
    container: Option<&str>,
    kind: EventType,
    reason: &str,
    message: &str,
    occurrence: Occurrence,
) -> Result<(), Error> {
    append_about(layout, reference(pod, container), kind, reason, message, occurrence)
}

fn reference(pod: &PodPlan, container: Option<&str>) -> ObjectReference {
    let list = |name: &str| {
        let spec = pod.pod.spec.as_ref();
        let mut init = spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        let mut apps = spec.iter().flat_map(|spec| &spec.containers);
        match () {
            () if init.any(|one| one.name == name) => "initContainers",
            () if apps.any(|one| one.name == name) => "containers",
            // A debug container.
            () => "ephemeralContainers",
        }
    };
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some(Kind::Pod.name().to_owned()),
        name: Some(pod.name().to_owned()),
        namespace: Some(pod.namespace().to_owned()),
        uid: Some(pod.uid.clone()),
        field_path: container.map(|name| format!("spec.{}{{{name}}}", list(name))),
        ..ObjectReference::default()
    }
}

/// Appends one event about any object. `kind` is the event's type.
///
/// # Errors
/// The file cannot be written.
pub fn append_about(
    layout: &Layout,
    involved_object: ObjectReference,
    kind: EventType,
    reason: &str,
    message: &str,
    occurrence: Occurrence,
) -> Result<(), Error> {
    let Occurrence { count, first, last } = occurrence;
    // An event that is repeated keeps its name.
    let name = involved_object.name.as_deref().unwrap_or_default();
    let event = Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", first.as_nanosecond())),
            namespace: involved_object.namespace.clone(),
            creation_timestamp: Some(Time(first)),
            ..ObjectMeta::default()
        },
        involved_object,
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        type_: Some(kind.to_string()),
        count: i32::try_from(count).ok(),
        first_timestamp: Some(Time(first)),
        last_timestamp: Some(Time(last)),
        source: Some(EventSource { component: Some("kube".to_owned()), host: None }),
        ..Event::default()
    };
    let path = layout.events();
    let mut line =
        serde_json::to_vec(&event).map_err(|source| Error::Damaged { path: path.clone(), source })?;
    line.push(b'\n');
    let mut file = open_to_append(&path)?;
    if is_full(&file) {
        // If several supervisors see the full file at once, the first one renames it; the others find the new file.
        let lock = FileLock::acquire(&path, LockKind::Exclusive)?;
        if File::open(&path).is_ok_and(|file| is_full(&file)) {
            // If the rename fails the file grows further, and the next event tries again.
            let _ = fs::rename(&path, rotated(&path));
        }
        drop(lock);
        file = open_to_append(&path)?;
    }
    // A whole line is written with one write and O_APPEND, so lines of several supervisors do not mix.
    file.write_all(&line).map_err(Error::io("write", &path))
}

fn open_to_append(path: &Path) -> Result<File, Error> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(Error::io("open", path))
}

fn is_full(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.len() > LIMIT)
}

fn rotated(path: &Path) -> PathBuf {
    path.with_extension("1")
}

/// Reads the events of all supervisors. Each read continues after the last one, also after a rotation.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    current: Option<BufReader<File>>,
    /// A line whose end is not written yet.
    partial: Vec<u8>,
}

impl Reader {
    /// Creates a reader that has read nothing yet.
    pub fn new(layout: &Layout) -> Self {
        Self { path: layout.events(), current: None, partial: Vec::new() }
    }

    /// Returns all events since the last call. The first call begins with the rotated file.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn read(&mut self) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        if self.current.is_none() {
            self.current = open_to_read(&rotated(&self.path))?;
        }
        self.drain(&mut events)?;
        // The file that has the name now, if it is another file than the one that was read.
        if let Some(next) = open_to_read(&self.path)?
            && self.current.as_ref().is_none_or(|current| !is_same(current.get_ref(), next.get_ref()))
        {
            // Reads what was written between the last read and the rotation.
            self.drain(&mut events)?;
            self.partial.clear();
            self.current = Some(next);
            self.drain(&mut events)?;
        }
        Ok(events)
    }

    fn drain(&mut self, events: &mut Vec<Event>) -> Result<(), Error> {
        let Some(file) = &mut self.current else { return Ok(()) };
        loop {
            let read = file.read_until(b'\n', &mut self.partial).map_err(|e| match e.kind() {
                ErrorKind::IsADirectory => Error::damaged(&self.path, serde_json::Error::io(e)),
                _ => Error::io("read", &self.path)(e),
            })?;
            if read == 0 || self.partial.last() != Some(&b'\n') {
                return Ok(());
            }
            // A line that a crash or a full disk has cut is skipped without an error.
            match serde_json::from_slice(&self.partial) {
                Ok(event) => events.push(event),
                Err(error) => tracing::debug!("an event that cannot be read: {error}"),
            }
            self.partial.clear();
        }
    }
}

fn open_to_read(path: &Path) -> Result<Option<BufReader<File>>, Error> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

fn is_same(a: &File, b: &File) -> bool {
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => a.dev() == b.dev() && a.ino() == b.ino(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().join("root"), runroot: dir.path().join("run") };
        fs::create_dir_all(&layout.runroot).unwrap();
        (dir, layout)
    }

    fn add(layout: &Layout, text: &str) {
        open_to_append(&layout.events()).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn names(events: &[Event]) -> Vec<&str> {
        events.iter().map(|event| event.metadata.name.as_deref().unwrap()).collect()
    }

    #[test]
    fn no_event_is_missed_or_repeated_across_a_rotation_and_a_torn_line() {
        let (_dir, layout) = layout();
        let line = |name| format!("{{\"metadata\": {{\"name\": \"{name}\"}}, \"involvedObject\": {{}}}}\n");
        let rotate = || fs::rename(layout.events(), rotated(&layout.events())).unwrap();
        add(&layout, &line("a"));
        rotate();
        add(&layout, &line("b"));
        let mut reader = Reader::new(&layout);
        assert_eq!(names(&reader.read().unwrap()), ["a", "b"]);
        let third = line("c");
        let (half, rest) = third.split_at(20);
        add(&layout, half);
        assert!(reader.read().unwrap().is_empty());
        add(&layout, &format!("{rest}not an event\n{}", line("d")));
        rotate();
        add(&layout, &line("e"));
        assert_eq!(names(&reader.read().unwrap()), ["c", "d", "e"]);
        assert!(reader.read().unwrap().is_empty());
    }

    #[test]
    fn supervisors_that_find_the_file_full_at_once_rotate_it_once() {
        let (_dir, layout) = layout();
        let pod = PodPlan {
            uid: "u".to_owned(),
            pod: serde_json::from_str(r#"{"metadata": {"name": "web", "namespace": "default"}}"#).unwrap(),
            hash: String::new(),
            network: crate::plan::PodNetwork::default(),
            runtime: None,
        };
        let full = "x".repeat(usize::try_from(LIMIT).unwrap()) + "\n";
        for _ in 0..20 {
            let _ = fs::remove_file(layout.events());
            add(&layout, &full);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let once = Occurrence::once(jiff::Timestamp::UNIX_EPOCH);
                        append(&layout, &pod, None, EventType::Normal, "Started", "m", once).unwrap();
                    });
                }
            });
            let rotated = fs::metadata(rotated(&layout.events())).unwrap();
            assert!(rotated.len() > LIMIT, "the full file is kept");
            // A supervisor that had the old file open may have appended its line to that file.
            assert!(!Reader::new(&layout).read().unwrap().is_empty());
        }
    }
}
