use super::*;

fn request(path: &str, headers: &[(&str, &str)]) -> Request {
    let target = Target { namespace: None, host: "10.88.0.5".to_owned(), port: 8080 };
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Request::new(Scheme::Http, target, path, headers.collect())
}

fn sent(request: &Request) -> String {
    String::from_utf8(request.bytes().unwrap()).unwrap()
}

/// Returns what follows from an answer, byte by byte.
fn answered(request: &Request, text: &str) -> Verdict {
    let mut answer = Answer::default();
    for byte in text.as_bytes() {
        if answer.receive(&[*byte]) {
            break;
        }
    }
    answer.verdict(request)
}

fn failed(message: &str) -> Verdict {
    Verdict::Result(ProbeResult::Failure(message.to_owned()))
}

#[test]
fn a_request_has_the_kubelets_headers() {
    assert_eq!(
        sent(&request("/healthz?deep=1", &[])),
        "GET /healthz?deep=1 HTTP/1.1\r\nHost: 10.88.0.5:8080\r\nUser-Agent: kube-probe/1.37\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    );
}

#[test]
fn a_host_header_sets_the_requests_host_and_others_are_added() {
    let headers = [("host", "web.example"), ("X-Probe", "1"), ("User-Agent", "mine"), ("Accept", "")];
    assert_eq!(
        sent(&request("x", &headers)),
        "GET /x HTTP/1.1\r\nHost: web.example\r\nX-Probe: 1\r\nUser-Agent: mine\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn nothing_in_a_manifest_adds_a_line_to_a_request() {
    assert!(sent(&request("/a b\r\nX: 1", &[])).starts_with("GET /a%20b%0D%0AX:%201 HTTP/1.1\r\nHost"));
    let error = request("/", &[("X", "1\r\nY: 2")]).bytes().unwrap_err();
    assert_eq!(error.to_string(), "net/http: invalid header field value for \"X\"");
    assert!(request("/", &[("X Y", "1")]).bytes().is_err());
}

#[test]
fn a_hook_is_content_with_every_answer_and_says_that_it_asks() {
    let hook = request("/bye", &[]).of_hook();
    assert!(sent(&hook).contains("\r\nUser-Agent: kube-lifecycle/1.37\r\n"));
    let answer = "HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answered(&hook, answer), Verdict::Result(ProbeResult::Success));
    assert!(matches!(answered(&hook, "nonsense\n"), Verdict::Result(ProbeResult::Failure(_))));
    let Verdict::Follow(next) = answered(&hook, "HTTP/1.1 302 Go\r\nLocation: /x\r\n\r\n") else { panic!() };
    assert_eq!(next.url(), "http://10.88.0.5:8080/x");
    assert!(sent(&next).contains("kube-lifecycle"));
}

#[test]
fn statuses_from_200_to_399_pass() {
    let of = |status: u16| {
        answered(&request("/", &[]), &format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"))
    };
    for status in [200, 204, 299] {
        assert_eq!(of(status), Verdict::Result(ProbeResult::Success), "{status}");
    }
    for status in [300, 304, 302] {
        assert!(matches!(of(status), Verdict::Result(ProbeResult::Warning(_))), "{status}");
    }
    for status in [400, 404, 500, 503] {
        assert_eq!(of(status), failed(&format!("HTTP probe failed with statuscode: {status}")));
    }
}

#[test]
fn an_answer_ends_by_its_length_by_its_last_chunk_or_with_the_connection() {
    let complete = |text: &str| Answer::default().receive(text.as_bytes());
    assert!(complete("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    assert!(!complete("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"));
    assert!(complete("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"));
    assert!(!complete("HTTP/1.1 200 OK\r\n\r\nok"));
    assert!(complete(&format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(MAX_BODY))));
    assert_eq!(
        answered(&request("/", &[]), "HTTP/1.0 200 OK\r\n\r\nok"),
        Verdict::Result(ProbeResult::Success)
    );
    let continued = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\n\r\n";
    assert_eq!(answered(&request("/", &[]), continued), failed("HTTP probe failed with statuscode: 503"));
}

#[test]
fn what_is_not_an_answer_fails() {
    let request = request("/", &[]);
    let get = "Get \"http://10.88.0.5:8080/\": ";
    assert_eq!(answered(&request, ""), failed(&format!("{get}EOF")));
    assert_eq!(answered(&request, "HTTP/1.1 200"), failed(&format!("{get}unexpected EOF")));
    let malformed = format!("{get}malformed HTTP response \"SSH-2.0-x\"");
    let mut answer = Answer::default();
    assert!(answer.receive(b"SSH-2.0-x\r\nmore"));
    assert_eq!(answer.verdict(&request), failed(&malformed));
    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(MAX_HEAD));
    assert!(matches!(answered(&request, &long), Verdict::Result(ProbeResult::Failure(_))));
}

fn redirect(from: &Request, location: &str) -> Verdict {
    answered(from, &format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 3\r\n\r\ngo!"))
}

#[test]
fn redirects_on_the_same_host_are_followed_at_most_ten_times() {
    let mut now = request("/a/b", &[("Host", "web.example")]);
    for (location, url, host) in [
        ("/c?d=1", "http://10.88.0.5:8080/c?d=1", "web.example"),
        ("e", "http://10.88.0.5:8080/e", "web.example"),
        ("http://10.88.0.5:9090/f", "http://10.88.0.5:9090/f", "10.88.0.5:9090"),
        ("https://10.88.0.5/g", "https://10.88.0.5:443/g", "10.88.0.5:443"),
    ] {
        let Verdict::Follow(next) = redirect(&now, location) else { panic!("{location}") };
        assert_eq!(next.url(), url);
        assert!(sent(&next).contains(&format!("Host: {host}\r\n")), "{}", sent(&next));
        now = *next;
    }
    for _ in 4..9 {
        let Verdict::Follow(next) = redirect(&now, "/again") else { panic!() };
        now = *next;
    }
    let last = redirect(&now, "/again");
    assert_eq!(last, failed("Get \"https://10.88.0.5:443/again\": stopped after 10 redirects"));
}

#[test]
fn a_redirect_to_another_host_is_a_success_with_a_warning() {
    let warning = ProbeResult::Warning("Probe terminated redirects, Response body: go!".to_owned());
    assert_eq!(redirect(&request("/", &[]), "http://example.com/"), Verdict::Result(warning));
}
