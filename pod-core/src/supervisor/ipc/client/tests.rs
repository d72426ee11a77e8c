use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use super::*;
use crate::version::FORMAT;

/// A supervisor that reads once, sends `answer`, and returns what it has read.
fn supervisor(dir: &Path, answer: String) -> (Layout, WorkloadId, JoinHandle<String>) {
    let layout = Layout { root: dir.join("root"), runroot: dir.join("run") };
    let id = WorkloadId::new(crate::kind::Kind::Pod, "default", "web");
    let path = layout.supervisor_socket(&id);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(path).unwrap();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 4096];
        let n = stream.read(&mut bytes).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&bytes[..n]).into_owned()
    };
    (layout, id, std::thread::spawn(serve))
}

#[test]
fn the_first_request_is_sent_with_the_greeting() {
    let dir = tempfile::tempdir().unwrap();
    let answer = format!("{{\"hello\":{FORMAT},\"kube\":\"0.2.9\"}}\n{{\"reply\":\"done\"}}\n");
    let (layout, id, served) = supervisor(dir.path(), answer);
    let mut client = Client::connect(&layout, &id).unwrap().unwrap();
    client.send(&Request::Save, &[]).unwrap();
    assert!(matches!(client.next(None).unwrap(), Some(Reply::Done)));
    let said = served.join().unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines, [serde_json::to_string(&Hello::new()).unwrap().as_str(), "{\"request\":\"save\"}"]);
}

#[test]
fn a_newer_supervisor_is_refused_with_the_kube_that_can_speak_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let answer = format!("{{\"hello\":{},\"kube\":\"9.9.9\",\"more\":[]}}\n", FORMAT + 1);
    let (layout, id, served) = supervisor(dir.path(), answer);
    let mut client = Client::connect(&layout, &id).unwrap().unwrap();
    client.send(&Request::Watch, &[]).unwrap();
    let error = client.next(None).unwrap_err().to_string();
    assert!(error.starts_with("the supervisor of pod/web speaks format 3, and this kube ("), "{error}");
    assert!(error.ends_with("nothing was changed: use kube 9.9.9 or newer"), "{error}");
    served.join().unwrap();
}

#[test]
fn a_supervisor_of_the_first_format_understands_no_request() {
    let request = serde_json::to_value(Request::Save).unwrap();
    assert_eq!(
        request.get("op"),
        None,
        "a supervisor of format 1 would act on a request before the client knows its format"
    );
}
